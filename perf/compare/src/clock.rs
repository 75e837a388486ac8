//! Time of a comparison: when something began, and pauses between looks at a process.
//!
//! Owns: the only clock and the only sleep of this program. Nothing here is measured with them: the figures come from
//! the generator and the kernel.

use std::time::{Duration, Instant};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// A point in time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment(Instant);

impl Moment {
    #[expect(clippy::disallowed_methods, reason = "progress and deadlines; this is no data path")]
    pub(crate) fn now() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn seconds_since(self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}

/// Looks until there is something to see, or the time is over.
pub(crate) fn poll<T>(seconds_max: f64, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Moment::now();
    loop {
        if let Some(seen) = look() {
            return Some(seen);
        }
        if start.seconds_since() > seconds_max {
            return None;
        }
        pause();
    }
}

#[expect(clippy::disallowed_methods, reason = "a process of another make has no event to wait for")]
fn pause() {
    std::thread::sleep(PAUSE);
}
