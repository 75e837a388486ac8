//! Which columns of `sipedge top` fit a terminal, and how wide they are.
//!
//! Owns: the widths, and what goes first when there is no room. Two blanks stand between columns; a row begins with two.

use std::fmt::Write as _;

use serde_json::Value;

use crate::ctl::show::{list, state, text};

/// Probes that the API tells of.
const PROBES: usize = 10;
const PROBES_FEW: usize = 5;
/// A URI keeps at least so much of itself.
const URI_MIN: usize = 12;
const SHARE: usize = 7;
const RATE: usize = 7;
const LATENCY: usize = 9;
const GAP: usize = 2;

/// The layout of all rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Columns {
    pub(super) uri: usize,
    pub(super) state: usize,
    pub(super) has_latency: bool,
    pub(super) probes: usize,
    /// 0 when there is no room for it.
    pub(super) curve: usize,
}

impl Columns {
    /// The best for these pools in a terminal of this width.
    pub(super) fn for_width(node: &Value, width: usize) -> Self {
        let backends = || {
            let pools = list(&node["pools"]).iter();
            pools.flat_map(|pool| list(&pool["backends"]).iter())
        };
        let leaving = list(&node["pools"]).iter().flat_map(|pool| list(&pool["leaving"]).iter());
        let uris = backends().chain(leaving).map(|of| text(&of["uri"]).chars().count());
        let uri = uris.max().unwrap_or_default().max("BACKEND".len());
        let states = backends().map(|backend| state(backend).chars().count());
        let state = states.max().unwrap_or_default().max("STATE".len());
        let mut columns = Self { uri, state, has_latency: true, probes: PROBES, curve: 0 };
        // From what is missed least to what is missed most.
        let steps: [fn(&mut Self); 3] = [
            |columns| columns.probes = PROBES_FEW,
            |columns| columns.has_latency = false,
            |columns| columns.probes = 0,
        ];
        for step in steps {
            if columns.width() > width {
                step(&mut columns);
            }
        }
        let over = columns.width().saturating_sub(width);
        columns.uri = columns.uri.saturating_sub(over).max(URI_MIN.min(columns.uri));
        let left = width.saturating_sub(columns.width() + GAP);
        if left >= super::frame::CURVE_WIDTH_MIN {
            columns.curve = left.min(super::frame::CURVE_WIDTH_MAX);
        }
        columns
    }

    pub(super) fn heads(&self) -> String {
        let (uri, state) = (self.uri + GAP, self.state);
        let mut heads = format!(
            "{:<uri$}  {:<state$}  {:>SHARE$}  {:>RATE$}",
            "BACKEND", "STATE", "SHARE", "REQ/S"
        );
        if self.has_latency {
            let _ = write!(heads, "  {:>LATENCY$}", "LATENCY");
        }
        if self.probes > 0 {
            let name = if self.probes < PROBES { "PROBE" } else { "PROBES" };
            let _ = write!(heads, "  {name:<0$}", self.probes);
        }
        if self.curve > 0 {
            let name = if self.curve < 20 { "REQ/S" } else { "REQUESTS PER SECOND" };
            let _ = write!(heads, "  {name}");
        }
        heads
    }

    /// A URI in its column: too long a one loses its middle, so that host and port stay in sight.
    pub(super) fn uri_cell(&self, uri: &str) -> String {
        let count = uri.chars().count();
        if count <= self.uri {
            return format!("{uri:<0$}", self.uri);
        }
        let kept = self.uri.saturating_sub(1);
        let end = kept / 2;
        let start: String = uri.chars().take(kept - end).collect();
        let rest: String = uri.chars().skip(count - end).collect();
        format!("{start}…{rest}")
    }

    /// Without the curve.
    fn width(&self) -> usize {
        let latency = if self.has_latency { GAP + LATENCY } else { 0 };
        let probes = if self.probes > 0 { GAP + self.probes } else { 0 };
        GAP + self.uri + GAP + self.state + GAP + SHARE + GAP + RATE + latency + probes
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(uris: &[&str]) -> Value {
        let backend = |uri: &&str| json!({ "uri": uri, "health": { "state": "active" } });
        let backends: Vec<Value> = uris.iter().map(backend).collect();
        json!({ "pools": [{ "backends": backends }] })
    }

    #[test]
    fn the_widest_that_fits_is_taken() {
        let short = node(&["sip:10.0.0.1:5060"]);
        let at = |width: usize| Columns::for_width(&short, width);
        assert_eq!((at(120).probes, at(120).has_latency, at(120).curve), (10, true, 50));
        assert_eq!((at(80).probes, at(80).has_latency, at(80).curve), (10, true, 10));
        assert_eq!((at(63).probes, at(63).has_latency, at(63).curve), (5, true, 0));
        assert_eq!((at(56).probes, at(56).has_latency, at(56).curve), (5, false, 0));
        assert_eq!((at(46).probes, at(46).has_latency, at(46).curve), (0, false, 0));
        for width in 45..200 {
            assert!(at(width).width() <= width, "{width}");
        }
    }

    #[test]
    fn heads_stand_above_their_columns() {
        let columns = Columns::for_width(&node(&["sip:10.0.0.1:5060"]), 80);
        let heads = columns.heads();
        assert_eq!(heads.find("STATE"), Some(GAP + columns.uri + GAP));
        let end = |name: &str| heads.find(name).map(|at| at + name.len());
        assert_eq!((end("SHARE"), end("REQ/S"), end("LATENCY")), (Some(36), Some(45), Some(56)));
        assert!(heads.chars().count() <= 80, "{heads}");
    }

    #[test]
    fn a_long_uri_loses_its_middle() {
        let long = "sip:conference-media-07.frankfurt.example.com:5080;transport=udp";
        let columns = Columns::for_width(&node(&[long]), 60);
        let cell = columns.uri_cell(long);
        assert_eq!(cell.chars().count(), columns.uri);
        assert!(cell.starts_with("sip:conf") && cell.contains('…') && cell.ends_with("udp"));
        assert_eq!(columns.uri_cell("sip:a").len(), columns.uri);
    }
}
