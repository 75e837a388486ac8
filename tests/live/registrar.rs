//! Phones that register through the edge at real Kamailio backends, and calls between phones through both.
//!
//! Owns: the way phone B, edge, Kamailio, edge (along the Path token), phone A, and what holds on it. Kamailio keeps the
//! bindings in memory, each its own: a call that comes to another backend than the REGISTER of its callee fails.

use std::net::SocketAddr;
use std::time::Duration;

use crate::flows::behind_nat;
use crate::harness::counts::Before;
use crate::harness::edge::{Edge, Setup};
use crate::harness::kamailio::Kamailio;
use crate::harness::ledger::{Event, Ledger, Side, Way, count, differences, report};
use crate::harness::need::Need;
use crate::harness::sipp::{Load, Sipp, Station, field};
use crate::harness::{free_address, loopback, wait_until};
use crate::runner::{Case, Place};

const FLOWS: [&str; 6] = ["bye_by_caller", "bye_by_callee", "cancel", "busy", "options", "message"];
/// Registered phones, and calls of each flow: call N goes to phone N.
const PHONES: u32 = 20;
const SETTLE_DEADLINE: Duration = Duration::from_secs(3);

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (io, steering, needs) in [
        ("io_uring", "ebpf", vec![Need::Sipp, Need::Kamailio, Need::IoUring, Need::Bpf]),
        ("recvmmsg", "kernel", vec![Need::Sipp, Need::Kamailio]),
    ] {
        let name = format!("registrar/kamailio-{io}+{steering}");
        cases.push(Case::new(name, needs, move |place| {
            let setup = Setup { io, steering, ..setup() };
            let (caller, callee) = phones();
            registered_phones(place, &setup, caller, callee);
        }));
    }
    let needs = [Need::Sipp, Need::Kamailio, Need::RealEdge];
    cases.push(Case::new("registrar/behind-nat", needs, |place| {
        let (mut caller, mut callee) = phones();
        caller.claimed = behind_nat();
        callee.claimed = behind_nat();
        registered_phones(place, &setup(), caller, callee);
    }));
    cases
}

/// Two registrars that share the addresses-of-record.
fn setup() -> Setup {
    let backends = [6, 7].map(|host| free_address(loopback(host)));
    Setup { key: "aor", ..Setup::new(free_address(loopback(2)), &backends) }
}

fn phones() -> (Station, Station) {
    let station = |name, host| Station::new(name, Side::Phone, free_address(loopback(host)));
    (station("phone-b", 1), station("phone-a", 8))
}

/// Registers phones at `callee` and calls them from `caller`, in every flow.
pub(crate) fn registered_phones(place: &Place, setup: &Setup, caller: Station, callee: Station) {
    let registrar = |(index, address): (usize, &SocketAddr)| {
        Kamailio::backend(place, &format!("kamailio-{}", index + 1), *address)
    };
    let backends: Vec<Kamailio> = setup.backends.iter().enumerate().map(registrar).collect();
    let edge = Edge::start(place, setup);
    let address = setup.listeners[0].1;
    register(&place.part("register"), &backends, &callee, address, setup.inner());
    for flow in FLOWS {
        let earlier: Vec<usize> = backends.iter().map(|b| b.events().len()).collect();
        let place = place.part(flow);
        let before = Before::of(&edge);
        let a = Sipp::callee(&place, callee.clone(), flow, "");
        let scenario = format!("caller_{flow}");
        let load = Load { calls_per_second: 50, ..Load::calls(PHONES) };
        let mut b = Sipp::caller(&place, caller.clone(), &scenario, address, &load);
        b.finish().unwrap_or_else(|fault| panic!("{flow}: {fault}"));
        let phones = || a.events().into_iter().chain(b.events()).collect();
        check(flow, &settle(&backends, &earlier, phones));
        before.balanced(&edge).unwrap_or_else(|fault| panic!("{flow}: counters: {fault}"));
        assert!(a.errors().is_empty(), "{flow}: the callee complains:\n{}", a.errors());
    }
    edge.stop();
}

/// Phones REGISTER; `inner` is where the registrars reach the edge.
fn register(
    place: &Place,
    backends: &[Kamailio],
    phone: &Station,
    edge: SocketAddr,
    inner: SocketAddr,
) {
    let load = Load::calls(PHONES);
    let mut phone = Sipp::caller(place, phone.clone(), "phone_register", edge, &load);
    phone.finish().expect("REGISTER");
    let ledger = settle(backends, &vec![0; backends.len()], || phone.events());
    ledger.once().expect("REGISTER");
    ledger.one_backend_per_call().expect("REGISTER");
    report(to_backends(&ledger)).expect("REGISTER");
    let shares = ledger.calls_by_backend();
    assert_eq!(shares.len(), backends.len(), "each registrar has phones: {shares:?}");
    for answer in ledger.of(Side::Phone, Way::Received) {
        // The registrar returns what it stored (RFC 3327 5.3): the edge, as `lr`.
        let path = field(&answer.text, "Path").unwrap_or_default();
        assert!(
            path.contains(&inner.to_string()) && path.contains(";lr"),
            "no Path of the edge:\n{}",
            answer.text
        );
    }
}

/// The ledger of phones and backends (without their `earlier` events), once all that the phones sent has come.
fn settle(backends: &[Kamailio], earlier: &[usize], phones: impl Fn() -> Vec<Event>) -> Ledger {
    let mut ledger = Ledger::default();
    wait_until(SETTLE_DEADLINE, || {
        let mut events = phones();
        for (backend, earlier) in backends.iter().zip(earlier) {
            events.extend(backend.events().into_iter().skip(*earlier));
        }
        ledger = Ledger::new(events);
        to_backends(&ledger).is_empty() && end_to_end(&ledger).is_empty()
    });
    ledger
}

fn check(flow: &str, ledger: &Ledger) {
    let promise = |name: &str, kept: Result<(), String>| {
        if let Err(faults) = kept {
            panic!("{flow}: {name}: {faults}");
        }
    };
    promise("what phones send comes to a backend", report(to_backends(ledger)));
    promise("what one phone sends comes to the other", report(end_to_end(ledger)));
    promise("nothing is sent twice", ledger.once());
    promise("a dialog stays on its backend", ledger.one_backend_per_call());
    assert_eq!(ledger.call_ids().len(), PHONES as usize, "{flow}: calls");
}

fn to_backends(ledger: &Ledger) -> Vec<String> {
    let sent = ledger.counts(Side::Phone, Way::Sent);
    differences("from phones to backends", &sent, &ledger.counts(Side::Backend, Way::Received))
}

/// Each message of a phone, or what Kamailio made of it hop by hop, comes to the other phone; a 100 is Kamailio's own.
fn end_to_end(ledger: &Ledger) -> Vec<String> {
    let of = |party: &'static str, way| {
        count(ledger.of(Side::Phone, way).filter(|e| e.party == party && e.name.status != 100))
    };
    let mut faults = differences(
        "from caller to callee",
        &of("phone-b", Way::Sent),
        &of("phone-a", Way::Received),
    );
    faults.extend(differences(
        "from callee to caller",
        &of("phone-a", Way::Sent),
        &of("phone-b", Way::Received),
    ));
    faults
}
