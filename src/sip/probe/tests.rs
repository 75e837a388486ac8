//! Probes through a core: their bytes, their answers, and what only looks like one.

use std::net::SocketAddr;
use std::sync::Arc;

use super::*;
use crate::sip::core::Core;
use crate::sip::outbox::Outbox;
use crate::sip::route::table::{Key, Limits, Listener, Parts};
use crate::sip::steer;
use crate::sip::{Cause, Decision, DropReason, Now, Received, Verdict};

const OLD: Key = Key { id: 1, secret: [7; 32] };
const NEW: Key = Key { id: 2, secret: [9; 32] };
const BACKEND: &str = "10.0.0.1:5060";

fn table(keys: &[Key]) -> Table {
    let address: SocketAddr = "192.0.2.1:5060".parse().expect("an address");
    let (host, port) = ("edge.example.com".to_owned(), 5062);
    Table::new(Parts {
        shards: 4,
        listeners: vec![Listener { name: "public".into(), address, host, port }],
        keys: keys.to_vec(),
        limits: Limits { transactions_max: 64, ..Limits::default() },
        ..Parts::default()
    })
}

fn probe<'a>() -> ProbeRequest<'a> {
    ProbeRequest {
        listener: ListenerId(0),
        shard: 3,
        method: "OPTIONS",
        target: "sip:10.0.0.1;transport=udp",
        from: None,
        user_agent: "sipedge/1.2.3",
        call_id: 0xabc,
        cseq: 7,
    }
}

fn written(table: &Table, request: &ProbeRequest<'_>) -> (String, u64) {
    let mut out = Vec::new();
    let transaction = write(table, request, &mut out);
    (String::from_utf8(out).expect("text"), transaction)
}

/// What a backend answers: Via, From, To with a tag, Call-ID and CSeq, as RFC 3261 8.2.6 says.
fn answer(probe: &str, status: &str, more: &str) -> String {
    let mut text = format!("SIP/2.0 {status}\r\n");
    for line in probe.split("\r\n") {
        match line.split(':').next() {
            Some("Via" | "From" | "Call-ID" | "CSeq") => text += &format!("{line}\r\n"),
            Some("To") => text += &format!("{line};tag=b\r\n"),
            _ => {}
        }
    }
    format!("{text}{more}Content-Length: 0\r\n\r\n")
}

fn handled(table: Table, text: &str, source: &str) -> (Verdict, Decision) {
    let mut core = Core::new(Arc::new(table), 1, 0);
    let mut outbox = Outbox::new();
    let received =
        Received::datagram(text.as_bytes(), source.parse().expect("an address"), ListenerId(0));
    let verdict = core.handle(Now(1), &received, &mut outbox);
    (verdict, *outbox.decision())
}

#[test]
fn the_bytes_are_those_that_an_operator_expects() {
    let table = table(&[OLD]);
    let (text, transaction) = written(&table, &probe());
    let branch = text.split(";branch=").nth(1).and_then(|rest| rest.split("\r\n").next());
    let branch = branch.expect("a branch");
    assert!(branch.starts_with("z9hG4bK~e~DB"), "{branch}: shard 3, key 1");
    let expected = format!(
        "OPTIONS sip:10.0.0.1;transport=udp SIP/2.0\r\n\
         Via: SIP/2.0/UDP edge.example.com:5062;branch={branch}\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:sipedge@edge.example.com>;tag=abb\r\n\
         To: <sip:10.0.0.1;transport=udp>\r\n\
         Call-ID: 0000000000000abc@edge.example.com\r\n\
         CSeq: 7 OPTIONS\r\n\
         Contact: <sip:edge.example.com:5062>\r\n\
         User-Agent: sipedge/1.2.3\r\n\
         Content-Length: 0\r\n\r\n"
    );
    assert_eq!(text, expected);
    assert_ne!(transaction, 0);
    let named = ProbeRequest { method: "INFO", from: Some("sip:probe@example.com"), ..probe() };
    let (text, _) = written(&table, &named);
    assert!(text.starts_with("INFO sip:10.0.0.1;"), "{text}");
    assert!(text.contains("From: <sip:probe@example.com>;tag="), "{text}");
    assert!(text.contains("CSeq: 7 INFO\r\n"), "{text}");
}

#[test]
fn an_answer_is_steered_to_the_shard_that_asked_and_absorbed() {
    let (text, transaction) = written(&table(&[OLD]), &probe());
    for (status, code) in [("200 OK", 200), ("503 Full", 503), ("100 Trying", 100)] {
        let reply = answer(&text, status, "");
        assert_eq!(steer::shard(reply.as_bytes(), 4), Some(3));
        let (verdict, decision) = handled(table(&[OLD]), &reply, BACKEND);
        assert_eq!(verdict, Verdict::Absorb);
        assert_eq!((decision.cause, decision.status), (Cause::Probe, code));
        assert_eq!(decision.transaction, transaction);
        assert_eq!(decision.retry_after_seconds, 0);
        assert_eq!(decision.method, Method::Options);
    }
}

#[test]
fn no_two_probes_are_the_same_transaction() {
    let table = table(&[OLD]);
    let first = written(&table, &probe());
    let second = written(&table, &ProbeRequest { call_id: 0xabd, ..probe() });
    let third = written(&table, &ProbeRequest { cseq: 8, ..probe() });
    assert_ne!(first.1, second.1);
    assert_ne!(first.1, third.1);
}

#[test]
fn what_is_forged_or_replayed_is_dropped_and_counted() {
    let (text, _) = written(&table(&[OLD]), &probe());
    let (other, _) = written(&table(&[OLD]), &ProbeRequest { call_id: 0xdef, ..probe() });
    let reply = answer(&text, "200 OK", "");
    let last = Verdict::Drop(DropReason::ResponseViaLast);
    let check = |reply: &str, expected: Verdict| {
        let (verdict, decision) = handled(table(&[OLD]), reply, BACKEND);
        assert_eq!(verdict, expected, "{reply}");
        assert_eq!((decision.transaction, decision.cause), (0, Cause::None), "{reply}");
    };
    let branch = |text: &str| {
        let rest = text.split(";branch=").nth(1).and_then(|rest| rest.split("\r\n").next());
        rest.expect("a branch").to_owned()
    };
    // The branch of one probe with the identifiers of another.
    check(&reply.replace(&branch(&text), &branch(&other)), last);
    check(&reply.replace("CSeq: 7", "CSeq: 8"), last);
    check(&reply.replace("tag=abb", "tag=abc"), last);
    check(&reply.replace("0000000000000abc@", "0000000000000abd@"), last);
    check(&reply.replace("Call-ID: ", "Call-ID: x\r\nCall-ID: "), last);
    check(&reply.replace(&branch(&text), "z9hG4bK~e~DBAAAAAAAAAAA"), last);
    check(&reply.replace(&branch(&text), "z9hG4bKother"), last);
    check(
        &reply.replace("edge.example.com:5062;", "192.0.2.99:5060;"),
        Verdict::Drop(DropReason::ResponseViaForeign),
    );
    // With a Via below ours it is no answer to a probe: it would be sent on, and is not, since we did not seal that.
    let below = "Via: SIP/2.0/UDP 198.51.100.1;branch=z9hG4bKx\r\nFrom:";
    check(&reply.replacen("From:", below, 1), Verdict::Drop(DropReason::ResponseViaForged));
}

#[test]
fn an_answer_verifies_as_long_as_its_key_is_known() {
    let (text, transaction) = written(&table(&[OLD]), &probe());
    let reply = answer(&text, "200 OK", "");
    let (verdict, decision) = handled(table(&[NEW, OLD]), &reply, BACKEND);
    assert_eq!((verdict, decision.transaction), (Verdict::Absorb, transaction));
    let (verdict, _) = handled(table(&[NEW]), &reply, BACKEND);
    assert_eq!(verdict, Verdict::Drop(DropReason::ResponseViaLast));
    let same_name = Key { id: OLD.id, ..NEW };
    let (verdict, _) = handled(table(&[same_name]), &reply, BACKEND);
    assert_eq!(verdict, Verdict::Drop(DropReason::ResponseViaLast));
}

#[test]
fn retry_after_is_read_and_bounded() {
    let (text, _) = written(&table(&[OLD]), &probe());
    let check = |value: &str, expected: u32| {
        let reply = answer(&text, "503 Busy", value);
        let (_, decision) = handled(table(&[OLD]), &reply, BACKEND);
        assert_eq!(decision.retry_after_seconds, expected, "{value}");
    };
    check("Retry-After: 120\r\n", 120);
    check("retry-after:  5 (in a meeting)\r\n", 5);
    check("Retry-After: 18000;duration=3600\r\n", 18_000);
    check("Retry-After: 60(x)\r\n", 60);
    check("Retry-After:\r\n\t7\r\n", 7);
    check("Retry-After: 999999999999999999999\r\n", RETRY_AFTER_SECONDS_MAX);
    check("Retry-After: 4294967296\r\n", RETRY_AFTER_SECONDS_MAX);
    check("Retry-After: soon\r\n", 0);
    check("Retry-After: 5x\r\n", 0);
    check("Retry-After: -5\r\n", 0);
    check("Retry-After:\r\n", 0);
    check("", 0);
}

#[test]
fn without_its_listener_nothing_is_written() {
    let mut out = Vec::new();
    let nowhere = ProbeRequest { listener: ListenerId(9), ..probe() };
    assert_eq!(write(&table(&[OLD]), &nowhere, &mut out), 0);
    assert!(out.is_empty());
}
