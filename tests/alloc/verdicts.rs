//! Messages for each verdict and for each reason to drop that the core can give.
//!
//! Owns: the messages that nobody sends to be served. They go through the table of the benches.

use sipedge::sip::{DropReason, Verdict};

use crate::messages::{Message, PHONE};

const VIA: &str = "Via: SIP/2.0/UDP 192.168.1.20:5062;branch=z9hG4bK776asdhds;rport\r\n";
const OURS: &str = "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK~e~ABabcdefghijk\r\n";
const REST: &str = "From: <sip:alice@example.com>;tag=1\r\nTo: <sip:bob@example.com>\r\nCall-ID: a84b4c76e66710\r\n";

/// All of them.
pub(crate) fn all() -> Vec<Message> {
    let drops = |name, bytes: String, reason| {
        Message::new(name, bytes.into_bytes(), PHONE, Verdict::Drop(reason))
    };
    let answers =
        |name, bytes: String| Message::new(name, bytes.into_bytes(), PHONE, Verdict::Respond);
    let request = |method: &str, fields: &str| {
        format!(
            "{method} sip:bob@example.com SIP/2.0\r\n{VIA}{REST}CSeq: 7 {method}\r\n{fields}\r\n"
        )
    };
    let response = |vias: &str| format!("SIP/2.0 200 OK\r\n{vias}{REST}CSeq: 7 INVITE\r\n\r\n");
    let many = "v: SIP/2.0/UDP 10.9.0.1:5060;branch=z9hG4bKhop\r\n".repeat(300);
    vec![
        drops("not SIP", "hello\r\n\r\n".into(), DropReason::NotSip),
        drops("a status line alone", "SIP/2.0 2OO\r\n\r\n".into(), DropReason::ResponseMalformed),
        drops("a foreign Via", response(VIA), DropReason::ResponseViaForeign),
        drops("a forged Via", response(&format!("{OURS}{VIA}")), DropReason::ResponseViaForged),
        drops("our Via alone", response(OURS), DropReason::ResponseViaLast),
        drops(
            "a Via that names no address",
            response(&format!("{OURS}Via: SIP/2.0/UDP nowhere.example.com;branch=z9hG4bK1\r\n")),
            DropReason::ResponseUnroutable,
        ),
        drops("no Via", request("INVITE", "").replace(VIA, ""), DropReason::RequestUnanswerable),
        drops("300 Vias", request("INVITE", &many), DropReason::RequestUnanswerable),
        drops("ACK without hops", request("ACK", "Max-Forwards: 0\r\n"), DropReason::AckUnroutable),
        drops(
            "ACK along a bad token",
            request("ACK", "Route: <sip:~e~ABabcdefgh@192.0.2.1;lr>\r\n"),
            DropReason::AckTokenBad,
        ),
        Message::new(
            "no port to answer to",
            request("INVITE", "Max-Forwards: 0\r\n").into_bytes(),
            "203.0.113.7:0",
            Verdict::Drop(DropReason::ReplyUnroutable),
        ),
        answers("483", request("INVITE", "Max-Forwards: 0\r\n")),
        answers("440", request("INVITE", "Max-Breadth: 0\r\n")),
        answers("420", request("INVITE", "Proxy-Require: privacy, more\r\n")),
        answers("400, bad field", request("INVITE", "Max-Forwards: many\r\n")),
        answers("400, no end", request("INVITE", "").trim_end().to_owned()),
        answers("403", request("INVITE", "Route: <sip:~e~ABabcdefgh@192.0.2.1;lr>\r\n")),
        answers("513", request("INVITE", &format!("Subject: {}\r\n", "x".repeat(65_200)))),
    ]
}
