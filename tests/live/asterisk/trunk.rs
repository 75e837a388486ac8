//! A carrier that calls in, and a stranger that would like to be taken for it.
//!
//! Owns: where the two stand. Asterisk knows the carrier by the edge's core address, which belongs to the trunk alone.

use std::net::{Ipv4Addr, SocketAddr};

use crate::asterisk::world::{PUBLIC, TRUNK, World};
use crate::harness::ledger::Side;
use crate::harness::ledger::Way::{Received, Sent};
use crate::harness::netns::Netns;
use crate::harness::sipp::{Load, Sipp, Station};
use crate::runner::Place;

pub(super) fn carrier_and_stranger(place: &Place, netns: &Netns) {
    let world = World::with_trunk(place, netns);
    let mut phone = world.phone(1001);

    let marked = phone.mark();
    let mut carrier = outside(place, netns, "carrier", 50, TRUNK);
    phone.wait(marked, Sent, "INVITE", 180);
    phone.tell("accept");
    phone.wait(marked, Received, "BYE", 0);
    carrier.finish().expect("the carrier's call, which it ends");

    // The same request at the phones' address: nobody that Asterisk knows, whatever the From says.
    let mut stranger = outside(place, netns, "stranger", 51, PUBLIC);
    stranger.finish().expect("a challenge for the stranger");

    let ledger = world.settled("trunk", || {
        let outside = carrier.events().into_iter().chain(stranger.events());
        outside.chain(phone.events()).collect()
    });
    let call_in = ledger
        .of(Side::Backend, Received)
        .find(|e| e.name.method == "INVITE" && e.text.contains("198.51.100.50"));
    let via = call_in.and_then(|e| e.text.lines().find(|line| line.starts_with("Via:")));
    assert!(via.is_some_and(|via| via.contains(" 10.77.0.6:5060;")), "by another side: {via:?}");
    world.idle("trunk");
    world.stop();
}

/// A SIPp on the public side, which runs `caller_asterisk_NAME` against `target`.
fn outside(place: &Place, netns: &Netns, name: &str, host: u8, target: SocketAddr) -> Sipp {
    let local = SocketAddr::from((Ipv4Addr::new(198, 51, 100, host), 5060));
    let more = ["-s", "carrier", "-key", "target", "1001"].map(str::to_owned).to_vec();
    let station =
        Station { netns: netns.command("nat"), more, ..Station::new(name, Side::Phone, local) };
    Sipp::caller(place, station, &format!("caller_asterisk_{name}"), target, &Load::calls(1))
}
