//! The checks of the other cases must be able to fail: here the stand-in for the edge does something wrong, once.
//!
//! Owns: one case per promise. Each runs a flow through a Kamailio that loses, doubles or misdirects one message.

use crate::flows::Stage;
use crate::harness::edge::{Edge, Setup};
use crate::harness::ledger::Ledger;
use crate::harness::need::Need;
use crate::harness::sipp::Load;
use crate::harness::{free_address, loopback};
use crate::runner::{Case, Place};

/// A fault of the stand-in, the flow in which it happens, and the check that has to find it.
type Fault = (&'static str, &'static str, fn(&Ledger) -> Result<(), String>);

const FAULTS: [Fault; 5] = [
    ("lose-request", "bye_by_caller", Ledger::conserved),
    ("lose-response", "bye_by_caller", Ledger::conserved),
    ("double-request", "message", Ledger::conserved),
    ("stray-bye", "hold", Ledger::one_backend_per_call),
    ("none", "bye_by_caller", |ledger| match ledger.conserved().and(ledger.once()) {
        Ok(()) => Err("without a fault no check fails".to_owned()),
        Err(_) => Ok(()),
    }),
];

pub(crate) fn cases() -> Vec<Case> {
    FAULTS
        .into_iter()
        .map(|(fault, flow, check)| {
            Case::new(format!("checks/{fault}"), [Need::Sipp, Need::Kamailio], move |place| {
                finds(place, fault, flow, check);
            })
        })
        .collect()
}

fn finds(place: &Place, fault: &'static str, flow: &str, check: fn(&Ledger) -> Result<(), String>) {
    let backends = [3, 4].map(|host| free_address(loopback(host)));
    let setup = Setup { fault, ..Setup::new(free_address(loopback(2)), &backends) };
    let edge = Edge::start_reference(place, &setup);
    let stage = Stage::with_edge(edge, &setup, free_address(loopback(1)));
    let load = Load::calls(20);
    let done = stage.run(place, flow, &load);
    assert!(check(&done.ledger).is_err(), "{fault}: not noticed by its check");
    if fault != "none" {
        assert!(stage.check(&done, &load).is_err(), "{fault}: not noticed");
    }
}
