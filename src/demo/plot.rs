//! The picture of a run: latency over time, calls by backend over time, and how latencies are spread.
//!
//! Owns: what is drawn and where. Numbers in, one SVG text out. Latencies are microseconds, times are seconds
//! of the run.

use hdrhistogram::Histogram;

use scale::Scale;
use svg::{Anchor, Svg};

mod scale;
mod svg;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 950.0;
/// Left and right ends of every panel.
const PANEL_X: (f64, f64) = (78.0, 936.0);
/// Bars per factor of ten in the distribution.
const BUCKETS_PER_DECADE: f64 = 16.0;

/// One second of the run.
#[derive(Debug, Clone, Default)]
pub(super) struct Point {
    /// Half of the calls were answered within this.
    pub(super) p50_us: u64,
    /// 99 of 100 were.
    pub(super) p99_us: u64,
    /// All were.
    pub(super) max_us: u64,
    /// New calls by backend.
    pub(super) by_backend: Vec<u64>,
}

/// What is drawn.
#[derive(Debug)]
pub(super) struct Figure<'a> {
    /// Under the title: how it was measured.
    pub(super) subtitle: String,
    /// How long calls were started, in seconds.
    pub(super) duration_seconds: f64,
    /// By second of the run; seconds without calls have no point.
    pub(super) points: Vec<(f64, Point)>,
    /// Names of the backends.
    pub(super) backends: Vec<String>,
    /// When a backend was taken out, and what to write there.
    pub(super) removal: Option<(f64, String)>,
    /// INVITE to 200 as the caller saw it.
    pub(super) caller_us: &'a Histogram<u64>,
    /// Receive to send within the edge.
    pub(super) edge_us: &'a Histogram<u64>,
}

/// Draws.
pub(super) fn render(figure: &Figure<'_>) -> String {
    let title = "sipedge demo: what calls saw while a backend left";
    let mut svg = Svg::new(WIDTH, HEIGHT, title);
    svg.rect((0.0, 0.0), (WIDTH, HEIGHT), "paper", "");
    svg.text(24.0, 36.0, "title", Anchor::Start, title);
    svg.text(24.0, 57.0, "", Anchor::Start, &figure.subtitle);
    draw_latency(&mut svg, figure, (112.0, 312.0));
    draw_calls(&mut svg, figure, (402.0, 572.0));
    draw_distribution(&mut svg, figure, (692.0, 882.0));
    svg.finish()
}

/// A name and how to read it from a point.
type Series = (&'static str, fn(&Point) -> u64);

fn draw_latency(svg: &mut Svg, figure: &Figure<'_>, (top, bottom): (f64, f64)) {
    let series: [Series; 3] = [
        ("p50", |point| point.p50_us),
        ("p99", |point| point.p99_us),
        ("slowest", |point| point.max_us),
    ];
    panel(svg, (top, bottom), "Time from INVITE to 200, by second");
    legend(svg, top, &series.map(|(name, _)| name), "f");
    let values = || figure.points.iter().flat_map(|(_, p)| [p.p50_us, p.max_us]);
    let low = values().min().unwrap_or(100) as f64;
    let high = values().max().unwrap_or(1_000) as f64;
    let y = Scale::logarithmic(low, high, (bottom, top));
    let x = Scale::linear(0.0, figure.duration_seconds, PANEL_X);
    for tick in y.ticks(0) {
        horizontal_tick(svg, y.at(tick), &duration_label(tick));
    }
    time_axis(svg, x, bottom);
    svg.text_upwards(20.0, (top + bottom) / 2.0, "latency (log scale)");
    for (index, (_, pick)) in series.iter().enumerate().rev() {
        let place = |(second, point): &(f64, Point)| (x.at(second + 0.5), y.at(pick(point) as f64));
        let points: Vec<_> = figure.points.iter().map(place).collect();
        svg.polyline(&points, &format!("s{index}"));
    }
    removal_mark(svg, figure, x, (top, bottom), true);
}

fn draw_calls(svg: &mut Svg, figure: &Figure<'_>, (top, bottom): (f64, f64)) {
    panel(svg, (top, bottom), "New calls per second, by backend");
    let names: Vec<&str> = figure.backends.iter().map(String::as_str).collect();
    legend(svg, top, &names, "b");
    let total = |point: &Point| point.by_backend.iter().sum::<u64>();
    let most = figure.points.iter().map(|(_, point)| total(point)).max().unwrap_or(1);
    let y = Scale::linear(0.0, most as f64 * 1.08, (bottom, top));
    let x = Scale::linear(0.0, figure.duration_seconds, PANEL_X);
    for tick in y.ticks(4) {
        horizontal_tick(svg, y.at(tick), &format!("{tick:.0}"));
    }
    time_axis(svg, x, bottom);
    svg.text_upwards(20.0, (top + bottom) / 2.0, "calls/s");
    for (second, point) in &figure.points {
        let (left, right) = (x.at(*second), x.at(second + 1.0));
        let mut below = 0;
        for (backend, &calls) in point.by_backend.iter().enumerate() {
            let (low, high) = (y.at(below as f64), y.at((below + calls) as f64));
            below += calls;
            if calls > 0 {
                let says = format!("second {second:.0}: {calls} calls to {}", names[backend]);
                let size = ((right - left - 2.0).max(1.0), (low - high - 1.0).max(0.5));
                svg.rect((left + 1.0, high), size, &format!("b{}", backend.min(3)), &says);
            }
        }
    }
    removal_mark(svg, figure, x, (top, bottom), false);
}

fn draw_distribution(svg: &mut Svg, figure: &Figure<'_>, (top, bottom): (f64, f64)) {
    panel(svg, (top, bottom), "");
    // Its legend is long: it has the line of the heading, and the heading one of its own.
    svg.text(24.0, top - 38.0, "heading", Anchor::Start, "How the times are spread");
    let both = [figure.caller_us, figure.edge_us];
    let label = |name: &str, h: &Histogram<u64>| {
        let of = |quantile| duration_label(h.value_at_quantile(quantile) as f64);
        format!("{name}: p50 {}, p99 {}, p99.9 {}", of(0.5), of(0.99), of(0.999))
    };
    let labels = [
        label("INVITE to 200", figure.caller_us),
        label("within the edge, receive to send", figure.edge_us),
    ];
    let (low, high) = both
        .iter()
        .filter(|histogram| !histogram.is_empty())
        .map(|histogram| (histogram.min(), histogram.max()))
        .fold((u64::MAX, 1), |(low, high), (l, h)| (low.min(l), high.max(h)));
    let x = Scale::logarithmic(low.min(high) as f64, high as f64, PANEL_X);
    let shares = both.map(shares_by_bucket);
    let most = shares.iter().flatten().map(|(_, share)| *share).fold(1.0, f64::max);
    let y = Scale::linear(0.0, most * 1.1, (bottom, top));
    for tick in y.ticks(4) {
        horizontal_tick(svg, y.at(tick), &format!("{tick:.0} %"));
    }
    for tick in x.ticks(0) {
        svg.line((x.at(tick), top), (x.at(tick), bottom), "grid");
        svg.text(x.at(tick), bottom + 18.0, "", Anchor::Middle, &duration_label(tick));
    }
    axis_line(svg, bottom);
    let middle = (PANEL_X.0 + PANEL_X.1) / 2.0;
    svg.text(middle, bottom + 40.0, "", Anchor::Middle, "latency (log scale)");
    svg.text_upwards(20.0, (top + bottom) / 2.0, "share of all");
    for (index, shares) in shares.iter().enumerate() {
        let points = outline(shares, x, y, bottom);
        if !points.is_empty() {
            svg.polygon(&points, &format!("a{index}"));
        }
    }
    legend(svg, top, &[labels[0].as_str(), labels[1].as_str()], "b");
}

/// Percent of all values by logarithmic bucket; gaps are filled with zero.
fn shares_by_bucket(histogram: &Histogram<u64>) -> Vec<(i32, f64)> {
    let mut shares: Vec<(i32, f64)> = Vec::new();
    for value in histogram.iter_recorded() {
        let bucket = bucket_of(value.value_iterated_to() as f64);
        let share = value.count_at_value() as f64 * 100.0 / histogram.len() as f64;
        while let Some(&(last, _)) = shares.last().filter(|(last, _)| last + 1 < bucket) {
            shares.push((last + 1, 0.0));
        }
        match shares.last_mut().filter(|(last, _)| *last == bucket) {
            Some((_, sum)) => *sum += share,
            None => shares.push((bucket, share)),
        }
    }
    shares
}

#[expect(clippy::cast_possible_truncation, reason = "the logarithm of a latency is small")]
fn bucket_of(value_us: f64) -> i32 {
    (value_us.max(1.0).log10() * BUCKETS_PER_DECADE).floor() as i32
}

/// The outline of a histogram, closed along the bottom.
fn outline(shares: &[(i32, f64)], x: Scale, y: Scale, bottom: f64) -> Vec<(f64, f64)> {
    let edge = |bucket: i32| x.at(10_f64.powf(f64::from(bucket) / BUCKETS_PER_DECADE));
    let (Some(first), Some(last)) = (shares.first(), shares.last()) else { return Vec::new() };
    let mut points = vec![(edge(first.0), bottom)];
    for (bucket, share) in shares {
        points.extend([(edge(*bucket), y.at(*share)), (edge(bucket + 1), y.at(*share))]);
    }
    points.push((edge(last.0 + 1), bottom));
    points
}

fn panel(svg: &mut Svg, (top, bottom): (f64, f64), heading: &str) {
    svg.text(24.0, top - 16.0, "heading", Anchor::Start, heading);
    svg.rect((PANEL_X.0, top), (PANEL_X.1 - PANEL_X.0, bottom - top), "panel", "");
}

/// Names with their colours, right-aligned above a panel.
fn legend(svg: &mut Svg, top: f64, names: &[&str], class: &str) {
    // No font is measured: a letter is taken as 6.7 wide, and a little air does no harm.
    let width = |name: &str| 22.0 + name.chars().count() as f64 * 6.7;
    let mut x = PANEL_X.1 - names.iter().map(|name| width(name)).sum::<f64>();
    for (index, name) in names.iter().enumerate() {
        svg.rect((x, top - 26.0), (11.0, 11.0), &format!("{class}{}", index.min(3)), "");
        svg.text(x + 16.0, top - 16.0, "", Anchor::Start, name);
        x += width(name);
    }
}

fn horizontal_tick(svg: &mut Svg, y: f64, label: &str) {
    svg.line((PANEL_X.0, y), (PANEL_X.1, y), "grid");
    svg.text(PANEL_X.0 - 8.0, y + 4.0, "", Anchor::End, label);
}

fn axis_line(svg: &mut Svg, bottom: f64) {
    svg.line((PANEL_X.0, bottom), (PANEL_X.1, bottom), "axis");
}

fn time_axis(svg: &mut Svg, x: Scale, bottom: f64) {
    axis_line(svg, bottom);
    for tick in x.ticks(10) {
        svg.line((x.at(tick), bottom), (x.at(tick), bottom + 4.0), "axis");
        svg.text(x.at(tick), bottom + 18.0, "", Anchor::Middle, &format!("{tick:.0} s"));
    }
    let middle = (PANEL_X.0 + PANEL_X.1) / 2.0;
    svg.text(middle, bottom + 36.0, "", Anchor::Middle, "time since the first call");
}

fn removal_mark(
    svg: &mut Svg,
    figure: &Figure<'_>,
    x: Scale,
    (top, bottom): (f64, f64),
    labelled: bool,
) {
    let Some((second, label)) = &figure.removal else { return };
    svg.line((x.at(*second), top), (x.at(*second), bottom), "mark");
    if labelled {
        svg.text(x.at(*second) + 8.0, top + 16.0, "marktext", Anchor::Start, label);
    }
}

/// Microseconds as a person writes them.
pub(super) fn duration_label(us: f64) -> String {
    match us {
        us if us < 1_000.0 => format!("{us:.0} µs"),
        us if us < 10_000.0 && us % 1_000.0 != 0.0 => format!("{:.2} ms", us / 1e3),
        us if us < 1_000_000.0 => format!("{:.0} ms", us / 1e3),
        us if us % 1_000_000.0 == 0.0 => format!("{:.0} s", us / 1e6),
        us => format!("{:.2} s", us / 1e6),
    }
}

#[cfg(test)]
mod tests;
