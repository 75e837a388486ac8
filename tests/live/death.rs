//! An edge is killed while calls stand, and another one takes its place with another order of backends.
//!
//! Owns: the proof that the edge keeps nothing which a call needs: branches, tokens and backends are in the messages.

use std::time::Duration;

use crate::flows::Stage;
use crate::harness::edge::Setup;
use crate::harness::need::Need;
use crate::harness::sipp::Load;
use crate::harness::{free_address, loopback, wait_until};
use crate::runner::{Case, Place};

const CALLS: u32 = 100;
const HOLD: Duration = Duration::from_secs(4);
/// Calls come up at 100 per second; the rest is for a loaded machine.
const UP_DEADLINE: Duration = Duration::from_secs(4);

pub(crate) fn cases() -> Vec<Case> {
    vec![Case::new("death/calls-outlive-the-edge", [Need::Sipp, Need::RealEdge], |place| {
        calls_outlive_the_edge(place);
    })]
}

fn calls_outlive_the_edge(place: &Place) {
    let backends = [3, 4, 5].map(|host| free_address(loopback(host)));
    let setup = Setup::new(free_address(loopback(2)), &backends);
    let stage = Stage::start(&place.part("first"), &setup, free_address(loopback(1)));
    let load = Load { hold: HOLD, ..Load::calls(CALLS) };
    let running = stage.begin(place, "hold", &load);
    let all_up =
        wait_until(UP_DEADLINE, || running.ledger().concurrent_calls_max() == CALLS as usize);
    assert!(all_up, "not all calls came up together");
    // A backend that was not there before, at the first place.
    let mut edited = vec![free_address(loopback(6))];
    edited.extend(&backends);
    let setup = Setup { backends: edited, ..setup };
    let stage = stage.replace_edge(&place.part("second"), &setup);
    let done = running.end();
    stage.check(&done, &load).expect("the BYE of each call, through the second edge");
    stage.edge.stop();
}
