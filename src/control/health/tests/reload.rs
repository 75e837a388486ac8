//! What a reload keeps, what it forgets, and what its edits say about states.

use super::*;

const B: &str = "10.0.0.2:5060";

#[test]
fn who_stays_keeps_everything_and_who_left_is_forgotten() {
    let mut bench = Bench::dead(|_| {});
    bench.health.adopt(bench.now, &[pool("q", &[B]), pool("p", &[B, A])]);
    assert_eq!((bench.state(), bench.changes().len()), (State::Inactive, 0));
    let view = bench.health.view(bench.now);
    let names: Vec<&str> = view.pools.iter().map(|pool| pool.name.as_str()).collect();
    assert_eq!(names, ["q", "p"]);
    let ours = &view.pools[1].backends[1];
    assert_eq!((ours.counts.timeouts, ours.probes.len()), (2, 2));
    assert_eq!(ours.latency.timeouts, 2);
    // The good probes before the reload count, too.
    bench.health.adopt(bench.now, &[pool("p", &[A])]);
    bench.probed(200);
    bench.health.adopt(bench.now, &[pool("p", &[A])]);
    bench.probed(200);
    assert_eq!(bench.state(), State::Active);

    bench.health.adopt(bench.now, &[pool("p", &[B])]);
    assert!(bench.health.standing("p", &format!("sip:{A}")).is_none());
    bench.health.adopt(bench.now, &[pool("p", &[A])]);
    assert_eq!(bench.health.view(bench.now).pools[0].backends[0].counts, Counts::default());
}

#[test]
fn disabling_by_hand_and_draining_survive() {
    let mut bench = Bench::one(|_| {});
    let (now, name) = (bench.now, format!("sip:{A}"));
    bench.health.disable("p", &name, now, "ann").unwrap();
    bench.health.drain("p", &name, "ann").unwrap();
    bench.changes();
    for _ in 0..3 {
        bench.health.adopt(bench.now, &[pool("p", &[A])]);
    }
    let standing = bench.standing();
    assert_eq!((standing.state, standing.draining), (State::Disabled, true));
    assert_eq!((bench.reason(), bench.changes().len()), ("disabled by ann".to_owned(), 0));
    // Off and on again: still.
    let off = PoolSpec { probe: None, ..pool("p", &[A]) };
    bench.health.adopt(bench.now, &[off]);
    bench.health.adopt(bench.now, &[pool("p", &[A])]);
    assert_eq!(bench.state(), State::Disabled);
    bench.pass(60 * SECOND);
    assert_eq!(bench.health.view(bench.now).pools[0].backends[0].counts.probes, 0);
}

#[test]
fn the_same_address_in_two_pools_has_two_states_and_shares_evidence() {
    let mut bench = Bench::new(&[pool("p", &[A]), pool("q", &[A, B])]);
    bench.now.0 += SECOND;
    let now = bench.now;
    bench.unreachable();
    let state = |bench: &Bench, pool: &str, at: &str| {
        bench.health.standing(pool, &format!("sip:{at}")).unwrap().state
    };
    assert_eq!(state(&bench, "p", A), State::Trying);
    assert_eq!(state(&bench, "q", A), State::Trying);
    assert_eq!(state(&bench, "q", B), State::Active);
    bench.health.disable("q", &format!("sip:{A}"), now, "ann").unwrap();
    bench.poll();
    for (transaction, at) in bench.asked.clone() {
        if at == address(A) {
            bench.health.on_reply(bench.now, transaction, at, 200, 0);
        }
    }
    assert_eq!(state(&bench, "p", A), State::Active);
    assert_eq!(state(&bench, "q", A), State::Disabled);
}

#[test]
fn an_edited_declaration_is_followed_and_an_unedited_one_is_not_repeated() {
    let declared = |declared: Declared| {
        let mut spec = pool("p", &[A]);
        spec.backends[0].declared = declared;
        [spec]
    };
    let mut bench = Bench::new(&declared(Declared::Disabled));
    assert_eq!((bench.state(), bench.poll()), (State::Disabled, 0));
    bench.health.enable("p", &format!("sip:{A}"), bench.now, "ann").unwrap();
    assert_eq!(bench.state(), State::Trying);
    bench.health.adopt(bench.now, &declared(Declared::Disabled));
    assert_eq!(bench.state(), State::Trying, "the list says what it said before");
    bench.health.adopt(bench.now, &declared(Declared::Active));
    assert_eq!(bench.state(), State::Trying);
    bench.health.adopt(bench.now, &declared(Declared::Disabled));
    assert_eq!(
        (bench.state(), bench.reason()),
        (State::Disabled, "so in the configuration".into())
    );
    bench.health.adopt(bench.now, &declared(Declared::Active));
    assert_eq!(bench.state(), State::Trying);
    bench.health.adopt(bench.now, &declared(Declared::Inactive));
    assert_eq!((bench.state(), bench.standing().down), (State::Inactive, false));
    // Inactive by declaration: good probes bring it back, failures make it dead.
    bench.unanswered();
    assert!(!bench.standing().down);
    bench.unanswered();
    assert!(bench.standing().down);
    bench.probed(200);
    bench.probed(200);
    assert_eq!(bench.state(), State::Active);

    // What was disabled by hand stays so, whatever else the list says.
    bench.health.disable("p", &format!("sip:{A}"), bench.now, "ann").unwrap();
    bench.health.adopt(bench.now, &declared(Declared::Trying));
    bench.health.adopt(bench.now, &declared(Declared::Inactive));
    assert_eq!((bench.state(), bench.reason()), (State::Disabled, "disabled by ann".into()));
}

#[test]
fn turning_probes_off_leaves_nobody_dead_for_ever() {
    let off = || [PoolSpec { probe: None, ..pool("p", &[A]) }];
    let mut bench = Bench::dead(|_| {});
    bench.health.adopt(bench.now, &off());
    assert_eq!(bench.changes(), ["inactive>active: no longer probed"]);
    assert_eq!(bench.health.next_due(), None);

    let mut bench = Bench::one(|spec| spec.probe.as_mut().unwrap().alive = Alive::FreeSwitch);
    bench.probed(503);
    assert!(!bench.standing().takes_new);
    bench.health.adopt(bench.now, &off());
    assert!(bench.standing().takes_new);

    // A probe under way is forgotten, and its answer with it.
    let mut bench = Bench::one(|_| {});
    bench.until_probe();
    bench.health.adopt(bench.now, &off());
    assert_eq!(bench.health.view(bench.now).outstanding, 0);
    bench.answer(500, 0);
    assert_eq!(bench.state(), State::Active);
}

#[test]
fn a_new_address_is_asked_itself() {
    let mut bench = Bench::one(|_| {});
    bench.until_probe();
    let mut moved = pool("p", &[A]);
    moved.backends[0].address = address(B);
    bench.health.adopt(bench.now, &[moved]);
    assert_eq!(bench.health.view(bench.now).outstanding, 0);
    bench.answer(500, 0);
    assert_eq!(bench.state(), State::Active, "the old address says nothing about the new one");
    bench.now.0 += SECOND;
    bench.unreachable();
    assert_eq!(bench.state(), State::Active);
    bench.health.on_unreachable(bench.now, address(B));
    assert_eq!(bench.state(), State::Trying);
}

#[test]
fn settings_take_effect_at_once() {
    let mut bench = Bench::one(|_| {});
    bench.probed(200);
    bench.probed(200);
    let mut faster = pool("p", &[A]);
    faster.probe.as_mut().unwrap().interval_us = SECOND;
    faster.probe.as_mut().unwrap().timeout_us = SECOND;
    bench.health.adopt(bench.now, &[faster]);
    assert!(bench.until_probe() <= SECOND);
}
