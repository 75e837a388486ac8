//! What real traffic shows: it lowers and asks, and takes nobody out.

use super::*;

const B: &str = "10.0.0.2:5060";
const C: &str = "10.0.0.3:5060";

fn eased(health: &Health, at: &str) -> bool {
    health.standing("p", &format!("sip:{at}")).expect("known").eased
}

#[test]
fn a_503_to_a_request_lowers_the_share_and_asks_at_once() {
    let mut bench = Bench::new(&[pool("p", &[A, B, C])]);
    // All were asked and are well.
    bench.pass(SECOND);
    for (transaction, from) in bench.asked.clone() {
        bench.health.on_reply(bench.now, transaction, from, 200, 0);
    }
    let before = bench.asked.len();
    bench.health.on_busy(bench.now, address(A), 300);
    let standing = bench.standing();
    assert_eq!((standing.takes_new, standing.busy, standing.eased), (true, false, true));
    assert_eq!(standing.share(bench.now), SHARE_EASED);
    bench.pass(URGENT_GAP_US);
    assert_eq!(bench.asked[before..].iter().filter(|(_, at)| *at == address(A)).count(), 1);
    bench.answer(200, 0);
    assert_eq!((bench.standing().eased, bench.standing().share(bench.now)), (false, SHARE_WHOLE));

    // It has just been found wrong: for an interval nobody is asked again, and no key moves.
    let before = bench.asked.len();
    for _ in 0..1_000 {
        bench.health.on_busy(bench.now, address(A), 300);
        assert!(!bench.standing().eased);
    }
    assert_eq!((bench.poll(), bench.asked.len()), (0, before));
    bench.now.0 += Settings::default().interval_us;
    bench.health.on_busy(bench.now, address(A), 300);
    assert!(bench.standing().eased);
}

#[test]
fn a_doubt_that_no_probe_settles_ends_by_itself_and_is_bounded() {
    let mut bench = Bench::one(|spec| {
        spec.probe = None;
        spec.eased_max_percent = 100;
    });
    bench.health.on_busy(bench.now, address(A), u32::MAX);
    assert!(bench.standing().eased);
    assert_eq!(bench.health.next_due(), Some(bench.now.plus_seconds(u64::from(BUSY_SECONDS_MAX))));
    bench.pass(u64::from(BUSY_SECONDS_MAX) * SECOND);
    assert_eq!((bench.standing().eased, bench.health.next_due()), (false, None));

    // The later end counts, whichever was said first.
    bench.health.on_busy(bench.now, address(A), 30);
    bench.health.on_busy(bench.now, address(A), 10);
    bench.pass(29 * SECOND);
    assert!(bench.standing().eased);
    bench.pass(SECOND);
    assert!(!bench.standing().eased);
}

#[test]
fn what_speaks_against_too_many_is_not_believed() {
    let mut bench = Bench::new(&[pool("p", &[A, B, C])]);
    let said = |bench: &mut Bench, at: &str, expected: [bool; 3]| {
        bench.health.on_busy(bench.now, address(at), 300);
        assert_eq!([A, B, C].map(|at| eased(&bench.health, at)), expected, "after {at}");
    };
    said(&mut bench, A, [true, false, false]);
    said(&mut bench, B, [true, true, false]);
    assert!(bench.health.view(bench.now).pools[0].believes_traffic);
    said(&mut bench, C, [false, false, false]);
    assert!(!bench.health.view(bench.now).pools[0].believes_traffic);
    // All take new keys, all the time.
    for at in [A, B, C] {
        assert!(bench.health.standing("p", &format!("sip:{at}")).unwrap().takes_new);
    }

    // Those that are out do not count as left.
    let mut bench = Bench::new(&[pool("p", &[A, B, C])]);
    for at in [B, C] {
        bench.health.disable("p", &format!("sip:{at}"), bench.now, "ann").unwrap();
    }
    bench.health.on_busy(bench.now, address(A), 300);
    assert!(!bench.standing().eased);
}

#[test]
fn without_a_part_that_may_be_eased_a_503_is_only_counted() {
    let mut spec = pool("p", &[A, B, C]);
    spec.eased_max_percent = 0;
    let mut bench = Bench::new(&[spec]);
    bench.health.on_busy(bench.now, address(A), 300);
    assert!(!bench.standing().eased);
    assert_eq!(bench.health.view(bench.now).pools[0].backends[0].counts.busy, 1);
}

#[test]
fn forged_network_errors_take_out_nobody_that_answers() {
    for fall in [1, 2, 3] {
        let mut bench = Bench::one(|spec| spec.probe.as_mut().expect("on").fall = fall);
        // A flood of them, while each probe is answered after 90 ms.
        let mut answered = 0;
        for _ in 0..20_000 {
            bench.now.0 += 1_000;
            bench.unreachable();
            bench.poll();
            let sent = bench.asked.len();
            if sent > answered && bench.now.0.is_multiple_of(90_000) {
                let (transaction, from) = bench.asked[sent - 1];
                bench.health.on_reply(bench.now, transaction, from, 200, 0);
                answered = sent;
            }
            assert_ne!(bench.state(), State::Inactive, "fall {fall}");
        }
        assert!(answered > 10, "{answered}");
        // One that answers no more is out soon.
        let before = bench.now;
        while bench.state() != State::Inactive {
            bench.now.0 += 1_000;
            bench.unreachable();
            bench.poll();
            assert!(bench.now.0 - before.0 < SECOND, "fall {fall}");
        }
    }
}

#[test]
fn an_answer_from_elsewhere_is_told_with_who_gave_it() {
    let mut bench = Bench::one(|_| {});
    let answered_from = |bench: &mut Bench, from: &str| {
        bench.until_probe();
        bench.health.on_reply(bench.now, bench.last_transaction(), address(from), 200, 0);
        bench.pass(2 * SECOND);
    };
    answered_from(&mut bench, "10.0.0.1:40000");
    assert_eq!(
        bench.reason(),
        "the probe to 10.0.0.1:5060 was answered from port 40000: match_source = \"address\" takes any port"
    );
    answered_from(&mut bench, "10.0.0.9:5060");
    assert_eq!(
        bench.changes(),
        [
            "active>trying: the probe to 10.0.0.1:5060 was answered from port 40000: match_source = \"address\" takes any \
             port",
            "trying>inactive: the probe to 10.0.0.1:5060 was answered by 10.0.0.9:5060: that is another address, which no \
             match_source takes",
        ]
    );
}
