//! Phones that register and talk through the edge at real Asterisk: baresip and SIPp behind a NAT, Asterisk behind the
//! edge.
//!
//! Owns: the list of cases. Who stands where is `world`. Asterisk repeats the Path of a contact behind the route set in
//! CANCEL, BYE and INFO, which no SIPp and no Kamailio does.

mod calls;
mod dialogs;
mod trunk;
mod world;

use crate::harness::need::Need;
use crate::harness::netns::Netns;
use crate::runner::{Case, Place};

/// The command prefix of the namespaces, for the run within.
const PREFIX: &str = "SIPEDGE_LIVE_NETNS_NAT";

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case("calls", calls::both_ways),
        case("ringing", calls::ended_while_ringing),
        case("hold", calls::hold),
        case("transfer", calls::blind_transfer),
        case("watch", dialogs::watch),
        case("message", dialogs::message),
        case("cancel", dialogs::cancel),
        case("trunk", trunk::carrier_and_stranger),
        case("dialog-requests", dialogs::timers_prack_info),
    ]
}

/// A case in namespaces of its own; the test starts itself again in the edge's one.
fn case(name: &str, run: fn(&Place, &Netns)) -> Case {
    let needs = [Need::Asterisk, Need::Baresip, Need::Sipp, Need::Nft, Need::Netns, Need::RealEdge];
    let name = format!("asterisk/{name}");
    Case::new(name.clone(), needs, move |place| match Netns::within(PREFIX) {
        Some(netns) => run(place, &netns),
        None => Netns::behind_nat().run_within(&name, PREFIX),
    })
}
