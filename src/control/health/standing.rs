//! What a table has to know of a backend.
//!
//! Owns: which part of its keys a backend takes at a moment. Times are microseconds, shares are of [`SHARE_WHOLE`].

use super::reason::State;
use super::target::RAMP_STEPS;
use crate::sip::Now;

/// What the table has to know of a backend.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Standing {
    /// Its state.
    pub state: State,
    /// It may be given new keys: active or trying, not draining, not busy.
    pub takes_new: bool,
    /// Hard evidence says that it is dead: a transaction that it never answered may leave it.
    pub down: bool,
    /// It is drained by hand.
    pub draining: bool,
    /// It said that it is full or busy. It is alive.
    pub busy: bool,
    /// Soft evidence speaks against it, and is believed: it takes half its share.
    pub eased: bool,
    /// Its slow start began then, and is not over.
    pub ramp_since: Option<Now>,
    /// How long its slow start lasts. Microseconds.
    pub slow_start_us: u64,
    /// The moving estimate of its latency. Microseconds; none before its first answer.
    pub latency_us: Option<f64>,
}

/// The whole share of a backend: [`Standing::share`] is of so many.
pub const SHARE_WHOLE: u32 = 1 << 16;
/// The share of a backend that soft evidence speaks against.
pub const SHARE_EASED: u32 = SHARE_WHOLE / 2;

impl Standing {
    /// What part of its keys it takes at this moment, of [`SHARE_WHOLE`]: less while it starts slowly, and while it is
    /// eased. Never nothing: who gets no key cannot show that it works.
    #[must_use]
    pub fn share(&self, now: Now) -> u32 {
        self.ramped(now).min(if self.eased { SHARE_EASED } else { SHARE_WHOLE })
    }

    fn ramped(&self, now: Now) -> u32 {
        let Some(since) = self.ramp_since else { return SHARE_WHOLE };
        let passed = now.0.saturating_sub(since.0).min(self.slow_start_us);
        let whole = u64::from(SHARE_WHOLE);
        let share = passed.saturating_mul(whole).checked_div(self.slow_start_us).unwrap_or(whole);
        u32::try_from(share.max(whole / RAMP_STEPS)).unwrap_or(SHARE_WHOLE)
    }
}
