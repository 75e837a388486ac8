//! What the ends of a dialog take from each other's messages: Via and Record-Route for answers, the route set for ACK
//! and BYE (RFC 3261 8.2.6.2, 12.1, 12.2.1.1, 18.2.2).
//!
//! Owns: reading the fields that a target changes. Hosts must be IP addresses: nothing is looked up.

use std::net::SocketAddr;

use sipedge::sip::message::lex::Cursor;
use sipedge::sip::message::uri::host_address;
use sipedge::sip::message::{FieldName, Index, Message, Span, Uri, Via};

const DEFAULT_PORT: u16 = 5060;

/// Where ACK and BYE of a call go.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    /// The remote target: their Request-URI.
    pub(crate) uri: Vec<u8>,
    /// Their Route fields, as lines.
    pub(crate) fields: Vec<u8>,
    /// The address of the first hop.
    pub(crate) destination: SocketAddr,
}

impl Route {
    /// Reads the route set from a 200 to an INVITE, as the caller sees it: the Record-Route values in reverse. `None`
    /// when there is no Contact, or the first hop is no address.
    pub(crate) fn of_response(response: &[u8], index: &mut Index) -> Option<Self> {
        let message = Message::parse(response, index).ok()?;
        let contact = message.name_addrs(FieldName::Contact).next()?.ok()?;
        let mut values = Vec::new();
        for value in message.name_addrs(FieldName::RecordRoute) {
            values.push(value.ok()?);
        }
        let mut fields = Vec::new();
        for value in values.iter().rev() {
            fields.extend_from_slice(b"Route: ");
            fields.extend_from_slice(value.value.of(response));
            fields.extend_from_slice(b"\r\n");
        }
        let first = values.last().map_or(contact.uri, |value| value.uri);
        let destination = uri_address(response, first)?;
        Some(Self { uri: contact.uri.of(response).to_vec(), fields, destination })
    }
}

fn uri_address(bytes: &[u8], span: Span) -> Option<SocketAddr> {
    let uri = Uri::parse(bytes, span).ok()?;
    Some(SocketAddr::new(uri.address(bytes)?, port(uri.port)?))
}

fn port(written: Option<u32>) -> Option<u16> {
    written.map_or(Some(DEFAULT_PORT), |port| u16::try_from(port).ok())
}

/// Where the answer to a request goes: its top Via, with `received` and `rport` when they are there (RFC 3261
/// 18.2.2, RFC 3581 4).
pub(crate) fn answer_address(head: &[u8]) -> Option<SocketAddr> {
    let value = lines(head).find_map(|line| field(line, b"via").or_else(|| field(line, b"v")))?;
    // The view wants offsets into the bytes that it reads from.
    let mut cursor = Cursor::new(value, Span::new(0, value.len()));
    let via = Via::parse(value, &mut cursor).ok()?;
    let host = if via.received.is_empty() { via.host } else { via.received };
    let written = via.rport.or(via.port);
    Some(SocketAddr::new(host_address(host.of(value))?, port(written)?))
}

/// Appends the fields that an answer takes from its request: all Via, and Record-Route when it makes a dialog.
pub(crate) fn copy_to_answer(head: &[u8], with_record_route: bool, out: &mut Vec<u8>) {
    for line in lines(head) {
        let is_via = || field(line, b"via").is_some() || field(line, b"v").is_some();
        if is_via() || with_record_route && field(line, b"record-route").is_some() {
            out.extend_from_slice(line);
        }
    }
}

/// Whole lines with their ends, behind the start line.
fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = head;
    let lines = std::iter::from_fn(move || {
        let end = memchr::memchr(b'\n', rest)? + 1;
        let (line, after) = rest.split_at(end);
        rest = after;
        Some(line)
    });
    lines.skip(1)
}

/// The value of a line, when it is of this name.
fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = line.split_at_checked(name.len())?;
    if !start.eq_ignore_ascii_case(name) {
        return None;
    }
    Some(rest.trim_ascii_start().strip_prefix(b":")?.trim_ascii())
}

/// The status of a response.
pub(crate) fn status(bytes: &[u8]) -> Option<u16> {
    let digits = bytes.strip_prefix(b"SIP/2.0 ")?.get(..3)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_route_set_is_reversed() {
        let response = b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1:40000;branch=z9hG4bKa\r\n\
            Record-Route: <sip:127.0.0.2:7000;lr;x=1>, <sip:127.0.0.3;lr>\r\nRecord-Route: <sip:127.0.0.4:7002;lr>\r\n\
            Contact: <sip:b@127.0.0.9:7001>\r\nContent-Length: 0\r\n\r\n";
        let route = Route::of_response(response, &mut Index::default()).expect("a route");
        assert_eq!(route.uri, b"sip:b@127.0.0.9:7001");
        let expected = "Route: <sip:127.0.0.4:7002;lr>\r\nRoute: <sip:127.0.0.3;lr>\r\nRoute: <sip:127.0.0.2:7000;lr;x=1>\r\n";
        assert_eq!(String::from_utf8(route.fields).expect("text"), expected);
        assert_eq!(route.destination, SocketAddr::from(([127, 0, 0, 4], 7002)));
    }

    #[test]
    fn answers_go_back_along_the_vias() {
        let head = b"INVITE sip:b SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bKb\r\nRecord-Route: <sip:x;lr>\r\n\
            v : SIP/2.0/UDP 127.0.0.9:40000\r\nViaduct: x\r\nMax-Forwards: 69\r\n";
        assert_eq!(answer_address(head), Some(SocketAddr::from(([127, 0, 0, 1], 5060))));
        let copied = |with| {
            let mut out = Vec::new();
            copy_to_answer(head, with, &mut out);
            String::from_utf8(out).expect("text")
        };
        let vias = "Via: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bKb\r\nv : SIP/2.0/UDP 127.0.0.9:40000\r\n";
        assert_eq!(copied(false), vias);
        assert!(copied(true).contains("\r\nRecord-Route: <sip:x;lr>\r\nv :"));
        let behind_nat =
            b"X\r\nVia: SIP/2.0/UDP 10.0.0.1;received=127.0.0.5;rport=99;branch=z9hG4bKb\r\n";
        assert_eq!(answer_address(behind_nat), Some(SocketAddr::from(([127, 0, 0, 5], 99))));
        assert_eq!(status(b"SIP/2.0 180 Ringing"), Some(180));
    }
}
