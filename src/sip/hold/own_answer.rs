//! A final answer of ours to an INVITE: sent again until it is acknowledged.
//!
//! Owns: its clock (RFC 3261 17.2.1, timers G and H). Knows no bytes: the answer is made anew each time, and is the same.

use super::attempt::{NEVER, SILENCE_SECONDS, T1_US, T2_US};
use crate::sip::Now;

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OwnAnswer {
    again_at: Now,
    again_us: u64,
    ends_at: Now,
    pub(super) is_acknowledged: bool,
}

impl OwnAnswer {
    /// None was sent.
    pub(super) const NONE: Self =
        Self { again_at: NEVER, again_us: 0, ends_at: Now(0), is_acknowledged: false };

    /// It was sent for the first time.
    pub(super) fn sent(now: Now) -> Self {
        let ends_at = now.plus_seconds(SILENCE_SECONDS);
        let mut answer = Self { again_us: T1_US, ends_at, ..Self::NONE };
        answer.wait(now);
        answer
    }

    /// When it is to be sent again.
    pub(super) const fn due(&self) -> Now {
        self.again_at
    }

    /// It is sent again, unless it is too late for that.
    pub(super) fn repeat(&mut self, now: Now) -> bool {
        self.again_us = (self.again_us * 2).min(T2_US);
        self.wait(now);
        now < self.ends_at
    }

    /// Its ACK came.
    pub(super) fn acknowledge(&mut self) {
        self.is_acknowledged = true;
        self.again_at = NEVER;
    }

    fn wait(&mut self, now: Now) {
        let again_at = Now(now.0.saturating_add(self.again_us));
        self.again_at = if again_at < self.ends_at { again_at } else { NEVER };
    }
}
