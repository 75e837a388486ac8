//! Whole messages through the core: who gets what, with which bytes.

use std::net::SocketAddr;

use super::*;
use crate::sip::ListenerId;
use crate::sip::balance::{BackendSet, Balance, Member, Spec};
use crate::sip::route::table::{Action, Backend, Key, KeySource, Limits, Listener, Parts, Rule};

mod capped;
mod counted;
mod failover;
mod held;

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
        methods: vec![],
        other_methods: vec![],
        listeners: vec![],
        domains: vec![],
        action,
        record_route: true,
        path: true,
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
        let received = Received {
            bytes: text.as_bytes(),
            source: address(from),
            listener: ListenerId(listener),
            truncated: false,
        };
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
            to: transmit.destination.to_string(),
            listener: transmit.listener.0,
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

#[test]
fn invite_is_edited_and_nothing_else_changes() {
    let mut world = World::new(parts("rendezvous"));
    let invite = request("INVITE", "sip:bob@example.com", "X-Odd:  kept \t\r\n v\u{e9}\r\n");
    let sent = world.send(&invite, PHONE, 0);
    assert!(sent.to.starts_with("10.0.0."));
    let lines: Vec<&str> = sent.text.split("\r\n").collect();
    assert_eq!(lines[0], "INVITE sip:bob@example.com SIP/2.0");
    assert!(
        lines[1].starts_with("Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK~e~AB"),
        "{}",
        lines[1]
    );
    assert!(lines[2].starts_with("Record-Route: <sip:~e~AB"), "{}", lines[2]);
    assert!(lines[2].ends_with("@192.0.2.1:5060;lr>"), "{}", lines[2]);
    assert_eq!(
        lines[3],
        "Via: SIP/2.0/UDP 10.9.9.9:5062;received=203.0.113.7;branch=z9hG4bKphone1;rport=40001"
    );
    assert_eq!(lines[4], "Max-Forwards: 69");
    let (_, rest) = invite.split_once("Max-Forwards: 70\r\n").expect("it has one");
    assert!(sent.text.ends_with(rest), "{}", sent.text);
    assert_eq!(world.outbox.decision().cause, Cause::Balanced);
}

#[test]
fn response_goes_back_and_only_to_the_caller() {
    let mut world = World::new(parts("rendezvous"));
    let invite = request("INVITE", "sip:bob@example.com", "");
    let sent = world.send(&invite, PHONE, 0);
    let ok = respond(&sent.text, "200 OK", "b1");
    let back = world.send(&ok, &sent.to, 0);
    assert_eq!(back.to, PHONE);
    assert!(!back.text.contains("192.0.2.1:5060;branch"), "our Via is gone");
    assert_eq!(values(&back.text, "Via").len(), 1);

    let elsewhere = ok.replace("received=203.0.113.7", "received=203.0.113.8");
    assert_eq!(
        world.verdict(&elsewhere, &sent.to, 0),
        Verdict::Drop(DropReason::ResponseViaForged)
    );
    let other_call = ok.replace("call-1@", "call-2@");
    assert_eq!(
        world.verdict(&other_call, &sent.to, 0),
        Verdict::Drop(DropReason::ResponseViaForged)
    );
    let foreign = ok.replace("UDP 192.0.2.1:5060", "UDP 192.0.2.99:5060");
    assert_eq!(world.verdict(&foreign, &sent.to, 0), Verdict::Drop(DropReason::ResponseViaForeign));
    let last =
        ok.split("\r\n").filter(|l| !l.contains("10.9.9.9:5062")).collect::<Vec<_>>().join("\r\n");
    assert_eq!(world.verdict(&last, &sent.to, 0), Verdict::Drop(DropReason::ResponseViaLast));
}

#[test]
fn retry_after_counts_in_the_503_of_a_backend() {
    let mut world = World::new(parts("rendezvous"));
    let sent = world.send(&request("INVITE", "sip:bob@example.com", ""), PHONE, 0);
    let mut check = |status: &str, from: &str, expected: u32| {
        let response = respond(&sent.text, status, "b1").replace("CSeq", "Retry-After: 30\r\nCSeq");
        let back = world.send(&response, from, 0);
        assert!(back.text.contains("Retry-After: 30\r\n"), "{}", back.text);
        assert_eq!(world.outbox.decision().retry_after_seconds, expected, "{status} from {from}");
        assert_eq!(world.outbox.decision().transaction, 0);
    };
    check("503 Busy", &sent.to, 30);
    check("500 Busy", &sent.to, 0);
    check("486 Busy Here", &sent.to, 0);
    check("503 Busy", "198.51.100.7:5060", 0);
}

#[test]
fn cancel_and_ack_follow_their_invite() {
    // Under miri, some thousand times slower, one that hashes and one that remembers.
    let (balances, rounds) = if cfg!(miri) { (2, 1) } else { (4, 5) };
    for balance in ["rendezvous", "round-robin", "random", "kamailio:4"].into_iter().take(balances)
    {
        let mut world = World::new(parts(balance));
        let invite = world.send(&request("INVITE", "sip:bob@example.com", ""), PHONE, 0);
        let branch = |sent: &Sent| {
            let via = values(&sent.text, "Via")[0].to_owned();
            via.split(";branch=").nth(1).and_then(|b| b.split(';').next()).map(str::to_owned)
        };
        for round in 0..rounds {
            world.now = world.now.plus_seconds(1);
            let again = world.send(&request("INVITE", "sip:bob@example.com", ""), PHONE, 0);
            assert_eq!(
                (&again.to, branch(&again)),
                (&invite.to, branch(&invite)),
                "{balance} {round}"
            );
        }
        // A NAT gave the CANCEL another source port: same branch all the same.
        let cancel =
            world.send(&request("CANCEL", "sip:bob@example.com", ""), "203.0.113.7:40009", 0);
        assert_eq!((&cancel.to, branch(&cancel)), (&invite.to, branch(&invite)), "{balance}");
        let ack = request("ACK", "sip:bob@example.com", "")
            .replace("bob@example.com>", "bob@example.com>;tag=b1");
        let ack = world.send(&ack, PHONE, 0);
        assert_eq!((&ack.to, branch(&ack)), (&invite.to, branch(&invite)), "{balance}");
    }
}

#[test]
fn round_robin_without_memory_says_so() {
    let mut world = World::new(parts("round-robin"));
    assert_eq!(
        world.refused(&request("CANCEL", "sip:bob@example.com", "")),
        "SIP/2.0 481 Call/Transaction Does Not Exist"
    );
}

#[test]
fn dialog_keeps_its_backend_from_both_sides_after_pool_edit_and_key_rotation() {
    let mut world = World::new(parts("rendezvous"));
    let invite = world.send(&request("INVITE", "sip:bob@example.com", ""), PHONE, 0);
    let backend = invite.to.clone();

    let mut edited = parts("rendezvous");
    edited.pools[0] = pool("p", "rendezvous", &["10.0.0.9:5060"]);
    edited.keys.insert(0, Key { id: 2, secret: [8; 32] });
    world.core.install(Arc::new(Table::new(edited)));

    let bye = in_dialog(&invite.text, "BYE", true, &format!("sip:bob@{backend}"));
    let sent = world.send(&bye, PHONE, 0);
    assert_eq!(sent.to, backend, "although it left the pool");
    assert!(values(&sent.text, "Route").is_empty());
    assert_eq!(values(&sent.text, "Record-Route").len(), 0);

    let bye = in_dialog(&invite.text, "BYE", false, "sip:alice@10.9.9.9:5062");
    let sent = world.send(&bye, &backend, 0);
    assert_eq!(sent.to, PHONE);
    let ok = world.send(&respond(&sent.text, "200 OK", "x"), PHONE, 0);
    assert_eq!(
        ok.to,
        "10.0.0.1:5060".replace("10.0.0.1", backend.split(':').next().expect("host"))
    );

    // The CANCEL of an INVITE from before the rotation keeps its branch.
    let cancel = world.send(&request("CANCEL", "sip:bob@example.com", ""), PHONE, 0);
    assert_eq!(cancel.to, backend);
    assert!(values(&cancel.text, "Via")[0].contains("branch=z9hG4bK~e~AB"), "key 1 digit B");
}

#[test]
fn register_gets_a_path_and_the_call_comes_back_through_it() {
    let mut world = World::new(parts("rendezvous"));
    let sent =
        world.send(&request("REGISTER", "sip:example.com", "Path: <sip:other;lr>\r\n"), PHONE, 0);
    let paths = values(&sent.text, "Path");
    assert_eq!(paths.len(), 2);
    assert_eq!(paths[1], "<sip:other;lr>");
    let call = format!(
        "INVITE sip:alice@10.9.9.9:5062 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.2;branch=z9hG4bKk\r\n\
         Route: {}\r\nFrom: <sip:b@e>;tag=1\r\nTo: <sip:a@e>\r\nCall-ID: 2\r\nCSeq: 1 INVITE\r\n\r\n",
        paths[0]
    );
    let to_phone = world.send(&call, "10.0.0.2:5060", 0);
    assert_eq!(to_phone.to, PHONE);
    assert_eq!(values(&to_phone.text, "Record-Route").len(), 1);
    assert_eq!(values(&to_phone.text, "Max-Forwards"), ["70"]);
    assert_eq!(world.send(&call, PHONE, 0).text.lines().next(), Some("SIP/2.0 403 Bad Flow Token"));

    // The phone hangs up: along the token to the backend that called.
    let bye = in_dialog(&to_phone.text, "BYE", false, "sip:b@10.0.0.2");
    assert_eq!(world.send(&bye, PHONE, 0).to, "10.0.0.2:5060");
}

#[test]
fn tokens_that_do_not_open() {
    let mut world = World::new(parts("rendezvous"));
    let route = "Route: <sip:~e~ABxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx@192.0.2.1;lr>\r\n";
    let status = |text: String| text.lines().next().unwrap_or_default().to_owned();
    assert_eq!(world.refused(&request("INVITE", "sip:b@e", route)), "SIP/2.0 403 Bad Flow Token");
    let bye =
        request("BYE", "sip:b@e", route).replace("example.com>\r\n", "example.com>;tag=t\r\n");
    assert_eq!(status(world.send(&bye, PHONE, 0).text), "SIP/2.0 481 Dialog Does Not Exist");
    let ack = request("ACK", "sip:b@e", route);
    assert_eq!(world.verdict(&ack, PHONE, 0), Verdict::Drop(DropReason::AckTokenBad));
}

#[test]
fn two_listeners_of_two_families_record_route_twice() {
    let mut two = parts("rendezvous");
    two.listeners =
        vec![listener("six", "[2001:db8::1]:5060"), listener("four", "10.0.0.100:5070")];
    let mut world = World::new(two);
    let phone = "[2001:db8::77]:6000";
    let invite = world.send(&request("INVITE", "sip:bob@example.com", ""), phone, 0);
    assert_eq!(invite.listener, 1);
    let routes = values(&invite.text, "Record-Route");
    assert!(routes[0].ends_with("@10.0.0.100:5070;lr;r2=on>"), "{routes:?}");
    assert!(routes[1].ends_with("@[2001:db8::1]:5060;lr;r2=on>"), "{routes:?}");
    assert!(invite.text.contains("received=2001:db8::77"));
    let back = world.send(&respond(&invite.text, "200 OK", "b1"), &invite.to, 1);
    assert_eq!((back.to.as_str(), back.listener), (phone, 0));

    let bye = world.send(&in_dialog(&invite.text, "BYE", true, "sip:bob@10.0.0.1"), phone, 0);
    assert_eq!((bye.to.as_str(), bye.listener), (invite.to.as_str(), 1));
    let bye = world.send(&in_dialog(&invite.text, "BYE", false, "sip:alice@x"), &invite.to, 1);
    assert_eq!((bye.to.as_str(), bye.listener), (phone, 0));
    assert!(values(&bye.text, "Route").is_empty());
}

#[test]
fn spiral_through_a_backend_that_does_not_record_route() {
    let mut world = World::new(parts("rendezvous"));
    let register = world.send(&request("REGISTER", "sip:example.com", ""), "203.0.113.8:5060", 0);
    let path = values(&register.text, "Path")[0].to_owned();
    let first = world.send(&request("INVITE", "sip:bob@example.com", ""), PHONE, 0);
    // The backend forwards along the Path of the callee and stays out of the dialog.
    let second =
        first.text.replace("INVITE sip:bob@example.com", "INVITE sip:bob@203.0.113.8").replace(
            "SIP/2.0\r\nVia",
            &format!(
                "SIP/2.0\r\nRoute: {path}\r\nVia: SIP/2.0/UDP {};branch=z9hG4bKb\r\nVia",
                first.to
            ),
        );
    let second = world.send(&second, &first.to, 0);
    assert_eq!(second.to, "203.0.113.8:5060");
    assert_eq!(values(&second.text, "Record-Route").len(), 2);
    let bye = in_dialog(&second.text, "BYE", true, "sip:bob@203.0.113.8");
    let bye = world.send(&bye, PHONE, 0);
    assert_eq!(bye.to, "203.0.113.8:5060", "both of our Routes in one pass");
    assert!(values(&bye.text, "Route").is_empty());
    let bye =
        world.send(&in_dialog(&second.text, "BYE", false, "sip:alice@x"), "203.0.113.8:5060", 0);
    assert_eq!(bye.to, PHONE);
}

#[test]
fn strict_routers_on_both_sides() {
    let mut world = World::new(parts("rendezvous"));
    let invite = world.send(&request("INVITE", "sip:bob@example.com", ""), PHONE, 0);
    let token = values(&invite.text, "Record-Route")[0].trim_matches(['<', '>']).to_owned();
    // The phone is strict: our Record-Route URI is the Request-URI, the target is the last Route.
    let strict = request("BYE", &token, "Route: <sip:p2;lr>,\r\n <sip:bob@10.0.0.1>\r\n")
        .replace("bob@example.com>\r\n", "bob@example.com>;tag=b1\r\n");
    let sent = world.send(&strict, PHONE, 0);
    assert_eq!(sent.to, invite.to);
    assert!(sent.text.starts_with("BYE sip:bob@10.0.0.1 SIP/2.0\r\n"), "{}", sent.text);
    assert_eq!(values(&sent.text, "Route"), ["<sip:p2;lr>"]);
    // The next hop is strict: the first Route becomes the Request-URI, which goes to the end.
    let loose = in_dialog(&invite.text, "BYE", true, "sip:bob@10.0.0.1")
        .replace("Max-Forwards", "Route: <sip:strict.example.com>\r\nMax-Forwards");
    let sent = world.send(&loose, PHONE, 0);
    assert!(sent.text.starts_with("BYE sip:strict.example.com SIP/2.0\r\n"), "{}", sent.text);
    assert_eq!(values(&sent.text, "Route"), ["<sip:bob@10.0.0.1>"]);
}

#[test]
fn refusals() {
    let mut world = World::new(parts("rendezvous"));
    let invite = |more: &str| request("INVITE", "sip:bob@example.com", more);
    let mut check = |text: String, expected: &str| {
        assert_eq!(world.refused(&text), format!("SIP/2.0 {expected}"), "{text}");
    };
    check(invite("").replace("s: 70", "s: 0"), "483 Too Many Hops");
    check(invite("").replace("s: 70", "s: 256"), "400 Bad Max-Forwards");
    check(invite("Proxy-Require: foo, bar\r\n"), "420 Bad Extension");
    check(invite("Call-ID: 2\r\n"), "400 Duplicate Call-ID");
    check(invite("Max-Breadth: 0\r\n"), "440 Max-Breadth Exceeded");
    check(invite("").replace("Content-Length: 0", "Content-Length: 9"), "400 Bad Content-Length");
    check(invite("").replace("CSeq: 1", "CSeq: 4294967296"), "400 Bad CSeq");
    check(invite("").replace("CSeq: 1 INVITE", "CSeq: 1 BYE"), "400 CSeq Method Does Not Match");
    check(invite("").replace("From:", "Xrom:"), "400 Missing From");
    check(request("INVITE", "http://x", ""), "416 Unsupported URI Scheme");
    check(request("INVITE", "sip:a@b:0", ""), "400 Bad Request-URI");
    check(request("INVITE", "sip:a@b?x=y", ""), "400 Bad Request-URI");
    check(invite("").replace("SIP/2.0\r\nVia", "SIP/3.0\r\nVia"), "505 Version Not Supported");
    check(invite("Route: <sip:x\r\n"), "400 Bad Route");
    check(invite("no colon\r\n"), "400 Bad Header Field");
    check(request("OPTIONS", "sip:192.0.2.1", "").replace("s: 70", "s: 0"), "200 OK");
    check(request("OPTIONS", "sip:EDGE.example.com:5060;lr", ""), "200 OK");
    check(request("OPTIONS", "sip:192.0.2.1", "").replace("MAX", "x"), "200 OK");
}

#[test]
fn answers_and_their_acks() {
    let mut world = World::new(parts("rendezvous"));
    let invite = request("INVITE", "sip:bob@example.com", "Proxy-Require: foo\r\n");
    let answer = world.send(&invite, PHONE, 0);
    assert_eq!(answer.to, PHONE);
    assert_eq!(values(&answer.text, "Unsupported"), ["foo"]);
    assert_eq!(
        values(&answer.text, "Via"),
        ["SIP/2.0/UDP 10.9.9.9:5062;received=203.0.113.7;branch=z9hG4bKphone1;rport=40001"]
    );
    let to = values(&answer.text, "To")[0];
    let ack = request("ACK", "sip:bob@example.com", "").replace("<sip:bob@example.com>", to);
    assert_eq!(world.verdict(&ack, PHONE, 0), Verdict::Absorb);
    let other = ack.replace("z9hG4bKphone1", "z9hG4bKphone2");
    assert_ne!(world.verdict(&other, PHONE, 0), Verdict::Absorb);
    let bad = request("ACK", "http:x", "");
    assert_eq!(world.verdict(&bad, PHONE, 0), Verdict::Drop(DropReason::AckUnroutable));
}

#[test]
fn no_pool_no_rule_no_backend() {
    let mut none = parts("rendezvous");
    none.pools[0].usable = BackendSet::empty();
    let mut world = World::new(none);
    let answer = world.send(&request("INVITE", "sip:b@e", ""), PHONE, 0);
    assert!(answer.text.starts_with("SIP/2.0 503 Service Unavailable\r\n"));
    assert_eq!(values(&answer.text, "Retry-After"), ["5"]);

    let mut ruled = parts("rendezvous");
    ruled.rules = vec![
        Rule { methods: vec![Method::Options], ..rule(Action::Drop) },
        Rule { domains: vec!["example.org".into()], ..rule(Action::Reply(403)) },
    ];
    let mut world = World::new(ruled);
    assert_eq!(world.refused(&request("INVITE", "sip:b@e", "")), "SIP/2.0 404 Not Found");
    assert_eq!(world.refused(&request("INVITE", "sip:b@Example.ORG", "")), "SIP/2.0 403 Forbidden");
    assert_eq!(
        world.verdict(&request("OPTIONS", "sip:b@e", ""), PHONE, 0),
        Verdict::Drop(DropReason::Rule)
    );
}

#[test]
fn from_a_backend_by_route_and_request_uri_never_into_the_pool() {
    let mut world = World::new(parts("rendezvous"));
    let mut to = |uri: &str, more: &str| {
        let sent = world.send(&request("INVITE", uri, more), "10.0.0.2:5060", 0);
        (sent.to, sent.text.lines().next().unwrap_or_default().to_owned())
    };
    assert_eq!(to("sip:x@198.51.100.9:5090", "").0, "198.51.100.9:5090");
    assert_eq!(to("sip:x@198.51.100.9", "Route: <sip:198.51.100.8;lr>\r\n").0, "198.51.100.8:5060");
    assert_eq!(to("sip:x@example.com", "").1, "SIP/2.0 503 Next Hop Is Not A UDP Address");
    assert_eq!(
        to("sip:x@198.51.100.9;transport=tcp", "").1,
        "SIP/2.0 503 Next Hop Is Not A UDP Address"
    );
    assert_eq!(to("sip:x@192.0.2.1", "").1, "SIP/2.0 404 Not Found");
    assert_eq!(to("sip:192.0.2.1", "").1, "SIP/2.0 404 Not Found");
}

#[test]
fn outside_goes_nowhere_but_to_the_pool() {
    let mut world = World::new(parts("rendezvous"));
    for (uri, more) in [
        ("sip:x@198.51.100.9", ""),
        ("sip:x@198.51.100.9", "Route: <sip:198.51.100.8;lr>\r\n"),
        ("sip:x@192.0.2.1", "Route: <sip:192.0.2.1;lr>, <sip:198.51.100.8;lr>\r\n"),
        ("tel:+15551234", ""),
        ("urn:service:sos", ""),
    ] {
        let sent = world.send(&request("INVITE", uri, more), PHONE, 0);
        assert!(sent.to.starts_with("10.0.0."), "{uri} {more}: {}", sent.to);
        assert!(!sent.text.contains("Route: <sip:192.0.2.1;lr>"), "ours is taken off");
    }
}

#[test]
fn loops_and_spirals() {
    let mut world = World::new(parts("rendezvous"));
    let first = world.send(&request("INVITE", "sip:bob@198.51.100.9", ""), PHONE, 0);
    // A backend sends it back unchanged: once is a spiral (it came from the other side), twice is a loop.
    let pushed = |text: &str, n: u8| {
        text.replacen(
            "\r\nVia",
            &format!("\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKb{n}\r\nVia"),
            1,
        )
    };
    let second = world.send(&pushed(&first.text, 1), "10.0.0.1:5060", 0);
    assert_eq!(second.to, "198.51.100.9:5060");
    let third = world.send(&pushed(&second.text, 2), "10.0.0.1:5060", 0);
    assert_eq!(third.text.lines().next(), Some("SIP/2.0 482 Loop Detected"));
    let turned = pushed(&second.text, 3).replace("bob@198.51.100.9", "carol@198.51.100.9");
    assert_eq!(world.send(&turned, "10.0.0.1:5060", 0).to, "198.51.100.9:5060", "a spiral goes on");
}

#[test]
fn what_is_behind_the_content_is_cut_and_what_is_too_large_refused() {
    let mut world = World::new(parts("rendezvous"));
    let sent = world.send(&(request("MESSAGE", "sip:b@e", "") + "INVITE junk"), PHONE, 0);
    assert!(sent.text.ends_with("Content-Length: 0\r\n\r\n"));

    let large = request("MESSAGE", "sip:b@e", &format!("X: {}\r\n", "y".repeat(65_200)));
    assert_eq!(world.refused(&large), "SIP/2.0 513 Message Too Large");
}

#[test]
fn garbage() {
    let mut world = World::new(parts("rendezvous"));
    for text in ["", "\r\n", "\r\n\r\n"] {
        assert_eq!(world.verdict(text, PHONE, 0), Verdict::Absorb);
    }
    for text in ["x", "\0\0\0\0", "GET / HTTP/1.1\r\n\r\n", "\r\nhello\r\n\r\n"] {
        assert_eq!(world.verdict(text, PHONE, 0), Verdict::Drop(DropReason::NotSip));
    }
    assert_eq!(
        world.verdict("INVITE sip:a SIP/2.0\r\n\r\n", PHONE, 0),
        Verdict::Drop(DropReason::RequestUnanswerable)
    );
    assert_eq!(
        world.verdict("SIP/2.0 200 OK\r\nVia: x\r\n\r\n", PHONE, 0),
        Verdict::Drop(DropReason::ResponseMalformed)
    );
}

fn two_pools(second: &[&str]) -> Parts {
    let mut two = parts("rendezvous");
    two.listeners = vec![listener("public", "192.0.2.1:5060"), listener("in", "10.0.0.100:5070")];
    two.pools[0] =
        Pool { send_from: Some(ListenerId(1)), ..pool("p", "first", &["10.0.0.1:5060"]) };
    two.pools.push(pool("q", "rendezvous", second));
    two.rules.insert(0, Rule { methods: vec![Method::Message], ..rule(Action::Pool(1)) });
    two
}

#[test]
fn address_in_two_pools_retransmits_the_same_bytes_from_the_same_listener() {
    let mut world = World::new(two_pools(&["10.0.0.1:5060"]));
    let message = request("MESSAGE", "sip:bob@example.com", "");
    let first = world.send(&message, PHONE, 0);
    assert_eq!(first.listener, 0, "its pool has no listener of its own");
    assert_eq!(world.send(&message, PHONE, 0), first);
    assert_eq!(world.outbox.decision().backend.map(|b| b.pool), Some(1));
}

#[test]
fn identifiers_of_a_transaction_do_not_open_another_pool() {
    let mut world = World::new(two_pools(&["10.0.0.5:5060"]));
    let invite = request("INVITE", "sip:bob@example.com", "");
    assert_eq!(world.send(&invite, PHONE, 0).to, "10.0.0.1:5060");
    let message = request("MESSAGE", "sip:bob@example.com", "");
    assert_eq!(world.send(&message, PHONE, 0).to, "10.0.0.5:5060");
}

#[test]
fn to_tag_does_not_get_a_request_past_the_rules() {
    let mut ruled = two_pools(&["10.0.0.5:5060"]);
    ruled.rules = vec![
        Rule { methods: vec![Method::Options], ..rule(Action::Drop) },
        Rule { methods: vec![Method::Message], ..rule(Action::Reply(403)) },
        Rule { domains: vec!["example.com".into()], ..rule(Action::Pool(0)) },
        Rule { listeners: vec![ListenerId(1)], ..rule(Action::Pool(1)) },
    ];
    let mut world = World::new(ruled);
    let tagged = |method: &str, uri: &str| {
        request(method, uri, "").replace("bob@example.com>\r", "bob@example.com>;tag=b1\r")
    };
    assert_eq!(world.send(&tagged("BYE", "sip:x@10.0.0.1"), PHONE, 0).to, "10.0.0.1:5060");
    assert_eq!(world.send(&tagged("BYE", "sip:x@10.0.0.5"), PHONE, 1).to, "10.0.0.5:5060");
    assert_eq!(world.refused(&tagged("BYE", "sip:x@10.0.0.5")), "SIP/2.0 404 Not Found");
    assert_eq!(world.refused(&tagged("MESSAGE", "sip:x@10.0.0.1")), "SIP/2.0 403 Forbidden");
    assert_eq!(
        world.verdict(&tagged("OPTIONS", "sip:x@10.0.0.1"), PHONE, 0),
        Verdict::Drop(DropReason::Rule)
    );
}

#[test]
fn token_of_a_dialog_starts_nothing_new_from_outside() {
    let mut world = World::new(parts("rendezvous"));
    let invite = world.send(&request("INVITE", "sip:bob@example.com", ""), PHONE, 0);
    let bye = in_dialog(&invite.text, "BYE", true, "sip:bob@10.0.0.1");
    assert_eq!(world.send(&bye, PHONE, 0).to, invite.to);
    let call = bye.replace("BYE", "INVITE").replace(";tag=b1", "");
    assert_eq!(world.refused(&call), "SIP/2.0 403 Bad Flow Token");
}

#[test]
fn token_of_a_source_that_claimed_to_be_us_is_a_loop() {
    let mut world = World::new(parts("rendezvous"));
    let sent = world.send(&request("REGISTER", "sip:example.com", ""), "192.0.2.1:5060", 0);
    let route = format!("Route: {}\r\n", values(&sent.text, "Path")[0]);
    let call = request("INVITE", "sip:alice@10.9.9.9:5062", &route);
    let answer = world.send(&call, "10.0.0.2:5060", 0);
    assert_eq!(answer.text.lines().next(), Some("SIP/2.0 482 Loop Detected"));
}
