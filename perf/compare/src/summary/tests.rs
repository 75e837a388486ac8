//! A made-up comparison, and what must come out of it. The report's tests use it, too.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::machine::Machine;
use crate::plan::Plan;

/// Two rounds of four targets: the second round is twice as slow for all.
pub(crate) fn made_up() -> Results {
    let plan: Plan = toml::from_str(
        "peer = \"kamailio\"\nfloor = \"floor\"\nshort = [\"full\", \"latency\"]\n\
         [[series]]\nname = \"full\"\ntitle = \"Saturated\"\nscenario = \"mix\"\nkind = \"saturated\"\n\
         targets = [\"ours\", \"kamailio\", \"floor\"]\nseconds = 1.0\nwarmup_seconds = 1.0\n\
         [[series]]\nname = \"latency\"\ntitle = \"Half\"\nscenario = \"mix\"\nkind = \"rate\"\n\
         targets = [\"direct\", \"ours\", \"kamailio\", \"floor\"]\nseconds = 1.0\nwarmup_seconds = 1.0\n\
         percents = [50]\npercent_of = [\"kamailio\"]\n",
    )
    .expect("valid");
    let target = |name: &str, command: &str, cores: usize| {
        let text = format!(
            "name = \"{name}\"\nwhat = \"<{name}> & co\"\njob = \"its | job\"\ncores = {cores}\n{command}"
        );
        (toml::from_str::<Target>(&text).expect("valid"), format!("{name} 1.0"))
    };
    let program = "command = [\"x\"]\n";
    let mut runs = vec![];
    for round in 1..=2 {
        let slow = f64::from(round);
        for (name, cpu) in [("ours", 3000.0), ("kamailio", 9000.0), ("floor", 2500.0)] {
            runs.push(made_up_run(round, "full", None, name, cpu * slow, 100.0 * slow));
        }
        for (name, p50) in [("direct", 10.0), ("ours", 16.0), ("kamailio", 30.0), ("floor", 15.0)] {
            runs.push(made_up_run(round, "latency", Some(50), name, 4000.0, p50 * slow));
        }
    }
    Results {
        machine: Machine::look(std::path::Path::new(".")).expect("it is a Linux machine"),
        rounds: 2,
        seconds: 61.0,
        generator_core: 0,
        target_core: 1,
        plan,
        targets: vec![
            target("ours", program, 1),
            target("kamailio", program, 1),
            target("floor", program, 2),
            target("direct", "", 1),
        ],
        left_out: BTreeMap::from([("glommio".into(), "does not build".into())]),
        runs,
    }
}

fn made_up_run(
    round: u32,
    series: &str,
    percent: Option<u32>,
    target: &str,
    cpu: f64,
    p50: f64,
) -> Run {
    let limited = target == "floor" && round == 2;
    let curve: Vec<_> = [(50.0, 1.0), (90.0, 2.0), (99.0, 9.0), (99.9, 40.0), (99.99, 200.0)]
        .map(|(percentile, factor)| [percentile, p50 * factor])
        .to_vec();
    Run {
        round,
        series: series.into(),
        scenario: "mix".into(),
        target: target.into(),
        percent,
        rate: percent.map(|_| 50_000.0),
        target_command: format!("{target} --run"),
        generator_command: "sipedge-load run".into(),
        answer: Some(json!({
            "sent": 1000, "lost": if target == "kamailio" { 2 } else { 0 }, "duplicated": 0,
            "wrong_backend": if target == "floor" { 1 } else { 0 }, "wrong_bytes": 0, "unexpected": 0,
            "target_cpu_share": if target == "kamailio" { 0.5 } else { 2.0 },
            "rate_forwarded": 1e9 / cpu, "cpu_ns_per_message": cpu, "core_ns_per_message": null,
            "latency_us": {"p50": p50, "p99": p50 * 9.0, "p999": p50 * 40.0, "max": p50 * 300.0},
            "generator_limited": limited, "histogram": curve
        })),
        failure: None,
    }
}

fn row<'a>(group: &'a Group<'_>, target: &str) -> &'a Row {
    group.rows.iter().find(|row| row.target == target).expect("it took part")
}

#[test]
fn ratios_do_not_see_a_slow_round() {
    let results = made_up();
    let groups = groups(&results);
    let cpu = row(&groups[0], "ours").figure(Metric::Cpu).expect("saturated has it").clone();
    let spread = cpu.spread.expect("measured");
    assert_eq!((spread.median, spread.min, spread.max), (4500.0, 3000.0, 6000.0));
    let ratio = cpu.to_peer.expect("the peer took part");
    assert!((ratio.median - 1.0 / 3.0).abs() < 1e-9 && ratio.max - ratio.min < 1e-9);
    assert!((cpu.to_floor.expect("the floor took part").median - 1.2).abs() < 1e-9);
    let core = row(&groups[0], "ours").figure(Metric::Core).expect("saturated has it");
    assert_eq!(core.spread, None, "nobody measured it");
}

#[test]
fn added_latency_is_a_difference_to_no_target() {
    let results = made_up();
    let latency = &groups(&results)[1];
    assert_eq!((latency.percent, latency.rate), (Some(50), Some(50_000.0)));
    let p50 = row(latency, "ours").figure(Metric::P50).expect("rate has it");
    let added = p50.added.expect("direct took part");
    assert_eq!((added.min, added.max), (6.0, 12.0));
    assert_eq!(row(latency, "ours").curve[0], (50.0, 24.0));
    assert_eq!(row(latency, "ours").curve.len(), 5);
}

#[test]
fn marks_say_what_a_figure_is_not() {
    let results = made_up();
    let groups = groups(&results);
    assert_eq!(row(&groups[0], "ours").marks, Marks::default());
    let floor = &row(&groups[0], "floor").marks;
    assert!(floor.shares_core);
    assert_eq!((floor.generator_limited, floor.wrong), (1, 2));
    let kamailio = |group: usize| row(&groups[group], "kamailio").marks.clone();
    assert_eq!((kamailio(0).lost, kamailio(1).lost), (0, 2), "a saturated run always loses");
    assert_eq!((kamailio(0).not_full, kamailio(1).not_full), (2, 0));
}

#[test]
fn a_target_may_have_a_smaller_job() {
    let mut results = made_up();
    results.targets[2].0.unchecked = vec![Check::WrongBackend];
    assert_eq!(row(&groups(&results)[0], "floor").marks.wrong, 0);
}
