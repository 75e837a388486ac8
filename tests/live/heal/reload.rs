//! The configuration is edited under calls: a backend leaves and returns, and edits that are refused.
//!
//! Owns: what a reload promises to dialogs that stand and to calls that begin after it.

use std::time::Duration;

use super::backend::Kind;
use super::fates::{Fates, all_good, fates, homes};
use super::{PATIENCE, Scene, last_us, party};
use crate::harness::edge::Setup;
use crate::harness::ledger::{Event, Ledger, Side, Way};
use crate::harness::sipp::Load;
use crate::harness::{free_address, loopback, wait_until};
use crate::runner::{Case, Place};

const CALLS: u32 = 300;
const BEFORE: usize = 120;
/// The backend that leaves.
const LEAVER: usize = 1;

pub(super) fn cases() -> Vec<Case> {
    let case = |name: &str, kind: Kind, run: fn(&Place, Kind)| {
        Case::new(format!("heal/{name}"), kind.needs(), move |place: &Place| run(place, kind))
    };
    vec![
        case("leaves-and-returns", Kind::Sipp, leaves_and_returns),
        case("kamailio-leaves-and-returns", Kind::Kamailio, leaves_and_returns),
        case("reload-refused", Kind::Sipp, refused),
    ]
}

fn load(hold: Duration) -> Load {
    Load { calls_per_second: 150, hold, ..Load::calls(CALLS) }
}

/// Its dialogs end in both directions through the edge; new calls go elsewhere until it is back.
fn leaves_and_returns(place: &Place, kind: Kind) {
    let mut scene = Scene::start(place, kind, |_| ());
    let by_caller = scene.call("caller_heal", &load(Duration::from_secs(1)));
    // These end when the callee says BYE.
    let by_callee = scene.call("caller_heal_wait", &load(Duration::ZERO));
    scene.wait_begun(&by_caller, BEFORE);
    scene.wait_begun(&by_callee, BEFORE);
    let all = scene.setup.clone();
    let mut fewer = all.clone();
    fewer.backends.remove(LEAVER);
    scene.edge.reload(&fewer);
    wait_taken(&scene, 1);
    let gone_us = last_us(&by_caller.events()).max(last_us(&by_callee.events()));
    // The one that left is still known, and gets no new keys.
    scene.wait_counts(2, 0, 1);
    let (by_caller, by_callee) = (scene.finish(by_caller), scene.finish(by_callee));
    for ledger in [&by_caller, &by_callee] {
        ledger.conserved().expect("nothing is lost or duplicated by a reload");
        all_good(fates(ledger).iter()).expect("each call is good under a reload");
        let late = fates(ledger);
        let late = late.values().filter(|fate| fate.begun_us > gone_us);
        let strayed = late.filter(|fate| fate.takers.contains(&party(LEAVER))).count();
        assert_eq!(strayed, 0, "new calls at the one that left");
    }
    let bye = |ledger: &Ledger, way| byes(ledger, way).filter(|e| e.at_us > gone_us).count();
    let (to_it, from_it) = (bye(&by_caller, Way::Received), bye(&by_callee, Way::Sent));
    assert!(to_it > 0 && from_it > 0, "BYEs after it left: {to_it} to it, {from_it} from it");

    let before = at_leaver(&fates(&by_caller), gone_us);
    scene.edge.reload(&all);
    wait_taken(&scene, 2);
    scene.wait_usable(3, 0);
    let ledger = scene.run(&load(Duration::ZERO));
    ledger.conserved().expect("nothing is lost or duplicated after its return");
    let homes = homes(&fates(&ledger));
    let strayed: Vec<_> =
        before.iter().filter(|number| homes.get(number) != Some(&party(LEAVER))).collect();
    assert!(!before.is_empty() && strayed.is_empty(), "keys did not return: {strayed:?}");
    println!("  {to_it} BYEs to the one that left, {from_it} from it, {} keys back", before.len());
    scene.edge.stop();
}

/// A mistake, and another address of a listener: what ran goes on unchanged.
fn refused(place: &Place, kind: Kind) {
    let mut scene = Scene::start(place, kind, |_| ());
    let before = homes(&fates(&scene.run(&load(Duration::ZERO))));
    let caller = scene.call("caller_heal", &load(Duration::from_millis(500)));
    scene.wait_begun(&caller, BEFORE / 2);
    scene.edge.reload_text("[[pool]]\nname = \"backends\"\nbalance = \"by-mood\"\nbackends = [\n");
    wait_refused(&scene, 1);
    scene.wait_begun(&caller, BEFORE);
    let moved: Setup = {
        let mut moved = scene.setup.clone();
        moved.listeners[0].1 = free_address(loopback(2));
        moved.backends.remove(LEAVER);
        moved
    };
    scene.edge.reload(&moved);
    wait_refused(&scene, 2);
    let ledger = scene.finish(caller);
    ledger.conserved().expect("nothing is lost or duplicated by a reload that is refused");
    assert_eq!(homes(&fates(&ledger)), before, "a refused reload moves no key");
    scene.wait_usable(3, 0);
    scene.edge.stop();
}

fn wait_taken(scene: &Scene, times: usize) {
    wait_log(scene, "reload: taken over", times);
}

fn wait_refused(scene: &Scene, times: usize) {
    wait_log(scene, "reload: refused; what ran goes on unchanged", times);
}

fn wait_log(scene: &Scene, line: &str, times: usize) {
    let logged = wait_until(PATIENCE, || scene.edge.log().matches(line).count() >= times);
    assert!(logged, "no \"{line}\", {times} times:\n{}", scene.edge.log());
}

/// The BYEs that the one that leaves got or sent.
fn byes(ledger: &Ledger, way: Way) -> impl Iterator<Item = &Event> {
    let is_bye = |e: &&Event| e.party == party(LEAVER) && e.name.method == "BYE";
    ledger.of(Side::Backend, way).filter(is_bye).filter(|e| e.name.status == 0)
}

/// The calls that were at the one that leaves, before it did.
fn at_leaver(fates: &Fates, gone_us: u64) -> Vec<u32> {
    let was_there =
        |fate: &super::fates::Fate| fate.begun_us < gone_us && fate.takers.contains(&party(LEAVER));
    fates.iter().filter(|(_, fate)| was_there(fate)).map(|(number, _)| *number).collect()
}
