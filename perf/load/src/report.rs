//! What a run says about itself: JSON for programs, Markdown for people.
//!
//! Owns: the names of the figures. Latencies are microseconds, costs nanoseconds, rates per second. Counts of messages
//! are of flows that were meant to start within the measured window; faults are counted over the whole run.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use crate::tally::Times;

/// Quantiles of a latency.
#[derive(Debug, Clone, Serialize)]
pub struct Quantiles {
    /// Half of all were at most this.
    pub p50: f64,
    /// 99 of 100 were.
    pub p99: f64,
    /// 999 of 1000 were.
    pub p999: f64,
    /// All were.
    pub max: f64,
}

impl Quantiles {
    pub(crate) fn of(times: &Times) -> Self {
        let of = |quantile| times.quantile_us(quantile);
        Self { p50: of(0.5), p99: of(0.99), p999: of(0.999), max: times.max_us() }
    }
}

/// Responses that backends sent, on their way to the callers.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Responses {
    /// Sent by backends.
    pub sent: u64,
    /// Came to the callers, each once.
    pub arrived: u64,
    /// Did not.
    pub lost: u64,
    /// Everything that came to the callers during the whole run, by status; 0 is no response at all.
    pub by_status: BTreeMap<u16, u64>,
}

/// What the generator carries alone, per second.
#[derive(Debug, Clone, Serialize)]
pub struct Headroom {
    /// Messages that arrived, sent straight to its own backends, with all checks.
    pub direct_rate: f64,
    /// CPU time of the generator for each of them: the figure that other load on the machine does not spoil.
    pub direct_ns_per_message: f64,
    /// Datagrams of one send call there, on average.
    pub direct_burst_mean: f64,
    /// Messages sent to a socket on another core that throws them away.
    pub discard_rate: f64,
}

/// One run at one rate.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Name of the scenario.
    pub scenario: String,
    /// Flows (requests or calls) that were to start per second; `None` is "as many as go through".
    pub rate_offered: Option<f64>,
    /// Length of the measured window.
    pub seconds: f64,
    /// Length of the warm-up before it.
    pub warmup: f64,
    /// Seed of messages and schedule.
    pub seed: u64,
    /// Requests sent by callers.
    pub sent: u64,
    /// Requests that came to backends, each once.
    pub arrived: u64,
    /// Requests that did not.
    pub lost: u64,
    /// Share of requests and responses that was lost.
    pub loss: f64,
    /// Flows that came to their end.
    pub completed: u64,
    /// Messages that came again.
    pub duplicated: u64,
    /// Requests at another backend than the first of their Call-ID or dialog.
    pub wrong_backend: u64,
    /// Messages whose fields or body are not what was sent, apart from what a proxy may change.
    pub wrong_bytes: u64,
    /// Responses at a caller that did not ask.
    pub wrong_caller: u64,
    /// Messages that nobody sent: errors of the target above all.
    pub unexpected: u64,
    /// Requests within a dialog that went past the target.
    pub bypassed: u64,
    /// Messages that were compared field by field because they did not end as they were sent.
    pub compared_slowly: u64,
    /// Responses.
    pub responses: Responses,
    /// Requests at each backend, of the whole run.
    pub by_backend: Vec<u64>,
    /// Messages that came out of the target within the window, both ways.
    pub messages_forwarded: u64,
    /// The same per second.
    pub rate_forwarded: f64,
    /// CPU time of the target's processes for each of them.
    pub cpu_ns_per_message: Option<f64>,
    /// Time that the target's core did not idle, for each of them.
    pub core_ns_per_message: Option<f64>,
    /// Cores' worth of time that the target's processes had.
    pub target_cpu_share: Option<f64>,
    /// From the intended moment to the backend.
    pub latency_us: Quantiles,
    /// Of each tenth of a second the 99th percentile of that, and of these the median: what it is between stalls.
    pub latency_p99_between_stalls_us: Option<f64>,
    /// From the intended moment to the 200 at the caller.
    pub response_latency_us: Option<Quantiles>,
    /// From the intended moment to behind the send call: how late the generator was.
    pub lag_us: Quantiles,
    /// Share of the window in which the generator had something to do.
    pub generator_cpu_share: f64,
    /// Share of its core that the generator had; it never sleeps, so less than 1 is other load.
    pub generator_core_share: f64,
    /// CPU time of the generator for each forwarded message, idle turns included.
    pub generator_ns_per_message: Option<f64>,
    /// Datagrams of one send call, on average.
    pub burst_mean: f64,
    /// Flows under way, on average, when all sockets were empty; of a saturating run.
    pub backlog_mean: Option<f64>,
    /// Datagrams that the kernel dropped at the generator's own sockets.
    pub own_drops: u64,
    /// Datagrams that the kernel dropped at the target's socket.
    pub target_drops: u64,
    /// The generator was the limit, so the figures are no measure of the target.
    pub generator_limited: bool,
    /// Why.
    pub generator_limits: Vec<String>,
    /// What the generator carries alone.
    pub headroom: Option<Headroom>,
    /// Processor and kernel.
    pub machine: String,
    /// Percentile and microseconds of `latency_us`.
    pub histogram: Vec<(f64, f64)>,
}

/// Percentiles of the plot: 1 - 10^(-n/8), as percent, as far as there are values beyond them.
pub(crate) fn percentiles(times: &Times) -> Vec<(f64, f64)> {
    let beyond = (1..=40).map(|eighths| 10_f64.powf(-f64::from(eighths) / 8.0));
    let known = beyond.take_while(|share| share * times.len() as f64 >= 1.0);
    let quantiles = known.map(|share| 1.0 - share);
    quantiles.map(|quantile| (quantile * 100.0, times.quantile_us(quantile))).collect()
}

impl Report {
    /// Faults of the target that no rate excuses.
    #[must_use]
    pub const fn faults(&self) -> u64 {
        self.duplicated
            + self.wrong_backend
            + self.wrong_bytes
            + self.wrong_caller
            + self.unexpected
    }

    /// The figures as a Markdown table of one row.
    #[must_use]
    pub fn markdown(&self) -> String {
        let rate = self.rate_offered.map_or("max".to_owned(), |rate| format!("{rate:.0}"));
        let cost = |value: Option<f64>| value.map_or("-".to_owned(), |ns| format!("{ns:.0}"));
        let latency = |q: &Quantiles| format!("{:.0} / {:.0} / {:.0}", q.p50, q.p99, q.p999);
        let answers = self.response_latency_us.as_ref().map_or("-".to_owned(), latency);
        let mut text = String::from(
            "| scenario | offered/s | forwarded/s | lost | faults | CPU ns/msg | core ns/msg | \
             latency us p50 / p99 / p99.9 | response us | lag p99 us | generator busy |\n\
             | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
        );
        let row = format!(
            "| {} | {rate} | {:.0} | {:.4} % | {} | {} | {} | {} | {answers} | {:.0} | {:.0} % |\n",
            self.scenario,
            self.rate_forwarded,
            self.loss * 100.0,
            self.faults(),
            cost(self.cpu_ns_per_message),
            cost(self.core_ns_per_message),
            latency(&self.latency_us),
            self.lag_us.p99,
            self.generator_cpu_share * 100.0,
        );
        text.push_str(&row);
        if self.faults() > 0 {
            let _ = writeln!(
                text,
                "\nfaults: {} duplicated, {} at the wrong backend, {} with wrong bytes, {} at the wrong caller, \
                 {} unexpected",
                self.duplicated,
                self.wrong_backend,
                self.wrong_bytes,
                self.wrong_caller,
                self.unexpected
            );
        }
        if self.generator_limited {
            let _ = writeln!(
                text,
                "\n**the generator was the limit**: {}",
                self.generator_limits.join("; ")
            );
        }
        text
    }
}

/// One step of a search.
#[derive(Debug, Clone, Serialize)]
pub struct SearchStep {
    /// Flows per second.
    pub rate: f64,
    /// Requests sent.
    pub sent: u64,
    /// Requests and responses lost.
    pub lost: u64,
    /// As a share.
    pub loss: f64,
    /// The loss was below the bound, and nothing was wrong.
    pub passed: bool,
    /// The generator was the limit.
    pub generator_limited: bool,
}

/// The highest rate with little loss, and latency at half of it.
#[derive(Debug, Clone, Serialize)]
pub struct SearchReport {
    /// Name of the scenario.
    pub scenario: String,
    /// The highest rate that passed, in flows per second; 0 when none did.
    pub max_rate: f64,
    /// That is the upper bound of the search: the target may take more.
    pub bound_reached: bool,
    /// The loss that was allowed.
    pub loss_max: f64,
    /// A run at half of that rate.
    pub at_half: Option<Report>,
    /// All that was tried, in order.
    pub steps: Vec<SearchStep>,
    /// The generator ended the search, not the target.
    pub generator_limited: bool,
}

impl SearchReport {
    /// The steps and the run at half rate as Markdown tables.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text =
            String::from("| step | offered/s | lost | passed |\n| --- | --- | --- | --- |\n");
        for (at, step) in self.steps.iter().enumerate() {
            let passed = if step.passed { "yes" } else { "no" };
            let limited = if step.generator_limited { " (generator)" } else { "" };
            let (rate, loss) = (step.rate, step.loss * 100.0);
            let _ = writeln!(text, "| {} | {rate:.0} | {loss:.4} % | {passed}{limited} |", at + 1);
        }
        let bound = self.loss_max * 100.0;
        let _ = writeln!(text, "\nhighest rate with loss below {bound} %: {:.0}/s", self.max_rate);
        if self.bound_reached {
            text.push_str("(the upper bound of the search: it may take more)\n");
        }
        if let Some(half) = &self.at_half {
            let _ = write!(text, "\nat half of it:\n\n{}", half.markdown());
        }
        text
    }
}
