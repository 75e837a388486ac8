//! The page as a scraper reads it.

use super::*;
use crate::bpf::Picks;
use crate::datapath::traffic::{BackendTraffic, PoolTraffic};
use crate::trace::TraceCounts;

fn labels() -> Labels {
    let backend = |uri: &str, meter, state| BackendLabels { uri: uri.to_owned(), meter, state };
    let backends = vec![
        backend("sip:10.0.0.1", 4, Use::Usable),
        backend("sip:10.0.0.2", 2, Use::Out),
        backend("sip:10.0.0.3", 5, Use::Leaving),
    ];
    let pools = vec![PoolLabels { name: "servers".to_owned(), meter: 1, backends }];
    Labels { node: "edge \"a\"".to_owned(), listeners: vec!["public".to_owned()], pools, rules: 2 }
}

/// What belongs to the counters; the rest is in `fleet`.
fn page(labels: &Labels, draining: bool, snapshot: &Snapshot) -> String {
    let mut out = String::new();
    write_all(&mut Writer { out: &mut out }, labels, draining, snapshot).unwrap();
    out
}

fn snapshot(shards: Vec<Counters>) -> Snapshot {
    let picks = Picks { mark: 1, call_id: 2, none: 3, refused: 4 };
    Snapshot { shards: shards.into_iter().map(Box::new).collect(), picks: vec![Some(picks)] }
}

#[test]
fn every_reason_and_backend_stands_there_before_anything_happens() {
    let page = page(&labels(), false, &snapshot(vec![Counters::new(), Counters::new()]));
    for reason in DropReason::ALL {
        let line = format!("sipedge_dropped_total{{reason=\"{}\"}} 0\n", reason.label());
        assert!(page.contains(&line), "{line}");
    }
    for line in [
        "sipedge_build_info{node=\"edge \\\"a\\\"\",version=",
        "sipedge_messages_total{method=\"INVITE\",verdict=\"forward\"} 0\n",
        "sipedge_backend_messages_total{pool=\"servers\",backend=\"sip:10.0.0.2\"} 0\n",
        "sipedge_backend_responses_total{pool=\"servers\",backend=\"sip:10.0.0.1\",class=\"5xx\"} 0\n",
        "sipedge_pool_messages_total{pool=\"servers\",method=\"BYE\",way=\"response_to\"} 0\n",
        "sipedge_pool_capped_total{pool=\"servers\"} 0\n",
        "sipedge_pool_latency_seconds_bucket{pool=\"servers\",le=\"0.001\"} 0\n",
        "sipedge_pool_latency_seconds_count{pool=\"servers\"} 0\n",
        "sipedge_backends{pool=\"servers\",state=\"usable\"} 1\n",
        "sipedge_backends{pool=\"servers\",state=\"out\"} 1\n",
        "sipedge_backends{pool=\"servers\",state=\"leaving\"} 1\n",
        "sipedge_responses_total{class=\"5xx\",origin=\"edge\"} 0\n",
        "sipedge_latency_seconds_sum{shard=\"0\"} 0\n",
        "sipedge_hops_total{shard=\"1\"} 0\n",
        "sipedge_steered_total{listener=\"public\",by=\"call_id\"} 2\n",
        "sipedge_latency_seconds_bucket{shard=\"1\",le=\"+Inf\"} 0\n",
    ] {
        assert!(page.contains(line), "{line} not in {page}");
    }
}

#[test]
fn every_sample_follows_the_head_of_its_family_and_families_stand_once() {
    let page = page(&labels(), false, &snapshot(vec![Counters::new()]));
    let mut family = "";
    let mut seen = std::collections::HashSet::new();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            family = rest.split(' ').next().unwrap();
            assert!(seen.insert(family), "{family} twice");
        } else if !line.starts_with('#') {
            assert!(line.starts_with(family), "{line} in {family}");
        }
    }
    assert!(seen.len() > 15);
}

#[test]
fn counts_are_found_by_meter() {
    let mut counters = Counters::new();
    counters.traffic.backends.resize(5, BackendTraffic::default());
    counters.traffic.pools.resize_with(2, PoolTraffic::default);
    let traffic = BackendTraffic {
        requests: 7,
        responses: [0, 1, 2, 3, 4, 5, 6],
        ..BackendTraffic::default()
    };
    counters.traffic.backends[4] = traffic;
    counters.traffic.pools[1].messages[1][Method::Invite.index()] = 9;
    counters.traffic.pools[1].capped = 3;
    let page = page(&labels(), false, &snapshot(vec![counters]));
    for line in [
        "sipedge_backend_messages_total{pool=\"servers\",backend=\"sip:10.0.0.1\"} 7\n",
        "sipedge_backend_messages_total{pool=\"servers\",backend=\"sip:10.0.0.2\"} 0\n",
        "sipedge_backend_responses_total{pool=\"servers\",backend=\"sip:10.0.0.1\",class=\"6xx\"} 6\n",
        "sipedge_pool_messages_total{pool=\"servers\",method=\"INVITE\",way=\"response_from\"} 9\n",
        "sipedge_pool_capped_total{pool=\"servers\"} 3\n",
    ] {
        assert!(page.contains(line), "{line} not in {page}");
    }
}

#[test]
fn buckets_are_cumulative() {
    let mut counters = Counters::new();
    for latency_us in [9, 15, 15, 700, 5_000_000] {
        counters.latency_us.record(latency_us).unwrap();
    }
    let page = page(&labels(), false, &snapshot(vec![counters]));
    let bucket = |le: &str| {
        let start = format!("sipedge_latency_seconds_bucket{{shard=\"0\",le=\"{le}\"}} ");
        page.lines().find_map(|line| line.strip_prefix(&start)).unwrap().to_owned()
    };
    assert_eq!(bucket("0.00001"), "1");
    assert_eq!(bucket("0.00002"), "3");
    assert_eq!(bucket("0.001"), "4");
    assert_eq!(bucket("1"), "4");
    assert_eq!(bucket("+Inf"), "5");
}

#[test]
fn what_is_held_and_what_is_lost_is_shown() {
    let mut counters = Counters::new();
    counters.held_now = 3;
    counters.extras = 4;
    counters.calls_uncounted = 5;
    counters.answers_lost = 6;
    counters.hold.answered = 7;
    let page = page(&labels(), false, &snapshot(vec![counters]));
    let mut traced = String::new();
    let counts =
        TraceCounts { hep_sent: 1, hep_lost: 2, captured: 3, decisions: 4, file_errors: 5 };
    traces::write(&mut Writer { out: &mut traced }, &counts).unwrap();
    for line in [
        "# TYPE sipedge_held gauge\n",
        "sipedge_held{shard=\"0\"} 3\n",
        "sipedge_extras_total{shard=\"0\"} 4\n",
        "sipedge_calls_uncounted_total{shard=\"0\"} 5\n",
        "sipedge_answers_lost_total{shard=\"0\"} 6\n",
        "sipedge_failover_answered_total{shard=\"0\"} 7\n",
        "sipedge_trace_records_total{sink=\"hep\"} 1\n",
        "sipedge_trace_records_total{sink=\"pcap\"} 3\n",
        "sipedge_trace_records_total{sink=\"decisions\"} 4\n",
        "sipedge_trace_records_lost_total{sink=\"hep\"} 2\n",
        "sipedge_trace_records_lost_total{sink=\"file\"} 5\n",
    ] {
        assert!(page.contains(line) || traced.contains(line), "{line} not in {page}{traced}");
    }
}
