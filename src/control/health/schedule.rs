//! When which backend is looked at, under the bounds that all of them share.
//!
//! Owns: the order of timers and probes, how many probes may be under way, how many may leave in a second. Knows nothing of
//! states. What is held back by a bound waits in its turn, and is counted.

use std::collections::BTreeSet;

use super::TargetId;
use super::target::Target;
use crate::sip::Now;

/// Most probes under way at once; further ones wait.
pub const OUTSTANDING_MAX: usize = 1_024;
/// Most probes in a second.
pub const PER_SECOND_MAX: u64 = 1_000;
/// Most probes at one moment, after a time without any.
pub const BURST_MAX: u64 = 50;

const PACE_US: u64 = 1_000_000 / PER_SECOND_MAX;

#[derive(Debug, Default)]
pub(super) struct Schedule {
    timers: BTreeSet<(Now, TargetId)>,
    probes: BTreeSet<(Now, TargetId)>,
    pub(super) outstanding: usize,
    /// When all probes so far would have left at an even pace.
    paced_until: u64,
    /// Times that a due probe was held back.
    pub(super) held_back: u64,
}

impl Schedule {
    /// Takes over what a target wants now.
    pub(super) fn place(&mut self, id: TargetId, target: &mut Target) {
        let (timer, probe) = (target.timer(), target.probe_due());
        let (old_timer, old_probe) = std::mem::replace(&mut target.placed, (timer, probe));
        move_to(&mut self.timers, id, old_timer, timer);
        move_to(&mut self.probes, id, old_probe, probe);
        let counted = target.asked.is_some();
        match (std::mem::replace(&mut target.counted, counted), counted) {
            (false, true) => self.outstanding += 1,
            (true, false) => self.outstanding -= 1,
            _ => {}
        }
    }

    /// Forgets a target.
    pub(super) fn forget(&mut self, id: TargetId, target: &Target) {
        move_to(&mut self.timers, id, target.placed.0, None);
        move_to(&mut self.probes, id, target.placed.1, None);
        self.outstanding -= usize::from(target.counted);
    }

    /// A target whose timer is due.
    pub(super) fn due_timer(&self, now: Now) -> Option<TargetId> {
        self.timers.first().filter(|(due, _)| *due <= now).map(|&(_, id)| id)
    }

    /// A target whose probe is due and may leave: it counts as sent.
    pub(super) fn due_probe(&mut self, now: Now) -> Option<TargetId> {
        let &(_, id) = self.probes.first().filter(|(due, _)| *due <= now)?;
        if self.outstanding >= OUTSTANDING_MAX || self.paced_from() > now {
            self.held_back += 1;
            return None;
        }
        self.paced_until = self.paced_until.max(now.0) + PACE_US;
        Some(id)
    }

    /// When [`Schedule::due_timer`] or [`Schedule::due_probe`] has something next.
    pub(super) fn next_due(&self) -> Option<Now> {
        let timer = self.timers.first().map(|&(due, _)| due);
        let probe = self.probes.first().map(|&(due, _)| due.max(self.paced_from()));
        // With all places taken, one is free again at a timer at the latest.
        let probe = probe.filter(|_| self.outstanding < OUTSTANDING_MAX);
        [timer, probe].into_iter().flatten().min()
    }

    /// From when on the pace allows a probe.
    fn paced_from(&self) -> Now {
        Now(self.paced_until.saturating_sub((BURST_MAX - 1) * PACE_US))
    }
}

fn move_to(set: &mut BTreeSet<(Now, TargetId)>, id: TargetId, from: Option<Now>, to: Option<Now>) {
    if from == to {
        return;
    }
    if let Some(from) = from {
        set.remove(&(from, id));
    }
    if let Some(to) = to {
        set.insert((to, id));
    }
}
