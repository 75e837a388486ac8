//! From state to state: what moves a backend, and what does not.

use super::*;

/// What can happen to the one backend.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// A probe is answered with this status.
    Probed(u16),
    /// A probe is answered with this status and Retry-After.
    Later(u16, u32),
    /// A probe is not answered.
    Unanswered,
    Unreachable,
    Silent,
    Busy(u32),
    Disable,
    Enable,
    Drain,
}

fn happen(bench: &mut Bench, event: Event) {
    let (name, now) = (format!("sip:{A}"), bench.now);
    match event {
        Event::Probed(status) => bench.probed(status),
        Event::Later(status, seconds) => {
            bench.until_probe();
            bench.answer(status, seconds);
        }
        Event::Unanswered => bench.unanswered(),
        Event::Unreachable => {
            // Two of them are two pieces of evidence only when some time lies between.
            bench.now.0 += UNREACHABLE_GAP_US;
            bench.unreachable();
            bench.poll();
        }
        Event::Silent => bench.health.on_silence(now, address(A), 12, Now(now.0 - 500_000)),
        Event::Busy(seconds) => bench.health.on_busy(now, address(A), seconds),
        Event::Disable => bench.health.disable("p", &name, now, "ann").expect("known"),
        Event::Enable => bench.health.enable("p", &name, now, "bob").expect("known"),
        Event::Drain => bench.health.drain("p", &name, "eve").expect("known"),
    }
}

#[test]
fn each_way_from_state_to_state() {
    use Event::{Busy, Disable, Drain, Enable, Later, Probed, Silent, Unanswered, Unreachable};
    const TIMEOUT: &str = "no answer to a probe within 2000 ms";
    let rows: &[(&[Event], State, &[&str])] = &[
        (&[], State::Active, &[]),
        (&[Probed(200)], State::Active, &[]),
        (&[Probed(404), Probed(603), Probed(486)], State::Active, &[]),
        (&[Unanswered], State::Trying, &["active>trying: no answer to a probe within 2000 ms"]),
        (&[Probed(500)], State::Trying, &["active>trying: 500 to a probe"]),
        (&[Probed(408)], State::Trying, &["active>trying: 408 to a probe"]),
        (
            &[Unanswered, Probed(200)],
            State::Active,
            &[&format!("active>trying: {TIMEOUT}"), "trying>active: 200 to a probe"],
        ),
        (
            &[Unanswered, Probed(200), Unanswered],
            State::Trying,
            &[
                &format!("active>trying: {TIMEOUT}"),
                "trying>active: 200 to a probe",
                &format!("active>trying: {TIMEOUT}"),
            ],
        ),
        (
            &[Unanswered, Probed(500)],
            State::Inactive,
            &[&format!("active>trying: {TIMEOUT}"), "trying>inactive: 500 to a probe"],
        ),
        (
            &[Unanswered, Unanswered, Probed(200)],
            State::Inactive,
            &[&format!("active>trying: {TIMEOUT}"), &format!("trying>inactive: {TIMEOUT}")],
        ),
        (
            &[Unanswered, Unanswered, Probed(200), Probed(200)],
            State::Active,
            &[
                &format!("active>trying: {TIMEOUT}"),
                &format!("trying>inactive: {TIMEOUT}"),
                "inactive>active: 2 good probes in a row",
            ],
        ),
        // A failure between good probes starts the count anew.
        (
            &[Unanswered, Unanswered, Probed(200), Unanswered, Probed(200)],
            State::Inactive,
            &[&format!("active>trying: {TIMEOUT}"), &format!("trying>inactive: {TIMEOUT}")],
        ),
        (&[Unreachable], State::Trying, &["active>trying: unreachable, says the network"]),
        (
            &[Unreachable, Probed(200)],
            State::Active,
            &["active>trying: unreachable, says the network", "trying>active: 200 to a probe"],
        ),
        (&[Silent], State::Trying, &["active>trying: no response to 12 requests for 500 ms"]),
        // Silence is soft: it counts as no failure.
        (
            &[Silent, Silent, Silent, Unanswered],
            State::Trying,
            &["active>trying: no response to 12 requests for 500 ms"],
        ),
        (
            &[Silent, Probed(200)],
            State::Active,
            &[
                "active>trying: no response to 12 requests for 500 ms",
                "trying>active: 200 to a probe",
            ],
        ),
        (
            &[Busy(30)],
            State::Active,
            &["active>active: 503 to a request: half its share for 30 s, or until a good probe"],
        ),
        (&[Busy(0)], State::Active, &[]),
        (
            &[Busy(30), Busy(30), Busy(10)],
            State::Active,
            &["active>active: 503 to a request: half its share for 30 s, or until a good probe"],
        ),
        // Probes decide.
        (
            &[Busy(30), Probed(200), Busy(30)],
            State::Active,
            &[
                "active>active: 503 to a request: half its share for 30 s, or until a good probe",
                "active>active: takes its whole share again",
            ],
        ),
        (
            &[Busy(30), Later(503, 7)],
            State::Trying,
            &[
                "active>active: 503 to a request: half its share for 30 s, or until a good probe",
                "active>trying: 503 to a probe",
                "trying>trying: 503: no new keys for 7 s",
            ],
        ),
        (
            &[Later(503, 7)],
            State::Trying,
            &["active>trying: 503 to a probe", "trying>trying: 503: no new keys for 7 s"],
        ),
        (&[Disable], State::Disabled, &["active>disabled: disabled by ann"]),
        (
            &[Disable, Unreachable, Unreachable, Silent, Busy(0), Disable],
            State::Disabled,
            &["active>disabled: disabled by ann"],
        ),
        (
            &[Disable, Enable],
            State::Trying,
            &["active>disabled: disabled by ann", "disabled>trying: enabled by bob"],
        ),
        (
            &[Disable, Enable, Probed(200)],
            State::Active,
            &[
                "active>disabled: disabled by ann",
                "disabled>trying: enabled by bob",
                "trying>active: 200 to a probe",
            ],
        ),
        (&[Enable], State::Active, &[]),
        (&[Drain], State::Active, &["active>active: drained by eve"]),
        (&[Drain, Drain], State::Active, &["active>active: drained by eve"]),
        (
            &[Drain, Enable],
            State::Active,
            &["active>active: drained by eve", "active>active: enabled by bob"],
        ),
    ];
    for (events, state, changes) in rows {
        let mut bench = Bench::one(|_| {});
        for &event in *events {
            happen(&mut bench, event);
        }
        assert_eq!((bench.state(), bench.changes()), (*state, own(changes)), "{events:?}");
    }
}

fn own(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

#[test]
fn takes_new_and_down_follow_from_state_and_marks() {
    let mut bench = Bench::one(|_| {});
    let check = |bench: &Bench, takes_new: bool, down: bool| {
        let standing = bench.standing();
        assert_eq!((standing.takes_new, standing.down), (takes_new, down), "{standing:?}");
    };
    check(&bench, true, false);
    bench.unanswered();
    check(&bench, true, false);
    bench.unanswered();
    check(&bench, false, true);
    happen(&mut bench, Event::Disable);
    check(&bench, false, false);
    happen(&mut bench, Event::Enable);
    assert_eq!(bench.state(), State::Inactive, "it was dead, and has to show that it is not");
    check(&bench, false, true);
    happen(&mut bench, Event::Enable);
    assert_eq!(bench.state(), State::Trying, "somebody insists");
    check(&bench, true, false);
    bench.probed(200);
    happen(&mut bench, Event::Drain);
    check(&bench, false, false);
    assert!(bench.standing().draining);
    bench.unanswered();
    bench.unanswered();
    check(&bench, false, true);
    bench.probed(200);
    bench.probed(200);
    check(&bench, false, false);
    happen(&mut bench, Event::Enable);
    check(&bench, true, false);
}

#[test]
fn full_is_alive_and_takes_no_new_keys() {
    let freeswitch = |spec: &mut PoolSpec| {
        spec.probe.as_mut().expect("on").alive = Alive::FreeSwitch;
    };
    let mut bench = Bench::one(freeswitch);
    bench.probed(503);
    assert_eq!(bench.changes(), ["active>active: 503: full, no new keys before a better probe"]);
    let standing = bench.standing();
    assert_eq!((standing.takes_new, standing.busy, standing.down), (false, true, false));
    bench.probed(503);
    assert_eq!((bench.state(), bench.changes().len()), (State::Active, 0));
    bench.probed(200);
    assert_eq!(bench.changes(), ["active>active: takes new keys again"]);
    assert!(bench.standing().takes_new);

    // With Retry-After its time counts, and no good probe shortens it.
    bench.until_probe();
    bench.answer(503, 60);
    assert_eq!(bench.changes(), ["active>active: 503: no new keys for 60 s"]);
    let full_at = bench.now;
    bench.probed(200);
    assert!(!bench.standing().takes_new);
    while bench.now.0 < full_at.0 + 59 * SECOND {
        bench.probed(200);
    }
    bench.pass(2 * SECOND);
    assert!(bench.standing().takes_new);

    // It counts as good: an inactive one comes back, full.
    let mut bench = Bench::dead(freeswitch);
    bench.probed(503);
    bench.probed(503);
    assert_eq!((bench.state(), bench.standing().takes_new), (State::Active, false));
}

#[test]
fn busy_ends_by_itself_and_is_bounded() {
    let mut bench = Bench::one(|spec| spec.probe.as_mut().expect("on").alive = Alive::FreeSwitch);
    bench.until_probe();
    bench.answer(503, u32::MAX);
    let end = bench.now.plus_seconds(u64::from(BUSY_SECONDS_MAX));
    while bench.now < end {
        assert!(!bench.standing().takes_new);
        bench.probed(200);
    }
    assert!(bench.standing().takes_new);

    // The later end counts, whichever was said first.
    bench.until_probe();
    bench.answer(503, 30);
    let end = bench.now.plus_seconds(30);
    bench.until_probe();
    bench.answer(503, 1);
    while bench.now < end {
        assert!(!bench.standing().takes_new);
        bench.probed(200);
    }
    assert!(bench.standing().takes_new);
}

#[test]
fn one_burst_of_network_errors_is_one_piece_of_evidence() {
    let mut bench = Bench::one(|_| {});
    for _ in 0..1_000 {
        bench.unreachable();
    }
    assert_eq!(bench.state(), State::Trying);
    // The probe that they ask for is answered before more of them count.
    assert_eq!(bench.poll(), 1);
    bench.unreachable();
    bench.answer(200, 0);
    assert_eq!(bench.state(), State::Active);

    // Without an answer the next that counts takes it out.
    bench.now.0 += SECOND;
    bench.unreachable();
    assert_eq!(bench.poll(), 1);
    bench.unreachable();
    bench.pass(UNREACHABLE_GAP_US - 1);
    assert_eq!(bench.state(), State::Trying);
    bench.pass(1);
    assert_eq!((bench.state(), bench.standing().down), (State::Inactive, true));
    assert_eq!(bench.reason(), "unreachable, says the network");
    let probes = &bench.health.view(bench.now).pools[0].backends[0].probes;
    assert_eq!(probes[0].outcome, "unreachable");
    // Dead is dead: what still runs into it asks for no more probes than the interval does.
    for _ in 0..50 {
        bench.now.0 += UNREACHABLE_GAP_US;
        bench.unreachable();
        assert_eq!(bench.poll(), 0);
    }
}

#[test]
fn what_is_not_probed_is_taken_out_by_hand_only() {
    for spec in [
        |spec: &mut PoolSpec| spec.probe = None,
        |spec: &mut PoolSpec| {
            spec.backends[0].probed = false;
        },
    ] {
        let mut bench = Bench::one(spec);
        for _ in 0..5 {
            bench.now.0 += SECOND;
            bench.unreachable();
            bench.health.on_silence(bench.now, address(A), 9, Now(0));
        }
        assert_eq!((bench.poll(), bench.state()), (0, State::Active));
        assert_eq!(bench.health.next_due(), None);
        happen(&mut bench, Event::Disable);
        happen(&mut bench, Event::Enable);
        assert_eq!((bench.poll(), bench.state()), (0, State::Active));
    }
}

#[test]
fn doubt_is_settled_by_faster_probes() {
    let mut bench = Bench::one(|_| {});
    bench.probed(200);
    bench.probed(200);
    // Healthy: within the interval, and not much earlier.
    for _ in 0..20 {
        let waited = bench.until_probe();
        assert!((8_900_000..=10_000_000).contains(&waited), "{waited}");
        bench.answer(200, 0);
    }
    // A bad answer: the next after the time that an answer may take.
    bench.probed(500);
    assert_eq!(bench.until_probe(), 2 * SECOND - 1_000);
    // No answer: the next at once.
    bench.answer(200, 0);
    bench.unanswered();
    assert_eq!(bench.until_probe(), 0);
    bench.pass(2 * SECOND);
    assert_eq!(bench.state(), State::Inactive);
    // Dead: within the interval again. The first sign of life: faster.
    let waited = bench.until_probe();
    assert!((6_900_000..=8_000_000).contains(&waited), "{waited}");
    bench.answer(200, 0);
    assert_eq!(bench.until_probe(), 2 * SECOND - 1_000);
}

#[test]
fn silence_and_enabling_ask_for_a_probe_at_once() {
    let mut bench = Bench::one(|_| {});
    bench.probed(200);
    bench.now.0 += SECOND;
    happen(&mut bench, Event::Silent);
    assert_eq!(bench.poll(), 1);
    // While that one is under way nothing asks for another.
    happen(&mut bench, Event::Silent);
    assert_eq!(bench.poll(), 0);
    bench.answer(200, 0);
    // And not so soon after it.
    happen(&mut bench, Event::Silent);
    assert_eq!(bench.until_probe(), URGENT_GAP_US - 1_000);
    bench.answer(200, 0);
    happen(&mut bench, Event::Disable);
    bench.pass(60 * SECOND);
    happen(&mut bench, Event::Enable);
    assert_eq!(bench.poll(), 1);
}

#[test]
fn slow_start_begins_with_recovery_and_ends() {
    let slow = |spec: &mut PoolSpec| spec.slow_start_us = 10 * SECOND;
    assert_eq!(Bench::one(slow).standing().ramp_since, None, "a new one has its share at once");
    let mut bench = Bench::dead(slow);
    bench.probed(200);
    bench.probed(200);
    let standing = bench.standing();
    assert_eq!(standing.ramp_since, Some(bench.now));
    assert_eq!(standing.share(bench.now), SHARE_WHOLE / 20, "never nothing");
    let mut shares = Vec::new();
    let mut revision = bench.health.revision();
    while bench.standing().ramp_since.is_some() {
        let next = bench.health.next_due().expect("the next step");
        bench.now = next.max(bench.now);
        if bench.poll() > 0 {
            bench.answer(200, 0);
        }
        if bench.health.revision() != revision {
            revision = bench.health.revision();
            shares.push(bench.standing().share(bench.now));
        }
    }
    assert_eq!(shares.len(), 20);
    assert!(shares.is_sorted(), "{shares:?}");
    assert_eq!(shares.last(), Some(&SHARE_WHOLE));
    assert_eq!(bench.changes().last().unwrap(), "active>active: slow start is over");

    // Who dies on the way begins anew.
    let mut bench = Bench::dead(slow);
    bench.probed(200);
    bench.probed(200);
    bench.unanswered();
    bench.unanswered();
    assert_eq!((bench.state(), bench.standing().ramp_since), (State::Inactive, None));
}

#[test]
fn only_the_backend_itself_can_answer() {
    let mut bench = Bench::one(|_| {});
    bench.until_probe();
    let transaction = bench.last_transaction();
    let elsewhere = |bench: &mut Bench, from: &str| {
        bench.health.on_reply(bench.now, transaction, address(from), 500, 0);
        bench.health.view(bench.now).pools[0].backends[0].counts
    };
    assert_eq!(elsewhere(&mut bench, "10.0.0.1:5061").strange, 1);
    assert_eq!(elsewhere(&mut bench, "10.0.0.2:5060").strange, 2);
    bench.health.on_reply(bench.now, transaction + 1, address(A), 500, 0);
    bench.health.on_reply(bench.now, transaction, address(A), 183, 0);
    assert_eq!(bench.state(), State::Active, "nothing was answered yet");
    bench.answer(500, 0);
    assert_eq!(bench.state(), State::Trying);
    // Once is enough.
    bench.answer(200, 0);
    bench.answer(200, 0);
    assert_eq!((bench.state(), bench.health.view(bench.now).late), (State::Trying, 3));

    let mut bench = Bench::one(|spec| spec.match_source_ip = true);
    bench.until_probe();
    let transaction = bench.last_transaction();
    bench.health.on_reply(bench.now, transaction, address("10.0.0.1:40000"), 500, 0);
    assert_eq!(bench.state(), State::Trying);
}

#[test]
fn what_did_not_leave_says_nothing() {
    let mut bench = Bench::one(|_| {});
    for _ in 0..5 {
        bench.pass(0);
        bench.now = bench.health.next_due().expect("a probe");
        let probe = bench.health.poll(bench.now).expect("due");
        bench.health.not_sent(probe.target, bench.now);
        assert!(bench.health.next_due().expect("another") > bench.now);
    }
    let view = bench.health.view(bench.now);
    assert_eq!((bench.state(), view.outstanding), (State::Active, 0));
    assert_eq!(view.pools[0].backends[0].counts.probes, 0);
    assert_eq!(view.pools[0].backends[0].probes[0].outcome, "not sent");
}

#[test]
fn unknown_names_are_told() {
    let mut bench = Bench::one(|_| {});
    let now = bench.now;
    let error = bench.health.disable("q", "x", now, "ann").unwrap_err();
    assert_eq!(error.to_string(), "no pool is called \"q\"");
    let error = bench.health.drain("p", "x", "ann").unwrap_err();
    assert_eq!(error.to_string(), "the pool has no backend \"x\"");
    assert!(bench.health.standing("p", "x").is_none());
    assert_eq!(bench.changes(), own(&[]));
}
