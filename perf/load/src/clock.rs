//! The one clock of the generator.
//!
//! Owns: nanoseconds since it was made, and what the kernel's stamps are in them. Everything else takes a moment as an
//! argument.

use std::time::{Duration, Instant, SystemTime};

/// A monotonic clock that starts at zero.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    origin: Instant,
    /// The same moment on the clock of the kernel's stamps, since 1970.
    wall: Duration,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "the generator's clock: read here only")]
    pub(crate) fn start() -> Self {
        let before = Instant::now();
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        // Both readings stand for the middle of the time that the second took.
        Self { origin: before + before.elapsed() / 2, wall }
    }

    /// Nanoseconds since the start.
    pub(crate) fn now_ns(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// A stamp of the kernel (since 1970) in nanoseconds since the start. Both clocks are slewed alike; somebody who sets the
    /// wall clock during a run spoils its stamps.
    pub(crate) fn of_stamp(&self, stamp: Duration) -> u64 {
        u64::try_from(stamp.saturating_sub(self.wall).as_nanos()).unwrap_or(u64::MAX)
    }
}
