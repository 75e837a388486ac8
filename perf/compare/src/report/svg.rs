//! Writing SVG elements: text out, nothing else.
//!
//! Owns: escaping, numbers, the style sheet (light, and dark where the reader prefers it) and axes. Lengths are SVG user
//! units. No external font, script or image.

use std::fmt::{Display, Write as _};

/// Line colours by number; their classes are `l0`, `l1` and so on, those of bars `b0` (peers), `b1` (sipedge), `b2`.
const STYLE: &str = "\
text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;font-size:12px;fill:#4a5361}\
.title{font-size:18px;font-weight:600;fill:#17202b}.heading{font-size:14px;font-weight:600;fill:#17202b}\
.name{fill:#17202b}.paper{fill:#ffffff}.grid{stroke:#dfe4ea;stroke-width:1}.axis{stroke:#8a94a3;stroke-width:1}\
.whisker{stroke:#17202b;stroke-width:1.4}polyline{fill:none;stroke-linejoin:round}\
[class^=l]{stroke-width:2}.dashed{stroke-dasharray:6 4}\
.b0{fill:#9aa5b3}.b1{fill:#1c6dd0}.b2{fill:#d7dce2}\
.l0{stroke:#1c6dd0}.l1{stroke:#e07b00}.l2{stroke:#c2255c}.l3{stroke:#12a182}.l4{stroke:#8e5bd0}.l5{stroke:#7d8896}\
.l6{stroke:#6b4a1f}.l7{stroke:#0c8fa8}\
@media(prefers-color-scheme:dark){text{fill:#a9b4c2}.title,.heading,.name{fill:#f0f4f8}\
.paper{fill:#10151c}.grid{stroke:#2a3441}.axis{stroke:#6c7a8b}.whisker{stroke:#f0f4f8}\
.b0{fill:#6c7a8b}.b1{fill:#5aa5ff}.b2{fill:#38434f}\
.l0{stroke:#5aa5ff}.l1{stroke:#ffab45}.l2{stroke:#ff6b9b}.l3{stroke:#35cfa9}.l4{stroke:#b48cf2}.l5{stroke:#93a0af}\
.l6{stroke:#c9a26b}.l7{stroke:#4fd0ea}}";
/// Line colours that there are.
pub(super) const LINES: usize = 8;

/// A document that grows.
#[derive(Debug)]
pub(super) struct Svg(String);

impl Svg {
    pub(super) fn new((width, height): (f64, f64), title: &str, subtitle: &str) -> Self {
        let mut svg = Self(format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" role=\"img\">\n<title>{}</title>\n<style>{STYLE}</style>\n",
            escape(title)
        ));
        svg.rect((0.0, 0.0), (width, height), "paper");
        svg.text((20.0, 30.0), "title", "start", title);
        svg.text((20.0, 50.0), "", "start", subtitle);
        svg
    }

    pub(super) fn text(&mut self, (x, y): (f64, f64), class: &str, anchor: &str, text: &str) {
        let text = escape(text);
        self.push(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\" text-anchor=\"{anchor}\">{text}</text>"
        ));
    }

    pub(super) fn line(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64), class: &str) {
        self.push(format_args!(
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" class=\"{class}\"/>"
        ));
    }

    pub(super) fn rect(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), class: &str) {
        self.push(format_args!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" class=\"{class}\"/>"
        ));
    }

    pub(super) fn polyline(&mut self, points: &[(f64, f64)], class: &str) {
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let points = points.join(" ");
        self.push(format_args!("<polyline points=\"{points}\" class=\"{class}\"/>"));
    }

    pub(super) fn finish(mut self) -> String {
        self.0.push_str("</svg>\n");
        self.0
    }

    fn push(&mut self, element: impl Display) {
        writeln!(self.0, "{element}").expect("writing into a String does not fail");
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Maps values onto positions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    logarithmic: bool,
}

impl Axis {
    /// From zero to at least `high`.
    pub(super) fn linear(high: f64, (from, to): (f64, f64)) -> Self {
        Self { low: 0.0, high: high.max(1e-9), from, to, logarithmic: false }
    }

    /// From a power of ten at or below `low` to one at or above `high`.
    pub(super) fn logarithmic(low: f64, high: f64, (from, to): (f64, f64)) -> Self {
        let low = 10_f64.powf(low.max(1e-3).log10().floor());
        let high = 10_f64.powf(high.max(low * 10.0).log10().ceil());
        Self { low, high, from, to, logarithmic: true }
    }

    pub(super) fn at(&self, value: f64) -> f64 {
        let value = value.clamp(self.low, self.high);
        let share = if self.logarithmic {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        self.from + share * (self.to - self.from)
    }

    /// Powers of ten, or about five round numbers.
    pub(super) fn ticks(&self) -> Vec<f64> {
        if self.logarithmic {
            let powers = (0..20).map(|n| self.low * 10_f64.powi(n));
            return powers.take_while(|&tick| tick <= self.high * 1.001).collect();
        }
        let raw = self.high / 5.0;
        let power = 10_f64.powf(raw.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().find(|digit| digit * power >= raw);
        let step = step.unwrap_or(10.0) * power;
        (0..50).map(|n| f64::from(n) * step).take_while(|&tick| tick <= self.high).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes() {
        let axis = Axis::linear(9_800.0, (100.0, 200.0));
        assert_eq!(axis.ticks(), [0.0, 2_000.0, 4_000.0, 6_000.0, 8_000.0]);
        assert_eq!(axis.at(4_900.0), 150.0);
        let axis = Axis::logarithmic(12.0, 5_000.0, (300.0, 0.0));
        assert_eq!(
            axis.ticks().iter().map(|t| t.round()).collect::<Vec<_>>(),
            [10.0, 100.0, 1_000.0, 10_000.0]
        );
        assert!((axis.at(100.0) - 200.0).abs() < 1e-9);
        assert!((axis.at(1.0) - 300.0).abs() < 1e-9, "outside stands at the edge");
    }

    #[test]
    fn text_is_escaped() {
        let mut svg = Svg::new((10.0, 10.0), "a & b", "");
        svg.text((1.0, 2.0), "c", "end", "<x>");
        let text = svg.finish();
        assert!(text.contains("<title>a &amp; b</title>") && text.contains(">&lt;x&gt;</text>"));
        assert!(text.ends_with("</svg>\n"));
    }
}
