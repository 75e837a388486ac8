//! What `sipedge top` draws: lines of styled text for a terminal of a given size.
//!
//! Owns: the lines and what stands in them; how wide columns are is decided in `columns`. Pure: JSON of the API in, lines out.
//! Widths are characters.

use serde_json::Value;

use super::columns::Columns;
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

/// The curve of a backend: at least so many columns, or it is left out.
pub(super) const CURVE_WIDTH_MIN: usize = 8;
/// And at most so many.
pub(super) const CURVE_WIDTH_MAX: usize = 60;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The frame: no line wider than `width`, no more than `height`. `first` is the first row of the list, kept in range.
#[must_use]
pub fn lines(seen: &Seen, width: usize, height: usize, first: &mut usize) -> Vec<Line> {
    let columns = Columns::for_width(&seen.node, width);
    let mut lines = head(seen, width);
    let rows = backends(seen, &columns);
    let drops = drops(seen);
    // Behind the list: an empty line, drops, keys.
    let room = height.saturating_sub(lines.len() + 4);
    *first = (*first).min(rows.len().saturating_sub(room));
    let keys = keys(*first, room, rows.len());
    lines.push(vec![(Style::Strong, columns.heads())]);
    lines.extend(rows.into_iter().skip(*first).take(room));
    lines.extend([Vec::new(), drops, keys]);
    lines.truncate(height);
    lines.into_iter().map(|line| cut(line, width)).collect()
}

fn head(seen: &Seen, width: usize) -> Vec<Line> {
    let node = &seen.node;
    let state_style = if node["state"] == "running" { Style::Good } else { Style::Doubtful };
    let newest = list(&seen.rates["samples"]).last().unwrap_or(&Value::Null);
    let rate = |name: &str| newest[name].as_f64().unwrap_or_default();
    let dropped = rate("dropped_per_second");
    let flow = format!(
        "received {:.0}/s  sent {:.0}/s  ",
        rate("received_per_second"),
        rate("sent_per_second")
    );
    let lost = format!("dropped {dropped:.0}/s  ");
    let left = width.saturating_sub(flow.len() + lost.len());
    let received = series(&seen.rates["samples"], "received_per_second");
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
            (Style::Plain, flow),
            (if dropped > 0.0 { Style::Bad } else { Style::Plain }, lost),
            (Style::Faint, curve(&received, left.min(CURVE_WIDTH_MAX), most(&received))),
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

fn backends(seen: &Seen, columns: &Columns) -> Vec<Line> {
    let mut lines = Vec::new();
    for pool in list(&seen.node["pools"]) {
        lines.push(vec![
            (Style::Strong, text(&pool["name"])),
            (Style::Faint, format!("  {} by {}", text(&pool["balance"]), text(&pool["key"]))),
        ]);
        let backends = list(&pool["backends"]);
        let rates: Vec<Vec<f64>> = backends.iter().map(|of| rates(seen, pool, of)).collect();
        // One scale for a pool, so that a high bar is much beside a low one.
        let most = rates.iter().map(|rates| most(rates)).fold(0.0, f64::max);
        for (backend, rates) in backends.iter().zip(&rates) {
            lines.push(row(columns, backend, rates, most));
            lines.extend(why(backend));
        }
        for leaving in list(&pool["leaving"]) {
            let left = duration(&leaving["left_ms"]);
            lines.push(vec![(
                Style::Faint,
                format!("  {}  left {left} ago", columns.uri_cell(&text(&leaving["uri"]))),
            )]);
        }
    }
    lines
}

fn row(columns: &Columns, backend: &Value, rates: &[f64], most: f64) -> Line {
    let health = &backend["health"];
    let rate = backend["traffic"]["requests_per_second"].as_f64().unwrap_or_default();
    let mut line = vec![
        (Style::Plain, format!("  {}  ", columns.uri_cell(&text(&backend["uri"])))),
        (state_style(backend), format!("{:<1$}  ", state(backend), columns.state)),
        (Style::Plain, format!("{:>7}  {rate:>7.1}  ", percent(&backend["share"]))),
    ];
    if columns.has_latency {
        // Without an answer there is none.
        let is_known = health["latency"]["count"].as_u64() != Some(0);
        let ms = health["latency"]["estimate_ms"].as_f64().filter(|_| is_known);
        let ms = ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1} ms"));
        line.push((Style::Plain, format!("{ms:>9}  ")));
    }
    let probes = list(&health["probes"]);
    line.push((Style::Plain, " ".repeat(columns.probes.saturating_sub(probes.len()))));
    for probe in probes.iter().take(columns.probes).rev() {
        line.push(if is_good(probe) {
            (Style::Good, "•".to_owned())
        } else {
            (Style::Bad, "✗".to_owned())
        });
    }
    line.push((Style::Faint, format!("  {}", curve(rates, columns.curve, most))));
    line
}

/// Of a backend that is not simply active: since when, and why.
fn why(backend: &Value) -> Option<Line> {
    let health = &backend["health"];
    let is_fine = state(backend) == "active";
    let reason = health["reason"].as_str().filter(|reason| !is_fine && !reason.is_empty())?;
    Some(vec![(Style::Faint, format!("    for {}: {reason}", duration(&health["for_ms"])))])
}

/// The requests per second of a backend, oldest first.
fn rates(seen: &Seen, pool: &Value, backend: &Value) -> Vec<f64> {
    let mine = list(&seen.rates["backends"])
        .iter()
        .find(|series| series["pool"] == pool["name"] && series["uri"] == backend["uri"]);
    mine.map_or_else(Vec::new, |mine| {
        list(&mine["requests_per_second"]).iter().filter_map(Value::as_f64).collect()
    })
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

fn drops(seen: &Seen) -> Line {
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
    vec![(Style::Strong, "dropped so far  ".to_owned()), (Style::Plain, shown)]
}

fn keys(first: usize, room: usize, rows: usize) -> Line {
    let mut keys = "q ends".to_owned();
    if rows > room {
        let last = (first + room).min(rows);
        keys = format!("{keys}, arrows and pages move: lines {} to {last} of {rows}", first + 1);
    }
    vec![(Style::Faint, keys)]
}

fn series(samples: &Value, name: &str) -> Vec<f64> {
    list(samples).iter().filter_map(|sample| sample[name].as_f64()).collect()
}

fn most(values: &[f64]) -> f64 {
    values.iter().copied().fold(0.0, f64::max)
}

/// The newest `width` values as bars against `most`.
fn curve(values: &[f64], width: usize, most: f64) -> String {
    let shown = &values[values.len().saturating_sub(width)..];
    let bar = |&value: &f64| {
        if most <= 0.0 || value <= 0.0 {
            return ' ';
        }
        // Largest bound first: the share is within 0 and 1.
        let place =
            (1..BARS.len()).rev().find(|&place| value / most > place as f64 / BARS.len() as f64);
        BARS[place.unwrap_or(0)]
    };
    // The newest stands at the right end, as in those above and below.
    let missing = width.saturating_sub(shown.len());
    std::iter::repeat_n(' ', missing).chain(shown.iter().map(bar)).collect()
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
                "state": state, "latency": { "estimate_ms": 1.5, "count": 1 },
                "for_ms": 24_000, "reason": "no answer to a probe",
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
            "dropped so far",
            "for 24 s: no answer to a probe",
        ] {
            assert!(text.contains(part), "{part} not in\n{text}");
        }
        assert!(!text.contains("no_via"));
        let row = |uri: &str| {
            frame.iter().find(|line| line.iter().any(|(_, text)| text.contains(uri))).unwrap()
        };
        assert!(
            plain(&[row("sip:a").clone()])[0].contains(" 50.0 %     12.0     1.5 ms          •✗  "),
            "{text}"
        );
        assert!(plain(&[row("sip:a").clone()])[0].ends_with("  ▄█"), "{text}");
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
    fn bars_of_a_pool_have_one_scale() {
        let mut seen = seen();
        seen.rates["backends"] = json!([
            { "pool": "servers", "uri": "sip:a", "requests_per_second": [8.0, 8.0] },
            { "pool": "servers", "uri": "sip:b", "requests_per_second": [1.0] },
        ]);
        let frame = plain(&lines(&seen, 120, 20, &mut 0));
        let end = |uri: &str| frame.iter().find(|line| line.contains(uri)).unwrap().trim_end();
        assert!(end("sip:a").ends_with("██"), "{frame:#?}");
        assert!(end("sip:b").ends_with(" ▁"), "{frame:#?}");
    }

    #[test]
    fn who_never_answered_has_no_latency() {
        let mut seen = seen();
        seen.node["pools"][0]["backends"][1]["health"]["latency"] =
            json!({ "estimate_ms": 0.0, "count": 0 });
        let frame = plain(&lines(&seen, 120, 20, &mut 0));
        let silent = frame.iter().find(|line| line.contains("sip:b")).unwrap();
        assert!(!silent.contains("ms"), "{silent}");
    }

    #[test]
    fn lines_of_a_long_list_are_counted() {
        let mut seen = seen();
        let many: Vec<Value> =
            (0..30).map(|n| backend(&format!("sip:10.0.0.{n}"), "active", true)).collect();
        seen.node["pools"][0]["backends"] = Value::from(many);
        let frame = plain(&lines(&seen, 80, 24, &mut 12));
        assert_eq!(frame.len(), 24);
        assert_eq!(frame[23], "q ends, arrows and pages move: lines 13 to 29 of 32");
        assert_eq!(plain(&lines(&seen, 80, 60, &mut 0)).last().unwrap(), "q ends");
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
            assert!(first <= 5, "{first}");
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
