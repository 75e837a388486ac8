//! Whether a message that does not end as it was sent still says the same, and what a target made of its head.
//!
//! Owns: which fields a proxy may touch (RFC 3261 16.6, 16.7, RFC 3327). The usual case never comes here: all that
//! stands behind those fields is compared as it is, in `engine`. Reads with the product's views, and line by line
//! where those keep no field.

use sipedge::sip::message::{FieldName, Index, Message};

/// Fields that a proxy may add, change or remove.
const TOUCHABLE: [&[u8]; 6] = [b"via", b"v", b"record-route", b"path", b"max-forwards", b"route"];

/// Whether `received` has the fields and the body of `sent`, apart from what a proxy may touch. `sent` begins with a
/// field, not with the start line.
pub(crate) fn says_the_same(received: &[u8], sent: &[u8], index: &mut Index) -> bool {
    let Ok(message) = Message::parse(received, index) else { return false };
    let body = message.body();
    let length = match message.number(FieldName::ContentLength) {
        Some(Ok(length)) => length as usize,
        Some(Err(_)) => return false,
        None => body.len(),
    };
    // RFC 3261 18.3: what stands behind the body is padding.
    let Some(body) = body.get(..length) else { return false };
    let Some(head) = received.get(message.fields_start()..message.fields_end()) else {
        return false;
    };
    let end = memchr::memmem::find(sent, b"\r\n\r\n").unwrap_or(sent.len());
    let sent_body = sent.get(end + 4..).unwrap_or_default();
    body == sent_body && fields(head).eq(fields(&sent[..end]))
}

/// The fields that no proxy touches, in order.
fn fields(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = head.split(|&b| b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    lines.filter(|line| {
        let name = line.split(|&b| b == b':').next().unwrap_or_default().trim_ascii();
        !line.is_empty() && !TOUCHABLE.iter().any(|known| name.eq_ignore_ascii_case(known))
    })
}

/// Whether a first request still has its Request-URI, its caller's Via at the bottom, and a Max-Forwards that did
/// not grow.
pub(crate) fn head_is_right(received: &[u8], sent: &[u8], index: &mut Index) -> bool {
    let line = |bytes: &[u8]| bytes.iter().position(|&b| b == b'\n').unwrap_or(bytes.len());
    if received[..line(received)] != sent[..line(sent)] {
        return false;
    }
    let Some(branch) = own_branch(sent) else { return false };
    let Ok(message) = Message::parse(received, index) else { return false };
    let bottom = message.vias().last().and_then(Result::ok);
    let forwards = message.number(FieldName::MaxForwards);
    bottom.is_some_and(|via| via.branch.of(received) == branch)
        && matches!(forwards, Some(Ok(forwards)) if forwards <= 70)
}

/// The branch of the only Via of a request that was sent.
fn own_branch(sent: &[u8]) -> Option<&[u8]> {
    let at = memchr::memmem::find(sent, b";branch=")? + b";branch=".len();
    let end = sent[at..].iter().position(|&b| b == b'\r')?;
    sent.get(at..at + end)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: &str = "OPTIONS sip:b@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:40000;rport;branch=z9hG4bKa\r\n\
        Max-Forwards: 70\r\nFrom: <sip:a@example.com>;tag=1\r\nTo: <sip:b@example.com>\r\nCall-ID: 1\r\n\
        CSeq: 1 OPTIONS\r\nContent-Length: 4\r\n\r\nbody";

    fn same(received: &str) -> bool {
        let tail = &SENT[SENT.find("Max-").expect("there")..];
        says_the_same(received.as_bytes(), tail.as_bytes(), &mut Index::default())
    }

    #[test]
    fn a_proxy_may_touch_what_is_its_own() {
        let forwarded = SENT
            .replace("Via:", "Via: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bKb\r\nVia:")
            .replace("Max-Forwards: 70", "Max-Forwards: 69\r\nRecord-Route: <sip:127.0.0.1;lr>");
        assert!(same(SENT) && same(&forwarded));
        assert!(same(&format!("{forwarded}padding")), "padding behind the body");
        let head =
            |text: &str| head_is_right(text.as_bytes(), SENT.as_bytes(), &mut Index::default());
        assert!(head(&forwarded));
        assert!(!head(&SENT.replace("sip:b@example.com SIP", "sip:c@example.com SIP")));
        assert!(!head(&SENT.replace("bKa", "bKx")));
        assert!(!head(&SENT.replace("Max-Forwards: 70", "Max-Forwards: 71")));
    }

    #[test]
    fn everything_else_counts() {
        for (from, to) in [
            ("body", "bodY"),
            ("Length: 4", "Length: 3"),
            ("Length: 4", "Length: 5"),
            ("tag=1", "tag=2"),
            ("Call-ID: 1\r\n", ""),
            ("Call-ID: 1\r\n", "Call-ID: 1\r\nX-New: 1\r\n"),
            ("CSeq: 1 OPTIONS\r\n", "CSeq 1 OPTIONS\r\n"),
        ] {
            assert!(!same(&SENT.replacen(from, to, 1)), "{from:?} to {to:?} went unnoticed");
        }
    }
}
