//! The one place of the data path that reads a clock.
//!
//! Owns: the origin that all shards of a process share. Microseconds, monotonic. A shard reads it once per turn
//! for decisions, and once more after a batch was sent, for the latency.

use std::time::{Duration, Instant};

use crate::sip::Now;

/// A monotonic clock; copies agree.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock that starts at zero.
    #[expect(clippy::disallowed_methods, reason = "this is the data path's clock")]
    pub(crate) fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// This moment.
    pub(crate) fn now(self) -> Now {
        Now(u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// How long from `now` to `later`; zero when it is past.
    pub(crate) fn until(now: Now, later: Now) -> Duration {
        Duration::from_micros(later.0.saturating_sub(now.0))
    }
}
