//! What a shard counts for each backend and each pool.
//!
//! Owns: what counts as what. The places are meters: numbers that control gives to a pool, and to a backend in a pool, and
//! that a new table keeps, wherever it puts them. Times are [`Now`] on the clock of all shards; 0 is never.

use super::small_histogram::SmallHistogram;
use crate::sip::message::Method;
use crate::sip::route::table::Table;
use crate::sip::{BackendRef, Cause, Decision, Now, Verdict};

/// Meters from here on are not counted: control gives the freed ones again long before.
pub const METERS_MAX: u32 = 1 << 16;
/// No pool: our own answer to somebody outside, say.
pub(crate) const NO_POOL: u32 = u32::MAX;
/// Control's own datagrams: they are no messages that passed, so neither sent nor timed.
pub(crate) const OF_CONTROL: u32 = u32::MAX - 1;
/// The ways of [`PoolTraffic::messages`].
pub const WAYS: [&str; 4] = ["request_to", "response_from", "request_from", "response_to"];

/// The traffic of one backend.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BackendTraffic {
    /// Requests sent on to it.
    pub requests: u64,
    /// Its responses that were sent on, or kept from the caller because another backend may do better; by class: 1xx is at 1.
    pub responses: [u64; 7],
    /// When the last request that wants a response was sent to it.
    pub last_request: Now,
    /// When its last response came.
    pub last_response: Now,
}

/// The traffic of one pool.
#[derive(Debug, Clone, Default)]
pub struct PoolTraffic {
    /// Messages that were sent on, or sent besides, by way (order of [`WAYS`]) and method (order of [`Method::ALL`]).
    pub messages: [[u64; Method::ALL.len()]; WAYS.len()],
    /// Requests that its load cap kept from the backend of their key.
    pub capped: u64,
    /// Receive to send of messages to and from it, in microseconds: see [`super::counters`].
    pub latency_us: SmallHistogram,
}

/// The traffic of all, by meter.
#[derive(Debug, Clone, Default)]
pub struct Traffic {
    /// Backends.
    pub backends: Vec<BackendTraffic>,
    /// Pools.
    pub pools: Vec<PoolTraffic>,
}

impl Traffic {
    /// Makes room for the meters of a table, so that counting allocates nothing.
    pub(crate) fn fit(&mut self, table: &Table) {
        let backends = table.pools.iter().flat_map(|pool| &pool.backends);
        self.fit_counts(
            backends.map(|backend| count_for(backend.hop.0)).max().unwrap_or(0),
            table.pools.iter().map(|pool| count_for(pool.meter)).max().unwrap_or(0),
        );
    }

    pub(crate) fn fit_counts(&mut self, backends: usize, pools: usize) {
        if self.backends.len() < backends {
            self.backends.resize(backends, BackendTraffic::default());
        }
        if self.pools.len() < pools {
            self.pools.resize_with(pools, PoolTraffic::default);
        }
    }

    /// Counts what became of a message, and answers the meter of the pool that it went to or came from.
    pub(crate) fn on_verdict(
        &mut self,
        now: Now,
        verdict: Verdict,
        decision: &Decision,
        table: &Table,
    ) -> u32 {
        let is_response = decision.status != 0;
        // What was absorbed, so that another backend may do better, is an answer all the same.
        let is_held = verdict == Verdict::Absorb && decision.cause == Cause::Held && is_response;
        if verdict != Verdict::Forward && !is_held {
            return NO_POOL;
        }
        let to = decision.backend.filter(|_| !is_held).and_then(|backend| meters(table, backend));
        let from = decision.origin.and_then(|origin| meters(table, origin));
        if is_response {
            self.on_response(now, from, decision.status);
        } else {
            self.on_request(now, to, decision);
        }
        let ways = if is_response { [(to, 3), (from, 1)] } else { [(from, 2), (to, 0)] };
        let mut pool = NO_POOL;
        for ((_, meter), way) in ways.into_iter().filter_map(|(side, way)| Some((side?, way))) {
            if let Some(traffic) = at(&mut self.pools, meter) {
                traffic.messages[way][decision.method as usize] += 1;
            }
            pool = meter;
        }
        pool
    }

    fn on_request(&mut self, now: Now, to: Option<(u32, u32)>, decision: &Decision) {
        let Some((backend, pool)) = to else { return };
        if let Some(traffic) = at(&mut self.backends, backend) {
            traffic.requests += 1;
            // RFC 3261 17: nothing answers an ACK.
            if decision.method != Method::Ack {
                traffic.last_request = now;
            }
        }
        if decision.is_capped
            && let Some(traffic) = at(&mut self.pools, pool)
        {
            traffic.capped += 1;
        }
    }

    fn on_response(&mut self, now: Now, from: Option<(u32, u32)>, status: u16) {
        let Some(traffic) = from.and_then(|(backend, _)| at(&mut self.backends, backend)) else {
            return;
        };
        traffic.responses[usize::from(status / 100).min(6)] += 1;
        traffic.last_response = now;
    }

    /// Counts the latency of messages of a pool.
    pub(crate) fn on_sent(&mut self, pool: u32, latency_us: u64, count: u64) {
        if let Some(traffic) = at(&mut self.pools, pool) {
            traffic.latency_us.record(latency_us, count);
        }
    }

    /// Adds another shard's.
    pub fn add(&mut self, other: &Self) {
        self.fit_counts(other.backends.len(), other.pools.len());
        for (sum, other) in self.backends.iter_mut().zip(&other.backends) {
            sum.requests += other.requests;
            for (sum, other) in sum.responses.iter_mut().zip(&other.responses) {
                *sum += other;
            }
            sum.last_request = sum.last_request.max(other.last_request);
            sum.last_response = sum.last_response.max(other.last_response);
        }
        for (sum, other) in self.pools.iter_mut().zip(&other.pools) {
            for (sum, other) in
                sum.messages.as_flattened_mut().iter_mut().zip(other.messages.as_flattened())
            {
                *sum += other;
            }
            sum.capped += other.capped;
            sum.latency_us.add(&other.latency_us);
        }
    }

    /// Becomes a copy of `other`, without allocating when there is room.
    pub(crate) fn copy_from(&mut self, other: &Self) {
        self.backends.clone_from(&other.backends);
        self.pools.truncate(other.pools.len());
        self.pools.resize_with(other.pools.len(), PoolTraffic::default);
        for (copy, other) in self.pools.iter_mut().zip(&other.pools) {
            copy.messages = other.messages;
            copy.capped = other.capped;
            copy.latency_us.copy_from(&other.latency_us);
        }
    }
}

/// The meters of a backend and of its pool.
pub(super) fn meters(
    table: &Table,
    BackendRef { pool, backend }: BackendRef,
) -> Option<(u32, u32)> {
    let pool = table.pools.get(usize::from(pool))?;
    Some((pool.backends.get(usize::from(backend))?.hop.0, pool.meter))
}

fn at<T>(counts: &mut [T], meter: u32) -> Option<&mut T> {
    counts.get_mut(usize::try_from(meter).ok()?)
}

/// How many places a meter needs; none beyond the bound.
fn count_for(meter: u32) -> usize {
    if meter >= METERS_MAX {
        return 0;
    }
    usize::try_from(meter).map_or(0, |meter| meter + 1)
}

#[cfg(test)]
#[path = "traffic/tests.rs"]
mod tests;
