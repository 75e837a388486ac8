//! The health of backends: states, and when to probe which. A pure state machine: no sockets, no threads, no clock.
//!
//! Owns: all targets (a backend of a pool is one), keyed by pool and identity, so that a reload keeps what is known of those
//! that stay. Time comes in as [`Now`], on one clock, that of the caller. Who sends probes and reads answers is the
//! caller's affair: [`Health::poll`] says what is due, [`Health::next_due`] when, the `on_*` take what came.
//! Limits: [`OUTSTANDING_MAX`], [`PER_SECOND_MAX`], [`CHANGES_MAX`], [`PROBES_KEPT`] for each target.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::sip::balance::hash_key;
use crate::sip::probe::ProbeRequest;
use crate::sip::{ListenerId, Now};

mod history;
mod latency;
mod log;
mod reason;
mod schedule;
mod spec;
mod standing;
mod target;
mod view;

#[cfg(test)]
mod tests;

pub use crate::config::alive::{Alive, Codes};
pub use crate::config::{Declared, EASED_MAX_PERCENT, Settings};
pub use history::{PROBES_KEPT, ProbeView};
pub use latency::LatencyView;
pub use log::CHANGES_MAX;
pub use reason::{Change, Reason, State};
pub use schedule::{BURST_MAX, OUTSTANDING_MAX, PER_SECOND_MAX};
pub use spec::{BackendSpec, PoolSpec};
pub use standing::{SHARE_EASED, SHARE_WHOLE, Standing};
pub use target::{
    BUSY_SECONDS_MAX, Counts, FIRST_WITHIN_US, RAMP_STEPS, UNREACHABLE_GAP_US, URGENT_GAP_US,
};
pub use view::{BackendView, PoolView, ProbingView, View};

use log::Log;
use schedule::Schedule;
use target::{Busy, Target};

/// A target: stays the same as long as its backend stays in its pool, and is never given to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetId(u64);

/// A probe that is due. It counts as under way from here on: the caller sends it and says [`Health::sent`], or
/// [`Health::not_sent`].
#[derive(Debug, Clone)]
pub struct Probe {
    /// Whom it asks.
    pub target: TargetId,
    /// The pool of that backend.
    pub pool: Arc<str>,
    /// Where it goes.
    pub address: SocketAddr,
    /// Its Request-URI and To.
    pub uri: Arc<str>,
    /// A From for this backend alone; else see the settings.
    pub from: Option<Arc<str>>,
    /// The settings of the pool.
    pub settings: Arc<Settings>,
    /// Makes its Call-ID: no other probe has this number.
    pub call_id: u64,
    /// Its CSeq number.
    pub cseq: u32,
}

impl Probe {
    /// What [`probe::write`](crate::sip::probe::write) needs, for this listener and shard.
    #[must_use]
    pub fn request(&self, listener: ListenerId, shard: u8) -> ProbeRequest<'_> {
        ProbeRequest {
            listener,
            shard,
            method: &self.settings.method,
            target: &self.uri,
            from: self.from.as_deref().or(self.settings.from.as_deref()),
            user_agent: concat!("sipedge/", env!("CARGO_PKG_VERSION")),
            call_id: self.call_id,
            cseq: self.cseq,
        }
    }
}

/// There is no such backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unknown {
    /// Nor such a pool.
    Pool(String),
    /// The pool has others.
    Backend(String),
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pool(name) => write!(f, "no pool is called \"{name}\""),
            Self::Backend(name) => write!(f, "the pool has no backend \"{name}\""),
        }
    }
}

impl std::error::Error for Unknown {}

/// A pool and its targets, in the order of the configuration.
#[derive(Debug)]
struct Pool {
    name: String,
    settings: Option<Arc<Settings>>,
    eased_max_percent: u8,
    order: Vec<TargetId>,
    by_identity: HashMap<String, TargetId>,
}

/// All targets of all pools.
#[derive(Debug)]
pub struct Health {
    seed: u64,
    pools: Vec<Pool>,
    targets: BTreeMap<TargetId, Target>,
    by_address: HashMap<SocketAddr, Vec<TargetId>>,
    by_transaction: HashMap<u64, TargetId>,
    schedule: Schedule,
    log: Log,
    targets_made: u64,
    probes_made: u64,
    late: u64,
}

impl Health {
    /// Without any pool; `seed` spreads probes and makes their Call-IDs, so that it should be another in each run.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            pools: Vec::new(),
            targets: BTreeMap::new(),
            by_address: HashMap::new(),
            by_transaction: HashMap::new(),
            schedule: Schedule::default(),
            log: Log::default(),
            targets_made: 0,
            probes_made: 0,
            late: 0,
        }
    }

    /// Takes over a configuration: state, history and statistics of the backends that stay are kept, those that left are
    /// forgotten. Kamailio's reload starts all of them anew, what was disabled by hand included.
    pub fn adopt(&mut self, now: Now, specs: &[PoolSpec]) {
        let mut known: HashMap<String, Pool> =
            self.pools.drain(..).map(|pool| (pool.name.clone(), pool)).collect();
        let mut left = std::mem::take(&mut self.targets);
        for spec in specs {
            let before = known.remove(&spec.name);
            let settings = spec.probe.clone().map(Arc::new);
            let mut pool = Pool {
                name: spec.name.clone(),
                order: Vec::with_capacity(spec.backends.len()),
                by_identity: HashMap::with_capacity(spec.backends.len()),
                settings,
                eased_max_percent: spec.eased_max_percent,
            };
            for backend in &spec.backends {
                if pool.by_identity.contains_key(&backend.identity) {
                    continue;
                }
                let old = before.as_ref().and_then(|pool| pool.by_identity.get(&backend.identity));
                let kept = old.and_then(|id| left.remove_entry(id));
                let (id, target) = match kept {
                    Some((id, mut target)) => {
                        target.adopt(now, spec, pool.settings.as_ref(), backend, &mut self.log);
                        (id, target)
                    }
                    None => {
                        let settings = pool.settings.as_ref();
                        let target = Target::new(now, self.seed, spec, settings, backend);
                        self.targets_made += 1;
                        (TargetId(self.targets_made), target)
                    }
                };
                self.targets.insert(id, target);
                self.settle(id);
                pool.order.push(id);
                pool.by_identity.insert(backend.identity.clone(), id);
            }
            self.pools.push(pool);
        }
        for (id, target) in left {
            self.schedule.forget(id, &target);
            if let Some(transaction) = target.linked {
                self.by_transaction.remove(&transaction);
            }
        }
        self.by_address.clear();
        for (&id, target) in &self.targets {
            self.by_address.entry(target.address).or_default().push(id);
        }
        self.log.revision += 1;
    }

    /// When [`Health::poll`] wants to be called next.
    #[must_use]
    pub fn next_due(&self) -> Option<Now> {
        self.schedule.next_due()
    }

    /// Does what is due by time, and says which probe is to be sent. To be called until it says none.
    pub fn poll(&mut self, now: Now) -> Option<Probe> {
        while let Some(id) = self.schedule.due_timer(now) {
            self.with(id, |target, log| target.on_timer(now, log));
        }
        let id = self.schedule.due_probe(now)?;
        self.probes_made += 1;
        // Two runs of a node differ by their seed: no backend takes the probe of one for a retransmission of the other's.
        let call_id = hash_key(&[&self.seed.to_le_bytes(), &self.probes_made.to_le_bytes()]);
        let probe = {
            let target = self.targets.get_mut(&id)?;
            let cseq = target.ask(now);
            Probe {
                target: id,
                pool: Arc::clone(&target.pool),
                address: target.address,
                uri: Arc::clone(&target.uri),
                from: target.from.clone(),
                settings: target.settings.clone()?,
                call_id,
                cseq,
            }
        };
        self.settle(id);
        Some(probe)
    }

    /// The probe of this target left, as this transaction.
    pub fn sent(&mut self, target: TargetId, transaction: u64) {
        self.with(target, |target, _| target.link(transaction));
    }

    /// The probe of this target did not leave: that says nothing about the backend.
    pub fn not_sent(&mut self, target: TargetId, now: Now) {
        self.with(target, |target, _| target.not_sent(now));
    }

    /// A probe was answered, from this address.
    pub fn on_reply(
        &mut self,
        now: Now,
        transaction: u64,
        source: SocketAddr,
        status: u16,
        retry_after_seconds: u32,
    ) {
        let Some(&id) = self.by_transaction.get(&transaction) else {
            self.late += 1;
            return;
        };
        self.with(id, |target, log| {
            if target.sends_from(source) {
                target.on_reply(now, status, retry_after_seconds, log);
            } else {
                target.on_strange(source);
            }
        });
    }

    /// The network says that nobody is at this address (ICMP, or a connection that failed).
    pub fn on_unreachable(&mut self, now: Now, address: SocketAddr) {
        self.at(address, |target, log| target.on_unreachable(now, log));
    }

    /// This address got so many requests since then, and gave no response.
    pub fn on_silence(&mut self, now: Now, address: SocketAddr, requests: u32, since: Now) {
        self.at(address, |target, log| target.on_silence(now, requests, since, log));
    }

    /// This address answered a real request with 503 and Retry-After.
    pub fn on_busy(&mut self, now: Now, address: SocketAddr, retry_after_seconds: u32) {
        self.at(address, |target, log| target.on_busy(now, retry_after_seconds, log));
    }

    /// Takes a backend out by hand: no new keys, no probes, until it is enabled.
    ///
    /// # Errors
    /// When there is no such backend.
    pub fn disable(
        &mut self,
        pool: &str,
        backend: &str,
        now: Now,
        by: &str,
    ) -> Result<(), Unknown> {
        let id = self.find(pool, backend)?;
        self.with(id, |target, log| target.disable(now, Reason::DisabledBy(by.into()), log));
        Ok(())
    }

    /// Ends disabling and draining. A backend that was dead when it was disabled has to show first that it is not; one that
    /// is merely inactive takes keys at once, since somebody says so.
    ///
    /// # Errors
    /// When there is no such backend.
    pub fn enable(&mut self, pool: &str, backend: &str, now: Now, by: &str) -> Result<(), Unknown> {
        let id = self.find(pool, backend)?;
        self.with(id, |target, log| target.enable(now, Reason::EnabledBy(by.into()), log));
        Ok(())
    }

    /// Marks a backend as draining: no new keys, everything else goes on, its probes too.
    ///
    /// # Errors
    /// When there is no such backend.
    pub fn drain(&mut self, pool: &str, backend: &str, by: &str) -> Result<(), Unknown> {
        let id = self.find(pool, backend)?;
        self.with(id, |target, log| target.drain(Reason::DrainedBy(by.into()), log));
        Ok(())
    }

    /// What happened since the last time, oldest first.
    pub fn take_changes(&mut self) -> Vec<Change> {
        self.log.changes.drain(..).collect()
    }

    /// Grows whenever a [`Standing`] may be another: then it is time for a new table.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.log.revision
    }

    /// What the table has to know of a backend.
    #[must_use]
    pub fn standing(&self, pool: &str, backend: &str) -> Option<Standing> {
        let pool = self.pools.iter().find(|known| known.name == pool)?;
        let target = self.targets.get(pool.by_identity.get(backend)?)?;
        Some(Standing {
            state: target.state,
            takes_new: target.takes_new(),
            down: target.is_down(),
            draining: target.draining,
            busy: target.busy != Busy::No,
            eased: target.eased.is_some() && self.believes(pool),
            ramp_since: target.ramp_since(),
            slow_start_us: target.slow_start_us(),
            latency_us: target.latency.estimate_us(),
        })
    }

    /// Soft evidence lowers shares, unless it speaks against too many of those that may be given something: then it is
    /// the evidence that is wrong, or all are as bad, and moving keys helps nobody.
    fn believes(&self, pool: &Pool) -> bool {
        let usable = pool.order.iter().filter_map(|id| self.targets.get(id));
        let (mut count, mut eased) = (0_usize, 0_usize);
        for target in usable.filter(|target| target.takes_new()) {
            count += 1;
            eased += usize::from(target.eased.is_some());
        }
        eased * 100 <= count * usize::from(pool.eased_max_percent)
    }

    /// Everything that an operator wants to see.
    #[must_use]
    pub fn view(&self, now: Now) -> View {
        let backend = |id: &TargetId| Some(view::backend(self.targets.get(id)?, now));
        let pool = |pool: &Pool| PoolView {
            name: pool.name.clone(),
            probe: pool.settings.as_deref().map(ProbingView::new),
            believes_traffic: self.believes(pool),
            backends: pool.order.iter().filter_map(backend).collect(),
        };
        View {
            pools: self.pools.iter().map(pool).collect(),
            outstanding: self.schedule.outstanding,
            held_back: self.schedule.held_back,
            late: self.late,
            changes_lost: self.log.lost,
        }
    }

    fn find(&self, pool: &str, backend: &str) -> Result<TargetId, Unknown> {
        let found = self.pools.iter().find(|known| known.name == pool);
        let found = found.ok_or_else(|| Unknown::Pool(pool.to_owned()))?;
        let id = found.by_identity.get(backend);
        id.copied().ok_or_else(|| Unknown::Backend(backend.to_owned()))
    }

    fn at(&mut self, address: SocketAddr, mut what: impl FnMut(&mut Target, &mut Log)) {
        let Some(ids) = self.by_address.get(&address).cloned() else { return };
        for id in ids {
            self.with(id, &mut what);
        }
    }

    fn with(&mut self, id: TargetId, what: impl FnOnce(&mut Target, &mut Log)) {
        if let Some(target) = self.targets.get_mut(&id) {
            what(target, &mut self.log);
            self.settle(id);
        }
    }

    /// Brings the look-ups in line with what a target says now.
    fn settle(&mut self, id: TargetId) {
        let Some(target) = self.targets.get_mut(&id) else { return };
        self.schedule.place(id, target);
        let transaction = target.asked.and_then(|asked| asked.transaction);
        let before = std::mem::replace(&mut target.linked, transaction);
        if before != transaction {
            if let Some(before) = before {
                self.by_transaction.remove(&before);
            }
            if let Some(transaction) = transaction {
                self.by_transaction.insert(transaction, id);
            }
        }
    }
}
