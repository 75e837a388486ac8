//! Many backends at once: the spread of their probes and the bounds that all share.

use super::*;

fn many(count: u32) -> Vec<PoolSpec> {
    let at = |n: u32| format!("10.1.{}.{}:5060", n / 250, n % 250 + 1);
    let names: Vec<String> = (0..count).map(at).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    vec![pool("p", &names)]
}

#[test]
fn probes_are_spread_and_the_same_in_every_run() {
    let times = |seed: u64| {
        let mut health = Health::new(seed);
        health.adopt(Now(0), &many(200));
        let mut sent: Vec<u64> = Vec::new();
        let mut transaction = 0;
        while let Some(now) = health.next_due().filter(|now| now.0 <= 30 * SECOND) {
            while let Some(probe) = health.poll(now) {
                transaction += 1;
                health.sent(probe.target, transaction);
                health.on_reply(now, transaction, probe.address, 200, 0);
                sent.push(now.0);
            }
        }
        sent
    };
    let sent = times(1);
    assert_eq!(sent, times(1));
    assert_ne!(sent, times(2));
    // All are asked in the first second; afterwards no half second has much more than its share.
    assert!(sent.iter().filter(|&&at| at < SECOND).count() >= 200);
    let mut halves = [0_u32; 60];
    for at in sent {
        halves[usize::try_from((at / (SECOND / 2)).min(59)).unwrap()] += 1;
    }
    assert!(halves[22..].iter().all(|&count| count <= 25), "10 is the mean: {halves:?}");
}

#[test]
fn each_is_asked_within_its_interval() {
    let mut health = Health::new(3);
    health.adopt(Now(0), &many(300));
    let mut last: HashMap<TargetId, u64> = HashMap::new();
    let mut transaction = 0;
    while let Some(now) = health.next_due().filter(|now| now.0 <= 60 * SECOND) {
        while let Some(probe) = health.poll(now) {
            transaction += 1;
            health.sent(probe.target, transaction);
            health.on_reply(now, transaction, probe.address, 200, 0);
            if let Some(before) = last.insert(probe.target, now.0) {
                assert!(now.0 - before <= 10 * SECOND + 2_000, "{}", now.0 - before);
            }
        }
    }
    assert_eq!(last.len(), 300);
}

#[test]
fn neither_bound_is_passed_and_everybody_has_a_turn() {
    let mut health = Health::new(5);
    health.adopt(Now(0), &many(3_000));
    let now = Now(5 * SECOND);
    let mut first = 0;
    while health.poll(now).is_some() {
        first += 1;
    }
    assert_eq!(first, BURST_MAX);
    let mut by_second = [0_u64; 8];
    let mut asked = std::collections::HashSet::new();
    while let Some(now) = health.next_due().filter(|now| now.0 < 13 * SECOND) {
        while let Some(probe) = health.poll(now) {
            assert!(health.schedule.outstanding <= OUTSTANDING_MAX);
            by_second[usize::try_from(now.0 / SECOND - 5).unwrap()] += 1;
            asked.insert(probe.target);
        }
        assert!(health.next_due().is_none_or(|next| next > now));
    }
    assert!(by_second.iter().all(|&count| count <= PER_SECOND_MAX + BURST_MAX), "{by_second:?}");
    // Nobody answers, so 1,024 places turn over every two seconds.
    assert_eq!(by_second.iter().sum::<u64>() + first, 4 * u64::try_from(OUTSTANDING_MAX).unwrap());
    assert!(asked.len() > 2_900, "{}", asked.len());
    assert!(health.view(Now(13 * SECOND)).held_back > 0);
}

#[test]
fn changes_that_nobody_takes_are_bounded_and_counted() {
    let mut bench = Bench::one(|_| {});
    let name = format!("sip:{A}");
    for _ in 0..CHANGES_MAX {
        bench.health.disable("p", &name, bench.now, "ann").unwrap();
        bench.health.enable("p", &name, bench.now, "ann").unwrap();
    }
    assert_eq!(bench.health.take_changes().len(), CHANGES_MAX);
    assert_eq!(bench.health.view(bench.now).changes_lost, u64::try_from(CHANGES_MAX).unwrap());
}

#[test]
fn the_view_is_json() {
    let mut bench = Bench::dead(|_| {});
    bench.probed(200);
    let json = serde_json::to_value(bench.health.view(bench.now)).expect("serialises");
    let backend = &json["pools"][0]["backends"][0];
    assert_eq!(backend["state"], "inactive");
    assert_eq!(backend["address"], A);
    assert_eq!(backend["down"], true);
    assert_eq!(backend["probes"][0]["outcome"], "good");
    assert_eq!(backend["probes"][0]["status"], 200);
    assert_eq!(backend["probes"][1]["outcome"], "timeout");
    assert_eq!(backend["latency"]["timeouts"], 2);
    assert_eq!(backend["counts"]["good"], 1);
    assert_eq!(json["pools"][0]["probe"]["interval_ms"], 10_000);
}
