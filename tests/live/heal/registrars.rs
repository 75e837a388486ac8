//! A registrar is killed and started again, drained and enabled, taken out and added again, under phones that register and call.
//!
//! Owns: what phones see of it: they register and are called without it, and at it again when it is back. What is promised to
//! calls alone is tested with Kamailio in `dead`, `hand` and `reload`, too.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

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
/// How long calls stand while something happens to a registrar.
const HOLD: Duration = Duration::from_millis(1_200);
const TOKEN: &str = "live-test-token-live-test-token";

pub(super) fn cases() -> Vec<Case> {
    let needs = [Need::Sipp, Need::Kamailio, Need::RealEdge];
    vec![
        Case::new("heal/registrar-killed-and-restarted", needs, killed_and_restarted),
        Case::new("heal/registrar-drained-and-taken-out", needs, drained_and_taken_out),
    ]
}

/// Two registrars behind an edge, each with memory of its own, and the phones.
struct Registrars {
    setup: Setup,
    edge: Edge,
    registrars: Vec<Kamailio>,
    phones: Phones,
}

impl Registrars {
    fn start(place: &Place) -> Self {
        let addresses = [6, 7].map(|host| free_address(loopback(host)));
        let setup = Setup {
            key: "aor",
            probe: PROBE,
            more: format!("token = \"{TOKEN}\"\n"),
            ..Setup::new(free_address(loopback(2)), &addresses)
        };
        let registrar = |index: usize| Kamailio::backend(place, &name(index), addresses[index]);
        let registrars = (0..2).map(registrar).collect();
        let edge = Edge::start(place, &setup);
        let phones = Phones::new(setup.listeners[0].1);
        Self { setup, edge, registrars, phones }
    }

    fn wait_logged(&self, line: &str, times: usize) {
        let logged = wait_until(PATIENCE, || self.edge.log().matches(line).count() >= times);
        assert!(logged, "no \"{line}\", {times} times:\n{}", self.edge.log());
    }

    fn wait_health(&self, change: &str, times: usize) {
        self.wait_logged(&format!("sip:{} {change}", self.setup.backends[DEAD]), times);
    }

    /// All phones register and are called; gives the numbers that each registrar has got of them.
    fn homes(&self, place: &Place) -> BTreeMap<String, BTreeSet<String>> {
        let seen: Vec<usize> = self.registrars.iter().map(|r| r.events().len()).collect();
        self.phones.register_and_call(place);
        let new = self.registrars.iter().zip(seen).flat_map(|(r, seen)| r.events().split_off(seen));
        registered(new)
    }

    /// As [`Self::homes`], when the other one has them all.
    fn all_at_the_other(&self, place: &Place) {
        let homes = self.homes(place);
        let at = |index: usize| homes.get(&name(index)).map_or(0, BTreeSet::len);
        assert_eq!((at(0), at(DEAD)), (PHONES as usize, 0), "phones that each one has");
    }

    /// How many calls ended through the one that suffers.
    fn byes(&self) -> usize {
        let events = self.registrars[DEAD].events();
        events.iter().filter(|e| e.name.method == "BYE" && e.name.status == 0).count()
    }

    fn ctl(&self, action: &str) -> String {
        let uri = format!("sip:{}", self.setup.backends[DEAD]);
        let said = self.edge.ctl(&[action, "backends", &uri], TOKEN);
        said.unwrap_or_else(|error| panic!("ctl {action}: {error}"))
    }
}

fn name(index: usize) -> String {
    format!("kamailio-{}", index + 1)
}

fn killed_and_restarted(place: &Place) {
    let mut all = Registrars::start(place);
    let before = all.homes(&place.part("before"));
    assert_eq!(before.len(), 2, "each has phones: {before:?}");

    // It dies while phones register: each gets its answer.
    let mut registering = all.phones.registering(&place.part("dying"));
    let begun = || registering.events().iter().any(|e| e.way == Way::Received);
    assert!(wait_until(PATIENCE, begun), "no phone registered");
    all.registrars[DEAD].party().kill();
    registering.finish().expect("each REGISTER is answered");
    all.wait_health("trying -> inactive", 1);
    // Its bindings are lost, until their phones register again.
    all.all_at_the_other(&place.part("dead"));

    let address = all.setup.backends[DEAD];
    all.registrars[DEAD] = Kamailio::backend(&place.part("again"), &name(DEAD), address);
    all.wait_health("inactive -> active", 1);
    let after = all.homes(&place.part("after"));
    assert_eq!(after, before, "its phones are back, and those of the other stayed");
    all.edge.stop();
}

/// Calls along the bindings that it has stand and end; phones that register anew are at the other, until it is back.
fn drained_and_taken_out(place: &Place) {
    let all = Registrars::start(place);
    let before = all.homes(&place.part("before"));
    assert_eq!(before.len(), 2, "each has phones: {before:?}");

    let standing = all.phones.standing_calls(&place.part("drained"));
    all.ctl("drain");
    let byes = all.byes();
    standing.end();
    assert!(all.byes() > byes, "its calls did not end through it");
    all.all_at_the_other(&place.part("without"));
    all.ctl("enable");
    assert_eq!(all.homes(&place.part("enabled")), before, "each phone is at its home");

    let standing = all.phones.standing_calls(&place.part("taken-out"));
    let mut fewer = all.setup.clone();
    fewer.backends.remove(DEAD);
    all.edge.reload(&fewer);
    all.wait_logged("reload: taken over", 1);
    let byes = all.byes();
    standing.end();
    assert!(all.byes() > byes, "its calls did not end through it");
    all.all_at_the_other(&place.part("alone"));
    all.edge.reload(&all.setup);
    all.wait_logged("reload: taken over", 2);
    // One that is new in the pool gets keys at once: nothing speaks against it.
    assert_eq!(all.homes(&place.part("re-added")), before, "each phone is at its home");
    all.edge.stop();
}

/// The phones' side.
struct Phones {
    edge: SocketAddr,
    /// Where all of them are, whenever they register.
    station: Station,
}

impl Phones {
    fn new(edge: SocketAddr) -> Self {
        Self { edge, station: Station::new("phone-a", Side::Phone, free_address(loopback(8))) }
    }

    /// All phones begin to register.
    fn registering(&self, place: &Place) -> Sipp {
        let station = self.station.clone();
        Sipp::caller(&place.part("register"), station, "phone_register", self.edge, &load())
    }

    /// All phones register, and then each is called.
    fn register_and_call(&self, place: &Place) {
        self.calls(place, Duration::from_millis(50)).end();
    }

    /// All phones register and are called; given when all calls stand, which they do for a while.
    fn standing_calls(&self, place: &Place) -> Calls {
        let calls = self.calls(place, HOLD);
        let standing = || {
            let events = calls.caller.events();
            events.iter().filter(|e| e.way == Way::Sent && e.name.method == "ACK").count()
        };
        let begun = wait_until(PATIENCE, || standing() >= PHONES as usize);
        assert!(begun, "{} calls stand", standing());
        calls
    }

    fn calls(&self, place: &Place, hold: Duration) -> Calls {
        self.registering(place).finish().expect("each REGISTER is answered");
        let callee = Sipp::callee(place, self.station.clone(), "hold", "");
        let caller = Station::new("phone-b", Side::Phone, free_address(loopback(1)));
        let load = Load { hold, ..load() };
        let caller = Sipp::caller(place, caller, "caller_hold", self.edge, &load);
        Calls { callee, caller }
    }
}

/// A call to each phone.
struct Calls {
    callee: Sipp,
    caller: Sipp,
}

impl Calls {
    /// Waits for their end: each went as it should.
    fn end(mut self) {
        self.caller.finish().expect("each call goes as it should");
        let calls = |phone: &Sipp| -> BTreeSet<String> {
            phone.events().into_iter().map(|event| event.name.call_id).collect()
        };
        let (made, came) = (calls(&self.caller), calls(&self.callee));
        assert_eq!(made.len(), PHONES as usize);
        assert_eq!(made, came, "each call came to its phone, as one call");
    }
}

fn load() -> Load {
    Load { calls_per_second: 160, ..Load::calls(PHONES) }
}

/// The numbers of the REGISTERs that each registrar got.
fn registered(events: impl Iterator<Item = Event>) -> BTreeMap<String, BTreeSet<String>> {
    let mut numbers = BTreeMap::<String, BTreeSet<String>>::new();
    for event in events.filter(|e| e.name.method == "REGISTER" && e.name.status == 0) {
        // SIPp's Call-IDs begin with the number of the call.
        let number = event.name.call_id.split('-').next().unwrap_or_default().to_owned();
        numbers.entry(event.party).or_default().insert(number);
    }
    numbers
}
