//! A second opinion: rsip, another SIP library, on what both can read.
//!
//! Owns: when rsip has understood something, and which differences are known. rsip has understood a value when it writes the
//! same text that it read; a value of which it loses a part says nothing.
//!
//! Known differences, and why they are not compared:
//! * rsip reads CRLF line ends only, no folds and no compact names; RFC 3261 7.3 wants these, and LF alone is in use.
//! * It reads the body for fields when a message has none.
//! * It takes a method in any case; methods are case-sensitive (RFC 3261 7.1), so only its own spelling is compared.
//! * It takes what may stand nowhere (controls, blanks and brackets inside of values); we refuse that.
//! * It takes any text as a host, or none at all; a host has its own characters.
//! * It looks for the end of a Request-URI behind the end of its line; all that follows is something else then.
//! * It reads the first of several values in one From, To or Via field and drops the others.
//! * Of several branches in a Via or tags in a From it takes the first, we take the last; nobody may send that.
//! * Of several Call-IDs it may take another than the first; we refuse such a message.
//! * It takes a CSeq of 2^31 and more (RFC 3261 8.1.1.5 forbids it).

use rsip::headers::{ToTypedHeader, UntypedHeader};
use rsip::prelude::HeadersExt;
use rsip::{SipMessage, typed};
use sipedge::sip::message::lex::Cursor;
use sipedge::sip::message::{FieldName, Index, Message, Span, StartLine, Uri, Via};

use super::naive::{is_host, is_token};

/// A whole message: method, URI, Call-ID, CSeq, top Via, tags, Content-Length.
pub(crate) fn message(bytes: &[u8]) {
    let bytes = super::datagram(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if !is_readable(text) {
        return;
    }
    let mut index = Index::default();
    let Ok(ours) = Message::parse(bytes, &mut index) else { return };
    let Ok(theirs) = SipMessage::try_from(bytes) else { return };
    match (&theirs, ours.start_line()) {
        (SipMessage::Request(theirs), StartLine::Request { method, uri, .. }) => {
            if theirs.uri.to_string().contains(['\r', '\n']) {
                return;
            }
            let method = String::from_utf8_lossy(method.of(bytes));
            let spelled = theirs.method.to_string();
            assert!(spelled == method || spelled.eq_ignore_ascii_case(&method), "{text}");
            compare_uri(&theirs.uri, uri.of(bytes));
        }
        (SipMessage::Response(theirs), StartLine::Status { code }) => {
            assert_eq!(theirs.status_code.code(), code, "{text}");
        }
        (theirs, ours) => panic!("{ours:?}, not {theirs:?}"),
    }
    fields(&theirs, &ours);
}

/// The value of a Via field.
pub(crate) fn via(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if is_plain(text)
        && let Ok(theirs) = rsip::headers::Via::new(text).typed()
    {
        compare_via(&theirs, bytes);
    }
}

/// A URI.
pub(crate) fn uri(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if is_plain(text)
        && let Ok(theirs) = rsip::Uri::try_from(text.to_owned())
    {
        compare_uri(&theirs, bytes);
    }
}

/// Line ends, folds and names as rsip knows them.
fn is_readable(text: &str) -> bool {
    let Some((header, body)) = text.split_once("\r\n\r\n") else { return false };
    let mut lines = header.split("\r\n").skip(1);
    let has_line_ends = !header.replace("\r\n", "").contains(['\r', '\n']);
    // It takes the last empty line for the end of the fields.
    has_line_ends
        && !body.contains("\r\n\r\n")
        && header.contains("\r\n")
        && !header.contains("\r\n ")
        && !header.contains("\r\n\t")
        && lines.all(|line| line.find(':').is_some_and(|colon| colon > 1))
}

/// Printable ASCII without blanks, quotes and brackets: where rsip takes more than may stand there.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|b| (b.is_ascii_graphic() && !b"<>\"".contains(&b)) || b == b' ')
}

fn fields(theirs: &SipMessage, ours: &Message<'_>) {
    let text = |name| String::from_utf8_lossy(ours.value(name));
    if let Ok(call_id) = theirs.call_id_header()
        && !ours.index.repeated().has(FieldName::CallId)
        // It takes more for a blank than SP and HTAB: a vertical tab, for one.
        && text(FieldName::CallId).trim() == text(FieldName::CallId)
    {
        assert_eq!(call_id.value().trim(), text(FieldName::CallId));
    }
    if let Ok(Ok(cseq)) = theirs.cseq_header().map(ToTypedHeader::typed)
        && cseq.to_string() == text(FieldName::CSeq)
        && cseq.seq < 1 << 31
    {
        let found = ours.cseq().expect("rsip has understood it");
        assert_eq!(found.number, cseq.seq);
        assert_eq!(found.method.of(ours.bytes), cseq.method.to_string().as_bytes());
    }
    if let Ok(Ok(via)) = theirs.via_header().map(ToTypedHeader::typed) {
        compare_via(&via, ours.value(FieldName::Via));
    }
    if let Ok(Ok(from)) = theirs.from_header().map(ToTypedHeader::typed) {
        let tag = from.tag().map(ToString::to_string);
        compare_tag(&from.to_string(), &from.uri, tag, ours, FieldName::From);
    }
    if let Ok(Ok(to)) = theirs.to_header().map(ToTypedHeader::typed) {
        let tag = to.tag().map(ToString::to_string);
        compare_tag(&to.to_string(), &to.uri, tag, ours, FieldName::To);
    }
    if let (Some(Ok(length)), Some(Ok(found))) =
        (first_length(theirs), ours.number(FieldName::ContentLength))
    {
        assert_eq!(found, length);
    }
}

/// The first Content-Length.
fn first_length(theirs: &SipMessage) -> Option<Result<u32, rsip::Error>> {
    use rsip::message::HasHeaders;
    theirs.headers().iter().find_map(|header| match header {
        rsip::Header::ContentLength(length) => Some(length.length()),
        _ => None,
    })
}

fn compare_tag(
    written: &str,
    uri: &rsip::Uri,
    tag: Option<String>,
    ours: &Message<'_>,
    name: FieldName,
) {
    let value = String::from_utf8_lossy(ours.value(name));
    let tags = written.matches(";tag=").count();
    let is_simple = tags <= 1 && tag.iter().all(|tag| !tag.is_empty() && tag.bytes().all(is_token));
    if written != value || !is_simple || !is_plain(&uri.to_string()) {
        return;
    }
    // A display name may hold anything that rsip carries along.
    let Ok(found) = ours.name_addr(name) else { return };
    let found = String::from_utf8_lossy(found.tag.of(ours.bytes)).into_owned();
    assert_eq!(found, tag.unwrap_or_default(), "{value}");
}

fn compare_via(theirs: &typed::Via, value: &[u8]) {
    let host = theirs.uri.host_with_port.host.to_string();
    let branch = theirs.branch().map(ToString::to_string).unwrap_or_default();
    let is_known = theirs.to_string().as_bytes() == value
        && theirs.uri.auth.is_none()
        && theirs.uri.scheme.is_none()
        && is_a_host(&host)
        && is_plain(&theirs.to_string())
        && theirs.params.iter().all(|parameter| is_a_parameter(&parameter.to_string()));
    if !is_known {
        return;
    }
    let shown = || value.escape_ascii().to_string();
    let ours = Via::parse(value, &mut Cursor::new(value, Span::new(0, value.len())));
    let ours = ours.unwrap_or_else(|error| panic!("{error:?}: {}", shown()));
    assert_eq!(ours.transport.of(value), theirs.transport.to_string().as_bytes(), "{}", shown());
    assert_eq!(ours.host.of(value), host.as_bytes(), "{}", shown());
    assert_eq!(ours.port, port(&theirs.uri), "{}", shown());
    let branches = theirs.params.iter().filter(|p| matches!(p, rsip::Param::Branch(_))).count();
    assert!(branches > 1 || ours.branch.of(value) == branch.as_bytes(), "{}", shown());
}

fn compare_uri(theirs: &rsip::Uri, text: &[u8]) {
    let host = theirs.host_with_port.host.to_string();
    let is_sip = matches!(theirs.scheme, Some(rsip::Scheme::Sip | rsip::Scheme::Sips));
    let written = theirs.to_string();
    let has_user = theirs.auth.as_ref().is_none_or(|auth| !auth.user.is_empty());
    if written.as_bytes() != text || !is_sip || !is_plain(&written) || written.contains(' ') {
        return;
    }
    if !is_a_host(&host) || !has_user {
        return;
    }
    let shown = || text.escape_ascii().to_string();
    let ours = Uri::parse(text, Span::new(0, text.len()));
    let ours = ours.unwrap_or_else(|error| panic!("{error:?}: {}", shown()));
    assert_eq!(ours.host.of(text), host.as_bytes(), "{}", shown());
    assert_eq!(ours.port, port(theirs), "{}", shown());
    let user = theirs.user().unwrap_or_default();
    assert_eq!(ours.user.of(text), user.as_bytes(), "{}", shown());
    assert_eq!(ours.has_user, theirs.auth.is_some(), "{}", shown());
}

fn is_a_host(host: &str) -> bool {
    !host.is_empty() && host.bytes().all(is_host)
}

/// `;name` or `;name=value` of tokens.
fn is_a_parameter(text: &str) -> bool {
    let text = text.strip_prefix(';').unwrap_or(text);
    let (name, value) = text.split_once('=').unwrap_or((text, "x"));
    [name, value].iter().all(|part| !part.is_empty() && part.bytes().all(is_token))
}

fn port(uri: &rsip::Uri) -> Option<u32> {
    uri.port().map(|port| u32::from(*port.value()))
}
