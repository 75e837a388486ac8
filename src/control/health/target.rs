//! One backend of one pool: its state, what moves it, and when it is probed next.
//!
//! Owns: the rules of rise and fall, busy, drain, slow start. Knows nothing of other backends, of bounds that all share, and
//! of sockets. Times are microseconds; [`Target::timer`] and [`Target::probe_due`] say when it wants to be asked again.
//!
//! Where it is meant to be better than Kamailio's dispatcher: states and disabling by hand survive a reload; good answers
//! between failures count in every state; a doubt is settled by faster probes instead of a whole interval; one burst of
//! network errors is one piece of evidence; being full or busy is no failure.

use std::net::SocketAddr;
use std::sync::Arc;

use serde::Serialize;

use super::history::History;
use super::latency::Latency;
use super::log::Log;
use super::reason::{Change, Reason, State};
use super::spec::{BackendSpec, PoolSpec};
use crate::config::{Declared, Settings};
use crate::sip::Now;

mod evidence;
mod plan;

pub use evidence::{BUSY_SECONDS_MAX, UNREACHABLE_GAP_US};
pub use plan::{FIRST_WITHIN_US, RAMP_STEPS, URGENT_GAP_US};

/// What was counted about a backend since it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// Probes that were sent.
    pub probes: u64,
    /// Good answers.
    pub good: u64,
    /// Answers that said full.
    pub full: u64,
    /// Bad answers.
    pub bad: u64,
    /// Probes without an answer in time.
    pub timeouts: u64,
    /// Errors of the network.
    pub unreachable: u64,
    /// Times that it was reported silent.
    pub silent: u64,
    /// Responses of 503 with Retry-After to real requests.
    pub busy: u64,
    /// Answers to its probes that came from elsewhere.
    pub strange: u64,
}

/// A probe that is under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) transaction: Option<u64>,
    at: Now,
    deadline: Now,
    /// The network said that nobody is there.
    unreachable: bool,
    /// Who answered and is not who was asked.
    strange: Option<SocketAddr>,
}

/// Whether it takes new keys just now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Busy {
    No,
    Until(Now),
    UntilGood,
}

/// What real requests were answered with speaks against it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Eased {
    pub(super) until: Now,
}

/// Slow start: since when, and when the next step is.
#[derive(Debug, Clone, Copy)]
struct Ramp {
    since: Now,
    step: Now,
}

#[derive(Debug)]
pub(super) struct Target {
    pub(super) pool: Arc<str>,
    pub(super) identity: Arc<str>,
    pub(super) uri: Arc<str>,
    pub(super) from: Option<Arc<str>>,
    pub(super) address: SocketAddr,
    /// None: it is not probed.
    pub(super) settings: Option<Arc<Settings>>,
    match_source_ip: bool,
    slow_start_us: u64,
    declared: Declared,
    seed: u64,

    pub(super) state: State,
    pub(super) since: Now,
    pub(super) reason: Reason,
    pub(super) draining: bool,
    pub(super) busy: Busy,
    pub(super) eased: Option<Eased>,
    /// When a probe last said that what real requests were answered with is not so.
    refuted_at: Option<Now>,
    ramp: Option<Ramp>,
    /// Since the last good answer.
    pub(super) failures: u32,
    /// In a row, while inactive.
    goods: u32,
    /// Inactive on evidence, not by configuration.
    dead: bool,

    pub(super) asked: Option<Asked>,
    probe_due: Option<Now>,
    sent_at: Option<Now>,
    unreachable_at: Option<Now>,
    sequence: u32,

    pub(super) history: History,
    pub(super) latency: Latency,
    pub(super) counts: Counts,
    /// Where the schedule has it: its timer and its probe.
    pub(super) placed: (Option<Now>, Option<Now>),
    /// A probe of it is counted as under way.
    pub(super) counted: bool,
    /// The transaction that answers are looked up by.
    pub(super) linked: Option<u64>,
}

impl Target {
    pub(super) fn new(
        now: Now,
        seed: u64,
        pool: &PoolSpec,
        settings: Option<&Arc<Settings>>,
        spec: &BackendSpec,
    ) -> Self {
        let (state, reason) = match spec.declared {
            Declared::Active => (State::Active, Reason::New),
            Declared::Trying => (State::Trying, Reason::Declared),
            Declared::Inactive => (State::Inactive, Reason::Declared),
            Declared::Disabled => (State::Disabled, Reason::Declared),
        };
        let mut target = Self {
            pool: pool.name.as_str().into(),
            identity: spec.identity.as_str().into(),
            uri: spec.uri.as_str().into(),
            from: spec.from.as_deref().map(Into::into),
            address: spec.address,
            settings: settings.filter(|_| spec.probed).cloned(),
            match_source_ip: pool.match_source_ip,
            slow_start_us: pool.slow_start_us,
            declared: spec.declared,
            seed,
            state,
            since: now,
            reason,
            draining: false,
            busy: Busy::No,
            eased: None,
            refuted_at: None,
            ramp: None,
            failures: 0,
            goods: 0,
            dead: false,
            asked: None,
            probe_due: None,
            sent_at: None,
            unreachable_at: None,
            sequence: 0,
            history: History::default(),
            latency: Latency::default(),
            counts: Counts::default(),
            placed: (None, None),
            counted: false,
            linked: None,
        };
        if let Some(settings) = target.settings.as_ref().filter(|_| state != State::Disabled) {
            target.probe_due = Some(target.first_probe(now, settings.interval_us));
        }
        target
    }

    /// Takes over what a reload says; state, history and statistics stay.
    pub(super) fn adopt(
        &mut self,
        now: Now,
        pool: &PoolSpec,
        settings: Option<&Arc<Settings>>,
        spec: &BackendSpec,
        log: &mut Log,
    ) {
        let settings = settings.filter(|_| spec.probed);
        if self.address != spec.address || settings.is_none() {
            // An answer to the old address would say nothing about the new one.
            self.asked = None;
        }
        self.uri = spec.uri.as_str().into();
        self.from = spec.from.as_deref().map(Into::into);
        self.address = spec.address;
        self.match_source_ip = pool.match_source_ip;
        self.slow_start_us = pool.slow_start_us;
        if self.settings.as_ref() != settings {
            self.settings = settings.cloned();
            self.probe_due = None;
        }
        let before = std::mem::replace(&mut self.declared, spec.declared);
        if before != spec.declared {
            self.declare(now, before, log);
        }
        if self.settings.is_none() && (self.is_down() || self.state == State::Trying) {
            self.set(now, State::Active, Reason::ProbingOff, log);
        }
        if self.settings.is_none() && self.busy == Busy::UntilGood {
            self.set_busy(Busy::No, Reason::ProbingOff, log);
        }
        self.plan(now);
    }

    /// The configuration was edited to say something else about the state.
    fn declare(&mut self, now: Now, before: Declared, log: &mut Log) {
        match self.declared {
            Declared::Disabled => self.disable(now, Reason::Declared, log),
            // Who disabled it by hand, and did not write that down, still means it.
            _ if self.state == State::Disabled && before != Declared::Disabled => {}
            Declared::Inactive => self.set(now, State::Inactive, Reason::Declared, log),
            Declared::Active | Declared::Trying => self.enable(now, Reason::Declared, log),
        }
    }

    pub(super) fn disable(&mut self, now: Now, reason: Reason, log: &mut Log) {
        self.asked = None;
        self.ramp = None;
        self.eased = None;
        self.probe_due = None;
        if self.state == State::Disabled {
            self.reason = reason;
        } else {
            let dead = self.dead;
            self.set(now, State::Disabled, reason, log);
            self.dead = dead;
        }
    }

    /// Ends drain and disabling. What was dead before it was disabled has to show first that it is not; whoever enables an
    /// inactive backend says that it may take keys at once.
    pub(super) fn enable(&mut self, now: Now, reason: Reason, log: &mut Log) {
        let was_draining = std::mem::replace(&mut self.draining, false);
        let is_probed = self.settings.is_some();
        let to = match self.state {
            State::Disabled if self.dead && is_probed => State::Inactive,
            State::Disabled | State::Inactive if is_probed => State::Trying,
            State::Disabled | State::Inactive => State::Active,
            other => other,
        };
        if to != self.state {
            let dead = self.dead;
            self.set(now, to, reason, log);
            self.dead = dead && to == State::Inactive;
            self.failures = 0;
        } else if was_draining {
            self.mark(reason, log);
        } else {
            return;
        }
        if to != State::Inactive {
            self.start_ramp(now);
        }
        self.hurry(now);
    }

    /// It takes no new keys, and all else goes on.
    pub(super) fn drain(&mut self, reason: Reason, log: &mut Log) {
        if !std::mem::replace(&mut self.draining, true) {
            self.ramp = None;
            self.mark(reason, log);
        }
    }

    /// The probe under way is this transaction.
    pub(super) fn link(&mut self, transaction: u64) {
        if let Some(asked) = &mut self.asked {
            asked.transaction = Some(transaction);
        }
    }

    /// Hard evidence says that it is dead.
    pub(super) fn is_down(&self) -> bool {
        self.state == State::Inactive && self.dead
    }

    pub(super) fn takes_new(&self) -> bool {
        matches!(self.state, State::Active | State::Trying)
            && !self.draining
            && self.busy == Busy::No
    }

    pub(super) fn ramp_since(&self) -> Option<Now> {
        self.ramp.map(|ramp| ramp.since)
    }

    pub(super) fn slow_start_us(&self) -> u64 {
        self.slow_start_us
    }

    fn set(&mut self, now: Now, to: State, reason: Reason, log: &mut Log) {
        let from = self.state;
        self.reason = reason;
        if from == to {
            return;
        }
        (self.state, self.since, self.goods, self.dead) = (to, now, 0, false);
        self.push(from, self.reason.clone(), log);
    }

    fn set_busy(&mut self, busy: Busy, reason: Reason, log: &mut Log) {
        self.busy = busy;
        self.mark(reason, log);
    }

    fn busy_for(&mut self, now: Now, seconds: u32, log: &mut Log) {
        let seconds = seconds.min(BUSY_SECONDS_MAX);
        let end = now.plus_seconds(u64::from(seconds));
        self.eased = None;
        match self.busy {
            // A full server says so to each request: it is one state, told once.
            Busy::Until(before) => self.busy = Busy::Until(before.max(end)),
            Busy::No | Busy::UntilGood => {
                self.set_busy(Busy::Until(end), Reason::Busy(seconds), log);
            }
        }
    }

    /// Half its keys go elsewhere for a while.
    fn ease(&mut self, now: Now, seconds: u32, log: &mut Log) {
        let seconds = seconds.min(BUSY_SECONDS_MAX);
        let until = now.plus_seconds(u64::from(seconds));
        match &mut self.eased {
            // A callee may say so to each request: it is one doubt, told once.
            Some(eased) => eased.until = eased.until.max(until),
            none @ None => {
                *none = Some(Eased { until });
                self.mark(Reason::Eased(seconds), log);
            }
        }
    }

    fn end_ease(&mut self, log: &mut Log) {
        if self.eased.take().is_some() {
            self.mark(Reason::NoLongerEased, log);
        }
    }

    fn mark(&self, reason: Reason, log: &mut Log) {
        self.push(self.state, reason, log);
    }

    fn push(&self, from: State, reason: Reason, log: &mut Log) {
        let (pool, backend) = (Arc::clone(&self.pool), Arc::clone(&self.identity));
        log.push(Change { pool, backend, from, to: self.state, reason });
    }
}
