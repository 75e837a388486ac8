//! Seconds made of counters, compared with sums done by hand.

use super::*;
use crate::datapath::Snapshot;
use crate::trace::TraceCounts;

fn scrape(uptime_ms: u64, backends: &[(u32, u64)], work: impl FnOnce(&mut Counters)) -> Scrape {
    let mut counters = Counters::new();
    let places = backends.iter().map(|&(meter, _)| meter as usize + 1).max().unwrap_or(0);
    counters.traffic.backends.resize(places, BackendTraffic::default());
    for &(meter, requests) in backends {
        counters.traffic.backends[meter as usize].requests = requests;
        counters.traffic.backends[meter as usize].responses = [0, 1, 2, 3, 4, 5, 6];
    }
    work(&mut counters);
    let backend = |&(meter, _): &(u32, u64)| view::Backend {
        uri: format!("sip:{meter}"),
        address: String::new(),
        weight: 1,
        priority: 0,
        meter,
        takes_new: true,
        share: None,
        health: None,
        traffic: None,
    };
    let pool = view::Pool {
        name: "p".to_owned(),
        key: String::new(),
        balance: String::new(),
        load_cap: None,
        failover: None,
        probe: None,
        believes_traffic: true,
        is_routed: true,
        meter: 0,
        backends: backends.iter().map(backend).collect(),
        leaving: Vec::new(),
    };
    let view =
        view::Node { uptime_ms, at_ms: uptime_ms, pools: vec![pool], ..view::Node::default() };
    let snapshot = Snapshot { shards: vec![Box::new(counters)], picks: Vec::new() };
    Scrape { snapshot, view, traces: TraceCounts::default() }
}

#[test]
fn a_sample_is_the_difference_of_two_readings() {
    let mut history = History::default();
    history.take(&scrape(1_000, &[(3, 10)], |c| c.received = 100));
    assert!(history.newest().is_none(), "one reading is no second");
    let totals = history.take(&scrape(3_000, &[(3, 40)], |c| {
        c.received = 300;
        c.sent = 50;
        c.drops[0] = 4;
        c.latency_us.record_n(15, 7).unwrap();
        c.latency_us.record_n(9_000_000, 2).unwrap();
    }));
    let sample = history.newest().unwrap();
    assert_eq!(
        (sample.seconds, sample.received_per_second, sample.sent_per_second),
        (2.0, 100.0, 25.0)
    );
    assert_eq!(sample.dropped_per_second, 2.0);
    assert_eq!((sample.latency_counts[1], sample.latency_counts[BUCKETS - 1]), (7, 2));
    assert_eq!(sample.latency_counts.iter().sum::<u64>(), 9);
    assert_eq!((totals.drops[0].total, totals.drops[0].per_second), (4, 2.0));
    assert_eq!((totals.shards[0].received, totals.shards[0].received_per_second), (300, 100.0));
    let traffic = history.traffic(3);
    assert_eq!(
        (traffic.requests, traffic.requests_per_second, traffic.requests_recent),
        (40, 15.0, 30)
    );
    assert_eq!((traffic.responses, traffic.failures), (21, 11));
}

#[test]
fn a_rate_is_the_mean_of_five_seconds_and_recent_are_ten() {
    let mut history = History::default();
    for second in 0..=20_u64 {
        // Ten a second, until second 12.
        history.take(&scrape(second * 1_000, &[(0, second.min(12) * 10)], |_| {}));
        let expected = match second {
            0 => (0.0, 0),
            1..=10 => (10.0, second * 10),
            11 | 12 => (10.0, 100),
            _ => {
                let quiet = second - 12;
                (5_u64.saturating_sub(quiet) as f64 * 2.0, 10_u64.saturating_sub(quiet) * 10)
            }
        };
        let traffic = history.traffic(0);
        assert_eq!(
            (traffic.requests_per_second, traffic.requests_recent),
            expected,
            "second {second}"
        );
    }
}

#[test]
fn who_is_new_has_no_burst_and_counters_that_go_back_count_as_nothing() {
    let mut history = History::default();
    history.take(&scrape(1_000, &[(0, 1_000)], |c| c.received = 1_000));
    history.take(&scrape(2_000, &[(0, 1_000), (1, 500)], |c| c.received = 10));
    assert_eq!(history.newest().unwrap().received_per_second, 0.0);
    assert_eq!(history.traffic(1).requests_per_second, 0.0);
    assert_eq!(history.traffic(7).requests, 0, "nobody has this number");
}

#[test]
fn the_ring_is_bounded_and_series_are_as_long() {
    let mut history = History::default();
    for second in 0..SAMPLES_KEPT as u64 + 50 {
        history.take(&scrape(second * 1_000, &[(0, second * 3), (1, 0)], |_| {}));
    }
    let last = scrape(0, &[(0, 0), (1, 0)], |_| {});
    let rates = history.rates(&last.view);
    assert_eq!(rates.samples.len(), SAMPLES_KEPT);
    assert_eq!(rates.backends[0].requests_per_second, vec![3.0; SAMPLES_KEPT]);
    assert_eq!(rates.backends[1].requests_per_second, vec![0.0; SAMPLES_KEPT]);
    assert!(
        rates
            .samples
            .iter()
            .all(|sample| sample.latency_counts.len() == LATENCY_BUCKETS_US.len() + 1)
    );
}
