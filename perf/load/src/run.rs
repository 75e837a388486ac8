//! One run: warm-up, measured window, the time that the last messages need; and what it comes to.
//!
//! Owns: when samples are taken and when the generator itself counts as the limit. The window is in intended time for
//! messages, and in real time for CPU and forwarded messages.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};

use crate::engine::{Engine, Options};
use crate::machine::{self, ThreadTimes};
use crate::report::{Quantiles, Report, Responses, percentiles};
use crate::scenario::Scenario;

pub use crate::engine::{Rate, Target};

/// Without an arrival for this long, what is under way is lost.
const SETTLE_NS: u64 = 500_000_000;
/// How late the generator may be: half of all sends, and 99 of 100. How busy it is says nothing: with more to do its
/// batches grow and cost less for each message, until at last it is late.
const LAG_P50_US_MAX: f64 = 100.0;
const LAG_P99_US_MAX: f64 = 1_000.0;
/// The generator never sleeps: with less of its core, something else ran there.
const CORE_SHARE_MIN: f64 = 0.98;
/// How much of the schedule must be sent within the window.
const SENT_SHARE_MIN: f64 = 0.99;

/// What to run.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The traffic.
    pub scenario: Scenario,
    /// Where it goes.
    pub target: Target,
    /// Where the backends listen.
    pub backends: Vec<SocketAddr>,
    /// The callers' address.
    pub callers: IpAddr,
    /// How fast flows start.
    pub rate: Rate,
    /// Length of the measured window.
    pub seconds: f64,
    /// Before it.
    pub warmup: f64,
    /// The generator's core.
    pub core: Option<usize>,
    /// The target's processes.
    pub pids: Vec<u32>,
    /// The target's core.
    pub target_core: Option<usize>,
    /// Of messages and schedule.
    pub seed: u64,
    /// Longest burst of equal datagrams in one send call.
    pub burst_max: usize,
    /// Say on stderr how it goes, each second.
    pub progress: bool,
}

/// What is read at both ends of the window.
#[derive(Debug, Clone)]
struct Sample {
    at_ns: u64,
    forwarded: u64,
    begun: u64,
    busy_ns: u64,
    own_ns: Option<u64>,
    threads: Option<ThreadTimes>,
    core_ns: Option<u64>,
}

fn sample(setup: &Setup, engine: &Engine) -> Sample {
    let threads = (!setup.pids.is_empty()).then(|| machine::thread_times(&setup.pids)).flatten();
    Sample {
        at_ns: engine.clock.now_ns(),
        forwarded: engine.tally().forwarded,
        begun: engine.begun(),
        busy_ns: engine.effort.busy_ns,
        own_ns: machine::own_thread_ns(),
        threads,
        core_ns: setup.target_core.and_then(machine::core_busy_ns),
    }
}

/// Runs it.
///
/// # Errors
/// When sockets cannot be opened, the core is not there, or a process of the target is gone.
pub fn run(setup: &Setup) -> std::io::Result<Report> {
    if let Some(core) = setup.core {
        machine::pin(core)?;
    }
    let mut engine = Engine::new(&Options {
        scenario: &setup.scenario,
        seed: setup.seed,
        target: setup.target,
        backends: &setup.backends,
        callers: setup.callers,
        rate: setup.rate,
        burst_max: setup.burst_max,
    })?;
    let (from_ns, to_ns) = (nanoseconds(setup.warmup), nanoseconds(setup.warmup + setup.seconds));
    let drops = Drops::begin(setup);
    engine.measure(from_ns, to_ns);
    let mut progress = Progress::new(setup);
    while engine.turn(true) < from_ns {
        progress.poll(&engine);
    }
    let first = sample(setup, &engine);
    if !setup.pids.is_empty() && first.threads.is_none() {
        return Err(std::io::Error::other(format!("no process {:?}", setup.pids)));
    }
    while engine.turn(true) < to_ns {
        progress.poll(&engine);
    }
    let last = sample(setup, &engine);
    settle(&mut engine);
    let drops = drops.end(setup);
    Ok(report(setup, &engine, [first, last], drops))
}

fn nanoseconds(seconds: f64) -> u64 {
    std::time::Duration::from_secs_f64(seconds).as_nanos().try_into().unwrap_or(u64::MAX)
}

/// Takes what is still under way.
fn settle(engine: &mut Engine) {
    let mut seen = engine.tally().forwarded;
    let mut quiet_since_ns = engine.clock.now_ns();
    loop {
        let now_ns = engine.turn(false);
        let forwarded = engine.tally().forwarded;
        if forwarded != seen || engine.held() > 0 {
            (seen, quiet_since_ns) = (forwarded, now_ns);
        }
        // Duplicates come late, too: even when nothing is missing, one wait is made.
        let wait_ns = if engine.open() == 0 { SETTLE_NS / 10 } else { SETTLE_NS };
        if now_ns - quiet_since_ns > wait_ns {
            return;
        }
    }
}

/// Datagrams dropped at sockets.
#[derive(Debug, Clone, Copy)]
struct Drops {
    own: u64,
    target: u64,
}

impl Drops {
    /// Own sockets are new: they have dropped nothing.
    fn begin(setup: &Setup) -> Self {
        Self { own: machine::socket_drops(&setup.backends), target: target_drops(setup) }
    }

    fn end(self, setup: &Setup) -> Self {
        Self {
            own: machine::socket_drops(&setup.backends).saturating_sub(self.own),
            target: target_drops(setup).saturating_sub(self.target),
        }
    }
}

fn target_drops(setup: &Setup) -> u64 {
    match setup.target {
        Target::Address(address) => machine::socket_drops(&[address]),
        Target::Direct => 0,
    }
}

fn report(setup: &Setup, engine: &Engine, [first, last]: [Sample; 2], drops: Drops) -> Report {
    let tally = engine.tally();
    let (lost, responses_lost) = engine.lost();
    let window_ns = (last.at_ns - first.at_ns).max(1) as f64;
    let forwarded = last.forwarded - first.forwarded;
    let per_message = |spent_ns: u64| (forwarded > 0).then(|| spent_ns as f64 / forwarded as f64);
    let process = first.threads.as_ref().zip(last.threads.as_ref());
    let process_ns = process.map(|(first, last)| machine::spent_ns(first, last));
    let core = first.core_ns.zip(last.core_ns);
    let core_ns = core.map(|(first, last)| last.saturating_sub(first));
    let own_ns = last.own_ns.zip(first.own_ns).map_or(0, |(last, first)| last - first);
    let effort = engine.effort;
    let mut report = Report {
        scenario: setup.scenario.name.clone(),
        rate_offered: match setup.rate {
            Rate::PerSecond(rate) => Some(rate),
            Rate::Saturate { .. } | Rate::Unbounded => None,
        },
        seconds: setup.seconds,
        warmup: setup.warmup,
        seed: setup.seed,
        sent: tally.sent,
        arrived: tally.arrived,
        lost,
        loss: share(lost + responses_lost, tally.sent + tally.responses_sent),
        completed: tally.completed,
        duplicated: tally.duplicated,
        wrong_backend: tally.wrong_backend,
        wrong_bytes: tally.wrong_bytes,
        wrong_caller: tally.wrong_caller,
        unexpected: tally.unexpected,
        bypassed: tally.bypassed,
        compared_slowly: tally.compared_slowly,
        responses: Responses {
            sent: tally.responses_sent,
            arrived: tally.responses_arrived,
            lost: responses_lost,
            by_status: tally.by_status.clone(),
        },
        by_backend: tally.by_backend.clone(),
        messages_forwarded: forwarded,
        rate_forwarded: forwarded as f64 * 1e9 / window_ns,
        cpu_ns_per_message: process_ns.and_then(per_message),
        core_ns_per_message: core_ns.and_then(per_message),
        target_cpu_share: process_ns.map(|spent_ns| spent_ns as f64 / window_ns),
        latency_us: Quantiles::of(&tally.latency),
        latency_p99_between_stalls_us: tally.latency_slices.median_us(),
        response_latency_us: (!tally.response_latency.is_empty())
            .then(|| Quantiles::of(&tally.response_latency)),
        lag_us: Quantiles::of(&tally.lag),
        generator_core_share: share(own_ns, last.at_ns - first.at_ns),
        generator_ns_per_message: per_message(own_ns),
        generator_cpu_share: (last.busy_ns - first.busy_ns) as f64 / window_ns,
        burst_mean: engine.burst_mean(),
        backlog_mean: matches!(setup.rate, Rate::Saturate { .. })
            .then(|| effort.open_sum as f64 / effort.turns.max(1) as f64),
        own_drops: drops.own,
        target_drops: drops.target,
        generator_limited: false,
        generator_limits: Vec::new(),
        headroom: None,
        machine: machine::description(),
        histogram: percentiles(&tally.latency),
    };
    report.generator_limits = limits(setup, &report, engine, last.begun - first.begun);
    report.generator_limited = !report.generator_limits.is_empty();
    report
}

fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

/// What speaks against taking the figures for the target's.
fn limits(setup: &Setup, report: &Report, engine: &Engine, begun: u64) -> Vec<String> {
    let mut found = Vec::new();
    if report.own_drops > 0 {
        found.push(format!("{} datagrams dropped at its own sockets", report.own_drops));
    }
    if engine.refused() > 0 {
        found.push(format!("{} datagrams refused by the kernel when sent", engine.refused()));
    }
    if report.generator_core_share < CORE_SHARE_MIN {
        let percent = report.generator_core_share * 100.0;
        found.push(format!("had only {percent:.0} % of its core: something else ran there"));
    }
    match setup.rate {
        Rate::PerSecond(rate) => {
            let Quantiles { p50, p99, .. } = report.lag_us;
            if p50 > LAG_P50_US_MAX || p99 > LAG_P99_US_MAX {
                found.push(format!("late by {p50:.0} us (p50), {p99:.0} us (p99)"));
            }
            let due = rate * setup.seconds;
            // A Poisson process of mean `due` is this much off in one case of a thousand.
            let chance = 3.3 * due.sqrt();
            if (begun as f64) < due * SENT_SHARE_MIN - chance {
                found.push(format!("sent {begun} of {due:.0} flows"));
            }
        }
        Rate::Saturate { window } => {
            let effort = engine.effort;
            let held_back = share(effort.held_back, effort.turns);
            if held_back < 0.5 {
                found.push(format!(
                    "half of the window of {window} flows was under way in only {:.0} % of the turns",
                    held_back * 100.0
                ));
            }
        }
        Rate::Unbounded => found.push("no target was asked to keep up".to_owned()),
    }
    found
}

/// The line on stderr.
struct Progress {
    enabled: bool,
    next_ns: u64,
    forwarded: u64,
    begun: u64,
    busy_ns: u64,
}

const SECOND_NS: u64 = 1_000_000_000;

impl Progress {
    const fn new(setup: &Setup) -> Self {
        Self { enabled: setup.progress, next_ns: SECOND_NS, forwarded: 0, begun: 0, busy_ns: 0 }
    }

    fn poll(&mut self, engine: &Engine) {
        let now_ns = engine.clock.now_ns();
        if !self.enabled || now_ns < self.next_ns {
            return;
        }
        let tally = engine.tally();
        let mut line = format!(
            "{:>4} s  {:>7} flows/s begun  {:>7} messages/s forwarded  {:>5} open  p50 {:>6.0} us  busy {:>3} %",
            now_ns / SECOND_NS,
            engine.begun() - self.begun,
            tally.forwarded - self.forwarded,
            engine.open(),
            tally.latency.quantile_us(0.5),
            (engine.effort.busy_ns - self.busy_ns) * 100 / SECOND_NS,
        );
        let faults = tally.duplicated
            + tally.wrong_backend
            + tally.wrong_bytes
            + tally.wrong_caller
            + tally.unexpected;
        if faults > 0 {
            let _ = write!(line, "  FAULTS {faults}");
        }
        // Nobody reads it when stderr is closed; the run goes on.
        let _ = writeln!(std::io::stderr(), "{line}");
        self.forwarded = tally.forwarded;
        self.begun = engine.begun();
        self.busy_ns = engine.effort.busy_ns;
        self.next_ns += SECOND_NS;
    }
}
