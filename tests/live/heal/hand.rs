//! An operator drains, disables and enables a backend under calls, over the API, and with `sipedge ctl`.
//!
//! Owns: what is promised to the calls that stand and to those that begin.

use std::time::Duration;

use super::backend::Kind;
use super::fates::{all_good, fates, homes};
use super::{Scene, last_us, micros, party};
use crate::harness::ledger::Way;
use crate::harness::sipp::Load;
use crate::runner::{Case, Place};

const CALLS: u32 = 200;
const BEFORE: usize = 100;
/// The backend that is taken out.
const OUT: usize = 1;
const TOKEN: &str = "live-test-token-live-test-token";

pub(super) fn cases() -> Vec<Case> {
    let case = |name: &str, kind: Kind| {
        Case::new(format!("heal/{name}"), kind.needs(), move |place: &Place| by_hand(place, kind))
    };
    vec![
        case("drained-and-disabled-by-hand", Kind::Sipp),
        case("kamailio-drained-and-disabled-by-ctl", Kind::Kamailio),
    ]
}

fn by_hand(place: &Place, kind: Kind) {
    let mut scene =
        Scene::start(place, kind, |setup| setup.more = format!("token = \"{TOKEN}\"\n"));
    let path = |action: &str, scene: &Scene| {
        let uri = format!("sip%3A{}", scene.setup.backends[OUT].to_string().replace(':', "%3A"));
        format!("/api/v1/pools/backends/backends/{uri}/{action}")
    };
    let tell = |action: &str, scene: &Scene| {
        if kind == Kind::Kamailio {
            let uri = format!("sip:{}", scene.setup.backends[OUT]);
            let said = scene.edge.ctl(&[action, "backends", &uri], TOKEN);
            said.unwrap_or_else(|error| panic!("ctl {action}: {error}"));
            return;
        }
        let status = scene.edge.post(&path(action, scene), TOKEN);
        assert_eq!(status, Some(200), "{action}:\n{}", scene.edge.log());
    };
    let load = Load { calls_per_second: 150, hold: Duration::from_secs(1), ..Load::calls(CALLS) };
    let caller = scene.call("caller_heal", &load);
    scene.wait_begun(&caller, BEFORE);
    assert_eq!(scene.edge.post(&path("drain", &scene), "wrong"), Some(401));
    tell("drain", &scene);
    let drained_us = last_us(&caller.events());
    scene.wait_usable(2, 1);
    let ledger = scene.finish(caller);
    ledger.conserved().expect("nothing is lost or duplicated by a drain");
    let drained = fates(&ledger);
    all_good(drained.iter()).expect("each call is good under a drain");
    let home = party(OUT);
    let new = drained.values().filter(|fate| fate.begun_us > drained_us);
    assert_eq!(new.filter(|fate| fate.takers.contains(&home)).count(), 0, "new calls at it");
    let is_late_bye = |e: &&crate::harness::ledger::Event| {
        e.party == home && e.name.method == "BYE" && e.at_us > drained_us
    };
    assert!(ledger.events.iter().any(|e| is_late_bye(&e)), "no call ended while it drained");

    tell("enable", &scene);
    scene.wait_usable(3, 0);
    let load = Load { hold: Duration::ZERO, ..load };
    let enabled = homes(&fates(&scene.run(&load)));
    let back = |number: &&u32| enabled.get(number) == Some(&home);
    let before: Vec<&u32> =
        drained.iter().filter(|(_, fate)| fate.takers.contains(&home)).map(|(n, _)| n).collect();
    assert!(!before.is_empty() && before.iter().all(back), "its keys did not return: {before:?}");

    tell("disable", &scene);
    scene.wait_usable(2, 1);
    let disabled_us = last_us(&scene.backends[OUT].own_events());
    let disabled = fates(&scene.run(&load));
    all_good(disabled.iter()).expect("each call is good without it");
    let there = disabled.values().filter(|fate| fate.takers.contains(&home)).count();
    assert_eq!(there, 0, "calls at one that is disabled");
    // A probe may have been under way.
    let quiet_us = disabled_us + micros(super::PROBE_TIMEOUT);
    let heard = scene.backends[OUT].own_events();
    let heard = heard.iter().filter(|e| e.way == Way::Received && e.at_us > quiet_us).count();
    assert_eq!(heard, 0, "one that is disabled is not probed");
    tell("enable", &scene);
    scene.wait_usable(3, 0);
    assert_eq!(homes(&fates(&scene.run(&load))), enabled, "each key is at its home");
    scene.edge.stop();
}
