//! The latency plot: percentiles on an axis that gives each further nine the same room, latencies on a logarithmic one.
//!
//! Owns: what is drawn. Reports in, one SVG text out: no script, no external font. Latencies are microseconds.

use std::fmt::Write as _;

use crate::report::Report;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 480.0;
/// Ends of the panel.
const X: (f64, f64) = (78.0, 912.0);
const Y: (f64, f64) = (420.0, 96.0);
/// Nines at the right end of the axis.
const NINES_MAX: f64 = 5.0;
const MARKS: [(f64, &str); 6] = [
    (50.0, "50 %"),
    (90.0, "90 %"),
    (99.0, "99 %"),
    (99.9, "99.9 %"),
    (99.99, "99.99 %"),
    (99.999, "99.999 %"),
];

const STYLE: &str = "\
text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;font-size:12px;fill:#4a5361}\
.title{font-size:20px;font-weight:600;fill:#17202b}\
.paper{fill:#ffffff}.panel{fill:#f6f8fa}.grid{stroke:#dfe4ea;stroke-width:1}\
polyline{fill:none;stroke-width:2.2;stroke-linejoin:round;stroke-linecap:round}\
.s0{stroke:#1c6dd0}.s1{stroke:#e07b00}.s2{stroke:#c2255c}.f0{fill:#1c6dd0}.f1{fill:#e07b00}.f2{fill:#c2255c}\
@media(prefers-color-scheme:dark){text{fill:#a9b4c2}.title{fill:#f0f4f8}\
.paper{fill:#10151c}.panel{fill:#171e27}.grid{stroke:#2a3441}\
.s0{stroke:#5aa5ff}.s1{stroke:#ffab45}.s2{stroke:#ff6b9b}.f0{fill:#5aa5ff}.f1{fill:#ffab45}.f2{fill:#ff6b9b}}";

/// Draws the latency of these runs, at most three.
#[must_use]
pub fn draw(runs: &[&Report]) -> String {
    let values = || runs.iter().flat_map(|run| run.histogram.iter().map(|(_, us)| us.max(0.1)));
    let low = values().fold(f64::INFINITY, f64::min).min(1e6).log10().floor();
    let high = values().fold(1.0, f64::max).log10().ceil().max(low + 1.0);
    let y = |us: f64| Y.0 + (Y.1 - Y.0) * (us.max(0.1).log10() - low) / (high - low);
    let title = "Latency from the intended send time to the backend";
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         role=\"img\">\n<title>{title}</title>\n<style>{STYLE}</style>\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" class=\"paper\"/>\n\
         <rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" class=\"panel\"/>\n",
        X.0,
        Y.1,
        X.1 - X.0,
        Y.0 - Y.1,
    );
    text(&mut svg, 24.0, 36.0, "start", "title", title);
    for decade in decades(low, high) {
        let at = y(decade);
        line(&mut svg, (X.0, at), (X.1, at));
        text(&mut svg, X.0 - 8.0, at + 4.0, "end", "", &label(decade));
    }
    for (percent, name) in MARKS {
        let at = x(percent);
        line(&mut svg, (at, Y.0), (at, Y.1));
        text(&mut svg, at, Y.0 + 18.0, "middle", "", name);
    }
    text(
        &mut svg,
        f64::midpoint(X.0, X.1),
        Y.0 + 42.0,
        "middle",
        "",
        "share of messages that were at most this late",
    );
    for (index, run) in runs.iter().enumerate().take(3) {
        let points: Vec<String> = run
            .histogram
            .iter()
            .map(|(percent, us)| format!("{:.1},{:.1}", x(*percent), y(*us)))
            .collect();
        let _ = writeln!(svg, "<polyline points=\"{}\" class=\"s{index}\"/>", points.join(" "));
        text(
            &mut svg,
            24.0,
            58.0 + 16.0 * index as f64,
            "start",
            &format!("f{index}"),
            &legend(run),
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn legend(run: &Report) -> String {
    let rate = run.rate_offered.map_or("saturated".to_owned(), |rate| format!("{rate:.0}/s"));
    let q = &run.latency_us;
    let limit = if run.generator_limited { " (the generator was the limit)" } else { "" };
    format!(
        "{} at {rate}{limit}: p50 {}, p99 {}, p99.9 {}, slowest {}; {}",
        run.scenario,
        label(q.p50),
        label(q.p99),
        label(q.p999),
        label(q.max),
        run.machine
    )
}

/// Where a percentile stands: each further nine takes the same room.
fn x(percent: f64) -> f64 {
    let nines = -(1.0 - percent / 100.0).max(1e-9).log10();
    X.0 + (X.1 - X.0) * (nines / NINES_MAX).min(1.0)
}

fn decades(low: f64, high: f64) -> impl Iterator<Item = f64> {
    std::iter::successors(Some(low), |at| Some(at + 1.0))
        .take_while(move |at| *at <= high)
        .map(|at| 10_f64.powf(at))
}

/// A time with its unit.
fn label(us: f64) -> String {
    match us {
        us if us < 1_000.0 => format!("{} us", short(us)),
        us if us < 1e6 => format!("{} ms", short(us / 1e3)),
        us => format!("{} s", short(us / 1e6)),
    }
}

fn short(value: f64) -> String {
    if value >= 10.0 || value.fract() == 0.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.1}")
    }
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, class: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\" text-anchor=\"{anchor}\">{words}</text>"
    );
}

fn line(svg: &mut String, from: (f64, f64), to: (f64, f64)) {
    let _ = writeln!(
        svg,
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" class=\"grid\"/>",
        from.0, from.1, to.0, to.1
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_nine_takes_the_same_room() {
        let step = x(99.0) - x(90.0);
        assert!((x(99.9) - x(99.0) - step).abs() < 0.01);
        assert!((x(0.0) - X.0).abs() < 0.01 && (x(99.999) - X.1).abs() < 0.01);
    }

    #[test]
    fn times_have_units() {
        assert_eq!([0.5, 12.0, 1_500.0, 2e6].map(label), ["0.5 us", "12 us", "1.5 ms", "2 s"]);
    }
}
