//! Kamailio's dispatcher end to end: the field of a request, the key, the hash, the destination that gets it.
//!
//! The hashes alone are tested beside; here whole requests go through the core with the recorded field in them.

use std::net::SocketAddr;

use serde_json::Value;
use sipedge::sip::route::table::KeySource;

use crate::edge::{Edge, Shape};
use crate::vector::address;

fn file() -> Value {
    serde_json::from_str(include_str!("kamailio/dispatcher.json")).expect("JSON")
}

fn field<'a>(case: &'a Value, name: &str) -> Option<&'a str> {
    case.get(name).and_then(Value::as_str)
}

/// A set of the list file as Kamailio holds it: the last line first (all priorities are equal here).
fn set(file: &Value, wanted: &str) -> Vec<String> {
    let lines = field(file, "list_file").expect("the list file").lines();
    let mut destinations: Vec<String> = lines
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            (fields.next()? == wanted).then_some(fields.next()?)?.strip_prefix("sip:")
        })
        .map(str::to_owned)
        .collect();
    destinations.reverse();
    destinations
}

/// A request with the recorded field. The URIs of the recording are any; the rest is made up.
fn request(case: &Value) -> String {
    let more = match (field(case, "extra_header"), field(case, "pv_value")) {
        (Some(lines), None) => lines.replace('\n', "\r\n"),
        (None, Some(value)) => format!("X-Key: {value}\r\n"),
        (None, None) => String::new(),
        (Some(_), Some(_)) => panic!("two keys: {case}"),
    };
    format!(
        "OPTIONS {} SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.10:5060;branch=z9hG4bKkey\r\nMax-Forwards: 70\r\n\
         From: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: 1 OPTIONS\r\n{more}Content-Length: 0\r\n\r\n",
        field(case, "request_uri").unwrap_or("sip:key@example.com"),
        field(case, "from").unwrap_or("<sip:alice@example.org>;tag=1"),
        field(case, "to").unwrap_or("<sip:bob@example.org>"),
        field(case, "call_id").unwrap_or("key@example.org"),
    )
}

fn destination(file: &Value, case: &Value, count: &str) -> Result<SocketAddr, String> {
    let shape = Shape {
        backends: set(file, count),
        balance: format!("kamailio:{}", case["algorithm"]),
        key: KeySource::Header("X-Key".into()),
        ..Shape::default()
    };
    assert_eq!(shape.backends.len().to_string(), count);
    let source = address("198.51.100.10:5060");
    let sent = Edge::new(&shape).handle(&request(case), source, address("192.0.2.1:5060"));
    match sent.expect("answered or forwarded") {
        sent if sent.is_answer => Err(sent.text.lines().next().unwrap_or_default().to_owned()),
        sent => Ok(sent.to),
    }
}

#[test]
fn a_request_goes_where_kamailio_sends_it() {
    let file = file();
    let cases = file["hash"].as_array().expect("cases");
    assert_eq!(cases.len(), 52);
    let mut refused = 0;
    for case in cases {
        for (count, result) in case["result_per_N"].as_object().expect("one result for each N") {
            let recorded = field(result, "destination").expect("a destination");
            match destination(&file, case, count) {
                Ok(sent_to) => assert_eq!(format!("sip:{sent_to}"), recorded, "{count} of {case}"),
                // RFC 3261 19.1.1: a Request-URI has no headers. Kamailio does not mind.
                Err(status) => {
                    assert!(
                        field(case, "request_uri").is_some_and(|uri| uri.contains('?')),
                        "{case}"
                    );
                    assert_eq!(status, "SIP/2.0 400 Bad Request-URI");
                    refused += 1;
                }
            }
        }
    }
    assert_eq!(refused, 8, "one case, for eight sizes of a set");
}

/// The flag that hashes the user alone has no name here. The host changes the destination, and Kamailio's does not.
#[test]
fn the_user_alone_is_no_key() {
    let file = file();
    let cases = file["hash_user_only"].as_array().expect("cases");
    assert_eq!(cases.len(), 29);
    let mut elsewhere = 0;
    for case in cases.iter().filter(|case| !case.to_string().contains('?')) {
        let recorded = field(&case["result_per_N"]["8"], "destination").expect("a destination");
        let sent_to = destination(&file, case, "8").expect("forwarded");
        elsewhere += usize::from(format!("sip:{sent_to}") != recorded);
    }
    assert!(elsewhere > 0);
}

/// Algorithm 5 without credentials takes turns, as algorithm 4.
#[test]
fn without_credentials_members_take_turns() {
    let file = file();
    let shape =
        Shape { backends: set(&file, "3"), balance: "kamailio:5".into(), ..Shape::default() };
    let mut edge = Edge::new(&shape);
    let (source, socket) = (address("198.51.100.10:5060"), address("192.0.2.1:5060"));
    let mut destinations: Vec<SocketAddr> = (0..3)
        .map(|turn| {
            let text = request(&Value::Null).replace("z9hG4bKkey", &format!("z9hG4bKkey{turn}"));
            edge.handle(&text, source, socket).expect("forwarded").to
        })
        .collect();
    destinations.sort_unstable();
    let expected: Vec<SocketAddr> =
        (100..103).map(|it| ([198, 51, 100, it], 5060).into()).collect();
    assert_eq!(destinations, expected);
}
