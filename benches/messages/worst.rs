//! Messages that are legal and as dear as a sender can make them.
//!
//! Owns: large bodies, many fields, many Vias, folds, a Call-ID that comes late, one long field. All are forwarded.

use super::{CALL_ID, VIA};

const LINE_END: &str = "\r\n";

/// Name and bytes.
pub(super) fn requests() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("INVITE, body of 64 KB", invite("", "", &"x".repeat(64_000))),
        ("INVITE, 200 fields", invite("", &unknown_fields(189), "")),
        ("INVITE, 70 Vias", invite(&vias(69), "", "")),
        ("INVITE, folded everywhere", folded()),
        ("INVITE, Call-ID behind 15 KB", late_call_id()),
        (
            "INVITE, one field of 60 KB",
            invite("", &format!("Subject: {}\r\n", "x".repeat(60_000)), ""),
        ),
    ]
}

fn invite(more_vias: &str, more_fields: &str, body: &str) -> Vec<u8> {
    format!(
        "INVITE sip:bob@example.com SIP/2.0\r\nVia: {VIA}\r\n{more_vias}{}Call-ID: {CALL_ID}\r\n{more_fields}\
         Content-Length: {}\r\n\r\n{body}",
        head(),
        body.len()
    )
    .into_bytes()
}

fn head() -> String {
    "Max-Forwards: 70\r\nFrom: \"Alice\" <sip:alice@example.com>;tag=1928301774\r\nTo: <sip:bob@example.com>\r\n\
     CSeq: 314159 INVITE\r\nContact: <sip:alice@192.168.1.20:5062>\r\n"
        .to_owned()
}

fn unknown_fields(count: usize) -> String {
    (0..count).map(|n| format!("X-Field-{n}: some value of an unknown field\r\n")).collect()
}

fn vias(count: usize) -> String {
    let via = |n| {
        format!(
            "Via: SIP/2.0/UDP 10.9.0.{n}:5060;branch=z9hG4bKhop{n};received=10.9.1.{n};rport=5060\r\n"
        )
    };
    (0..count).map(via).collect()
}

/// Every blank is a line end with blanks behind it; so is the place behind each colon of a field.
fn folded() -> Vec<u8> {
    let plain = String::from_utf8(invite("", &unknown_fields(20), "")).expect("ASCII");
    let mut lines = plain.split(LINE_END);
    let mut text = lines.next().expect("a request line").to_owned() + LINE_END;
    for line in lines.take_while(|line| !line.is_empty()) {
        text += &line.replace(' ', "\r\n \t ");
        text += LINE_END;
    }
    text += LINE_END;
    text.into_bytes()
}

/// The steering scan reads nearly all that it may; the Call-ID is the last field.
fn late_call_id() -> Vec<u8> {
    format!(
        "INVITE sip:bob@example.com SIP/2.0\r\nVia: {VIA}\r\n{}{}Content-Length: 0\r\nCall-ID: {CALL_ID}\r\n\r\n",
        head(),
        unknown_fields(350)
    )
    .into_bytes()
}
