//! The generator sees each fault of a target, and none where there is none.
//!
//! Owns: short runs against a forwarder in the same process. Rates are low: what is tried is counting, not speed.

mod forwarder;

use std::net::SocketAddr;

use forwarder::{EVERY, Fault, Forwarder};
use sipedge_load::report::Report;
use sipedge_load::run::{Rate, Setup, Target, run};
use sipedge_load::scenario::Scenario;

const REQUESTS: &str = include_str!("../../../scenarios/requests.toml");
const RESPOND: &str = include_str!("../../../scenarios/respond.toml");
const CALLS: &str = include_str!("../../../scenarios/calls.toml");

/// Loopback addresses that no other test and no other process of tests uses.
fn address(test: u8, host: u8, port: u16) -> SocketAddr {
    let process = u8::try_from(std::process::id() % 200 + 20).expect("below 220");
    SocketAddr::from(([127, process, test, host], port))
}

fn setup(test: u8, scenario: &str) -> Setup {
    let callers = address(test, 1, 0);
    Setup {
        scenario: Scenario::parse(scenario).expect("a scenario"),
        target: Target::Address(address(test, 2, 5060)),
        backends: (3..7).map(|host| address(test, host, 7001)).collect(),
        callers: callers.ip(),
        rate: Rate::PerSecond(1_500.0),
        seconds: 0.3,
        warmup: 0.0,
        core: None,
        pids: vec![std::process::id()],
        target_core: None,
        seed: 7,
        burst_max: 64,
        progress: false,
    }
}

/// A run against a forwarder with this fault, and how many messages had it.
fn run_with(test: u8, scenario: &str, fault: Fault) -> (Report, u64) {
    let setup = setup(test, scenario);
    let forwarder = Forwarder::start(address(test, 2, 5060), setup.backends.clone(), fault);
    let report = run(&setup).expect("a run");
    let faults = forwarder.stop();
    assert!(report.sent > 100, "{fault:?}: only {} requests were sent", report.sent);
    assert_eq!(report.sent, report.arrived + report.lost, "{fault:?}");
    assert_eq!(report.bypassed, 0, "{fault:?}");
    (report, faults)
}

/// Kinds of faults, as the report counts them.
fn counted(report: &Report) -> [u64; 5] {
    let Report { duplicated, wrong_backend, wrong_bytes, wrong_caller, unexpected, .. } = *report;
    [duplicated, wrong_backend, wrong_bytes, wrong_caller, unexpected]
}

#[test]
fn a_good_target_has_no_faults() {
    for (test, scenario) in [(1, REQUESTS), (2, RESPOND), (3, CALLS)] {
        let (report, _) = run_with(test, scenario, Fault::None);
        assert_eq!(counted(&report), [0; 5], "{}", report.scenario);
        assert_eq!((report.lost, report.responses.lost), (0, 0), "{}", report.scenario);
        assert!(report.by_backend.iter().all(|count| *count > 0), "{:?}", report.by_backend);
        let by_status = |status| report.responses.by_status.get(&status).copied().unwrap_or(0);
        match &*report.scenario {
            "requests" => assert_eq!(report.responses.sent, 0),
            "respond" => assert_eq!(report.responses.arrived, report.sent),
            _ => {
                assert_eq!(report.sent, report.completed * 3, "INVITE, ACK and BYE");
                assert_eq!(report.responses.arrived, report.completed * 3, "180, 200 and 200");
                assert_eq!(by_status(200), by_status(180) * 2);
            }
        }
        assert!(report.latency_us.p50 > 0.0 && report.latency_us.max >= report.latency_us.p999);
        assert_eq!(report.response_latency_us.is_some(), report.scenario != "requests");
        assert!(report.cpu_ns_per_message.is_some_and(|ns| ns > 0.0));
    }
}

#[test]
fn what_is_dropped_is_lost() {
    let (report, faults) = run_with(10, REQUESTS, Fault::Drop);
    assert_eq!(counted(&report), [0; 5]);
    // Flows that began behind the window are not in the report.
    assert!(report.lost <= faults && report.lost + 8 >= faults, "{} of {faults}", report.lost);
    assert!((report.loss - 1.0 / EVERY as f64).abs() < 0.02, "{}", report.loss);
    let (report, faults) = run_with(11, RESPOND, Fault::DropResponse);
    let lost = report.responses.lost;
    assert!(lost <= faults && lost + 8 >= faults, "{lost} of {faults}");
    assert_eq!(report.lost, 0);
}

#[test]
fn each_fault_is_counted_under_its_name() {
    // Neighbours of different callers, so that the wrong one is at hand.
    let mixed = RESPOND.replace("run_length = 16", "run_length = 1");
    let cases: [(&str, Fault, [u64; 5]); 9] = [
        (REQUESTS, Fault::Duplicate, [1, 0, 0, 0, 0]),
        (REQUESTS, Fault::CorruptBody, [0, 0, 1, 0, 0]),
        (REQUESTS, Fault::CorruptFrom, [0, 0, 1, 0, 0]),
        (REQUESTS, Fault::AddField, [0, 0, 1, 0, 0]),
        (REQUESTS, Fault::Refuse, [0, 0, 0, 0, 1]),
        (CALLS, Fault::MisrouteBye, [0, 1, 0, 0, 0]),
        (RESPOND, Fault::DuplicateResponse, [1, 0, 0, 0, 0]),
        (RESPOND, Fault::CorruptResponse, [0, 0, 1, 0, 0]),
        (&mixed, Fault::MisrouteResponse, [0, 0, 0, 1, 0]),
    ];
    for (test, (scenario, fault, expected)) in (20..).zip(cases) {
        let (report, faults) = run_with(test, scenario, fault);
        assert!(faults > 5, "{fault:?}: {faults} messages had it");
        assert_eq!(counted(&report), expected.map(|count| count * faults), "{fault:?}");
    }
}

#[test]
fn a_call_id_that_moves_is_at_the_wrong_backend() {
    // The first request of a Call-ID decides; whichever of the two was moved, one of them is wrong.
    let (report, faults) = run_with(40, REQUESTS, Fault::Misroute);
    assert!(faults > 5 && report.wrong_backend > 0);
    assert!(report.wrong_backend <= faults, "{} of {faults}", report.wrong_backend);
    assert_eq!(counted(&report), [0, report.wrong_backend, 0, 0, 0]);
}

#[test]
fn heads_are_read_by_sample() {
    let setup = Setup { seconds: 1.0, ..setup(41, REQUESTS) };
    let forwarder =
        Forwarder::start(address(41, 2, 5060), setup.backends.clone(), Fault::CorruptUri);
    let report = run(&setup).expect("a run");
    let faults = forwarder.stop();
    // One head of 16 is read, which of them by chance; one message of ten is wrong.
    let found = report.wrong_bytes;
    assert!((1..=faults / 3).contains(&found), "{found} of {faults}");
    assert_eq!(counted(&report), [0, 0, found, 0, 0]);
}

#[test]
fn padding_behind_the_body_is_no_fault() {
    let (report, faults) = run_with(42, REQUESTS, Fault::Pad);
    assert_eq!((counted(&report), report.lost), ([0; 5], 0));
    assert_eq!(report.compared_slowly, faults);
}

#[test]
fn a_generator_that_is_the_limit_says_so() {
    let setup =
        Setup { rate: Rate::PerSecond(9_000_000.0), target: Target::Direct, ..setup(50, REQUESTS) };
    let report = run(&setup).expect("a run");
    assert!(report.generator_limited, "{:?}", report.generator_limits);
    assert!(report.generator_limits.iter().any(|limit| limit.starts_with("late by")));
    let setup = Setup { rate: Rate::Saturate { window: 4_096 }, ..setup };
    let report = run(&setup).expect("a run");
    assert!(report.generator_limited, "its own backends never fall behind");
    assert_eq!((counted(&report), report.lost), ([0; 5], 0));
}

#[test]
fn a_slow_target_is_the_limit_of_a_saturating_run() {
    let mut setup = Setup { rate: Rate::Saturate { window: 64 }, ..setup(51, REQUESTS) };
    setup.seconds = 0.5;
    let forwarder = Forwarder::start(address(51, 2, 5060), setup.backends.clone(), Fault::None);
    let report = run(&setup).expect("a run");
    forwarder.stop();
    assert!(report.backlog_mean.is_some_and(|mean| mean > 32.0), "{:?}", report.backlog_mean);
    assert!(!report.generator_limits.iter().any(|limit| limit.contains("window")));
}

#[test]
fn a_process_that_is_gone_is_an_error() {
    let setup = Setup { pids: vec![u32::MAX], target: Target::Direct, ..setup(52, REQUESTS) };
    assert!(run(&setup).is_err());
}
