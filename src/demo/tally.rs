//! Running sums of the demo: what the live view shows and the plot draws.
//!
//! Owns: the sums over the caller's events, whole and by second of the run. A call belongs to the second in which it
//! was to start. Latencies are in microseconds, from the intended moment of the INVITE to the 200.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::caller::Event;

/// Latencies above this count as this: a minute.
const LATENCY_US_MAX: u64 = 60_000_000;

/// An empty latency histogram with three significant digits.
pub(super) fn latency_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).expect("the bounds are in order")
}

/// The sums of one backend.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct BackendSums {
    /// Calls that it answered.
    pub(super) answered: u64,
    /// Calls of these that are not over.
    pub(super) in_progress: u64,
}

/// One second of the run.
#[derive(Debug, Clone)]
pub(super) struct Second {
    /// Latency of the calls that were to start in it.
    pub(super) latency: Histogram<u64>,
    /// Answered calls by backend.
    pub(super) by_backend: Vec<u64>,
}

/// All sums.
#[derive(Debug)]
pub(super) struct Tally {
    /// When the first call was to start.
    origin: Duration,
    /// Calls started.
    pub(super) started: u64,
    /// Calls that ended as they should.
    pub(super) completed: u64,
    /// Calls that did not.
    pub(super) failed: u64,
    /// By backend.
    pub(super) backends: Vec<BackendSums>,
    /// Latency of all calls.
    pub(super) latency: Histogram<u64>,
    /// By second of the run.
    pub(super) seconds: Vec<Second>,
}

impl Tally {
    /// Nothing yet; second 0 begins at `origin`.
    pub(super) fn new(origin: Duration, backend_count: usize) -> Self {
        Self {
            origin,
            started: 0,
            completed: 0,
            failed: 0,
            backends: vec![BackendSums::default(); backend_count],
            latency: latency_histogram(),
            seconds: Vec::new(),
        }
    }

    /// When the first call was to start.
    pub(super) fn origin(&self) -> Duration {
        self.origin
    }

    /// Adds an event.
    pub(super) fn add(&mut self, event: &Event) {
        match *event {
            Event::Started => self.started += 1,
            Event::Answered { backend, intended, latency } => {
                self.add_answer(backend, intended, latency);
            }
            Event::Ended { backend, completed } => {
                if completed {
                    self.completed += 1;
                } else {
                    self.failed += 1;
                }
                if let Some(sums) = backend.and_then(|backend| self.backends.get_mut(backend)) {
                    sums.in_progress = sums.in_progress.saturating_sub(1);
                }
            }
        }
    }

    fn add_answer(&mut self, backend: usize, intended: Duration, latency: Duration) {
        let Some(sums) = self.backends.get_mut(backend) else { return };
        sums.answered += 1;
        sums.in_progress += 1;
        let latency_us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX).max(1);
        self.latency.saturating_record(latency_us);
        let second = intended.saturating_sub(self.origin).as_secs();
        let second = usize::try_from(second).unwrap_or(usize::MAX).min(SECONDS_MAX - 1);
        while self.seconds.len() <= second {
            let by_backend = vec![0; self.backends.len()];
            self.seconds.push(Second { latency: latency_histogram(), by_backend });
        }
        self.seconds[second].latency.saturating_record(latency_us);
        self.seconds[second].by_backend[backend] += 1;
    }

    /// Calls that are not over.
    pub(super) fn in_progress(&self) -> u64 {
        self.started.saturating_sub(self.completed + self.failed)
    }

    /// Latency of the last `count` whole seconds, or of what there is.
    pub(super) fn recent_latency(&self, count: usize) -> Histogram<u64> {
        let mut sum = latency_histogram();
        for second in self.recent(count) {
            sum.add(&second.latency).expect("both have the same bounds");
        }
        sum
    }

    /// Answered calls by backend in the last `count` whole seconds.
    pub(super) fn recent_by_backend(&self, count: usize) -> Vec<u64> {
        let mut sums = vec![0; self.backends.len()];
        for second in self.recent(count) {
            for (sum, calls) in sums.iter_mut().zip(&second.by_backend) {
                *sum += calls;
            }
        }
        sums
    }

    /// The last seconds but the running one, which is not whole.
    fn recent(&self, count: usize) -> &[Second] {
        let end = self.seconds.len().saturating_sub(1).max(self.seconds.len().min(1));
        &self.seconds[end.saturating_sub(count)..end]
    }
}

/// A run is never longer than this: the arguments say so.
pub(super) const SECONDS_MAX: usize = 3600;

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(backend: usize, intended_ms: u64, latency_ms: u64) -> Event {
        Event::Answered {
            backend,
            intended: Duration::from_millis(intended_ms),
            latency: Duration::from_millis(latency_ms),
        }
    }

    #[test]
    fn calls_are_counted_by_backend_and_second() {
        let mut tally = Tally::new(Duration::from_secs(1), 2);
        for event in [
            Event::Started,
            Event::Started,
            Event::Started,
            answered(0, 1_000, 1),
            answered(1, 1_999, 2),
            answered(1, 3_500, 3),
            Event::Ended { backend: Some(1), completed: true },
            Event::Ended { backend: None, completed: false },
        ] {
            tally.add(&event);
        }
        assert_eq!((tally.started, tally.completed, tally.failed), (3, 1, 1));
        assert_eq!(tally.in_progress(), 1);
        assert_eq!(tally.backends[0], BackendSums { answered: 1, in_progress: 1 });
        assert_eq!(tally.backends[1], BackendSums { answered: 2, in_progress: 1 });
        let by_second: Vec<_> = tally.seconds.iter().map(|s| s.by_backend.clone()).collect();
        assert_eq!(by_second, [vec![1, 1], vec![0, 0], vec![0, 1]]);
        // The running second is not whole, so it is left out.
        assert_eq!(tally.recent_by_backend(5), [1, 1]);
        assert_eq!(tally.recent_latency(5).len(), 2);
        assert_eq!(tally.latency.len(), 3);
    }

    #[test]
    fn an_empty_tally_has_nothing_recent() {
        let tally = Tally::new(Duration::ZERO, 3);
        assert_eq!(tally.recent_by_backend(2), [0, 0, 0]);
        assert_eq!(tally.recent_latency(2).len(), 0);
    }
}
