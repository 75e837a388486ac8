//! The plots: CPU for each message as bars, latency by percentile, and both over the load.
//!
//! Owns: what is drawn where. Medians are drawn, whiskers go from the lowest to the highest round.

use super::svg::{Axis, LINES, Svg};
use crate::plan::Kind;
use crate::record::Results;
use crate::stats::Spread;
use crate::summary::{Group, Metric, Row};

const WIDTH: f64 = 960.0;
const LEFT: f64 = 210.0;
const RIGHT: f64 = 850.0;
const BAR: f64 = 22.0;
const PANEL_HEIGHT: f64 = 320.0;

fn subtitle(results: &Results) -> String {
    format!(
        "{}, loopback, one core; median of {} interleaved rounds; {}",
        results.machine.cpu, results.rounds, results.machine.date
    )
}

/// Bars for each saturated series.
pub(super) fn cpu(results: &Results, groups: &[Group<'_>]) -> Option<String> {
    let panels: Vec<&Group<'_>> =
        groups.iter().filter(|group| group.series.kind == Kind::Saturated).collect();
    let bars: usize = panels.iter().map(|group| group.rows.len()).sum();
    if bars == 0 {
        return None;
    }
    let height = 70.0 + bars as f64 * BAR + panels.len() as f64 * 70.0;
    let title = "CPU time for each forwarded message (less is better)";
    let mut svg = Svg::new((WIDTH, height), title, &subtitle(results));
    let mut top = 84.0;
    for group in panels {
        top = bars_of(&mut svg, results, group, top);
    }
    Some(svg.finish())
}

/// Draws one series and answers where the next begins.
fn bars_of(svg: &mut Svg, results: &Results, group: &Group<'_>, top: f64) -> f64 {
    svg.text((20.0, top), "heading", "start", &group.series.title);
    let spread = |row: &Row| row.figure(Metric::Cpu).and_then(|figure| figure.spread);
    let most = group.rows.iter().filter_map(spread).map(|spread| spread.max).fold(1.0, f64::max);
    let axis = Axis::linear(most, (LEFT, RIGHT));
    let bottom = top + 12.0 + group.rows.len() as f64 * BAR;
    for tick in axis.ticks() {
        svg.line((axis.at(tick), top + 10.0), (axis.at(tick), bottom), "grid");
        svg.text((axis.at(tick), bottom + 16.0), "", "middle", &thousands(tick));
    }
    svg.text((RIGHT + 12.0, bottom + 16.0), "", "start", "ns");
    let mut y = top + 12.0;
    for row in &group.rows {
        svg.text((LEFT - 10.0, y + 15.0), "name", "end", &row.target);
        match spread(row) {
            Some(spread) => {
                let says = bar_text(row, &spread);
                bar(svg, axis, y, spread, bar_class(results, &row.target));
                let end = axis.at(spread.max) + 8.0;
                svg.text((end, y + 15.0), "", "start", &says);
            }
            None => svg.text((LEFT + 8.0, y + 15.0), "", "start", "not measured"),
        }
        y += BAR;
    }
    svg.line((LEFT, top + 10.0), (LEFT, bottom), "axis");
    bottom + 52.0
}

fn bar(svg: &mut Svg, axis: Axis, y: f64, spread: Spread, class: &str) {
    svg.rect((LEFT, y + 3.0), (axis.at(spread.median) - LEFT, BAR - 6.0), class);
    let (middle, low, high) = (y + BAR / 2.0, axis.at(spread.min), axis.at(spread.max));
    svg.line((low, middle), (high, middle), "whisker");
    for end in [low, high] {
        svg.line((end, middle - 4.0), (end, middle + 4.0), "whisker");
    }
}

fn bar_text(row: &Row, spread: &Spread) -> String {
    let limited = if row.marks.generator_limited > 0 { " G" } else { "" };
    format!("{}{limited}", thousands(spread.median))
}

/// Ours stand out, floors stand back.
fn bar_class(results: &Results, target: &str) -> &'static str {
    if target.starts_with("sipedge") {
        "b1"
    } else if target == results.plan.floor || target.starts_with("floor") {
        "b2"
    } else {
        "b0"
    }
}

/// Latency by percentile, for the first series at fixed rates.
pub(super) fn latency(results: &Results, groups: &[Group<'_>]) -> Option<String> {
    let group = groups.iter().find(|group| group.series.kind == Kind::Rate)?;
    let rows: Vec<&Row> = group.rows.iter().filter(|row| row.curve.len() > 1).collect();
    let values = || rows.iter().flat_map(|row| row.curve.iter().map(|(_, us)| *us));
    let low = values().fold(f64::INFINITY, f64::min);
    let high = values().fold(0.0, f64::max);
    if rows.is_empty() {
        return None;
    }
    let rate = group.rate.map_or_else(String::new, |rate| format!(" at {} /s", thousands(rate)));
    let title = format!("Latency from the intended send time to arrival{rate}");
    let mut svg = Svg::new((WIDTH, 540.0), &title, &subtitle(results));
    let (top, bottom) = (80.0, 480.0);
    let y = Axis::logarithmic(low, high, (bottom, top));
    // Each nine takes the same room: 90 %, 99 %, 99.9 %. It starts at a quarter, the generator's first.
    let x = Axis::logarithmic(1.0, 10_000.0, (70.0, 700.0));
    let nines = |percentile: f64| 100.0 / (100.0 - percentile).max(0.01);
    horizontal(&mut svg, y, 70.0, 700.0, duration);
    for percentile in [50.0, 75.0, 90.0, 99.0, 99.9, 99.99] {
        let at = x.at(nines(percentile));
        svg.line((at, top), (at, bottom), "grid");
        svg.text((at, bottom + 18.0), "", "middle", &format!("{percentile} %"));
    }
    for (index, row) in rows.iter().enumerate() {
        let points: Vec<_> =
            row.curve.iter().map(|&(percentile, us)| (x.at(nines(percentile)), y.at(us))).collect();
        legend(&mut svg, index, top, &row.target);
        svg.polyline(&points, &line_class(index));
    }
    Some(svg.finish())
}

/// CPU for each message and p50 over the load, for the first series with several rates.
pub(super) fn below_saturation(results: &Results, groups: &[Group<'_>]) -> Option<String> {
    let several = |group: &&Group<'_>| group.series.percents.len() > 1;
    let name = &groups.iter().find(several)?.series.name;
    let groups: Vec<&Group<'_>> = groups.iter().filter(|g| &g.series.name == name).collect();
    let title = "Below saturation: CPU for each message, and latency";
    let mut svg = Svg::new((WIDTH, 500.0), title, &subtitle(results));
    over_load(&mut svg, &groups, Metric::Cpu, "CPU for each message, ns", (60.0, 360.0));
    over_load(&mut svg, &groups, Metric::P50, "p50, us", (430.0, 730.0));
    for (index, row) in groups.first()?.rows.iter().enumerate() {
        legend(&mut svg, index, 100.0, &row.target);
    }
    Some(svg.finish())
}

fn over_load(
    svg: &mut Svg,
    groups: &[&Group<'_>],
    metric: Metric,
    heading: &str,
    (left, right): (f64, f64),
) {
    let (top, bottom) = (110.0, 110.0 + PANEL_HEIGHT);
    svg.text((left, top - 16.0), "heading", "start", heading);
    let spread = |row: &Row| row.figure(metric).and_then(|figure| figure.spread);
    let all = groups.iter().flat_map(|group| &group.rows).filter_map(spread);
    let y = Axis::linear(all.map(|spread| spread.max).fold(1.0, f64::max), (bottom, top));
    let x = Axis::linear(100.0, (left, right));
    horizontal(svg, y, left, right, thousands);
    for group in groups {
        let percent = f64::from(group.percent.unwrap_or(0));
        svg.text((x.at(percent), bottom + 18.0), "", "middle", &format!("{percent} %"));
    }
    let count = groups.first().map_or(0, |group| group.rows.len());
    for index in 0..count {
        let mut points = vec![];
        for group in groups {
            let Some(spread) = group.rows.get(index).and_then(spread) else { continue };
            let at = x.at(f64::from(group.percent.unwrap_or(0)));
            points.push((at, y.at(spread.median)));
            svg.line((at, y.at(spread.min)), (at, y.at(spread.max)), &line_class(index));
        }
        svg.polyline(&points, &line_class(index));
    }
}

fn horizontal(svg: &mut Svg, y: Axis, left: f64, right: f64, label: fn(f64) -> String) {
    for tick in y.ticks() {
        svg.line((left, y.at(tick)), (right, y.at(tick)), "grid");
        svg.text((left - 8.0, y.at(tick) + 4.0), "", "end", &label(tick));
    }
}

fn legend(svg: &mut Svg, index: usize, top: f64, name: &str) {
    let y = top + 12.0 + index as f64 * 20.0;
    svg.line((740.0, y - 4.0), (764.0, y - 4.0), &line_class(index));
    svg.text((772.0, y), "name", "start", name);
}

/// Lines beyond the colours are dashed.
fn line_class(index: usize) -> String {
    let dashed = if index >= LINES { " dashed" } else { "" };
    format!("l{}{dashed}", index % LINES)
}

/// Microseconds in the unit that reads best.
fn duration(us: f64) -> String {
    if us >= 1_000.0 { format!("{} ms", thousands(us / 1_000.0)) } else { format!("{us} us") }
}

/// 12,345.
fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::groups;
    use crate::summary::tests::made_up;

    #[test]
    fn bars_have_whiskers_and_marks() {
        let results = made_up();
        let svg = cpu(&results, &groups(&results)).expect("there is a saturated series");
        assert_eq!(svg.matches("class=\"whisker\"").count(), 3 * 3);
        assert!(svg.contains(">3,750 G<") && svg.contains("class=\"b2\""));
    }

    #[test]
    fn each_target_has_a_line() {
        let results = made_up();
        let svg = latency(&results, &groups(&results)).expect("there is a series at a rate");
        assert_eq!(svg.matches("<polyline").count(), 4);
        assert!(svg.contains("at 50,000 /s") && svg.contains(">99.99 %<"));
        assert_eq!(below_saturation(&results, &groups(&results)), None, "one rate is no curve");
    }

    #[test]
    fn numbers_are_grouped() {
        let all = [0.0, 999.0, 1_000.0, 1_234_567.0].map(thousands);
        assert_eq!(all, ["0", "999", "1,000", "1,234,567"]);
    }
}
