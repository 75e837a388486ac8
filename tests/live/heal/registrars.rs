//! A Kamailio backend is killed and started again, with REGISTER and calls through it.
//!
//! Owns: what phones see of it: they register and are called without it, and at it again when it is back.

use std::collections::BTreeSet;

use super::{PATIENCE, PROBE};
use crate::harness::edge::{Edge, Setup};
use crate::harness::kamailio::Kamailio;
use crate::harness::ledger::{Event, Side, Way};
use crate::harness::need::Need;
use crate::harness::sipp::{Load, Sipp, Station};
use crate::harness::{free_address, loopback, wait_until};
use crate::runner::{Case, Place};

const PHONES: u32 = 40;
/// The registrar that dies.
const DEAD: usize = 1;

pub(super) fn cases() -> Vec<Case> {
    let needs = [Need::Sipp, Need::Kamailio, Need::RealEdge];
    vec![Case::new("heal/kamailio-killed-and-restarted", needs, killed_and_restarted)]
}

fn killed_and_restarted(place: &Place) {
    let addresses = [6, 7].map(|host| free_address(loopback(host)));
    let setup =
        Setup { key: "aor", probe: PROBE, ..Setup::new(free_address(loopback(2)), &addresses) };
    let name = |index: usize| format!("kamailio-{}", index + 1);
    let mut registrars: Vec<Kamailio> =
        (0..2).map(|index| Kamailio::backend(place, &name(index), addresses[index])).collect();
    let edge = Edge::start(place, &setup);
    let phones = Phones { edge: setup.listeners[0].1 };
    let wait_logged = |change: &str, times: usize| {
        let line = format!("sip:{} {change}", addresses[DEAD]);
        let logged = wait_until(PATIENCE, || edge.log().matches(&line).count() >= times);
        assert!(logged, "no \"{line}\", {times} times:\n{}", edge.log());
    };
    phones.register_and_call(&place.part("before"));
    let both = registered(&registrars, 0);
    assert_eq!(both.len(), 2, "each has phones: {both:?}");

    // It dies while phones register: each gets its answer.
    phones.register(&place.part("dying"), |registering| {
        let begun = || registering.events().iter().any(|e| e.way == Way::Received);
        assert!(wait_until(PATIENCE, begun), "no phone registered");
        registrars[DEAD].party().kill();
    });
    wait_logged("trying -> inactive", 1);
    // Its bindings are lost, until their phones register again.
    let seen = registrars[0].events().len();
    phones.register_and_call(&place.part("dead"));
    let alone = registered(&registrars[..1], seen);
    let alone = alone.get(&name(0)).map_or(0, BTreeSet::len);
    assert_eq!(alone, PHONES as usize, "phones that the other one has");

    registrars[DEAD] = Kamailio::backend(&place.part("again"), &name(DEAD), addresses[DEAD]);
    wait_logged("inactive -> active", 1);
    let seen = registrars[0].events().len();
    phones.register_and_call(&place.part("after"));
    let again = registered(&registrars[DEAD..], 0);
    assert_eq!(again.get(&name(DEAD)), both.get(&name(DEAD)), "its phones are back");
    let others = registered(&registrars[..DEAD], seen);
    assert_eq!(others.get(&name(0)), both.get(&name(0)), "those of the other stayed");
    edge.stop();
}

/// The phones' side.
struct Phones {
    edge: std::net::SocketAddr,
}

impl Phones {
    /// All phones register, and `meanwhile` something happens. Gives where they are.
    fn register(&self, place: &Place, meanwhile: impl FnOnce(&Sipp)) -> Station {
        let station = Station::new("phone-a", Side::Phone, free_address(loopback(8)));
        let place = place.part("register");
        let load = load();
        let mut phone = Sipp::caller(&place, station.clone(), "phone_register", self.edge, &load);
        meanwhile(&phone);
        phone.finish().expect("each REGISTER is answered");
        station
    }

    /// All phones register, and then each is called.
    fn register_and_call(&self, place: &Place) {
        let callee = self.register(place, |_| ());
        let callee = Sipp::callee(place, callee, "bye_by_caller", "");
        let caller = Station::new("phone-b", Side::Phone, free_address(loopback(1)));
        let load = load();
        let mut caller = Sipp::caller(place, caller, "caller_bye_by_caller", self.edge, &load);
        caller.finish().expect("each call goes as it should");
        let calls: BTreeSet<String> = caller.events().into_iter().map(|e| e.name.call_id).collect();
        let came: BTreeSet<String> = callee.events().into_iter().map(|e| e.name.call_id).collect();
        assert_eq!(calls.len(), PHONES as usize);
        assert_eq!(calls, came, "each call came to its phone, as one call");
    }
}

fn load() -> Load {
    Load { calls_per_second: 80, ..Load::calls(PHONES) }
}

fn is_register(event: &Event) -> bool {
    event.name.method == "REGISTER" && event.name.status == 0
}

/// The numbers of the REGISTERs that each registrar got after its first `seen` events.
fn registered(
    registrars: &[Kamailio],
    seen: usize,
) -> std::collections::BTreeMap<String, BTreeSet<String>> {
    let mut numbers = std::collections::BTreeMap::<String, BTreeSet<String>>::new();
    for event in registrars.iter().flat_map(|r| r.events().into_iter().skip(seen)) {
        if is_register(&event) {
            // SIPp's Call-IDs begin with the number of the call.
            let number = event.name.call_id.split('-').next().unwrap_or_default().to_owned();
            numbers.entry(event.party).or_default().insert(number);
        }
    }
    numbers
}
