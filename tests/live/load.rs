//! 1,000 calls that stand at the same time.
//!
//! Owns: the load, and what holds under it. A retransmission is allowed here (the machine may be busy), a message that is
//! lost or doubled by the edge is not.

use std::time::Duration;

use crate::flows::{Done, Stage};
use crate::harness::counts::{Before, steered};
use crate::harness::edge::Setup;
use crate::harness::ledger::{Ledger, Side, Way};
use crate::harness::need::Need;
use crate::harness::sipp::Load;
use crate::harness::{free_address, loopback};
use crate::runner::{Case, Place};

const CALLS: u32 = 1_000;
/// At this rate the calls come up in 2.5 seconds.
const CALLS_PER_SECOND: u32 = 400;
/// Longer than the calls take to come up, so that all of them stand together.
const HOLD: Duration = Duration::from_secs(6);
/// Of all messages, how many may be retransmissions: 1 of so many.
const RETRANSMISSIONS_ONE_OF: usize = 100;

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (io, steering, needs) in [
        ("io_uring", "ebpf", vec![Need::Sipp, Need::IoUring, Need::Bpf]),
        ("recvmmsg", "kernel", vec![Need::Sipp]),
    ] {
        let name = format!("load/1000-calls-{io}+{steering}");
        cases.push(Case::new(name, needs, move |place| concurrent_calls(place, io, steering)));
    }
    cases
}

fn concurrent_calls(place: &Place, io: &'static str, steering: &'static str) {
    let edge = free_address(loopback(2));
    let backends = [3, 4, 5].map(|host| free_address(loopback(host)));
    let setup = Setup { io, steering, ..Setup::new(edge, &backends) };
    let stage = Stage::start(place, &setup, free_address(loopback(1)));
    let load = Load { calls_per_second: CALLS_PER_SECOND, hold: HOLD, ..Load::calls(CALLS) };
    let before = Before::of(&stage.edge);
    let Done { ledger, outcome } = stage.run(place, "hold", &load);
    outcome.expect("all calls go as their scenario says");
    ledger.conserved().expect("nothing is lost or duplicated");
    ledger.one_backend_per_call().expect("a dialog stays on its backend");
    before.agrees(&stage.edge, &ledger, &backends).expect("the edge's counters");
    steered(&stage.edge, steering).expect("each message at its shard");
    assert_eq!(ledger.call_ids().len(), CALLS as usize, "calls");
    let standing = ledger.concurrent_calls_max();
    assert!(standing >= CALLS as usize, "only {standing} calls stood at the same time");
    let (messages, repeated) = repeated(&ledger);
    assert!(
        repeated * RETRANSMISSIONS_ONE_OF <= messages,
        "{repeated} of {messages} messages are retransmissions"
    );
    println!(
        "  {standing} calls at once, {repeated} of {messages} messages retransmitted, shares {:?}",
        ledger.calls_by_backend()
    );
    stage.edge.stop();
}

/// How many messages were sent, and how many of them more than once.
fn repeated(ledger: &Ledger) -> (usize, usize) {
    let mut sent = 0;
    let mut names = 0;
    for side in [Side::Phone, Side::Backend] {
        let counts = ledger.counts(side, Way::Sent);
        sent += counts.values().sum::<usize>();
        names += counts.len();
    }
    (sent, sent - names)
}
