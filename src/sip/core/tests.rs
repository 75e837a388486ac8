//! Whole messages through the core: who gets what, with which bytes.

use std::net::SocketAddr;

use super::*;
use crate::sip::balance::{BackendSet, Balance, Member, Spec};
use crate::sip::route::table::{
    Action, Backend, Key, KeySource, Limits, Listener, Parts, PathPolicy, Rule,
};
use crate::sip::{Flow, HopId, ListenerId, Unit};

mod borders;
mod capped;
mod counted;
mod dialogs;
mod failover;
mod held;
mod keys;
mod messages;
mod refusals;
mod registers;
mod sides;
mod walks;

const PHONE: &str = "203.0.113.7:40001";

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn listener(name: &str, bound: &str) -> Listener {
    let bound = address(bound);
    let host = match bound {
        SocketAddr::V4(v4) => v4.ip().to_string(),
        SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
    };
    Listener { name: name.into(), address: bound, host, port: bound.port() }
}

fn pool(name: &str, spec: &str, addresses: &[&str]) -> Pool {
    let backends: Vec<Backend> =
        addresses.iter().map(|a| Backend::new(format!("sip:{a}"), address(a))).collect();
    let members: Vec<Member<'_>> = backends
        .iter()
        .map(|b| Member { identity: b.uri.as_bytes(), weight: 1, rweight: 0 })
        .collect();
    let spec = Spec::parse(spec).expect("a balance");
    let balance = Balance::compile(&spec, &members, 1).expect("compiles");
    Pool::new(name.into(), KeySource::CallId, balance, backends)
}

fn rule(action: Action) -> Rule {
    Rule {
        needs_token: false,
        methods: vec![],
        other_methods: vec![],
        listeners: vec![],
        domains: vec![],
        action,
        record_route: true,
        path: PathPolicy::Always,
    }
}

fn parts(balance: &str) -> Parts {
    Parts {
        shards: 1,
        listeners: vec![listener("public", "192.0.2.1:5060")],
        pools: vec![pool("p", balance, &["10.0.0.1:5060", "10.0.0.2:5060", "10.0.0.3:5060"])],
        rules: vec![rule(Action::Pool(0))],
        keys: vec![Key { id: 1, secret: [7; 32] }],
        limits: Limits { transactions_max: 64, ..Limits::default() },
        aliases: vec!["edge.example.com".into()],
        is_draining: false,
        sides: Default::default(),
    }
}

struct World {
    core: Core,
    outbox: Outbox,
    now: Now,
}

#[derive(Debug, PartialEq)]
struct Sent {
    text: String,
    to: String,
    listener: u8,
}

impl World {
    fn new(parts: Parts) -> Self {
        let core = Core::new(Arc::new(Table::new(parts)), 1, 0);
        Self { core, outbox: Outbox::new(), now: Now(1_000_000) }
    }

    fn verdict(&mut self, text: &str, from: &str, listener: u8) -> Verdict {
        let received = Received::datagram(text.as_bytes(), address(from), ListenerId(listener));
        self.core.handle(self.now, &received, &mut self.outbox)
    }

    fn send(&mut self, text: &str, from: &str, listener: u8) -> Sent {
        let verdict = self.verdict(text, from, listener);
        assert!(matches!(verdict, Verdict::Forward | Verdict::Respond), "{verdict:?} for\n{text}");
        let mut out = vec![0; 66_000];
        let size = self.outbox.write_to(text.as_bytes(), &mut out).expect("fits");
        let transmit = self.outbox.transmit().expect("sent somewhere");
        Sent {
            text: String::from_utf8(out[..size].to_vec()).expect("the tests use UTF-8"),
            to: transmit.address().to_string(),
            listener: transmit.listener().0,
        }
    }

    /// The status of our own answer.
    fn refused(&mut self, text: &str) -> String {
        let sent = self.send(text, PHONE, 0);
        sent.text.lines().next().unwrap_or_default().to_owned()
    }
}

fn request(method: &str, uri: &str, more: &str) -> String {
    format!(
        "{method} {uri} SIP/2.0\r\n\
         Via: SIP/2.0/UDP 10.9.9.9:5062;branch=z9hG4bKphone1;rport\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:alice@example.com>;tag=a1\r\n\
         To: <sip:bob@example.com>\r\n\
         Call-ID: call-1@10.9.9.9\r\n\
         CSeq: 1 {method}\r\n\
         {more}Content-Length: 0\r\n\r\n"
    )
}

/// The response of a UAS to what it received.
fn respond(received: &str, code: &str, to_tag: &str) -> String {
    let mut text = format!("SIP/2.0 {code}\r\n");
    for line in received.split("\r\n").skip(1) {
        if line.starts_with("To:") && !line.contains("tag=") {
            text += &format!("{line};tag={to_tag}\r\n");
        } else if ["Via", "Record", "From", "To", "Call", "CSeq"]
            .iter()
            .any(|n| line.starts_with(n))
        {
            text += &format!("{line}\r\n");
        }
    }
    text + "Content-Length: 0\r\n\r\n"
}

fn values<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    text.split("\r\n").filter_map(|l| l.strip_prefix(name)?.strip_prefix(": ")).collect()
}

/// A request inside the dialog, along the Record-Routes that `seen` had (reversed for the caller).
fn in_dialog(seen: &str, method: &str, from_caller: bool, uri: &str) -> String {
    let mut routes = values(seen, "Record-Route");
    if from_caller {
        routes.reverse();
    }
    let routes: String = routes.iter().map(|r| format!("Route: {r}\r\n")).collect();
    let (from, to) = ("<sip:alice@example.com>;tag=a1", "<sip:bob@example.com>;tag=b1");
    let (from, to) = if from_caller { (from, to) } else { (to, from) };
    format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 10.1.1.1;branch=z9hG4bKin{method}\r\n{routes}\
         Max-Forwards: 70\r\nFrom: {from}\r\nTo: {to}\r\nCall-ID: call-1@10.9.9.9\r\n\
         CSeq: 2 {method}\r\n\r\n"
    )
}
