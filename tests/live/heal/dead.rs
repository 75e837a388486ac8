//! A backend is killed, or stopped so that nothing tells of it, under calls; then it comes back under calls.
//!
//! Owns: what is promised to calls of the dead one, to those of the others, and on its return.

use std::time::Duration;

use super::backend::Kind;
use super::fates::{Fates, all_good, fates, homes, part};
use super::{PATIENCE, PROBE_INTERVAL, PROBE_TIMEOUT, SLACK, Scene, T1, last_us, micros, party};
use crate::harness::ledger::{Ledger, Side, Way};
use crate::harness::sipp::Load;
use crate::harness::wait_until;
use crate::runner::{Case, Place};

/// Calls of each flow; a third of them are the dead one's.
const CALLS: u32 = 600;
const CALLS_PER_SECOND: u32 = 200;
/// Behind a Kamailio there is a SIPp, and it logs each message.
const CALLS_PER_SECOND_KAMAILIO: u32 = 150;
const HOLD: Duration = Duration::from_millis(200);
/// So many calls of a flow are begun before something happens.
const BEFORE: usize = 150;
/// The backend that suffers.
const DEAD: usize = 1;
/// Good probes that bring it back: the default.
const RISE: usize = 2;
/// Between the tables of two shards, and between two log files.
const GRACE: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blow {
    /// The kernel answers for it: ICMP.
    Kill,
    /// Nobody answers.
    Stop,
}

impl Blow {
    /// How long after the blow the last call may begin that still meets it.
    const fn noticed_within(self) -> Duration {
        match self {
            Self::Kill => PROBE_INTERVAL,
            // The probe after it, and `fall` timeouts; the second probe follows at once.
            Self::Stop => PROBE_INTERVAL.saturating_add(PROBE_TIMEOUT.saturating_mul(2)),
        }
    }

    /// How long a call may wait for its 200: a retransmission that comes too early is followed by another after 2 T1.
    const fn answered_within(self) -> Duration {
        match self {
            Self::Kill => PROBE_INTERVAL.saturating_add(T1),
            Self::Stop => self.noticed_within().saturating_add(T1.saturating_mul(2)),
        }
    }
}

pub(super) fn cases() -> Vec<Case> {
    let case = |name: &str, kind: Kind, blow, slow_start_s| {
        let run = move |place: &Place| dies_and_returns(place, kind, blow, slow_start_s);
        Case::new(format!("heal/{name}"), kind.needs(), run)
    };
    vec![
        case("killed-and-restarted", Kind::Sipp, Blow::Kill, 0),
        case("stopped-and-continued", Kind::Sipp, Blow::Stop, 0),
        case("slow-start", Kind::Sipp, Blow::Kill, 2),
        case("kamailio-killed-and-restarted-slowly", Kind::Kamailio, Blow::Kill, 2),
        case("kamailio-stopped-and-continued", Kind::Kamailio, Blow::Stop, 0),
    ]
}

fn load(kind: Kind) -> Load {
    let calls_per_second = match kind {
        Kind::Sipp => CALLS_PER_SECOND,
        Kind::Kamailio => CALLS_PER_SECOND_KAMAILIO,
    };
    Load { calls_per_second, hold: HOLD, ..Load::calls(CALLS) }
}

/// Phones that register meanwhile, as long as the calls come.
fn registering() -> Load {
    Load { calls_per_second: 80, ..Load::calls(240) }
}

fn dies_and_returns(place: &Place, kind: Kind, blow: Blow, slow_start_s: u32) {
    let mut scene = Scene::start(place, kind, |setup| {
        setup.pool = format!("slow_start_s = {slow_start_s}\n");
    });
    scene.wait_usable(3, 0);
    let caller = scene.call("caller_heal", &load(kind));
    let phones = (kind == Kind::Kamailio).then(|| scene.call("phone_register", &registering()));
    scene.wait_begun(&caller, BEFORE);
    match blow {
        Blow::Kill => scene.kill(DEAD),
        Blow::Stop => scene.backends[DEAD].party().signal("STOP"),
    }
    // Its last word: a probe or a call of a moment before.
    let blow_us = last_us(&scene.backends[DEAD].own_events());
    scene.wait_logged(DEAD, "trying -> inactive", 1);
    scene.wait_logged(DEAD, "active -> trying", 1);
    scene.wait_usable(2, 1);
    let ledger = scene.finish(caller);
    let died = fates(&ledger);
    let moved = calls_of_the_dead(&scene, &died, blow, blow_us);
    calls_of_others(&ledger, &died);
    if let Some(phones) = phones {
        registrations(&scene.finish(phones), blow, blow_us);
    }

    let returned = comes_back(&mut scene, kind, blow, slow_start_s > 0);
    // The keys of the dead one are those that have it as their home now; they came from elsewhere when it was dead.
    let home = party(DEAD);
    let of_dead = |number: &u32| returned.get(number) == Some(&home);
    assert!(moved.iter().all(of_dead), "keys of others moved: {moved:?}");
    let strayed: Vec<_> = died
        .iter()
        .filter(|(number, fate)| !of_dead(number) && fate.takers.first() != returned.get(number))
        .collect();
    assert!(strayed.is_empty(), "calls of other homes went astray: {strayed:?}");
    scene.only_out(DEAD);
    scene.edge.stop();
}

/// A call that the dead one never answered is answered by exactly one other, in time. Gives the calls that needed it.
fn calls_of_the_dead(scene: &Scene, died: &Fates, blow: Blow, blow_us: u64) -> Vec<u32> {
    let address = scene.backends[DEAD].contact().to_string();
    let mut moved = Vec::new();
    let (mut slowest_us, mut hanging) = (0, 0);
    for (number, fate) in died {
        let others = fate.takers.iter().filter(|taker| **taker != party(DEAD)).count();
        if fate.answered_by.contains(&address) {
            assert_eq!(others, 0, "call {number} was answered, and went on to another: {fate:?}");
            assert_eq!(fate.answered_by.len(), 1, "call {number} was answered by two: {fate:?}");
            continue;
        }
        // It said 100 with its last breath: the phone repeats nothing, and no other may get it.
        if others == 0 && fate.is_under_way {
            let early_us = blow_us.saturating_sub(fate.begun_us);
            assert!(early_us < micros(SLACK), "call {number} hung before it died: {fate:?}");
            hanging += 1;
            continue;
        }
        assert_eq!(others, 1, "call {number} was not given to one other backend: {fate:?}");
        assert!(fate.answered_us.is_some() && fate.is_ended, "call {number} is lost: {fate:?}");
        if fate.invites == 1 {
            continue;
        }
        moved.push(*number);
        slowest_us = slowest_us.max(fate.answered_us.unwrap_or(u64::MAX) - fate.begun_us);
        let late = fate.begun_us.saturating_sub(blow_us);
        assert!(
            late < micros(blow.noticed_within() + SLACK),
            "call {number} met the dead one {late} us after its end: {fate:?}"
        );
    }
    assert!(!moved.is_empty(), "no call met the dead backend: nothing was tested");
    assert!(
        slowest_us < micros(blow.answered_within() + SLACK),
        "a call waited {slowest_us} us for its answer"
    );
    println!(
        "  {blow:?}: {} calls moved, the slowest answered after {slowest_us} us; {hanging} hung",
        moved.len()
    );
    moved
}

/// Each REGISTER is answered, as SIPp saw; by one other at most, and once where the dead one never had it.
fn registrations(ledger: &Ledger, blow: Blow, blow_us: u64) {
    let mut moved = 0;
    for call_id in ledger.call_ids() {
        let events = || ledger.events.iter().filter(|event| event.name.call_id == call_id);
        let sent: Vec<_> =
            events().filter(|e| e.side == Side::Phone && e.way == Way::Sent).collect();
        let takers: Vec<_> = events()
            .filter(|e| e.side == Side::Backend && e.way == Way::Received)
            .map(|e| e.party.clone())
            .collect();
        let others = takers.iter().filter(|taker| **taker != party(DEAD)).count();
        assert!(others <= 1, "{call_id} was given to others {others} times: {takers:?}");
        if sent.len() == 1 {
            assert_eq!(takers.len(), 1, "{call_id} came to {takers:?}");
        } else if sent.iter().any(|event| event.at_us > blow_us) {
            moved += usize::from(others == 1);
        }
    }
    // ICMP tells so soon that none may meet one that was killed.
    assert!(moved > 0 || blow == Blow::Kill, "no REGISTER met the one that stands still");
}

/// What goes between a phone and another backend is neither lost nor doubled.
fn calls_of_others(ledger: &Ledger, died: &Fates) {
    let untouched =
        died.values().filter(|fate| fate.invites == 1 && !fate.takers.contains(&party(DEAD)));
    let ledger = part(ledger, untouched);
    assert!(ledger.call_ids().len() > BEFORE, "too few calls of others");
    ledger.conserved().expect("nothing of other backends is lost or duplicated");
}

/// The backend comes back while calls come in; no call is lost. Gives the home of each number in the end.
fn comes_back(
    scene: &mut Scene,
    kind: Kind,
    blow: Blow,
    is_slow: bool,
) -> std::collections::BTreeMap<u32, String> {
    let caller = scene.call("caller_heal", &load(kind));
    scene.wait_begun(&caller, BEFORE / 2);
    let silent_us = match blow {
        Blow::Kill => {
            scene.restart(DEAD);
            0
        }
        Blow::Stop => {
            let events = scene.backends[DEAD].own_events();
            scene.backends[DEAD].party().signal("CONT");
            last_us(&events)
        }
    };
    scene.wait_logged(DEAD, "inactive -> active: 2 good probes in a row", 1);
    scene.wait_usable(3, 0);
    let ledger = scene.finish(caller);
    ledger.conserved().expect("nothing is lost or duplicated when a backend comes back");
    let back = fates(&ledger);
    all_good(back.iter()).expect("each call is good when a backend comes back");
    let home = party(DEAD);
    let first = back.values().filter(|fate| fate.takers.contains(&home)).map(|fate| fate.begun_us);
    let first_us = first.min().expect("it got calls again");
    let probes = scene.backends[DEAD].events();
    let good = probes.iter().filter(|event| {
        let is_probe = event.way == Way::Received && event.name.method == "OPTIONS";
        is_probe && event.at_us > silent_us && event.at_us <= first_us + micros(GRACE)
    });
    let good = good.count();
    assert!(good >= RISE, "it got calls after {good} good probes");

    if is_slow {
        let over = wait_until(PATIENCE, || scene.edge.log().contains("slow start is over"));
        assert!(over, "the slow start has no end:\n{}", scene.edge.log());
    }
    let settled =
        scene.run(&Load { calls_per_second: 2 * load(kind).calls_per_second, ..load(kind) });
    settled.conserved().expect("nothing is lost or duplicated");
    let homes = homes(&fates(&settled));
    let early = back.iter().filter(|(number, fate)| {
        let is_later = fate.begun_us > first_us + micros(GRACE);
        is_later && homes.get(number) == Some(&home) && !fate.takers.contains(&home)
    });
    let early = early.count();
    assert_eq!(early > 0, is_slow, "{early} of its calls went elsewhere after its return");
    homes
}
