//! What no baresip can be told to do, by SIPp: BLF, MESSAGE, PRACK, UPDATE by both ends, INFO; calls dialled by contact.
//!
//! Owns: who plays which scenario (`tests/live/sipp/*_asterisk_*.xml`). Odd numbers dial by AoR, even ones by contact:
//! Asterisk writes other routes then.

use std::net::SocketAddr;
use std::time::Duration;

use crate::asterisk::world::{PUBLIC, World, home};
use crate::harness::ledger::Way::{Received, Sent};
use crate::harness::ledger::{Ledger, Side};
use crate::harness::netns::Netns;
use crate::harness::sipp::{Load, Sipp, Station};
use crate::runner::Place;

/// Caller and callee: by AoR, by contact.
const PAIRS: [(u16, u16); 2] = [(1011, 1012), (1014, 1013)];
/// Asterisk refreshes a session of 90 seconds after 45.
const HOLD: Duration = Duration::from_secs(48);

/// A number watches another's state while that one is called.
pub(super) fn watch(place: &Place, netns: &Netns) {
    let world = World::start(place, netns);
    let (mut anna, mut bert) = (world.phone(1001), world.phone(1002));
    let mut watcher = caller(place, netns, 1011, "watch", anna.number(), Duration::ZERO);
    world.until("the watcher has its first NOTIFY", || {
        watcher.events().iter().any(|e| e.name.method == "NOTIFY" && e.way == Sent)
    });
    let (mark, marked) = (bert.mark(), anna.mark());
    bert.dial(anna.number());
    anna.wait(marked, Sent, "INVITE", 180);
    anna.tell("accept");
    anna.wait(marked, Received, "ACK", 0);
    bert.wait(mark, Sent, "ACK", 0);
    bert.tell("hangup");
    anna.wait(marked, Received, "BYE", 0);
    watcher.finish().expect("the watcher sees each state of the call");

    let ledger = world.settled("watch", || {
        let phones = anna.events().into_iter().chain(bert.events());
        phones.chain(watcher.events()).collect()
    });
    let states: Vec<bool> = ledger
        .of(Side::Phone, Received)
        .filter(|e| e.name.method == "NOTIFY")
        .map(|e| e.text.contains("<state>confirmed"))
        .collect();
    assert!(states.contains(&true), "no NOTIFY of a call: {states:?}");
    world.idle("watch");
    world.stop();
}

/// Asterisk passes a message on: to phones whose contact has their number as user part, which baresip's has not.
pub(super) fn message(place: &Place, netns: &Netns) {
    let world = World::start(place, netns);
    let ledger = play(&world, place, "message", Duration::ZERO);
    for (_, callee) in PAIRS {
        let party = format!("{callee}-message");
        let text =
            ledger.of(Side::Phone, Received).find(|e| e.party == party && e.name.status == 0);
        let text = &text.expect("the other phone has the message").text;
        assert!(text.trim_end().ends_with("Is anybody at home?"), "another text:\n{text}");
    }
    world.stop();
}

pub(super) fn cancel(place: &Place, netns: &Netns) {
    let world = World::start(place, netns);
    play(&world, place, "cancel", Duration::ZERO);
    world.stop();
}

pub(super) fn timers_prack_info(place: &Place, netns: &Netns) {
    let world = World::start(place, netns);
    let ledger = play(&world, place, "dialog", HOLD);
    for (caller, callee) in PAIRS {
        for (number, way, method) in [
            (caller, Sent, "UPDATE"),
            (callee, Received, "UPDATE"),
            (caller, Sent, "PRACK"),
            (callee, Received, "PRACK"),
            (callee, Received, "INFO"),
            (callee, Received, "BYE"),
        ] {
            let party = format!("{number}-dialog");
            let seen = ledger
                .of(Side::Phone, way)
                .any(|e| e.party == party && e.name.method == method && e.name.status == 0);
            assert!(seen, "{number}: no {method} {way:?}");
        }
    }
    world.stop();
}

/// Both pairs register their callee and play a scenario, at the same time.
fn play(world: &World<'_>, place: &Place, flow: &str, hold: Duration) -> Ledger {
    let netns = world.netns;
    let mut parties = Vec::new();
    for (_, number) in PAIRS {
        let mut register = caller(place, netns, number, "register", number, Duration::ZERO);
        register.finish().unwrap_or_else(|fault| panic!("{number} registers: {fault}"));
        parties.push(register);
        let station = station(netns, number, flow, number);
        parties.push(Sipp::callee(place, station, &format!("asterisk_{flow}"), ""));
    }
    let callers = PAIRS.map(|(number, target)| caller(place, netns, number, flow, target, hold));
    for mut caller in callers {
        let what = caller.name().to_owned();
        caller.finish_after(hold).unwrap_or_else(|fault| panic!("{what}: {fault}"));
        parties.push(caller);
    }
    let ledger = world.settled(flow, || parties.iter().flat_map(Sipp::events).collect());
    world.idle(flow);
    for party in &parties {
        assert!(party.errors().is_empty(), "{} complains:\n{}", party.name(), party.errors());
    }
    ledger
}

fn caller(
    place: &Place,
    netns: &Netns,
    number: u16,
    flow: &str,
    target: u16,
    hold: Duration,
) -> Sipp {
    let load = Load { hold, ..Load::calls(1) };
    let scenario = format!("caller_asterisk_{flow}");
    Sipp::caller(place, station(netns, number, flow, target), &scenario, PUBLIC, &load)
}

/// Where the SIPp of a number stands, which calls or watches `target`.
fn station(netns: &Netns, number: u16, flow: &str, target: u16) -> Station {
    let local = SocketAddr::new(home(number), 5060);
    let number = number.to_string();
    let (password, target) = (format!("secret{number}"), target.to_string());
    let more = ["-s", &number, "-au", &number, "-ap", &password, "-key", "target", &target];
    Station {
        netns: netns.command("phones"),
        more: more.map(str::to_owned).to_vec(),
        ..Station::new(&format!("{number}-{flow}"), Side::Phone, local)
    }
}
