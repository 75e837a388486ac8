//! What moves a backend from state to state: answers to its probes, and what real traffic shows.
//!
//! Owns: the rules of rise and fall, and which evidence counts. Disabled backends are counted, and nothing else.
//!
//! What real traffic shows is soft: a 503 may be the callee's own, and anybody can write an ICMP error. It lowers a share or
//! a state and asks for a probe; only probes take a backend out.

use std::net::SocketAddr;

use super::super::history::{Outcome, Probed};
use super::super::log::Log;
use super::super::reason::{Reason, State};
use super::plan::later;
use super::{Busy, Target};
use crate::config::Settings;
use crate::config::alive::Judgement;
use crate::sip::Now;

/// Errors of the network within this time are one piece of evidence, so that a probe can answer in between. Microseconds.
pub const UNREACHABLE_GAP_US: u64 = 100_000;
/// A backend that says Retry-After is left alone at most so long.
pub const BUSY_SECONDS_MAX: u32 = 300;

impl Target {
    /// An answer from this source is from this backend.
    pub(in super::super) fn sends_from(&self, source: SocketAddr) -> bool {
        if self.match_source_ip { source.ip() == self.address.ip() } else { source == self.address }
    }

    /// The probe under way was answered from elsewhere.
    pub(in super::super) fn on_strange(&mut self, source: SocketAddr) {
        self.counts.strange += 1;
        if let Some(asked) = &mut self.asked {
            asked.strange = Some(source);
        }
    }

    /// The probe under way was answered. False when the answer is not final, so that it stays under way.
    pub(in super::super) fn on_reply(
        &mut self,
        now: Now,
        status: u16,
        retry_after_seconds: u32,
        log: &mut Log,
    ) -> bool {
        let (Some(asked), Some(settings)) = (self.asked, self.settings.clone()) else {
            return false;
        };
        let judgement = settings.alive.judge(status);
        if judgement == Judgement::Provisional {
            return false;
        }
        self.asked = None;
        let after_us = now.0.saturating_sub(asked.at.0);
        self.latency.add(after_us);
        let outcome = Outcome::Answer { status, after_us, judgement };
        self.history.push(Probed { at: asked.at, outcome });
        match judgement {
            Judgement::Bad => {
                self.counts.bad += 1;
                self.fail(now, Reason::Refused(status), log);
            }
            Judgement::Full => {
                self.counts.full += 1;
                self.eased = None;
                if retry_after_seconds == 0 && self.busy == Busy::No {
                    self.set_busy(Busy::UntilGood, Reason::Full, log);
                }
                self.succeed(now, status, &settings, log);
            }
            Judgement::Good | Judgement::Provisional => {
                self.counts.good += 1;
                if self.busy == Busy::UntilGood {
                    self.set_busy(Busy::No, Reason::NoLongerBusy, log);
                }
                if self.eased.is_some() {
                    self.refuted_at = Some(now);
                    self.end_ease(log);
                }
                self.succeed(now, status, &settings, log);
            }
        }
        if status == 503 && retry_after_seconds > 0 {
            self.busy_for(now, retry_after_seconds, log);
        }
        self.plan(now);
        true
    }

    /// ICMP, or an error of a connection. Only what is probed can be taken out by it: nothing else could come back.
    pub(in super::super) fn on_unreachable(&mut self, now: Now, log: &mut Log) {
        self.counts.unreachable += 1;
        if self.settings.is_none() || self.state == State::Disabled {
            return;
        }
        let counts_from =
            self.unreachable_at.map_or(now, |at| later(at, UNREACHABLE_GAP_US)).max(now);
        if let Some(asked) = &mut self.asked {
            // Perhaps it was the probe that ran into it: it waits no longer than the next such error would count.
            // A backend that is there has this time to answer all the same.
            asked.unreachable = true;
            let waits_until = counts_from.max(later(asked.at, UNREACHABLE_GAP_US));
            asked.deadline = asked.deadline.min(waits_until);
            return;
        }
        if counts_from > now {
            return;
        }
        self.unreachable_at = Some(now);
        let fall = self.settings.as_ref().map_or(u32::MAX, |settings| settings.fall);
        if self.state == State::Inactive || self.failures + 1 < fall {
            self.fail(now, Reason::Unreachable, log);
        } else if self.state == State::Active {
            // The last failure is the probe's to find.
            self.set(now, State::Trying, Reason::Unreachable, log);
        }
        if self.state != State::Inactive {
            self.hurry(now);
        }
    }

    /// Requests to it were not answered.
    pub(in super::super) fn on_silence(
        &mut self,
        now: Now,
        requests: u32,
        since: Now,
        log: &mut Log,
    ) {
        self.counts.silent += 1;
        if self.settings.is_none() || !matches!(self.state, State::Active | State::Trying) {
            return;
        }
        if self.state == State::Active {
            let for_ms = now.0.saturating_sub(since.0) / 1_000;
            self.set(now, State::Trying, Reason::Silent { requests, for_ms }, log);
        }
        self.hurry(now);
    }

    /// A real request was answered with 503 and Retry-After, by the backend or by a callee behind it: nobody can tell. When a
    /// probe has just said that all is well, it is not asked again for an interval.
    pub(in super::super) fn on_busy(&mut self, now: Now, retry_after_seconds: u32, log: &mut Log) {
        self.counts.busy += 1;
        let interval_us = self.settings.as_ref().map_or(0, |settings| settings.interval_us);
        let is_refuted = self.refuted_at.is_some_and(|at| now < later(at, interval_us));
        let is_told = self.state == State::Disabled || self.busy != Busy::No;
        if retry_after_seconds == 0 || is_refuted || is_told {
            return;
        }
        self.ease(now, retry_after_seconds, log);
        self.hurry(now);
    }

    pub(super) fn fail(&mut self, now: Now, reason: Reason, log: &mut Log) {
        self.goods = 0;
        self.failures = self.failures.saturating_add(1);
        let fall = self.settings.as_ref().map_or(u32::MAX, |settings| settings.fall);
        match self.state {
            State::Active | State::Trying if self.failures >= fall => {
                self.ramp = None;
                self.set(now, State::Inactive, reason, log);
                self.dead = true;
            }
            State::Active => self.set(now, State::Trying, reason, log),
            // What is wrong now is worth more than what was wrong first.
            State::Trying | State::Inactive => self.reason = reason,
            State::Disabled => {}
        }
        self.dead |= self.state == State::Inactive && self.failures >= fall;
    }

    fn succeed(&mut self, now: Now, status: u16, settings: &Settings, log: &mut Log) {
        self.failures = 0;
        match self.state {
            State::Trying => self.set(now, State::Active, Reason::Answered(status), log),
            State::Inactive => {
                self.goods += 1;
                if self.goods >= settings.rise {
                    let reason = Reason::Recovered(self.goods);
                    self.set(now, State::Active, reason, log);
                    self.start_ramp(now);
                }
            }
            State::Active if self.reason == Reason::New => self.reason = Reason::Answered(status),
            State::Active | State::Disabled => {}
        }
    }
}
