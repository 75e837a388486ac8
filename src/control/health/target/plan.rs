//! When a backend is asked again, and what ends by itself.
//!
//! Owns: the times of its probes, their spread, the end of a busy time, the steps of slow start. Knows no bound that all share.

use super::super::history::{Outcome, Probed};
use super::super::log::Log;
use super::super::reason::{Reason, State};
use super::{Asked, Busy, Ramp, Target};
use crate::sip::Now;
use crate::sip::balance::hash_key;

/// A probe that evidence asks for comes at the earliest so long after the one before. Microseconds.
pub const URGENT_GAP_US: u64 = 200_000;
/// The first probe of a backend comes within this time (or its interval, when that is shorter). Microseconds.
pub const FIRST_WITHIN_US: u64 = 1_000_000;
/// Slow start goes up in so many steps.
pub const RAMP_STEPS: u64 = 20;

pub(super) fn later(now: Now, us: u64) -> Now {
    Now(now.0.saturating_add(us))
}

impl Target {
    /// When something ends by itself: a probe's time, a busy time, an eased time, a step of the slow start.
    pub(in super::super) fn timer(&self) -> Option<Now> {
        let asked = self.asked.map(|asked| asked.deadline);
        let busy = match self.busy {
            Busy::Until(end) => Some(end),
            Busy::No | Busy::UntilGood => None,
        };
        let ramp = self.ramp.map(|ramp| ramp.step);
        let eased = self.eased.map(|eased| eased.until);
        [asked, busy, ramp, eased].into_iter().flatten().min()
    }

    /// When it wants to be probed.
    pub(in super::super) fn probe_due(&self) -> Option<Now> {
        self.probe_due.filter(|_| self.asked.is_none())
    }

    /// Does what is due by its timer.
    pub(in super::super) fn on_timer(&mut self, now: Now, log: &mut Log) {
        if let Some(asked) = self.asked.filter(|asked| asked.deadline <= now) {
            self.asked = None;
            let (outcome, reason) = if asked.unreachable {
                self.unreachable_at = Some(now);
                (Outcome::Unreachable, Reason::Unreachable)
            } else {
                self.counts.timeouts += 1;
                self.latency.add_timeout();
                let waited = asked.deadline.0.saturating_sub(asked.at.0);
                let reason = asked.strange.map_or(Reason::Timeout(waited / 1_000), |source| {
                    Reason::AnsweredFrom { source, asked: self.address }
                });
                (Outcome::Timeout, reason)
            };
            self.history.push(Probed { at: asked.at, outcome });
            self.fail(now, reason, log);
            self.plan(now);
        }
        if matches!(self.busy, Busy::Until(end) if end <= now) {
            self.set_busy(Busy::No, Reason::NoLongerBusy, log);
        }
        if self.eased.is_some_and(|eased| eased.until <= now) {
            self.end_ease(log);
        }
        if let Some(ramp) = self.ramp.filter(|ramp| ramp.step <= now) {
            let end = later(ramp.since, self.slow_start_us);
            if end <= now {
                self.ramp = None;
                self.mark(Reason::Ramped, log);
            } else {
                let step = later(now, self.ramp_step_us()).min(end);
                self.ramp = Some(Ramp { step, ..ramp });
                log.revision += 1;
            }
        }
    }

    /// A probe is about to leave. Says which number it has.
    pub(in super::super) fn ask(&mut self, now: Now) -> u32 {
        let timeout = self.settings.as_ref().map_or(0, |settings| settings.timeout_us);
        let deadline = later(now, timeout);
        self.asked =
            Some(Asked { transaction: None, at: now, deadline, unreachable: false, strange: None });
        self.probe_due = None;
        self.sent_at = Some(now);
        self.sequence = self.sequence.wrapping_add(1) & 0x7fff_ffff;
        self.counts.probes += 1;
        self.sequence
    }

    /// It did not leave after all: that says nothing about the backend.
    pub(in super::super) fn not_sent(&mut self, now: Now) {
        let Some(asked) = self.asked.take() else { return };
        self.counts.probes -= 1;
        self.history.push(Probed { at: asked.at, outcome: Outcome::NotSent });
        self.plan(now);
    }

    pub(super) fn start_ramp(&mut self, now: Now) {
        if self.slow_start_us > 0 && !self.draining {
            self.ramp = Some(Ramp { since: now, step: later(now, self.ramp_step_us()) });
        }
    }

    fn ramp_step_us(&self) -> u64 {
        (self.slow_start_us / RAMP_STEPS).max(1)
    }

    /// Plans the next probe, after whatever happened.
    pub(super) fn plan(&mut self, now: Now) {
        let Some(settings) = &self.settings else {
            self.probe_due = None;
            return;
        };
        if self.state == State::Disabled || self.asked.is_some() {
            return;
        }
        let in_doubt = self.state == State::Trying || self.goods > 0;
        let step = if in_doubt {
            settings.interval_us.min(settings.timeout_us)
        } else if self.sequence <= 1 {
            // The first ones came close together: here they spread over the whole interval.
            (self.spread() % settings.interval_us.max(1))
                .max(URGENT_GAP_US.min(settings.interval_us))
        } else {
            settings.interval_us - self.spread() % (settings.interval_us / 10).max(1)
        };
        let due = later(self.sent_at.unwrap_or(now), step.max(1)).max(now);
        self.probe_due = Some(self.probe_due.map_or(due, |before| before.min(due)));
    }

    /// Evidence asks for a probe at once.
    pub(super) fn hurry(&mut self, now: Now) {
        // A probe that is under way will tell.
        if self.settings.is_none() || self.state == State::Disabled || self.asked.is_some() {
            return;
        }
        let due = self.sent_at.map_or(now, |at| later(at, URGENT_GAP_US)).max(now);
        self.probe_due = Some(self.probe_due.map_or(due, |before| before.min(due)));
    }

    /// The first probe of a backend: soon, and not together with all the others.
    pub(super) fn first_probe(&self, now: Now, interval_us: u64) -> Now {
        later(now, self.spread() % interval_us.clamp(1, FIRST_WITHIN_US))
    }

    /// A number that differs between backends and between probes, and is the same in every run.
    fn spread(&self) -> u64 {
        hash_key(&[
            &self.seed.to_le_bytes(),
            self.pool.as_bytes(),
            self.identity.as_bytes(),
            &self.sequence.to_le_bytes(),
        ])
    }
}
