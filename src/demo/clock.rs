//! The demo's clock: one origin, and times as durations since it.
//!
//! Owns: the one place in the demo that reads a clock. Everything else in the demo takes `now` as an argument.

#![expect(clippy::disallowed_methods, reason = "the demo's one clock")]

use std::time::{Duration, Instant};

/// A monotonic clock that starts at zero. Copies share the origin.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock(Instant);

impl Clock {
    /// A clock whose zero is this moment.
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    /// Time since the origin.
    pub(super) fn now(self) -> Duration {
        self.0.elapsed()
    }

    /// Sleeps until `moment`; returns at once when it has passed.
    pub(super) fn sleep_until(self, moment: Duration) {
        if let Some(rest) = moment.checked_sub(self.now()) {
            std::thread::sleep(rest);
        }
    }
}
