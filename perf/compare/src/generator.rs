//! The load generator as a program: its command line and what it answers.
//!
//! Owns: the contract with `sipedge-load`. Knows nothing of targets beyond their address and processes.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::process::Process;

/// A run may take this many times its own length, and this much more: then it hangs. The search has many steps.
const LATE_FACTOR: f64 = 40.0;
const LATE_SECONDS: f64 = 60.0;

/// What the generator is to do.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) mode: Mode,
    pub(crate) scenario: PathBuf,
    pub(crate) target: String,
    pub(crate) backends: Vec<String>,
    pub(crate) seconds: f64,
    pub(crate) warmup_seconds: f64,
    pub(crate) core: usize,
    pub(crate) target_core: usize,
    pub(crate) pids: Vec<u32>,
    pub(crate) seed: u64,
    pub(crate) burst: Option<u16>,
}

/// Which of its commands.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mode {
    /// As fast as it can.
    Saturate,
    /// Messages or calls per second, as the scenario counts.
    Rate(f64),
    Search,
}

/// Latencies in microseconds.
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

/// The part of a run's answer that is reported; the whole stands in results.json.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
pub(crate) struct Measured {
    pub(crate) sent: f64,
    pub(crate) lost: f64,
    pub(crate) duplicated: f64,
    pub(crate) wrong_backend: f64,
    pub(crate) wrong_bytes: f64,
    #[serde(default)]
    pub(crate) wrong_caller: f64,
    #[serde(default)]
    pub(crate) bypassed: f64,
    pub(crate) unexpected: f64,
    pub(crate) rate_forwarded: f64,
    pub(crate) cpu_ns_per_message: Option<f64>,
    pub(crate) core_ns_per_message: Option<f64>,
    /// Cores' worth of time that the target had.
    #[serde(default)]
    pub(crate) target_cpu_share: Option<f64>,
    /// Flows (requests, or calls) that came to their end, and the time that this took.
    #[serde(default)]
    pub(crate) completed: f64,
    #[serde(default)]
    pub(crate) seconds: f64,
    pub(crate) latency_us: Option<Latency>,
    /// The median of the 99th percentiles of all tenths of a second.
    #[serde(default)]
    pub(crate) latency_p99_between_stalls_us: Option<f64>,
    pub(crate) generator_limited: bool,
    /// Percentile and microseconds.
    #[serde(default)]
    pub(crate) histogram: Vec<(f64, f64)>,
}

/// What a search answers.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub(crate) struct Found {
    pub(crate) max_rate: f64,
    #[serde(default)]
    pub(crate) generator_limited: bool,
}

/// The command line.
pub(crate) fn command(program: &Path, order: &Order, json: &Path) -> Vec<String> {
    let mut words = vec![program.to_string_lossy().into_owned()];
    let mut add = |more: &[&str]| words.extend(more.iter().map(|&word| word.to_owned()));
    match order.mode {
        Mode::Saturate => add(&["run", "--rate", "max"]),
        Mode::Rate(rate) => add(&["run", "--rate", &format!("{rate:.0}")]),
        Mode::Search => add(&["search"]),
    }
    add(&["--scenario", &order.scenario.to_string_lossy(), "--target", &order.target]);
    add(&["--backends", &order.backends.join(",")]);
    add(&["--seconds", &order.seconds.to_string(), "--warmup", &order.warmup_seconds.to_string()]);
    add(&["--core", &order.core.to_string(), "--target-core", &order.target_core.to_string()]);
    order.pids.iter().for_each(|pid| add(&["--pid", &pid.to_string()]));
    if let Some(burst) = order.burst {
        add(&["--burst", &burst.to_string()]);
    }
    add(&["--quiet", "--seed", &order.seed.to_string(), "--json", &json.to_string_lossy()]);
    words
}

/// Runs it to its end and reads its answer.
pub(crate) fn run(
    command: &[String],
    order: &Order,
    folder: &Path,
    json: &Path,
    interrupted: &AtomicBool,
) -> Result<serde_json::Value, String> {
    let mut process = Process::start(command, folder, folder.join("generator.log"))?;
    let seconds = order.seconds + order.warmup_seconds;
    let ended = clock::poll(seconds * LATE_FACTOR + LATE_SECONDS, || {
        if interrupted.load(Ordering::Relaxed) {
            process.stop(Signal::SIGTERM);
        }
        process.ended()
    });
    if interrupted.load(Ordering::Relaxed) {
        return Err("interrupted".into());
    }
    match ended {
        Some(status) if status.success() => {}
        Some(status) => {
            return Err(format!("the generator ended ({status}):\n{}", process.log_tail()));
        }
        None => return Err(format!("the generator did not end:\n{}", process.log_tail())),
    }
    let text = fs::read_to_string(json).map_err(|error| format!("{}: {error}", json.display()))?;
    serde_json::from_str(&text).map_err(|error| format!("{}: {error}", json.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_the_contract() {
        let mut order = Order {
            mode: Mode::Rate(1234.4),
            scenario: "s.toml".into(),
            target: "127.0.0.1:5060".into(),
            backends: vec!["a".into(), "b".into()],
            seconds: 2.0,
            warmup_seconds: 0.5,
            core: 0,
            target_core: 1,
            pids: vec![7, 8],
            seed: 3,
            burst: Some(1),
        };
        let line = |order: &Order| command(Path::new("load"), order, Path::new("o.json")).join(" ");
        assert_eq!(
            line(&order),
            "load run --rate 1234 --scenario s.toml --target 127.0.0.1:5060 --backends a,b --seconds 2 \
             --warmup 0.5 --core 0 --target-core 1 --pid 7 --pid 8 --burst 1 --quiet --seed 3 --json o.json"
        );
        order.mode = Mode::Saturate;
        assert!(line(&order).starts_with("load run --rate max "));
        order.mode = Mode::Search;
        assert!(line(&order).starts_with("load search --scenario "));
    }

    #[test]
    fn the_answer_is_read() {
        let text = r#"{"scenario":"x","rate_offered":1.5,"sent":10,"lost":1,"duplicated":0,"wrong_backend":0,
            "wrong_bytes":0,"unexpected":0,"rate_forwarded":9,"cpu_ns_per_message":2500.5,
            "core_ns_per_message":null,"latency_us":{"p50":10,"p99":20.5,"p999":30,"max":40},
            "generator_limited":true,"histogram":[[50,10],[99.9,30]]}"#;
        let measured: Measured = serde_json::from_str(text).expect("as agreed");
        assert_eq!(
            (measured.cpu_ns_per_message, measured.core_ns_per_message),
            (Some(2500.5), None)
        );
        assert_eq!(measured.histogram[1], (99.9, 30.0));
        assert!(measured.generator_limited && measured.latency_us.is_some());
    }
}
