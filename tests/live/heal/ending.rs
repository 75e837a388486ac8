//! SIGTERM under calls: the edge says that it ends, forwards until the last call is over, and ends well.
//!
//! Owns: what others see of a node that drains.

use std::net::UdpSocket;
use std::time::Duration;

use super::backend::Kind;
use super::fates::{all_good, fates};
use super::{PATIENCE, Scene};
use crate::harness::need::Need;
use crate::harness::sipp::Load;
use crate::harness::{free_address, loopback, wait_until};
use crate::runner::{Case, Place};

const CALLS: u32 = 200;
const BEFORE: usize = 100;
/// Calls come up in a second and stand for another.
const HOLD: Duration = Duration::from_secs(1);
/// Longer than all calls take.
const DRAIN_SECONDS: u64 = 20;
/// How long an answer over loopback may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) fn cases() -> Vec<Case> {
    vec![Case::new("heal/drained", [Need::Sipp, Need::RealEdge], drained)]
}

fn drained(place: &Place) {
    let hook = place.path("hook-ran");
    let mut scene = Scene::start(place, Kind::Sipp, |setup| {
        setup.node = format!(
            "drain_seconds = {DRAIN_SECONDS}\ndrain_hook = [\"/usr/bin/touch\", \"{}\"]\n",
            hook.display()
        );
    });
    assert_eq!(scene.edge.healthz(), Some(200));
    assert_eq!(options_to_the_edge(&scene), "SIP/2.0 200 OK");
    let load = Load { calls_per_second: 200, hold: HOLD, ..Load::calls(CALLS) };
    let caller = scene.call("caller_heal", &load);
    scene.wait_begun(&caller, BEFORE);
    scene.edge.begin_to_end();
    let said = wait_until(PATIENCE, || scene.edge.healthz() == Some(503));
    assert!(said, "/healthz does not say that it ends");
    let answered = wait_until(PATIENCE, || options_to_the_edge(&scene).starts_with("SIP/2.0 503"));
    assert!(answered, "OPTIONS to it is not answered 503");
    assert!(wait_until(PATIENCE, || hook.exists()), "the drain hook did not run");
    let ledger = scene.finish(caller);
    ledger.conserved().expect("nothing is lost or duplicated while it drains");
    let fates = fates(&ledger);
    all_good(fates.iter()).expect("each call is good while it drains");
    assert_eq!(fates.len(), CALLS as usize);
    let Scene { edge, .. } = scene;
    // Nothing comes any more: it ends long before the deadline.
    edge.wait_end(Duration::from_secs(DRAIN_SECONDS / 2));
}

/// The first line of what the edge says to OPTIONS.
fn options_to_the_edge(scene: &Scene) -> String {
    let socket = UdpSocket::bind(free_address(loopback(1))).expect("a free port");
    socket.set_read_timeout(Some(ANSWER_TIMEOUT)).expect("a time");
    let (edge, local) = (scene.setup.listeners[0].1, socket.local_addr().expect("bound"));
    let request = format!(
        "OPTIONS sip:{edge} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bK-probe-{}\r\n\
         From: <sip:probe@{local}>;tag=1\r\nTo: <sip:{edge}>\r\nCall-ID: probe-{}@{local}\r\n\
         CSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
        local.port(),
        local.port()
    );
    socket.send_to(request.as_bytes(), edge).expect("loopback");
    let mut answer = [0; 2_000];
    let count = socket.recv(&mut answer).expect("an answer");
    let text = String::from_utf8_lossy(&answer[..count]).into_owned();
    text.lines().next().unwrap_or_default().to_owned()
}
