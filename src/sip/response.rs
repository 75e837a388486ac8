//! Our own answers (RFC 3261 8.2.6, 16.7, 18.2): bytes, To tag and where they go.
//!
//! Owns: what is copied from a request into its response. Knows nothing of why it is answered. Answers are stateless: a
//! retransmission gets the same one, and the ACK that follows shows by its To tag that it is for us.

use std::net::{IpAddr, SocketAddr};

use super::admit::{Refusal, port_is_usable};
use super::edit::decimal;
use super::message::uri::host_address;
use super::message::{FieldName, Message, Span, Via};
use super::token::via::put_digits;
use super::token::{KeyRing, SealKey};

/// Size of our To tags: `e` and 11 digits.
const TAG_BYTES: usize = 12;

/// Our To tag for a transaction.
#[must_use]
fn tag(key: &SealKey, transaction: u64) -> [u8; TAG_BYTES] {
    let mut hash = key.tag_hash();
    hash.word(transaction);
    let mut text = [b'e'; TAG_BYTES];
    put_digits(&mut text[1..], hash.finish());
    text
}

/// The To tag of an ACK shows that it acknowledges an answer of ours (RFC 3261 17.1.1.3: it has the branch of its
/// INVITE, so `transaction` under each key is that of the INVITE).
pub fn is_own_tag(found: &[u8], ring: &KeyRing, transaction: impl Fn(&SealKey) -> u64) -> bool {
    found.len() == TAG_BYTES
        && found[0] == b'e'
        && ring.iter().any(|key| tag(key, transaction(key)) == found)
}

/// Where a response to a request goes (RFC 3261 18.2.2, RFC 3581 4): the source address, always, because a
/// `received` shows it where it differs from sent-by; the source port when `rport` asks for it, else that of sent-by.
/// `maddr` is not followed: it would let anybody aim our answers at others.
#[must_use]
pub fn target(via: &Via, source: SocketAddr) -> SocketAddr {
    let port = match via.port {
        _ if via.rport_parameter.is_some() || !port_is_usable(via.port) => source.port(),
        Some(port) => u16::try_from(port).unwrap_or(source.port()),
        None => 5060,
    };
    SocketAddr::new(source.ip(), port)
}

/// An answer in the making.
#[derive(Debug, Clone, Copy)]
pub struct Answer {
    /// Status, phrase and field to blame.
    pub refusal: Refusal,
    /// A `Retry-After` of so many seconds at least and twice as many at most: phones that were refused together do not come
    /// back together. A retransmission gets the same.
    pub retry_after_seconds: Option<u32>,
    /// List what Proxy-Require asks for as `Unsupported` (RFC 3261 16.3 step 5).
    pub lists_unsupported: bool,
    /// Say what we take (RFC 3261 11.2). Allow lists the methods that are known to be passed on: a proxy takes any, but
    /// monitors look for it.
    pub tells_abilities: bool,
}

/// What a 200 to an OPTIONS says besides. Path is the one extension that we have a part in (RFC 3327).
const ABILITIES: &[u8] = b"Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, REGISTER, SUBSCRIBE, NOTIFY, PUBLISH, MESSAGE, INFO, \
PRACK, UPDATE, REFER\r\nAccept: */*\r\nSupported: path\r\n";

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        let lists_unsupported = refusal.status == 420;
        Self { refusal, retry_after_seconds: None, lists_unsupported, tells_abilities: false }
    }
}

impl Answer {
    /// Writes the response to `message`. Whatever the request lacks, the response lacks.
    pub fn write(
        &self,
        out: &mut Vec<u8>,
        message: &Message<'_>,
        via: &Via,
        source: SocketAddr,
        tag_key: (&SealKey, u64),
    ) {
        self.write_status_line(out);
        write_vias(out, message, via, source);
        for name in [FieldName::From, FieldName::To, FieldName::CallId, FieldName::CSeq] {
            let Some(field) = message.field(name) else { continue };
            write_field(out, name, field.value.of(message.bytes));
            if name == FieldName::To && !has_tag(field.value.of(message.bytes)) {
                out.truncate(out.len() - 2);
                out.extend_from_slice(b";tag=");
                out.extend_from_slice(&tag(tag_key.0, tag_key.1));
                out.extend_from_slice(b"\r\n");
            }
        }
        if self.tells_abilities {
            out.extend_from_slice(ABILITIES);
        }
        if let Some(least) = self.retry_after_seconds {
            let seconds = least.saturating_add(jitter(tag_key.1, least));
            out.extend_from_slice(b"Retry-After: ");
            out.extend_from_slice(decimal(seconds, &mut [0; 10]));
            out.extend_from_slice(b"\r\n");
        }
        if self.lists_unsupported {
            for field in message.index.all(FieldName::ProxyRequire) {
                out.extend_from_slice(b"Unsupported: ");
                out.extend_from_slice(field.value.of(message.bytes));
                out.extend_from_slice(b"\r\n");
            }
        }
        out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
        if message.index.has_stray() {
            blank_strays(out);
        }
    }

    fn write_status_line(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"SIP/2.0 ");
        out.extend_from_slice(decimal(u32::from(self.refusal.status), &mut [0; 10]));
        out.push(b' ');
        out.extend_from_slice(self.refusal.reason.as_bytes());
        if let Some(field) = self.refusal.field {
            out.push(b' ');
            out.extend_from_slice(field.label().as_bytes());
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// From 0 to `most`, by the transaction's hash.
fn jitter(transaction: u64, most: u32) -> u32 {
    let parts = u64::from(most) + 1;
    u32::try_from(((transaction >> 32) * parts) >> 32).unwrap_or(most)
}

/// All Via fields in order, the top one with `received` and `rport` filled in.
fn write_vias(out: &mut Vec<u8>, message: &Message<'_>, top: &Via, source: SocketAddr) {
    for (place, field) in message.index.all(FieldName::Via).enumerate() {
        if place > 0 {
            write_field(out, FieldName::Via, field.value.of(message.bytes));
            continue;
        }
        out.extend_from_slice(b"Via: ");
        let mut at = field.value.start;
        for edit in source_edits(top, source, message.bytes).into_iter().flatten() {
            let before = Span { start: at, end: edit.place.start.max(at) };
            out.extend_from_slice(before.of(message.bytes));
            edit.write(|text| out.extend_from_slice(text));
            at = edit.place.end;
        }
        let rest = Span { start: at, end: field.value.end.max(at) };
        out.extend_from_slice(rest.of(message.bytes));
        out.extend_from_slice(b"\r\n");
    }
}

fn write_field(out: &mut Vec<u8>, name: FieldName, value: &[u8]) {
    out.extend_from_slice(name.label().as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// What is repeated of a refused request must not hide a field from its sender either.
#[cold]
fn blank_strays(out: &mut [u8]) {
    for at in 0..out.len() {
        if out[at] == 0 || (out[at] == b'\r' && out.get(at + 1) != Some(&b'\n')) {
            out[at] = b' ';
        }
    }
}

/// A To that could not be parsed may have a tag all the same.
fn has_tag(value: &[u8]) -> bool {
    let after_brackets = memchr::memrchr(b'>', value).map_or(value, |at| &value[at..]);
    after_brackets.split(|&b| b == b';').skip(1).any(|parameter| {
        let name = parameter.split(|&b| b == b'=').next().unwrap_or_default();
        name.trim_ascii().eq_ignore_ascii_case(b"tag")
    })
}

/// One change to the top Via that notes the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceEdit {
    /// What is replaced; empty for an insertion.
    pub place: Span,
    value: SourceValue,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SourceValue {
    Received(IpAddr),
    Rport(u16),
}

/// The longest text of one change: `;received=`, an IPv6 address, and what a look-up of an octet writes too much.
const SOURCE_TEXT_BYTES_MAX: usize = 10 + 39 + 4;
const RECEIVED: &[u8; 10] = b";received=";
const RPORT: &[u8; 7] = b";rport=";

impl SourceEdit {
    /// Hands out the text that goes to `place`.
    pub fn write(&self, put: impl FnOnce(&[u8])) {
        let mut text = [0; SOURCE_TEXT_BYTES_MAX];
        let end = match self.value {
            SourceValue::Received(ip) => {
                text[..RECEIVED.len()].copy_from_slice(RECEIVED);
                write_ip(ip, &mut text, RECEIVED.len())
            }
            SourceValue::Rport(port) => {
                text[..RPORT.len()].copy_from_slice(RPORT);
                let mut digits = [0; 10];
                let digits = decimal(u32::from(port), &mut digits);
                text[RPORT.len()..RPORT.len() + digits.len()].copy_from_slice(digits);
                RPORT.len() + digits.len()
            }
        };
        // What takes the place of a parameter has its semicolon in front of it already.
        put(&text[usize::from(!self.place.is_empty())..end]);
    }
}

/// Writes the address from `at` on, IPv6 without brackets (RFC 3261 25.1: `via-received`), and says where it ends.
fn write_ip(ip: IpAddr, text: &mut [u8; SOURCE_TEXT_BYTES_MAX], at: usize) -> usize {
    let mut end = at;
    match ip {
        // The hot one by hand: formatting it through `Display` costs a thousand instructions a message.
        IpAddr::V4(ip) => {
            for octet in ip.octets() {
                let (digits, size) = OCTETS[usize::from(octet)];
                text[end..end + 4].copy_from_slice(&digits);
                end += usize::from(size);
            }
            // Without the dot behind the last.
            end - 1
        }
        IpAddr::V6(ip) => {
            use std::fmt::Write as _;
            let mut shown = arrayvec::ArrayString::<39>::new();
            write!(shown, "{ip}").expect("an IPv6 address has at most 39 characters");
            end += shown.len();
            text[at..end].copy_from_slice(shown.as_bytes());
            end
        }
    }
}

/// Each octet in decimal with a dot behind it, and the size of that.
static OCTETS: [([u8; 4], u8); 256] = {
    let mut octets = [([b'.'; 4], 0); 256];
    let mut octet = 0_u8;
    loop {
        let mut digits = [b'.'; 4];
        let mut size = 0_u8;
        let mut least = 100;
        while least > 0 {
            if octet >= least || least == 1 {
                digits[size as usize] = b'0' + octet / least % 10;
                size += 1;
            }
            least /= 10;
        }
        octets[octet as usize] = (digits, size + 1);
        if octet == 255 {
            break octets;
        }
        octet += 1;
    }
};

/// RFC 3261 18.2.1 and RFC 3581 4: `received` when sent-by is not the source address, or `rport` is there, or somebody
/// wrote one already; `rport` gets its value. In the order of their places.
pub fn source_edits(via: &Via, source: SocketAddr, bytes: &[u8]) -> [Option<SourceEdit>; 2] {
    let rport = via
        .rport_parameter
        .map(|place| SourceEdit { place, value: SourceValue::Rport(source.port()) });
    let differs = || host_address(via.host.of(bytes)) != Some(source.ip());
    let wanted = rport.is_some() || via.received_parameter.is_some() || differs();
    let behind_sent_by = Span { start: via.sent_by_end, end: via.sent_by_end };
    let received = wanted.then(|| SourceEdit {
        place: via.received_parameter.unwrap_or(behind_sent_by),
        value: SourceValue::Received(source.ip()),
    });
    match (received, rport) {
        (Some(a), Some(b)) if b.place.start < a.place.start => [rport, received],
        _ => [received, rport],
    }
}

/// The usual phrase of a status (RFC 3261 21), for `reply = STATUS` of a rule.
#[must_use]
pub const fn phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        301 => "Moved Permanently",
        302 => "Moved Temporarily",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        410 => "Gone",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        482 => "Loop Detected",
        486 => "Busy Here",
        488 => "Not Acceptable Here",
        500 => "Server Internal Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        504 => "Server Time-out",
        600 => "Busy Everywhere",
        603 => "Decline",
        604 => "Does Not Exist Anywhere",
        606 => "Not Acceptable",
        _ => "Refused",
    }
}
