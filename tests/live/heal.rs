//! Backends that die, hang, come back, leave and return under calls, and an edge that is reloaded and drained.
//!
//! Owns: the list of these cases, and [`Scene`]: an edge that probes, three backends (SIPp or Kamailio), callers that come and
//! go. The key is the To, so that call N has the same home in each flow. What became of the calls is in `fates`.

mod backend;
mod dead;
mod ending;
mod fates;
mod figures;
mod hand;
mod names;
mod registrars;
mod reload;

use std::net::SocketAddr;
use std::time::Duration;

use crate::harness::edge::{Edge, Setup};
use crate::harness::ledger::{Event, Ledger, Side, Way};
use crate::harness::sipp::{Load, Sipp, Station};
use crate::harness::{free_address, loopback, wait_until};
use crate::runner::{Case, Place};
use backend::{Backend, Kind};

/// What probes the edges of these cases send. Rise and fall are the defaults: 2 and 2.
const PROBE: &str = "{ interval_ms = 500, timeout_ms = 500 }";
const PROBE_INTERVAL: Duration = Duration::from_millis(500);
/// Long enough for a backend on a busy machine.
const PROBE_TIMEOUT: Duration = Duration::from_millis(500);
/// The first retransmission comes so long after the request (T1), the second twice as long after the first.
const T1: Duration = Duration::from_millis(500);
/// What a busy machine may add.
const SLACK: Duration = Duration::from_millis(400);
/// For what must happen, whenever it does.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = dead::cases();
    cases.extend(reload::cases());
    cases.extend(ending::cases());
    cases.extend(hand::cases());
    cases.extend(names::cases());
    cases.extend(registrars::cases());
    cases.extend(figures::cases());
    cases
}

/// An edge, its backends, and all that they logged.
struct Scene {
    place: Place,
    kind: Kind,
    setup: Setup,
    edge: Edge,
    backends: Vec<Backend>,
    /// What backends logged before they were started again.
    earlier: Vec<Event>,
    flows: u32,
}

impl Scene {
    /// Three backends and an edge that `edit` may change.
    fn start(place: &Place, kind: Kind, edit: impl FnOnce(&mut Setup)) -> Self {
        let addresses = [3, 4, 5].map(|host| free_address(loopback(host)));
        let mut setup =
            Setup { key: "to", probe: PROBE, ..Setup::new(free_address(loopback(2)), &addresses) };
        edit(&mut setup);
        let inner = setup.inner();
        let backend = |(index, address): (usize, &SocketAddr)| {
            Backend::start(place, kind, index, *address, inner)
        };
        let backends = addresses.iter().enumerate().map(backend).collect();
        let edge = Edge::start(place, &setup);
        let place = place.clone();
        Self { place, kind, setup, edge, backends, earlier: Vec::new(), flows: 0 }
    }

    /// Starts calls from a phone of their own.
    fn call(&mut self, scenario: &str, load: &Load) -> Sipp {
        self.flows += 1;
        let place = self.place.part(&format!("flow-{}", self.flows));
        let phone = Station::new("phone", Side::Phone, free_address(loopback(1)));
        Sipp::caller(&place, phone, scenario, self.setup.listeners[0].1, load)
    }

    /// Calls from the first to the last.
    fn run(&mut self, load: &Load) -> Ledger {
        let caller = self.call("caller_heal", load);
        self.finish(caller)
    }

    /// Waits for the end of a caller; what became of its calls.
    fn finish(&self, mut caller: Sipp) -> Ledger {
        caller.finish().expect("no caller gets what it does not expect");
        let mut ledger = self.ledger(&caller);
        // Its last message may be under way; what never comes is a fault for the promises.
        wait_until(T1, || {
            ledger = self.ledger(&caller);
            ledger.conserved().is_ok()
        });
        ledger
    }

    /// What was logged of the calls of this caller so far.
    fn ledger(&self, caller: &Sipp) -> Ledger {
        let mut events = caller.events();
        let ids: std::collections::BTreeSet<String> =
            events.iter().map(|event| event.name.call_id.clone()).collect();
        let backends = self.backends.iter().flat_map(Backend::events);
        let of_calls = backends
            .chain(self.earlier.iter().cloned())
            .filter(|event| ids.contains(&event.name.call_id));
        events.extend(of_calls);
        Ledger { backends_repeat: self.kind == Kind::Kamailio, ..Ledger::new(events) }
    }

    /// Waits until so many calls of this caller were begun.
    fn wait_begun(&self, caller: &Sipp, calls: usize) {
        let begun = || {
            let events = caller.events();
            events.iter().filter(|e| e.way == Way::Sent && e.name.method == "INVITE").count()
        };
        assert!(wait_until(PATIENCE, || begun() >= calls), "{calls} calls were not begun");
    }

    /// A backend dies.
    fn kill(&mut self, index: usize) {
        self.backends[index].party().kill();
    }

    /// A backend that was killed is started again at its address; what it logged stays.
    fn restart(&mut self, index: usize) {
        self.earlier.extend(self.backends[index].own_events());
        let place = self.place.part("again");
        self.backends[index].restart(&place);
    }

    /// Waits until the edge has logged this of a backend, so many times.
    fn wait_logged(&self, index: usize, change: &str, times: usize) {
        let line = format!("sip:{} {change}", self.setup.backends[index]);
        let logged = wait_until(PATIENCE, || self.edge.log().matches(&line).count() >= times);
        assert!(logged, "the edge did not log \"{line}\" {times} times:\n{}", self.edge.log());
    }

    /// No backend but this one was ever out.
    fn only_out(&self, index: usize) {
        let log = self.edge.log();
        for (other, address) in self.setup.backends.iter().enumerate().filter(|(o, _)| *o != index)
        {
            let line = format!("sip:{address} trying -> inactive");
            assert!(!log.contains(&line), "{} was out, too:\n{log}", party(other));
        }
    }

    /// Waits until /metrics says how many backends take new keys, and how many do not.
    fn wait_usable(&self, usable: u64, out: u64) {
        self.wait_counts(usable, out, 0);
    }

    /// The same, and how many have left the pool.
    fn wait_counts(&self, usable: u64, out: u64, leaving: u64) {
        let wanted = (usable, out, leaving);
        let mut seen = (0, 0, 0);
        let agreed = wait_until(PATIENCE, || {
            let Some(metrics) = self.edge.metrics() else { return true };
            let count = |state| metrics.sum("sipedge_backends", &[state]);
            let leaving = count("state=\"leaving\"");
            seen = (count("state=\"usable\""), count("state=\"out\""), leaving);
            seen == wanted
        });
        assert!(agreed, "usable, out and leaving: {seen:?} instead of {wanted:?}");
    }
}

fn party(index: usize) -> String {
    format!("backend-{}", index + 1)
}

/// The time of the last event that `events` have; the log's clock is that of SIPp.
fn last_us(events: &[Event]) -> u64 {
    events.iter().map(|event| event.at_us).max().unwrap_or(0)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).expect("short times")
}
