//! Kamailio's `ds_is_from_list` beside `match_source`: who sends, and is it one of the pool?
//!
//! Here the answer shows in where a request goes: what a backend sends goes to its Request-URI, all else into the pool.

use serde_json::Value;

use crate::edge::{Edge, Shape};
use crate::vector::address;

/// The source of the recording.
const SOURCE: &str = "198.51.100.10:5060";
/// Where the request would go from a backend.
const ELSEWHERE: &str = "203.0.113.9:5070";

/// The same answers for the modes that have a counterpart: 2 (any transport; there is UDP only) and 3 (any port, too). State
/// does not matter in either; the modes that look at it (4 and up) and those that never match UDP in 5.6.3 (0 and 1) have none.
#[test]
fn a_backend_is_known_by_address_and_port_or_by_address() {
    let file: Value = serde_json::from_str(include_str!("kamailio/dispatcher.json")).expect("JSON");
    let cases = file["behaviour"].as_array().expect("cases");
    let case = cases.iter().find(|case| case["what"] == "ds_is_from_list").expect("it is there");
    let recorded = |set: &str, mode: u8| {
        let call = format!("ds_is_from_list({set}, mode {mode})");
        let results = case["results"].as_array().expect("results");
        let found = results.iter().find(|result| result["call"] == call.as_str());
        found.unwrap_or_else(|| panic!("no {call}"))["rc"] == "1"
    };
    for (set, all_out) in [("80", false), ("81", false), ("82", true)] {
        for (mode, match_source_ip) in [(2, false), (3, true)] {
            let shape = Shape {
                backends: backends(case, set),
                match_source_ip,
                all_out,
                ..Shape::default()
            };
            assert_eq!(is_known(&shape), recorded(set, mode), "set {set}, mode {mode}");
        }
    }
}

/// `address:port` of each destination of a set.
fn backends(case: &Value, set: &str) -> Vec<String> {
    let uris = case["sets"][set].as_array().expect("a set").iter();
    uris.map(|uri| {
        let text = uri.as_str().expect("a URI").strip_prefix("sip:").expect("a SIP URI");
        let host = text.split([';', ' ']).next().unwrap_or_default();
        if host.contains(':') { host.to_owned() } else { format!("{host}:5060") }
    })
    .collect()
}

fn is_known(shape: &Shape) -> bool {
    let request = format!(
        "OPTIONS sip:bob@{ELSEWHERE} SIP/2.0\r\nVia: SIP/2.0/UDP {SOURCE};branch=z9hG4bKsource\r\n\
         Max-Forwards: 70\r\nFrom: <sip:alice@example.org>;tag=1\r\nTo: <sip:bob@example.org>\r\n\
         Call-ID: source@example.org\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    );
    let sent = Edge::new(shape).handle(&request, address(SOURCE), address("192.0.2.1:5060"));
    let sent = sent.expect("answered or forwarded");
    !sent.is_answer && sent.to == address(ELSEWHERE)
}
