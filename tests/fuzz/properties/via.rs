//! Via values: read alone they say the same, and what the source leaves in them is all that changes.
//!
//! Owns: what holds for `Via` and for the edits of RFC 3261 18.2.1 and RFC 3581. The input is the value of a Via field.

use std::net::SocketAddr;

use sipedge::sip::message::lex::Cursor;
use sipedge::sip::message::uri::host_address;
use sipedge::sip::message::{Malformed, Span, Via};
use sipedge::sip::response::{source_edits, target};

use super::datagram;
use super::uri::host_and_port;

/// Most that `received` and `rport` may add: names, an IPv6 address, a port.
const SOURCE_BYTES_MAX: usize = 70;
const SOURCES: [&str; 2] = ["203.0.113.7:40001", "[2001:db8:1111:2222:3333:4444:5555:6666]:65535"];

pub(crate) fn check(bytes: &[u8]) {
    let bytes = datagram(bytes);
    let mut cursor = Cursor::new(bytes, Span::new(0, bytes.len()));
    // A message has at most 256 fields that we look at; values behind the first hundred are read the same way.
    for _ in 0..100 {
        let before = cursor.at();
        let Ok(via) = Via::parse(bytes, &mut cursor) else { return };
        assert!(before < cursor.at() && usize::from(via.value.end) <= cursor.at());
        spans_are_in_order(bytes, &via);
        let alone = via.value.of(bytes);
        let again = parse(alone).unwrap_or_else(|e| panic!("{e:?}: {}", alone.escape_ascii()));
        assert_eq!(says(alone, &again), says(bytes, &via), "{}", alone.escape_ascii());
        assert_eq!(again.value.of(alone), alone);
        for source in SOURCES {
            source_is_noted(alone, &again, source.parse().expect("a literal address"));
        }
        if let Some(ip) = host_address(via.host.of(bytes)) {
            source_is_noted(alone, &again, SocketAddr::new(ip, 5061));
        }
        if !cursor.eat_separator(b',') {
            return;
        }
    }
}

fn parse(bytes: &[u8]) -> Result<Via, Malformed> {
    Via::parse(bytes, &mut Cursor::new(bytes, Span::new(0, bytes.len())))
}

fn spans_are_in_order(bytes: &[u8], via: &Via) {
    let shown = || format!("{via:?} of {}", bytes.escape_ascii());
    assert!(via.value.start < via.transport.start, "{}", shown());
    assert!(via.transport.end < via.host.start, "{}", shown());
    assert!(via.host.end <= via.sent_by_end && via.sent_by_end <= via.value.end, "{}", shown());
    let behind = [Some(via.branch), Some(via.received), Some(via.edge)];
    for span in behind.into_iter().chain([via.received_parameter, via.rport_parameter]).flatten() {
        let is_inside = via.sent_by_end < span.start && span.end <= via.value.end;
        assert!(span.is_empty() || is_inside, "{}", shown());
    }
    let sent_by = Span { start: via.host.start, end: via.sent_by_end };
    host_and_port(sent_by.of(bytes), via.host.of(bytes), via.port);
}

/// Everything but the places.
type Says = ([Vec<u8>; 5], Option<u32>, Option<u32>, bool, bool);

fn says(bytes: &[u8], via: &Via) -> Says {
    let spans = [via.transport, via.host, via.branch, via.received, via.edge];
    (
        spans.map(|span| span.of(bytes).to_vec()),
        via.port,
        via.rport,
        via.received_parameter.is_some(),
        via.rport_parameter.is_some(),
    )
}

/// The edits, applied, say where it came from, and change nothing else.
fn source_is_noted(value: &[u8], via: &Via, source: SocketAddr) {
    let (mut built, mut at) = (Vec::new(), 0);
    for edit in source_edits(via, source, value).into_iter().flatten() {
        let (start, end) = (usize::from(edit.place.start), usize::from(edit.place.end));
        assert!(at <= start && start <= end, "edits overlap: {}", value.escape_ascii());
        built.extend_from_slice(&value[at..start]);
        edit.write(|text| built.extend_from_slice(text));
        at = end;
    }
    built.extend_from_slice(&value[at..]);
    assert!(built.len() <= value.len() + SOURCE_BYTES_MAX, "{}", built.escape_ascii());

    let shown = || format!("{} became {}", value.escape_ascii(), built.escape_ascii());
    let noted = parse(&built).unwrap_or_else(|error| panic!("{error:?}: {}", shown()));
    assert_eq!(noted.value.of(&built), built, "{}", shown());
    let (mut before, mut after) = (says(value, via), says(&built, &noted));
    let is_other = host_address(via.host.of(value)) != Some(source.ip());
    let (had_received, has_rport) = (before.3, before.4);
    assert_eq!(after.3, is_other || had_received || has_rport, "{}", shown());
    if after.3 {
        assert_eq!(after.0[3], source.ip().to_string().as_bytes(), "{}", shown());
    }
    if has_rport {
        assert_eq!(noted.rport, Some(source.port().into()), "{}", shown());
    }
    // RFC 3261 18.2.2: what was noted leads back to the source.
    assert_eq!(target(via, source).ip(), source.ip());
    assert_eq!(target(&noted, source), target(via, source), "{}", shown());
    for says in [&mut before, &mut after] {
        (says.0[3], says.2, says.3) = (Vec::new(), None, false);
    }
    assert_eq!(before, after, "{}", shown());
}
