//! How long a backend takes to answer probes.
//!
//! Owns: mean and deviation (Welford), least, most, and a moving estimate. Samples are microseconds, the view says
//! milliseconds. As in Kamailio the estimate is the mean for the first samples and moves slowly from then on. It differs in
//! one thing: Kamailio declares a backend with a small deviation stable after ten samples and then counts it as if it had
//! ten thousand, after which its mean hardly moves; here every sample counts the same for ever.

use serde::Serialize;

/// The part of the old estimate in the new one.
const ESTIMATE_KEPT: f64 = 0.9;
/// Before this many samples the estimate is the mean.
const ESTIMATE_FROM: u64 = 10;

/// The statistics of one backend.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Latency {
    count: u64,
    timeouts: u64,
    mean_us: f64,
    /// The sum of squared differences from the mean.
    squares: f64,
    least_us: u64,
    most_us: u64,
    estimate_us: f64,
}

/// What an operator sees of it. Milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LatencyView {
    /// Answers that were measured.
    pub count: u64,
    /// Probes without an answer in time.
    pub timeouts: u64,
    /// The mean of all.
    pub mean_ms: f64,
    /// The standard deviation of all.
    pub deviation_ms: f64,
    /// The fastest.
    pub least_ms: f64,
    /// The slowest.
    pub most_ms: f64,
    /// The moving estimate: mostly the last dozen.
    pub estimate_ms: f64,
}

impl Latency {
    pub(super) fn add(&mut self, sample_us: u64) {
        let sample = as_f64(sample_us);
        self.least_us = if self.count == 0 { sample_us } else { self.least_us.min(sample_us) };
        self.most_us = self.most_us.max(sample_us);
        self.count += 1;
        let before = sample - self.mean_us;
        self.mean_us += before / as_f64(self.count);
        self.squares += before * (sample - self.mean_us);
        self.estimate_us = if self.count < ESTIMATE_FROM {
            self.mean_us
        } else {
            self.estimate_us * ESTIMATE_KEPT + sample * (1.0 - ESTIMATE_KEPT)
        };
    }

    pub(super) fn add_timeout(&mut self) {
        self.timeouts += 1;
    }

    /// The moving estimate in microseconds; none before the first answer.
    pub(super) fn estimate_us(&self) -> Option<f64> {
        (self.count > 0).then_some(self.estimate_us)
    }

    pub(super) fn view(&self) -> LatencyView {
        let variance = if self.count < 2 { 0.0 } else { self.squares / as_f64(self.count - 1) };
        LatencyView {
            count: self.count,
            timeouts: self.timeouts,
            mean_ms: self.mean_us / 1e3,
            deviation_ms: variance.max(0.0).sqrt() / 1e3,
            least_ms: as_f64(self.least_us) / 1e3,
            most_ms: as_f64(self.most_us) / 1e3,
            estimate_ms: self.estimate_us / 1e3,
        }
    }
}

/// Exact up to 2^53 microseconds: 285 years.
#[expect(clippy::cast_precision_loss, reason = "no latency or count comes near 2^53")]
const fn as_f64(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-9 * expected.abs().max(1.0), "{found} {expected}");
    }

    #[test]
    fn the_statistics_are_those_of_all_samples() {
        let samples: Vec<u64> = (0..200).map(|n| 1_000 + n * n * 37 % 9_000).collect();
        let mut latency = Latency::default();
        assert_eq!(latency.estimate_us(), None);
        for &sample in &samples {
            latency.add(sample);
        }
        let count = as_f64(samples.len() as u64);
        let mean = samples.iter().copied().map(as_f64).sum::<f64>() / count;
        let squares: f64 = samples.iter().map(|&s| (as_f64(s) - mean).powi(2)).sum();
        let view = latency.view();
        near(view.mean_ms, mean / 1e3);
        near(view.deviation_ms, (squares / (count - 1.0)).sqrt() / 1e3);
        near(view.least_ms, as_f64(*samples.iter().min().unwrap()) / 1e3);
        near(view.most_ms, as_f64(*samples.iter().max().unwrap()) / 1e3);
    }

    #[test]
    fn the_estimate_is_the_mean_at_first_and_moves_by_a_tenth_from_the_tenth_on() {
        let mut latency = Latency::default();
        for sample in [10, 20, 30, 40, 50, 60, 70, 80, 90] {
            latency.add(sample * 1_000);
        }
        near(latency.view().estimate_ms, 50.0);
        latency.add(150_000);
        near(latency.view().estimate_ms, 60.0);
        latency.add(60_000);
        near(latency.view().estimate_ms, 60.0);
    }

    /// Twelve answers of 0 or 1 ms, which Kamailio 5.6.3 had as AVG 0.416667, STD 0.514929, EST 0.424, MAX 1.
    #[test]
    fn the_figures_of_a_kamailio_are_found_again() {
        let mut latency = Latency::default();
        for sample in [1, 0, 1, 0, 1, 0, 1, 0, 0, 0, 0, 1] {
            latency.add(sample * 1_000);
        }
        let view = latency.view();
        let rounded = |ms: f64| format!("{ms:.6}");
        assert_eq!(
            [view.mean_ms, view.deviation_ms, view.estimate_ms, view.most_ms].map(rounded),
            ["0.416667", "0.514929", "0.424000", "1.000000"]
        );
    }

    #[test]
    fn a_steady_backend_is_not_frozen() {
        let mut latency = Latency::default();
        for _ in 0..50 {
            latency.add(2_000);
        }
        for _ in 0..50 {
            latency.add(4_000);
        }
        near(latency.view().mean_ms, 3.0);
        assert!(latency.view().estimate_ms > 3.9);
    }
}
