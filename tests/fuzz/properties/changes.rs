//! What a proxy may change, and that nothing else changed (RFC 3261 16.6, 16.7): a message before and after.
//!
//! Owns: the rule for each field. Both sides are read the slow way (`naive`); views are only used on single values.

use std::net::SocketAddr;

use sipedge::sip::message::lex::Cursor;
use sipedge::sip::message::uri::host_address;
use sipedge::sip::message::{FieldName, NameAddr, Span, Via};

use super::naive::Split;

/// Fields that no proxy touches.
const UNTOUCHED: [FieldName; 9] = [
    FieldName::From,
    FieldName::To,
    FieldName::CallId,
    FieldName::CSeq,
    FieldName::ContentLength,
    FieldName::Contact,
    FieldName::ProxyRequire,
    FieldName::MaxBreadth,
    FieldName::Authorization,
];

/// A forwarded request.
pub(super) fn request(before: &Split<'_>, after: &Split<'_>, source: SocketAddr) {
    let routes = (name_addrs(before, FieldName::Route), name_addrs(after, FieldName::Route));
    start_line(before, after, &routes.0);
    common(before, after);
    hops(before, after);
    let (was, is) = (before.values(FieldName::Via), after.values(FieldName::Via));
    assert_eq!(is.len(), was.len() + 1, "one Via more");
    assert!(via(is[0]).branch.of(is[0]).starts_with(b"z9hG4bK~e~"), "ours on top");
    noted(was[0], is[1], source);
    assert_eq!(was[1..], is[2..], "the Vias below");
    for name in [FieldName::RecordRoute, FieldName::Path] {
        let (was, is) = (before.values(name), after.values(name));
        let added = is.len().checked_sub(was.len()).expect("none was taken off");
        assert!(added <= 2 && is[added..] == was[..], "{name:?} in front of the others");
        assert!(is[..added].iter().all(|value| has(value, b"~e~")), "{name:?} of ours");
    }
    // Ours go from the top; for a strict router one comes to the end; behind one, the last goes.
    let (was, is) = routes;
    let is_rest = (0..=was.len()).any(|popped| {
        let rest = &was[popped..];
        let all_but_last = &rest[..rest.len().saturating_sub(1)];
        is == rest || is == all_but_last || is.split_last().is_some_and(|(_, kept)| kept == rest)
    });
    assert!(is_rest, "Route");
}

/// A forwarded response: one Via less.
pub(super) fn response(before: &Split<'_>, after: &Split<'_>) {
    assert_eq!(before.start_line, after.start_line);
    common(before, after);
    for name in [FieldName::RecordRoute, FieldName::Path, FieldName::Route, FieldName::MaxForwards]
    {
        assert_eq!(before.values(name), after.values(name), "{name:?}");
    }
    let (was, is) = (vias(before), vias(after));
    assert_eq!(was[1..], is[..], "one Via less");
}

/// All values of Via, one after the other.
pub(super) fn vias(split: &Split<'_>) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for value in split.values(FieldName::Via) {
        let mut cursor = Cursor::new(value, Span::new(0, value.len()));
        while let Ok(via) = Via::parse(value, &mut cursor) {
            found.push(via.value.of(value).to_vec());
            if !cursor.eat_separator(b',') {
                break;
            }
        }
    }
    found
}

fn common(before: &Split<'_>, after: &Split<'_>) {
    for name in UNTOUCHED.into_iter().chain([FieldName::ProxyAuthorization]) {
        assert_eq!(before.values(name), after.values(name), "{name:?}");
    }
    assert_eq!(before.others(), after.others(), "fields that we do not look at");
    let length = before.values(FieldName::ContentLength).first().map(|value| number(value));
    let body = length.map_or(before.body, |length| &before.body[..length]);
    assert_eq!(after.body, body, "the body, up to its Content-Length");
}

/// The Request-URI changes only where a strict router is before or behind us, and then it is a Route.
fn start_line(before: &Split<'_>, after: &Split<'_>, routes: &[Vec<u8>]) {
    if before.start_line == after.start_line {
        return;
    }
    let words = |line: &[u8]| {
        let line = line.to_vec();
        let all: Vec<_> = line.split(|&b| b == b' ').map(<[u8]>::to_vec).collect();
        <[Vec<u8>; 3]>::try_from(all).expect("method, URI, version")
    };
    let (was, is) = (words(before.start_line), words(after.start_line));
    assert_eq!((&was[0], &was[2]), (&is[0], &is[2]));
    assert!(routes.iter().any(|route| has(route, &is[1])), "a URI that no Route named");
}

fn hops(before: &Split<'_>, after: &Split<'_>) {
    let (was, is) = (before.values(FieldName::MaxForwards), after.values(FieldName::MaxForwards));
    let expected = was.first().map_or(70, |value| number(value) - 1);
    assert_eq!((is.len(), number(is[0])), (1, expected), "Max-Forwards");
}

/// A top Via with `received` and `rport` of the source, and else as it came.
fn noted(was: &[u8], is: &[u8], source: SocketAddr) {
    let (before, after) = (via(was), via(is));
    let says = |via: &Via, bytes: &[u8]| {
        let sent_by = Span { start: via.host.start, end: via.sent_by_end };
        [via.transport, sent_by, via.branch, via.edge].map(|span| span.of(bytes).to_vec())
    };
    assert_eq!(says(&before, was), says(&after, is), "the top Via");
    let is_other = host_address(before.host.of(was)) != Some(source.ip());
    let is_wanted = is_other || before.rport_parameter.is_some();
    assert!(!is_wanted || after.received_parameter.is_some(), "no received");
    if after.received_parameter.is_some() {
        assert_eq!(after.received.of(is), source.ip().to_string().as_bytes());
    }
    assert_eq!(after.rport, before.rport_parameter.map(|_| u32::from(source.port())));
    // What stands behind the first value stands there still.
    let behind = |via: &Via, bytes: &[u8]| bytes[usize::from(via.value.end)..].to_vec();
    assert_eq!(behind(&before, was), behind(&after, is), "further Vias in the same field");
}

fn via(value: &[u8]) -> Via {
    let mut cursor = Cursor::new(value, Span::new(0, value.len()));
    Via::parse(value, &mut cursor).unwrap_or_else(|e| panic!("{e:?}: {}", value.escape_ascii()))
}

fn name_addrs(split: &Split<'_>, name: FieldName) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for value in split.values(name) {
        let mut cursor = Cursor::new(value, Span::new(0, value.len()));
        while let Ok(one) = NameAddr::parse(value, &mut cursor) {
            found.push(one.value.of(value).to_vec());
            if !cursor.eat_separator(b',') {
                break;
            }
        }
    }
    found
}

fn number(value: &[u8]) -> usize {
    let digits = std::str::from_utf8(value).expect("digits");
    digits.parse().unwrap_or_else(|error| panic!("{error}: {digits}"))
}

fn has(bytes: &[u8], piece: &[u8]) -> bool {
    bytes.windows(piece.len().max(1)).any(|window| window == piece)
}
