//! What shards tell control unasked: answers to probes, and evidence about backends.
//!
//! Owns: the reports and their way, one bounded ring for each shard and one event for all. A shard pushes and goes on; what
//! does not fit is counted there. Control owns [`Reports`] and may wait. Times are [`Now`] on the clock of all shards.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rtrb::{Consumer, Producer, RingBuffer};

use super::clock::Clock;
use super::sys::EventFd;
use crate::sip::Now;

/// Reports of one shard that may wait for control.
const REPORTS_MAX: usize = 1024;

/// One observation of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// A response to a probe of ours came.
    Probe {
        /// The probe's transaction hash.
        transaction: u64,
        /// The response's status.
        status: u16,
        /// What its Retry-After says; 0: nothing.
        retry_after_seconds: u32,
        /// Who sent it.
        source: SocketAddr,
        /// When.
        at: Now,
    },
    /// A backend answered a request that was not a probe with 503 and Retry-After.
    Busy {
        /// The backend.
        backend: SocketAddr,
        /// The response's status.
        status: u16,
        /// What its Retry-After says.
        retry_after_seconds: u32,
        /// When.
        at: Now,
    },
    /// The network says that a datagram to a backend did not arrive (ICMP). Whoever can guess our ports can say so too.
    Unreachable {
        /// The backend's address that we sent to.
        address: SocketAddr,
        /// When.
        at: Now,
    },
}

/// A shard's end.
pub(super) struct Reporter {
    ring: Producer<Report>,
    event: Arc<EventFd>,
    /// Pushed to since the last signal.
    has_news: bool,
    lost: u64,
}

impl Reporter {
    /// Pushes, or counts it as lost.
    pub(super) fn push(&mut self, report: Report) {
        match self.ring.push(report) {
            Ok(()) => self.has_news = true,
            Err(_) => self.lost += 1,
        }
    }

    /// Wakes control when something was pushed.
    pub(super) fn flush(&mut self) {
        if std::mem::take(&mut self.has_news) {
            self.event.signal();
        }
    }

    /// How many did not fit.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }
}

/// Control's end of all shards. It may be sent to a thread of its own.
pub struct Reports {
    rings: Vec<Consumer<Report>>,
    event: Arc<EventFd>,
    clock: Clock,
}

/// Ends for `shards` shards.
pub(super) fn lines(shards: usize, clock: Clock) -> io::Result<(Vec<Reporter>, Reports)> {
    let event = Arc::new(EventFd::new()?);
    let (mut reporters, mut rings) = (Vec::with_capacity(shards), Vec::with_capacity(shards));
    for _ in 0..shards {
        let (ring, reports) = RingBuffer::new(REPORTS_MAX);
        reporters.push(Reporter { ring, event: Arc::clone(&event), has_news: false, lost: 0 });
        rings.push(reports);
    }
    Ok((reporters, Reports { rings, event, clock }))
}

impl Reports {
    /// Waits until there is a report, at most `timeout`, and says whether there may be one.
    pub fn wait(&mut self, timeout: Duration) -> bool {
        let timeout_ms = i32::try_from(timeout.as_micros().div_ceil(1000)).unwrap_or(i32::MAX);
        let is_set = self.event.wait(timeout_ms);
        if is_set {
            // Before the rings are read: what is pushed from here on sets it again.
            self.event.clear();
        }
        is_set
    }

    /// Calls `on` for the reports that wait, at most what fits into the rings once.
    pub fn drain(&mut self, mut on: impl FnMut(Report)) {
        for ring in &mut self.rings {
            for _ in 0..ring.slots() {
                let Ok(report) = ring.pop() else { break };
                on(report);
            }
        }
    }

    /// This moment on the clock of the shards.
    #[must_use]
    pub fn now(&self) -> Now {
        self.clock.now()
    }

    /// No rings and no event of anybody: what is left when the real ones were taken.
    pub(super) fn taken(&mut self) -> Self {
        Self {
            rings: std::mem::take(&mut self.rings),
            event: Arc::clone(&self.event),
            clock: self.clock,
        }
    }
}

impl std::fmt::Debug for Reports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reports").field("shards", &self.rings.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(at: u64) -> Report {
        Report::Unreachable { address: ([192, 0, 2, 1], 5060).into(), at: Now(at) }
    }

    fn taken(reports: &mut Reports) -> Vec<Report> {
        let mut all = Vec::new();
        reports.drain(|report| all.push(report));
        all
    }

    #[test]
    fn a_flush_wakes_once_and_only_for_news() {
        let (mut shards, mut reports) = lines(2, Clock::start()).expect("an eventfd");
        shards[0].flush();
        assert!(!reports.wait(Duration::ZERO), "no news");
        shards[0].push(report(1));
        shards[1].push(report(2));
        assert!(!reports.wait(Duration::ZERO), "not before the flush");
        shards.iter_mut().for_each(Reporter::flush);
        assert!(reports.wait(Duration::ZERO));
        assert_eq!(taken(&mut reports), [report(1), report(2)]);
        shards.iter_mut().for_each(Reporter::flush);
        assert!(!reports.wait(Duration::ZERO), "told already");
    }

    #[test]
    fn a_full_ring_counts_what_is_lost() {
        let (mut shards, mut reports) = lines(1, Clock::start()).expect("an eventfd");
        for at in 0..1024 + 3 {
            shards[0].push(report(at));
        }
        assert_eq!(shards[0].lost(), 3);
        assert_eq!(taken(&mut reports).len(), REPORTS_MAX);
        shards[0].push(report(7));
        assert_eq!((taken(&mut reports), shards[0].lost()), (vec![report(7)], 3));
    }

    #[test]
    fn another_thread_may_own_them() {
        let (mut shards, mut kept) = lines(1, Clock::start()).expect("an eventfd");
        let mut reports = kept.taken();
        let waiting = std::thread::spawn(move || {
            let woken = reports.wait(Duration::from_secs(10));
            (woken, taken(&mut reports))
        });
        shards[0].push(report(5));
        shards[0].flush();
        assert_eq!(waiting.join().expect("no panic"), (true, vec![report(5)]));
        assert_eq!(kept.taken().rings.len(), 0);
    }
}
