//! What `sipedge top` draws: lines of styled text for a terminal of a given size.
//!
//! Owns: the layout. Pure: JSON of the API in, lines out. Widths are characters.

use serde_json::Value;

use crate::ctl::show::{duration, is_good, list, percent, state, text};

/// How a piece of text looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// As the terminal has it.
    Plain,
    /// A head.
    Strong,
    /// Less important.
    Faint,
    /// Fine.
    Good,
    /// Not sure.
    Doubtful,
    /// Wrong.
    Bad,
}

/// Pieces of one line.
pub type Line = Vec<(Style, String)>;

/// What the node said last.
#[derive(Debug)]
pub struct Seen {
    /// `/api/v1/node`.
    pub node: Value,
    /// `/api/v1/rates`.
    pub rates: Value,
    /// `/api/v1/drops`.
    pub drops: Value,
    /// Why there is nothing newer.
    pub trouble: Option<String>,
}

/// Columns of the curve of a backend.
const CURVE_WIDTH: usize = 24;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The frame: no line wider than `width`, no more than `height`. `first` is the first row of the list, kept in range.
#[must_use]
pub fn lines(seen: &Seen, width: usize, height: usize, first: &mut usize) -> Vec<Line> {
    let mut lines = head(seen);
    let rows = backends(seen);
    let foot = foot(seen);
    let room = height.saturating_sub(lines.len() + foot.len() + 1);
    *first = (*first).min(rows.len().saturating_sub(room));
    lines.push(vec![(Style::Strong, columns())]);
    lines.extend(rows.into_iter().skip(*first).take(room));
    lines.extend(foot);
    lines.truncate(height);
    lines.into_iter().map(|line| cut(line, width)).collect()
}

fn head(seen: &Seen) -> Vec<Line> {
    let node = &seen.node;
    let state_style = if node["state"] == "running" { Style::Good } else { Style::Doubtful };
    let newest = list(&seen.rates["samples"]).last().unwrap_or(&Value::Null);
    let rate = |name: &str| newest[name].as_f64().unwrap_or_default();
    let dropped = rate("dropped_per_second");
    let mut lines = vec![
        vec![
            (Style::Strong, format!("sipedge {}", text(&node["name"]))),
            (Style::Plain, "  ".to_owned()),
            (state_style, text(&node["state"])),
            (
                Style::Faint,
                format!("  {}  up {}", text(&node["version"]), duration(&node["uptime_ms"])),
            ),
        ],
        vec![
            (Style::Plain, format!("received {:.0}/s  ", rate("received_per_second"))),
            (Style::Plain, format!("sent {:.0}/s  ", rate("sent_per_second"))),
            (
                if dropped > 0.0 { Style::Bad } else { Style::Plain },
                format!("dropped {dropped:.0}/s  "),
            ),
            (Style::Faint, curve(&series(&seen.rates["samples"], "received_per_second"))),
        ],
    ];
    let last = &node["configuration"]["last_reload"];
    if last["taken"] == Value::Bool(false) {
        let why = list(&last["lines"]).first().map_or_else(String::new, text);
        lines.push(vec![(Style::Bad, format!("the last reload was refused: {why}"))]);
    }
    if let Some(trouble) = &seen.trouble {
        lines.push(vec![(Style::Bad, format!("no news: {trouble}"))]);
    }
    lines.push(Vec::new());
    lines
}

fn columns() -> String {
    format!(
        "{:<30} {:<18} {:>7} {:>9} {:>8}  {:<10}  REQUESTS PER SECOND",
        "BACKEND", "STATE", "SHARE", "REQ/S", "PROBE", "PROBES"
    )
}

fn backends(seen: &Seen) -> Vec<Line> {
    let mut lines = Vec::new();
    for pool in list(&seen.node["pools"]) {
        lines.push(vec![
            (Style::Strong, text(&pool["name"])),
            (Style::Faint, format!("  {} by {}", text(&pool["balance"]), text(&pool["key"]))),
        ]);
        for backend in list(&pool["backends"]) {
            lines.push(row(seen, pool, backend));
        }
        for leaving in list(&pool["leaving"]) {
            let left = duration(&leaving["left_ms"]);
            lines.push(vec![(
                Style::Faint,
                format!("  {:<28} left {left} ago", text(&leaving["uri"])),
            )]);
        }
    }
    lines
}

fn row(seen: &Seen, pool: &Value, backend: &Value) -> Line {
    let health = &backend["health"];
    let rate = backend["traffic"]["requests_per_second"].as_f64().unwrap_or_default();
    let probe = health["latency"]["estimate_ms"].as_f64().unwrap_or_default();
    let mut line = vec![
        (Style::Plain, format!("  {:<28} ", text(&backend["uri"]))),
        (state_style(backend), format!("{:<18} ", state(backend))),
        (Style::Plain, format!("{:>7} {rate:>9.1} {probe:>5.1} ms  ", percent(&backend["share"]))),
    ];
    let probes = list(&health["probes"]);
    line.push((Style::Plain, " ".repeat(10_usize.saturating_sub(probes.len()))));
    for probe in probes.iter().take(10).rev() {
        line.push(if is_good(probe) {
            (Style::Good, "•".to_owned())
        } else {
            (Style::Bad, "✗".to_owned())
        });
    }
    let mine = list(&seen.rates["backends"])
        .iter()
        .find(|series| series["pool"] == pool["name"] && series["uri"] == backend["uri"]);
    let values: Vec<f64> = mine.map_or_else(Vec::new, |mine| {
        list(&mine["requests_per_second"]).iter().filter_map(Value::as_f64).collect()
    });
    line.push((Style::Faint, format!("  {}", curve(&values))));
    line
}

fn state_style(backend: &Value) -> Style {
    let is_free = backend["takes_new"] == Value::Bool(true);
    match backend["health"]["state"].as_str() {
        Some("active") if is_free => Style::Good,
        Some("active" | "trying") => Style::Doubtful,
        Some("inactive") => Style::Bad,
        _ => Style::Faint,
    }
}

fn foot(seen: &Seen) -> Vec<Line> {
    let drops = list(&seen.drops["reasons"]);
    let mut counted: Vec<(u64, String)> = drops
        .iter()
        .filter_map(|drop| {
            Some((drop["total"].as_u64().filter(|&total| total > 0)?, text(&drop["reason"])))
        })
        .collect();
    counted.sort_by_key(|(total, _)| std::cmp::Reverse(*total));
    let shown: Vec<String> =
        counted.iter().map(|(total, reason)| format!("{reason} {total}")).collect();
    let shown = if shown.is_empty() { "nothing".to_owned() } else { shown.join("  ") };
    vec![
        Vec::new(),
        vec![(Style::Strong, "dropped  ".to_owned()), (Style::Plain, shown)],
        vec![(Style::Faint, "q ends, arrows move".to_owned())],
    ]
}

fn series(samples: &Value, name: &str) -> Vec<f64> {
    list(samples).iter().filter_map(|sample| sample[name].as_f64()).collect()
}

/// The newest values as bars against their largest.
fn curve(values: &[f64]) -> String {
    let shown = &values[values.len().saturating_sub(CURVE_WIDTH)..];
    let most = shown.iter().copied().fold(0.0, f64::max);
    let bar = |&value: &f64| {
        if most <= 0.0 || value <= 0.0 {
            return ' ';
        }
        // Largest bound first: the share is within 0 and 1.
        let place =
            (1..BARS.len()).rev().find(|&place| value / most > place as f64 / BARS.len() as f64);
        BARS[place.unwrap_or(0)]
    };
    shown.iter().map(bar).collect()
}

fn cut(line: Line, width: usize) -> Line {
    let mut left = width;
    let mut kept = Vec::new();
    for (style, text) in line {
        let shown: String = text.chars().filter(|c| !c.is_control()).take(left).collect();
        left -= shown.chars().count();
        kept.push((style, shown));
    }
    kept
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn backend(uri: &str, state: &str, takes_new: bool) -> Value {
        json!({
            "uri": uri, "share": 0.5, "takes_new": takes_new, "traffic": { "requests_per_second": 12.0 },
            "health": {
                "state": state, "latency": { "estimate_ms": 1.5 },
                "probes": [{ "outcome": "timeout" }, { "outcome": "good" }],
            },
        })
    }

    fn seen() -> Seen {
        let pool = json!({
            "name": "servers", "balance": "rendezvous", "key": "call-id",
            "backends": [backend("sip:a", "active", true), backend("sip:b", "inactive", false)],
            "leaving": [{ "uri": "sip:c", "left_ms": 3_000 }],
        });
        Seen {
            node: json!({ "name": "edge", "state": "running", "uptime_ms": 61_000, "pools": [pool] }),
            rates: json!({
                "samples": [{ "received_per_second": 1.0 }, { "received_per_second": 8.0, "sent_per_second": 9.0 }],
                "backends": [{ "pool": "servers", "uri": "sip:a", "requests_per_second": [0.0, 4.0, 8.0] }],
            }),
            drops: json!({ "reasons": [{ "reason": "not_sip", "total": 3 }, { "reason": "no_via", "total": 0 }] }),
            trouble: None,
        }
    }

    fn plain(lines: &[Line]) -> Vec<String> {
        lines.iter().map(|line| line.iter().map(|(_, text)| text.as_str()).collect()).collect()
    }

    #[test]
    fn a_frame_shows_states_rates_and_curves() {
        let frame = lines(&seen(), 120, 20, &mut 0);
        let text = plain(&frame).join("\n");
        for part in [
            "sipedge edge  running",
            "up 1 min 1 s",
            "received 8/s",
            "servers  rendezvous",
            "not_sip 3",
            "left 3 s ago",
        ] {
            assert!(text.contains(part), "{part} not in\n{text}");
        }
        assert!(!text.contains("no_via"));
        let row = |uri: &str| {
            frame.iter().find(|line| line.iter().any(|(_, text)| text.contains(uri))).unwrap()
        };
        assert!(
            plain(&[row("sip:a").clone()])[0]
                .contains("50.0 %      12.0   1.5 ms          •✗   ▄█"),
            "{text}"
        );
        assert!(
            row("sip:a")
                .iter()
                .any(|(style, text)| *style == Style::Good && text.starts_with("active"))
        );
        assert!(
            row("sip:b")
                .iter()
                .any(|(style, text)| *style == Style::Bad && text.starts_with("inactive"))
        );
    }

    #[test]
    fn no_terminal_is_too_small_and_scrolling_stays_in_range() {
        for (width, height) in [(0, 0), (1, 1), (10, 3), (40, 8), (200, 50)] {
            let mut first = 100;
            let frame = lines(&seen(), width, height, &mut first);
            assert!(frame.len() <= height);
            assert!(
                plain(&frame).iter().all(|line| line.chars().count() <= width),
                "{width} x {height}"
            );
            assert!(first <= 4, "{first}");
        }
    }

    #[test]
    fn trouble_and_refused_reloads_are_said() {
        let mut seen = seen();
        seen.trouble = Some("the node does not answer".to_owned());
        seen.node["configuration"] =
            json!({ "last_reload": { "taken": false, "lines": ["unknown key\u{1b}[2J"] } });
        let text = plain(&lines(&seen, 100, 20, &mut 0)).join("\n");
        assert!(
            text.contains("no news: the node does not answer")
                && text.contains("refused: unknown key"),
            "{text}"
        );
        assert!(!text.contains('\u{1b}'), "what a file says cannot steer the terminal");
    }
}
