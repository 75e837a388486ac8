//! Backends by a DNS name with one bad address among good ones, asked of a real server.
//!
//! Owns: that the bad one harms none but itself, and that the name follows the DNS.

use std::net::SocketAddr;
use std::time::Duration;

use super::fates::{all_good, fates};
use super::{PATIENCE, PROBE};
use crate::harness::edge::{Edge, Setup};
use crate::harness::ledger::{Ledger, Side};
use crate::harness::need::Need;
use crate::harness::sipp::{Load, Sipp, Station};
use crate::harness::{free_address, loopback, wait_until};
use crate::runner::{Case, Place};

#[path = "../../names/server.rs"]
#[expect(dead_code, reason = "the cases of names need more of it")]
mod server;
use server::{Server, ZONE};

const CALLS: u32 = 240;

pub(super) fn cases() -> Vec<Case> {
    vec![Case::new("heal/one-bad-address", [Need::Sipp, Need::Knot, Need::RealEdge], bad_address)]
}

fn bad_address(place: &Place) {
    let good = free_address(loopback(3));
    let port = good.port();
    let at = |host| SocketAddr::new(loopback(host), port);
    let Some(mut dns) = Server::start("pool A 127.0.0.3\npool A 127.0.0.4\npool A 127.0.0.5")
    else {
        return;
    };
    let mut backends = Vec::new();
    for (name, host) in [("backend-1", 3), ("backend-2", 4)] {
        backends.push(Sipp::callee(place, Station::new(name, Side::Backend, at(host)), "heal", ""));
    }
    let setup = Setup {
        key: "to",
        probe: PROBE,
        name: Some(format!("pool.{ZONE}:{port}")),
        node: format!(
            "dns = [\"udp:{}\"]\ndns_ttl_min_seconds = 1\ndns_ttl_max_seconds = 1\n",
            dns.address()
        ),
        ..Setup::new(free_address(loopback(2)), &[])
    };
    let edge = Edge::start(place, &setup);
    wait_members(&edge, 3);
    // At once, while nobody knows yet: who meets the bad address retransmits and is answered.
    let first = call(&place.part("first"), &setup, &backends);
    all_good(fates(&first).iter()).expect("one bad address takes no call with it");
    wait_out(&edge, at(5));
    let sent = |edge: &Edge| {
        let label = format!("backend=\"sip:{}\"", at(5));
        edge.metrics().map_or(0, |m| m.sum("sipedge_backend_messages_total", &[&label]))
    };
    let before = sent(&edge);
    let second = call(&place.part("second"), &setup, &backends);
    let second = fates(&second);
    all_good(second.iter()).expect("each call is good");
    assert_eq!(sent(&edge), before, "a call met the bad address");
    let log = edge.log();
    for host in [3, 4] {
        let line = format!("sip:{} trying -> inactive", at(host));
        assert!(!log.contains(&line), "a good address was out, too:\n{log}");
    }
    // The DNS names another one in its place: it takes part.
    backends.push(Sipp::callee(place, Station::new("backend-3", Side::Backend, at(6)), "heal", ""));
    dns.change("pool A 127.0.0.3\npool A 127.0.0.4\npool A 127.0.0.6");
    let there = at(6).to_string();
    let known = wait_until(PATIENCE, || usable(&edge) == 3 && edge.log().contains(&there));
    assert!(
        known,
        "the new address was not taken over, {} are usable:\n{}",
        usable(&edge),
        edge.log()
    );
    let third = fates(&call(&place.part("third"), &setup, &backends));
    all_good(third.iter()).expect("each call is good");
    let share = third.values().filter(|fate| fate.takers.contains("backend-3")).count();
    assert!(share > 0, "the new address got no calls");
    edge.stop();
}

fn usable(edge: &Edge) -> u64 {
    edge.metrics().map_or(0, |metrics| metrics.sum("sipedge_backends", &["state=\"usable\""]))
}

fn wait_members(edge: &Edge, count: u64) {
    let known = wait_until(PATIENCE, || {
        edge.metrics().is_some_and(|metrics| metrics.sum("sipedge_backends", &[]) == count)
    });
    assert!(known, "the name does not stand for {count} backends:\n{}", edge.log());
}

fn wait_out(edge: &Edge, address: SocketAddr) {
    let line = format!("sip:{address} trying -> inactive");
    assert!(wait_until(PATIENCE, || edge.log().contains(&line)), "no \"{line}\":\n{}", edge.log());
}

/// Calls from a phone of their own; what became of them.
fn call(place: &Place, setup: &Setup, backends: &[Sipp]) -> Ledger {
    let phone = Station::new("phone", Side::Phone, free_address(loopback(1)));
    let load =
        Load { calls_per_second: 160, hold: Duration::from_millis(100), ..Load::calls(CALLS) };
    let mut caller = Sipp::caller(place, phone, "caller_heal", setup.listeners[0].1, &load);
    caller.finish().expect("no caller gets what it does not expect");
    let ids: std::collections::BTreeSet<String> =
        caller.events().into_iter().map(|event| event.name.call_id).collect();
    let backends = backends.iter().flat_map(Sipp::events);
    let of_calls = backends.filter(|event| ids.contains(&event.name.call_id));
    Ledger::new(caller.events().into_iter().chain(of_calls).collect())
}
