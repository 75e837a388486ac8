//! What is counted during a run.
//!
//! Owns: the counters and the histograms. Latencies are nanoseconds. Counts of messages are of measured flows unless
//! they say otherwise; faults are counted whenever they are seen.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

/// Longest latency that is told apart: a minute.
const LATENCY_NS_MAX: u64 = 60_000_000_000;

/// A histogram of times in nanoseconds with three digits.
#[derive(Debug, Clone)]
pub(crate) struct Times(Histogram<u64>);

impl Times {
    pub(crate) fn new() -> Self {
        Self(Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3).expect("constant bounds are good"))
    }

    pub(crate) fn record(&mut self, time_ns: u64) {
        self.0.saturating_record(time_ns.max(1));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn len(&self) -> u64 {
        self.0.len()
    }

    /// The value below which this share of all lies, in microseconds.
    pub(crate) fn quantile_us(&self, quantile: f64) -> f64 {
        round_us(self.0.value_at_quantile(quantile))
    }

    pub(crate) fn max_us(&self) -> f64 {
        round_us(self.0.max())
    }
}

/// Length of a slice.
const SLICE_NS: u64 = 100_000_000;
/// Fewer have no 99th percentile.
const SLICE_LEN_MIN: u64 = 100;

/// The 99th percentile of each slice of the time, so that a stall weighs in one or two of them and no more.
#[derive(Debug, Clone)]
pub(crate) struct Slices {
    /// The number of the open one, and what came in it.
    open: u64,
    times: Times,
    p99s_us: Vec<f64>,
}

impl Slices {
    pub(crate) fn new() -> Self {
        Self { open: 0, times: Times::new(), p99s_us: Vec::new() }
    }

    /// Something that ended now took so long.
    pub(crate) fn record(&mut self, now_ns: u64, time_ns: u64) {
        let slice = now_ns / SLICE_NS;
        if slice != self.open {
            if self.times.len() >= SLICE_LEN_MIN {
                self.p99s_us.push(self.times.quantile_us(0.99));
            }
            self.times.0.clear();
            self.open = slice;
        }
        self.times.record(time_ns);
    }

    /// The median over all slices that have ended, in microseconds.
    pub(crate) fn median_us(&self) -> Option<f64> {
        let mut all = self.p99s_us.clone();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied()
    }
}

fn round_us(time_ns: u64) -> f64 {
    (time_ns as f64 / 100.0).round() / 10.0
}

/// All counters of a run.
#[derive(Debug, Clone)]
pub(crate) struct Tally {
    /// Requests that callers sent.
    pub(crate) sent: u64,
    /// Requests that backends got, each once.
    pub(crate) arrived: u64,
    /// Responses that backends sent, and that callers got, each once.
    pub(crate) responses_sent: u64,
    pub(crate) responses_arrived: u64,
    /// Flows that came to their end.
    pub(crate) completed: u64,
    /// Messages that came a second time.
    pub(crate) duplicated: u64,
    /// Requests at another backend than the first of their Call-ID or dialog.
    pub(crate) wrong_backend: u64,
    /// Messages with a field or body that is not what was sent.
    pub(crate) wrong_bytes: u64,
    /// Responses at another caller than the one that asked.
    pub(crate) wrong_caller: u64,
    /// Messages that nobody here sent: errors of the target above all.
    pub(crate) unexpected: u64,
    /// Requests within a dialog that went past the target, because it was not in the route set.
    pub(crate) bypassed: u64,
    /// Messages that did not end as they were sent, and were compared field by field.
    pub(crate) compared_slowly: u64,
    /// Datagrams that came out of the target, of all flows.
    pub(crate) forwarded: u64,
    /// Datagrams that came in at each backend, of all flows.
    pub(crate) by_backend: Vec<u64>,
    /// Responses at the callers by status, of all flows.
    pub(crate) by_status: BTreeMap<u16, u64>,
    /// From the intended moment to the backend.
    pub(crate) latency: Times,
    /// The same by slices.
    pub(crate) latency_slices: Slices,
    /// From the intended moment to the 200 at the caller.
    pub(crate) response_latency: Times,
    /// From the intended moment to behind the send call.
    pub(crate) lag: Times,
}

impl Tally {
    pub(crate) fn new(backends: usize) -> Self {
        Self {
            sent: 0,
            arrived: 0,
            responses_sent: 0,
            responses_arrived: 0,
            completed: 0,
            duplicated: 0,
            wrong_backend: 0,
            wrong_bytes: 0,
            wrong_caller: 0,
            unexpected: 0,
            bypassed: 0,
            compared_slowly: 0,
            forwarded: 0,
            by_backend: vec![0; backends],
            by_status: BTreeMap::new(),
            latency: Times::new(),
            latency_slices: Slices::new(),
            response_latency: Times::new(),
            lag: Times::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_weighs_in_its_slice_alone() {
        let mut slices = Slices::new();
        for now_ns in (0..1_000_000_000).step_by(500_000) {
            let is_stalled = (300_000_000..350_000_000).contains(&now_ns);
            slices.record(now_ns, if is_stalled { 40_000_000 } else { 60_000 });
        }
        assert_eq!(slices.p99s_us.len(), 9, "the last is open");
        assert!(slices.p99s_us[3] > 39_000.0);
        assert_eq!(slices.median_us().map(|us| us.round()), Some(60.0));
    }

    #[test]
    fn a_slice_with_few_is_none() {
        let mut slices = Slices::new();
        (0..50).for_each(|n| slices.record(n * 100_000_000, 5));
        assert_eq!(slices.median_us(), None);
    }
}
