//! INVITEs of 4 KB over links of MTU 1500: each arrives in three IP fragments.
//!
//! Owns: the namespaces, and the run of the case within the edge's one. The test starts itself again there, so that the
//! edge, its admin port and the counters of the kernel are all in one namespace.

use std::net::SocketAddr;

use crate::flows::Stage;
use crate::harness::edge::Setup;
use crate::harness::ledger::{Side, Way};
use crate::harness::need::Need;
use crate::harness::netns::{Netns, fragments};
use crate::harness::sipp::Load;
use crate::runner::{Case, Place};

const CALLS: u32 = 40;
const BALLAST_BYTES: usize = 3_500;
const INVITE_BYTES_MIN: usize = 4_000;
/// The command prefix of the namespaces, for the run within.
const PREFIX: &str = "SIPEDGE_LIVE_NETNS";

pub(crate) fn cases() -> Vec<Case> {
    [("ebpf", vec![Need::Sipp, Need::Netns, Need::Bpf]), ("kernel", vec![Need::Sipp, Need::Netns])]
        .into_iter()
        .map(|(steering, needs)| {
            let name = format!("fragments/4-kb-invite+{steering}");
            Case::new(name.clone(), needs, move |place| match Netns::within(PREFIX) {
                Some(netns) => fragmented_calls(place, &netns, steering),
                None => Netns::new().run_within(&name, PREFIX),
            })
        })
        .collect()
}

fn fragmented_calls(place: &Place, netns: &Netns, steering: &'static str) {
    let address = |text: &str| -> SocketAddr { text.parse().expect("an address") };
    let (outer, inner) = (address("10.9.1.1:5060"), address("10.9.2.1:5060"));
    let backends = ["10.9.2.2:5061", "10.9.2.2:5062", "10.9.2.2:5063"].map(address);
    let setup = Setup {
        listeners: vec![("public", outer), ("private", inner)],
        send_from: Some("private"),
        steering,
        ..Setup::new(outer, &backends)
    };
    let (put_together_before, made_before) = fragments();
    let stage = Stage::start(place, &setup, address("10.9.1.2:5060"))
        .in_netns(&netns.command("phones"), &netns.command("backends"));
    let load = Load { ballast: "x".repeat(BALLAST_BYTES), ..Load::calls(CALLS) };
    for flow in ["bye_by_caller", "bye_by_callee", "cancel", "message"] {
        let ledger = stage.run_and_check(&place.part(flow), flow, &load);
        for event in ledger.of(Side::Backend, Way::Received) {
            if event.name.method == "INVITE" && event.name.status == 0 {
                let size = event.text.len();
                assert!(size >= INVITE_BYTES_MIN, "an INVITE of only {size} bytes");
            }
        }
    }
    stage.edge.stop();
    let (put_together, made) = fragments();
    // At least each call's INVITE came in pieces, and left in three.
    assert!(put_together - put_together_before >= u64::from(CALLS), "nothing came in fragments");
    assert!(made - made_before >= 3 * u64::from(CALLS), "nothing left in fragments");
}
