//! What an operator sees of the health of all pools.
//!
//! Owns: the shape of the JSON. Reads states, changes none. Durations are milliseconds before the moment of the view.

use std::net::SocketAddr;

use serde::Serialize;

use super::history::ProbeView;
use super::latency::LatencyView;
use super::reason::State;
use super::target::{Busy, Counts, Target};
use crate::config::Settings;
use crate::sip::Now;

/// All pools, in the order of the configuration.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct View {
    /// The pools.
    pub pools: Vec<PoolView>,
    /// Probes under way.
    pub outstanding: usize,
    /// Times that a due probe had to wait for a bound.
    pub held_back: u64,
    /// Answers to no probe that is under way: late, or repeated.
    pub late: u64,
    /// Changes that nobody took in time.
    pub changes_lost: u64,
}

/// A pool.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PoolView {
    /// Its name.
    pub name: String,
    /// How it is probed; none: not at all.
    pub probe: Option<ProbingView>,
    /// Soft evidence lowers shares; else it speaks against too many backends at a time.
    pub believes_traffic: bool,
    /// Its backends, in the order of the configuration.
    pub backends: Vec<BackendView>,
}

/// How a pool is probed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProbingView {
    /// The method.
    pub method: String,
    /// From one probe to the next.
    pub interval_ms: u64,
    /// How long an answer may take.
    pub timeout_ms: u64,
    /// Good probes in a row until active.
    pub rise: u32,
    /// Failures in a row until inactive.
    pub fall: u32,
    /// Which answers are good.
    pub alive: String,
}

/// A backend.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BackendView {
    /// Its identity.
    pub backend: String,
    /// Where it is reached.
    pub address: SocketAddr,
    /// Its state.
    pub state: State,
    /// Since how long.
    pub for_ms: u64,
    /// Why.
    pub reason: String,
    /// It may be given new keys.
    pub takes_new: bool,
    /// It is dead, by hard evidence.
    pub down: bool,
    /// It is drained by hand.
    pub draining: bool,
    /// It said that it is full or busy.
    pub busy: bool,
    /// For how long it takes no new keys, when it said so.
    pub busy_for_ms: Option<u64>,
    /// For how long it takes half its share, because of what real requests were answered with; unless a probe says better.
    pub eased_for_ms: Option<u64>,
    /// Since how long its slow start goes.
    pub ramping_for_ms: Option<u64>,
    /// Failures since the last good answer.
    pub failures: u32,
    /// The last probes, newest first.
    pub probes: Vec<ProbeView>,
    /// How long answers take.
    pub latency: LatencyView,
    /// What was counted.
    pub counts: Counts,
}

impl ProbingView {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            method: settings.method.clone(),
            interval_ms: settings.interval_us / 1_000,
            timeout_ms: settings.timeout_us / 1_000,
            rise: settings.rise,
            fall: settings.fall,
            alive: settings.alive.to_string(),
        }
    }
}

pub(super) fn backend(target: &Target, now: Now) -> BackendView {
    let since = |then: Now| now.0.saturating_sub(then.0) / 1_000;
    BackendView {
        backend: target.identity.to_string(),
        address: target.address,
        state: target.state,
        for_ms: since(target.since),
        reason: target.reason.to_string(),
        takes_new: target.takes_new(),
        down: target.is_down(),
        draining: target.draining,
        busy: target.busy != Busy::No,
        busy_for_ms: match target.busy {
            Busy::Until(end) => Some(end.0.saturating_sub(now.0) / 1_000),
            Busy::No | Busy::UntilGood => None,
        },
        eased_for_ms: target.eased.map(|eased| eased.until.0.saturating_sub(now.0) / 1_000),
        ramping_for_ms: target.ramp_since().map(since),
        failures: target.failures,
        probes: target.history.view(now),
        latency: target.latency.view(),
        counts: target.counts,
    }
}
