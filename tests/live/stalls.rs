//! A witness for stalls of the machine: SIP retransmits after 500 ms, and a shared machine may stand still for that long.
//!
//! Owns: the longest time during which a thread that only wants to wake every 20 ms did not run. A case that fails
//! beside such a stall is run again; one that fails without it has failed.
#![expect(clippy::disallowed_methods, reason = "it measures how late a sleep ends")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A stall of this length may have caused a retransmission: half of T1 (RFC 3261 17.1.1.1).
pub(crate) const STALL: Duration = Duration::from_millis(250);
const INTERVAL: Duration = Duration::from_millis(20);

/// Watches until it is asked.
pub(crate) struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Duration>,
}

impl Watch {
    pub(crate) fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut longest = Duration::ZERO;
            while !stopped.load(Ordering::Relaxed) {
                let before = Instant::now();
                std::thread::sleep(INTERVAL);
                longest = longest.max(before.elapsed().saturating_sub(INTERVAL));
            }
            longest
        });
        Self { stop, thread }
    }

    /// The longest stall since the start.
    pub(crate) fn longest(self) -> Duration {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the watch has no panic")
    }
}
