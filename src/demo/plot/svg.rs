//! Writing SVG elements: text out, nothing else.
//!
//! Owns: escaping, number format and the style sheet, which follows the reader's light or dark preference.
//! Lengths are SVG user units (pixels at scale one). No external font, script or image.

use std::fmt::{Display, Write as _};

/// The style of every class that the plot uses; dark colours follow the reader's preference.
const STYLE: &str = "\
text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;font-size:12px;fill:#4a5361}\
.title{font-size:20px;font-weight:600;fill:#17202b}.heading{font-size:14px;font-weight:600;fill:#17202b}\
.paper{fill:#ffffff}.panel{fill:#f6f8fa}.grid{stroke:#dfe4ea;stroke-width:1}.axis{stroke:#8a94a3;stroke-width:1}\
.mark{stroke:#c2255c;stroke-width:1.5;stroke-dasharray:5 4}.marktext{fill:#c2255c;font-weight:600}\
polyline{fill:none;stroke-width:2.2;stroke-linejoin:round;stroke-linecap:round}\
.s0{stroke:#1c6dd0}.s1{stroke:#e07b00}.s2{stroke:#c2255c}.f0{fill:#1c6dd0}.f1{fill:#e07b00}.f2{fill:#c2255c}\
.b0{fill:#1c6dd0}.b1{fill:#12a182}.b2{fill:#8e5bd0}.b3{fill:#8a94a3}\
.a0{fill:#1c6dd0;fill-opacity:.22;stroke:#1c6dd0;stroke-width:2}\
.a1{fill:#12a182;fill-opacity:.22;stroke:#12a182;stroke-width:2}\
@media(prefers-color-scheme:dark){text{fill:#a9b4c2}.title,.heading{fill:#f0f4f8}\
.paper{fill:#10151c}.panel{fill:#171e27}.grid{stroke:#2a3441}.axis{stroke:#6c7a8b}\
.mark{stroke:#ff6b9b}.marktext{fill:#ff6b9b}\
.s0{stroke:#5aa5ff}.s1{stroke:#ffab45}.s2{stroke:#ff6b9b}.f0{fill:#5aa5ff}.f1{fill:#ffab45}.f2{fill:#ff6b9b}\
.b0{fill:#5aa5ff}.b1{fill:#35cfa9}.b2{fill:#b48cf2}.b3{fill:#6c7a8b}\
.a0{fill:#5aa5ff;stroke:#5aa5ff}.a1{fill:#35cfa9;stroke:#35cfa9}}";

/// Where a text stands relative to its point.
#[derive(Debug, Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// An SVG document that grows.
#[derive(Debug)]
pub(super) struct Svg(String);

impl Svg {
    /// Starts a document; `title` is what a screen reader says.
    pub(super) fn new(width: f64, height: f64, title: &str) -> Self {
        let title = escape(title);
        Self(format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
             width=\"{width}\" height=\"{height}\" role=\"img\">\n<title>{title}</title>\n\
             <style>{STYLE}</style>\n"
        ))
    }

    /// A text.
    pub(super) fn text(&mut self, x: f64, y: f64, class: &str, anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = escape(text);
        self.push(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\" text-anchor=\"{anchor}\">{text}</text>"
        ));
    }

    /// A text that reads upwards, centred on its point.
    pub(super) fn text_upwards(&mut self, x: f64, y: f64, text: &str) {
        let text = escape(text);
        self.push(format_args!(
            "<text transform=\"translate({x:.1} {y:.1}) rotate(-90)\" text-anchor=\"middle\">{text}</text>"
        ));
    }

    /// A straight line.
    pub(super) fn line(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64), class: &str) {
        self.push(format_args!(
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" class=\"{class}\"/>"
        ));
    }

    /// A rectangle with slightly round corners, with what it says when pointed at.
    pub(super) fn rect(
        &mut self,
        (x, y): (f64, f64),
        (width, height): (f64, f64),
        class: &str,
        says: &str,
    ) {
        let says = if says.is_empty() {
            String::new()
        } else {
            format!("<title>{}</title>", escape(says))
        };
        self.push(format_args!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"1.5\" \
             class=\"{class}\">{says}</rect>"
        ));
    }

    /// A line through points.
    pub(super) fn polyline(&mut self, points: &[(f64, f64)], class: &str) {
        let points = join(points);
        self.push(format_args!("<polyline points=\"{points}\" class=\"{class}\"/>"));
    }

    /// A filled area.
    pub(super) fn polygon(&mut self, points: &[(f64, f64)], class: &str) {
        let points = join(points);
        self.push(format_args!("<polygon points=\"{points}\" class=\"{class}\"/>"));
    }

    /// The whole document.
    pub(super) fn finish(mut self) -> String {
        self.0.push_str("</svg>\n");
        self.0
    }

    fn push(&mut self, element: impl Display) {
        writeln!(self.0, "{element}").expect("writing into a String does not fail");
    }
}

fn join(points: &[(f64, f64)]) -> String {
    let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    points.join(" ")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
