//! Messages for each verdict, for each reason to drop and for each status that the core itself gives.
//!
//! Owns: the messages that nobody sends to be served, and the tables that refuse what they would serve: those of the
//! benches with one thing changed.

use std::net::SocketAddr;
use std::sync::Arc;

use sipedge::sip::balance::BackendSet;
use sipedge::sip::core::Core;
use sipedge::sip::outbox::Outbox;
use sipedge::sip::route::table::{Action, Table};
use sipedge::sip::{DropReason, ListenerId, MESSAGE_BYTES_MAX, Now, Received, Verdict};

use crate::messages::{self, PHONE};

const VIA: &str = "Via: SIP/2.0/UDP 192.168.1.20:5062;branch=z9hG4bK776asdhds;rport\r\n";
const OURS: &str = "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK~e~ABabcdefghijk\r\n";
const REST: &str = "From: <sip:alice@example.com>;tag=1\r\nTo: <sip:bob@example.com>\r\nCall-ID: a84b4c76e66710\r\n";
const BACKEND: &str = "10.0.0.1:5060";
const BAD_ROUTE: &str = "Route: <sip:~e~ABabcdefgh@192.0.2.1;lr>\r\n";

/// One datagram and what becomes of it.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    bytes: Vec<u8>,
    source: SocketAddr,
    truncated: bool,
    table: Table,
    verdict: Verdict,
    /// Of our own answer; 0 where there is none.
    status: u16,
}

impl Case {
    fn new(name: &'static str, bytes: String, verdict: Verdict, status: u16) -> Self {
        let (bytes, source, table) = (bytes.into_bytes(), address(PHONE), messages::table());
        Self { name, bytes, source, truncated: false, table, verdict, status }
    }

    fn from(self, source: &str) -> Self {
        Self { source: address(source), ..self }
    }

    fn truncated(self) -> Self {
        Self { truncated: true, ..self }
    }

    fn changed(mut self, change: impl FnOnce(&mut Table)) -> Self {
        change(&mut self.table);
        self
    }

    /// All that the message needs, allocated; what it returns handles the message as often as it is called.
    pub(crate) fn prepare(self) -> impl FnMut() {
        let Self { name, bytes, source, truncated, table, verdict, status } = self;
        let mut core = Core::new(Arc::new(table), 1, 0);
        let (mut outbox, mut out) = (Outbox::new(), vec![0; MESSAGE_BYTES_MAX]);
        move || {
            let received = Received::datagram(&bytes, source, ListenerId(0)).cut(truncated);
            assert_eq!(core.handle(Now(1_000_000), &received, &mut outbox), verdict, "{name}");
            if verdict == Verdict::Respond {
                assert_eq!(outbox.decision().status, status, "{name}");
                assert!(outbox.write_to(&bytes, &mut out).is_some(), "{name}");
            }
        }
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn drops(name: &'static str, bytes: String, reason: DropReason) -> Case {
    Case::new(name, bytes, Verdict::Drop(reason), 0)
}

fn answers(name: &'static str, bytes: String, status: u16) -> Case {
    Case::new(name, bytes, Verdict::Respond, status)
}

fn request(method: &str, fields: &str) -> String {
    format!("{method} sip:bob@example.com SIP/2.0\r\n{VIA}{REST}CSeq: 7 {method}\r\n{fields}\r\n")
}

fn response(vias: &str) -> String {
    format!("SIP/2.0 200 OK\r\n{vias}{REST}CSeq: 7 INVITE\r\n\r\n")
}

/// All of them.
pub(crate) fn all() -> Vec<Case> {
    [dropped_responses(), dropped_requests(), answered_at_the_door(), answered_by_routing()]
        .into_iter()
        .flatten()
        .collect()
}

fn dropped_responses() -> Vec<Case> {
    use DropReason::{
        ReceiveTruncated, ResponseMalformed, ResponseUnroutable, ResponseViaForeign,
        ResponseViaForged, ResponseViaLast,
    };
    let good = response(&format!("{OURS}{VIA}"));
    let nowhere = "Via: SIP/2.0/UDP nowhere.example.com;branch=z9hG4bK1\r\n";
    vec![
        drops("a status line alone", "SIP/2.0 2OO\r\n\r\n".into(), ResponseMalformed),
        drops("a response without end", good.trim_end().into(), ResponseMalformed),
        drops("a response without Via", response(""), ResponseMalformed),
        drops("a broken Via", response("Via: SIP/2.0/UDP ;;\r\n"), ResponseMalformed),
        drops("a broken second Via", response(&format!("{OURS}Via: x\r\n")), ResponseMalformed),
        drops("a broken CSeq", good.replace("CSeq: 7", "CSeq: many"), ResponseMalformed),
        drops("a broken From", good.replace("From: <", "From: \"<"), ResponseMalformed),
        drops("no Call-ID", good.replace("Call-ID", "X-Call-ID"), ResponseMalformed),
        drops(
            "a response that promises more",
            good.replace("\r\n\r\n", "\r\nContent-Length: 9\r\n\r\n"),
            ResponseMalformed,
        ),
        drops("a foreign Via", response(VIA), ResponseViaForeign),
        drops("a forged Via", good.clone(), ResponseViaForged),
        drops("our Via alone", response(OURS), ResponseViaLast),
        drops(
            "a Via that names no address",
            response(&format!("{OURS}{nowhere}")),
            ResponseUnroutable,
        ),
        drops("a response, cut", good, ReceiveTruncated).truncated(),
    ]
}

fn dropped_requests() -> Vec<Case> {
    use DropReason::{
        AckTokenBad, AckUnroutable, NotSip, Oversized, ReceiveTruncated, ReplyUnroutable,
        RequestUnanswerable, Rule,
    };
    let no_hops = "Max-Forwards: 0\r\n";
    let many = "v: SIP/2.0/UDP 10.9.0.1:5060;branch=z9hG4bKhop\r\n".repeat(300);
    let no_via = request("INVITE", "").replace(VIA, "");
    // As large as a datagram can be. The answer repeats To and Vias, adds a tag, and writes names out.
    let full = |fields: &str| {
        let text = request("INVITE", fields);
        let room = 65_507 - text.len() - 1;
        text.replace("To: <", &format!("To: {} <", "x".repeat(room)))
    };
    vec![
        drops("not SIP", "hello\r\n\r\n".into(), NotSip),
        drops("no Via", no_via.clone(), RequestUnanswerable),
        drops("300 Vias", request("INVITE", &many), RequestUnanswerable),
        drops("no Via, cut", no_via, ReceiveTruncated).truncated(),
        drops("ACK without hops", request("ACK", no_hops), AckUnroutable),
        drops("ACK along a bad token", request("ACK", BAD_ROUTE), AckTokenBad),
        drops("no port to answer to", request("INVITE", no_hops), ReplyUnroutable)
            .from("203.0.113.7:0"),
        drops("an answer beyond a datagram", full(""), Oversized),
        drops("an answer with many names", full(&"v:x\n".repeat(240)), Oversized),
        drops("a rule that drops", request("INVITE", ""), Rule)
            .changed(|table| table.rules[0].action = Action::Drop),
    ]
}

fn answered_at_the_door() -> Vec<Case> {
    let large = format!("Subject: {}\r\n", "x".repeat(65_200));
    vec![
        answers("bad field", request("INVITE", "Max-Forwards: many\r\n"), 400),
        answers("no end", request("INVITE", "").trim_end().to_owned(), 400),
        answers("no CSeq", request("INVITE", "").replace("CSeq", "X-CSeq"), 400),
        answers("another scheme", request("INVITE", "").replace("sip:bob", "http:bob"), 416),
        answers("another version", request("INVITE", "").replacen("SIP/2.0", "SIP/3.0", 1), 505),
        answers("no hops", request("INVITE", "Max-Forwards: 0\r\n"), 483),
        answers("no breadth", request("INVITE", "Max-Breadth: 0\r\n"), 440),
        answers("an extension", request("INVITE", "Proxy-Require: privacy, more\r\n"), 420),
        answers("a request, cut", request("INVITE", ""), 513).truncated(),
        answers("too large to be sent on", request("INVITE", &large), 513),
        answers("too large for the limit", request("INVITE", ""), 513)
            .changed(|table| table.limits.message_bytes_max = 100),
    ]
}

fn answered_by_routing() -> Vec<Case> {
    let bad_token = request("INVITE", BAD_ROUTE);
    let in_dialog = bad_token.replace("bob@example.com>\r\n", "bob@example.com>;tag=2\r\n");
    let round = "Route: <sip:other.example.com;maddr=192.0.2.1;lr>\r\n";
    let us = request("INVITE", "").replace("sip:bob@example.com SIP", "sip:bob@192.0.2.1 SIP");
    let name = request("INVITE", "Route: <sip:other.example.com;lr>\r\n");
    vec![
        answers("a bad token", bad_token, 403),
        answers("a bad token in a dialog", in_dialog, 481),
        answers("no rule", request("INVITE", ""), 404).changed(|table| table.rules.clear()),
        answers("a rule that answers", request("INVITE", ""), 603)
            .changed(|table| table.rules[0].action = Action::Reply(603)),
        answers("a backend calls us", us, 404).from(BACKEND),
        answers("a backend calls us by Route", request("INVITE", round), 482).from(BACKEND),
        answers("a backend calls a name", name, 503).from(BACKEND),
        answers("what we sent", sent_on(&request("INVITE", "")), 482),
        answers("nobody is usable", request("INVITE", ""), 503)
            .changed(|table| table.pools[0].usable = BackendSet::empty()),
        answers("no listener towards it", request("INVITE", ""), 503).changed(|table| {
            for backend in &mut table.pools[0].backends {
                backend.address = address("[2001:db8::1]:5060");
            }
        }),
    ]
}

/// The request as it leaves us.
fn sent_on(text: &str) -> String {
    let mut core = Core::new(Arc::new(messages::table()), 1, 0);
    let (mut outbox, mut out) = (Outbox::new(), vec![0; MESSAGE_BYTES_MAX]);
    let (bytes, source, listener) = (text.as_bytes(), address(PHONE), ListenerId(0));
    let received = Received::datagram(bytes, source, listener);
    assert_eq!(core.handle(Now(1), &received, &mut outbox), Verdict::Forward);
    let size = outbox.write_to(bytes, &mut out).expect("it fits");
    String::from_utf8(out[..size].to_vec()).expect("ASCII")
}
