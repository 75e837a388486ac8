//! The node while it runs: one thread that owns the shards, the pools and what is known of their health.
//!
//! Owns: what happens on each event, and when a new routing table is due. Everything that changes the table passes through
//! `Node::install`, so a table is always that of one configuration, one state of the pools and one state of health.
//! Moments are those of the shards' clock.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tracing::{error, info, warn};

use super::event::{Ask, Event, Scrape};
use super::fleet::{Fleet, Member, Pool, Standing};
use super::health::{Health, State};
use super::resolve::{Known, Names, Resolution};
use super::{resolve, view};
use crate::config::Config;
use crate::datapath::{InstallError, Report, Shards, Snapshot};
use crate::sip::Now;
use crate::sip::route::table::Table;
use crate::trace::Traces;

mod commands;
mod ending;
mod probing;
mod silence;
mod tell;
mod watch;

pub(crate) use ending::Ending;
use silence::Silence;
use watch::Watch;

/// The longest time between two looks at what is due.
const TICK_MAX: Duration = Duration::from_millis(500);
/// How often what changes by itself (silence, slow starts, leavers) is looked at.
const SLOW_TICK: Duration = Duration::from_secs(1);

/// A node that runs.
pub(crate) struct Node {
    file: PathBuf,
    config: Config,
    fleet: Fleet,
    names: Names,
    known: Known,
    health: Health,
    shards: Shards,
    table: Arc<Table>,
    /// Of each pool of the table: how much of 1 each member has of the keys.
    shares: Vec<Option<Vec<f64>>>,
    traces: Traces,
    silence: Silence,
    watch: Option<Watch>,
    reloads: Reloads,
    is_draining: bool,
    /// What health was when the table was made.
    revision: u64,
    slow_tick_due: Now,
    /// When all shards last answered.
    heartbeat: Now,
    /// What a moment of zero was by the calendar, in milliseconds since 1970.
    origin_ms: u64,
}

/// What became of reloads.
#[derive(Debug, Default)]
struct Reloads {
    taken: u64,
    refused: u64,
    loaded_at: Now,
    last: Option<view::Reload>,
}

/// What a node is made of.
pub(crate) struct Parts {
    /// Where the configuration was read.
    pub(crate) file: PathBuf,
    /// What it says.
    pub(crate) config: Config,
    /// Its pools.
    pub(crate) fleet: Fleet,
    /// Keeps the names of its backends fresh.
    pub(crate) names: Names,
    /// The shards, with this table.
    pub(crate) shards: Shards,
    /// The table that the shards started with.
    pub(crate) table: Arc<Table>,
    /// Copies of messages, for who asked for them.
    pub(crate) traces: Traces,
    /// Any number, another one for each start.
    pub(crate) seed: u64,
}

impl Node {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { file, config, fleet, names, shards, table, traces, seed } = parts;
        let now = shards.now();
        let mut health = Health::new(seed);
        health.adopt(now, &probing::specs(fleet.pools()));
        let watch = config.node.watch_config.then(|| Watch::new(&file));
        let mut node = Self {
            file,
            config,
            fleet,
            names,
            known: Known::default(),
            health,
            shards,
            shares: tell::shares(&table),
            table,
            traces,
            silence: Silence::default(),
            watch,
            reloads: Reloads { loaded_at: now, ..Reloads::default() },
            is_draining: false,
            revision: 0,
            slow_tick_due: now,
            heartbeat: now,
            origin_ms: calendar_ms().saturating_sub(now.0 / 1_000),
        };
        if let Err(error) = node.trace() {
            error!("nothing can be traced: {error}");
        }
        node
    }

    /// How long nothing is due, unless an event comes.
    pub(crate) fn time_to_wait(&self) -> Duration {
        let now = self.shards.now();
        let slow = self.slow_tick_due;
        let due = self.health.next_due().map_or(slow, |due| due.min(slow));
        Duration::from_micros(due.0.saturating_sub(now.0)).min(TICK_MAX)
    }

    /// Takes in what was reported or asked. Signals are the business of who runs the node.
    pub(crate) fn on(&mut self, event: Event) {
        match event {
            Event::Report(report) => self.on_report(&report),
            Event::Resolved(resolution) => self.on_resolved(resolution),
            Event::Ask(Ask::Scrape(answer)) => {
                let traces = self.traces.counts();
                let view = self.view();
                let scrape = self.snapshot().map(|snapshot| Scrape { snapshot, view, traces });
                // Who asked may have given up; so below.
                let _ = answer.send(scrape);
            }
            Event::Ask(Ask::Decisions(answer)) => {
                let is_kept = self.config.trace.decisions.is_some();
                let _ = answer.send(is_kept.then(|| self.traces.recent()));
            }
            Event::Ask(Ask::Do(command, answer)) => {
                let outcome = self.obey(command);
                let _ = answer.send(outcome);
            }
            Event::Signal(_) => {}
        }
    }

    /// Does what is due: probes, slow starts, members that are forgotten, an edited file.
    pub(crate) fn tick(&mut self) {
        let now = self.shards.now();
        self.send_probes(now);
        let mut is_stale = false;
        if self.slow_tick_due <= now {
            let step = u64::try_from(SLOW_TICK.as_micros()).unwrap_or(u64::MAX);
            self.slow_tick_due = Now(now.0.saturating_add(step));
            self.listen_for_silence(now);
            is_stale |= self.fleet.forget_leavers(now);
            let latency_us =
                |pool: &Pool, member: &Member| probing::latency_us(&self.health, pool, member);
            is_stale |= self.fleet.learn_latencies(now, &latency_us);
            if self.watch.as_mut().is_some_and(Watch::has_settled_change) {
                info!("{} was edited", self.file.display());
                self.reload();
            }
        }
        self.tell_changes();
        if is_stale || self.health.revision() != self.revision {
            self.install_and_log();
        }
    }

    /// The service manager is to hear that all is well: `interval` has passed, and all shards answer.
    pub(crate) fn is_heartbeat_due(&mut self, interval: Option<Duration>) -> bool {
        let Some(interval) = interval else { return false };
        let now = self.shards.now();
        let passed = Duration::from_micros(now.0.saturating_sub(self.heartbeat.0));
        if passed < interval || self.snapshot().is_err() {
            return false;
        }
        self.heartbeat = now;
        true
    }

    /// A name stands for other addresses: members come and leave.
    fn on_resolved(&mut self, resolution: Resolution) {
        if resolution.outcome.state == resolve::State::Fresh {
            info!("{resolution}");
        } else {
            warn!("{resolution}");
        }
        self.known.insert(resolution);
        let now = self.shards.now();
        match self.fleet.edited(&self.config, &self.known, now) {
            Ok(fleet) => {
                self.health.adopt(now, &probing::specs(fleet.pools()));
                self.fleet = fleet;
                self.install_and_log();
            }
            Err(error) => error!("the new addresses cannot be used: {error}"),
        }
    }

    /// Whether all shards run.
    pub(crate) fn is_whole(&self) -> bool {
        self.shards.all_running()
    }

    /// The shards and their traces, when all is over: what the shards do until their end is traced, too.
    pub(crate) fn into_parts(self) -> (Shards, Traces) {
        (self.shards, self.traces)
    }

    fn on_report(&mut self, report: &Report) {
        match *report {
            Report::Probe { transaction, source, status, retry_after_seconds, at } => {
                self.health.on_reply(at, transaction, source, status, retry_after_seconds);
            }
            Report::Unreachable { address, at } => self.health.on_unreachable(at, address),
            Report::Busy { backend, retry_after_seconds, at, .. } => {
                self.health.on_busy(at, backend, retry_after_seconds);
            }
        }
    }

    fn snapshot(&mut self) -> Result<Snapshot, String> {
        self.shards.snapshot().map_err(|error| error.to_string())
    }

    /// The table for what is known now.
    fn compiled(&self, config: &Config, fleet: &Fleet) -> Table {
        let now = self.shards.now();
        let standing = |pool: &Pool, member: &Member| -> Standing {
            probing::standing(&self.health, pool, member, now)
        };
        let mut parts = fleet.parts(config, self.table.shards, &standing);
        parts.is_draining = self.is_draining;
        Table::new(parts)
    }

    /// Hands the shards a table of what is known now.
    fn install(&mut self) -> Result<(), InstallError> {
        let table = Arc::new(self.compiled(&self.config, &self.fleet));
        self.shards.install(&table)?;
        self.shares = tell::shares(&table);
        (self.table, self.revision) = (table, self.health.revision());
        self.trace()
    }

    /// Tells the shards what is traced of the pools of this table.
    fn trace(&mut self) -> Result<(), InstallError> {
        self.shards.trace(&self.traces.adopt(&self.table))
    }

    fn install_and_log(&mut self) {
        if let Err(error) = self.install() {
            error!("the routing table could not be replaced: {error}");
        }
    }

    /// Logs what health decided.
    fn tell_changes(&mut self) {
        for change in self.health.take_changes() {
            let (pool, backend, why) = (&change.pool, &change.backend, &change.reason);
            match (change.from, change.to) {
                (from, to) if from == to => info!("pool {pool}: {backend} is {to}: {why}"),
                (from, to @ (State::Inactive | State::Trying)) => {
                    warn!("pool {pool}: {backend} {from} -> {to}: {why}");
                }
                (from, to) => info!("pool {pool}: {backend} {from} -> {to}: {why}"),
            }
        }
    }
}

/// Milliseconds since 1970, for what people read.
#[expect(
    clippy::disallowed_methods,
    reason = "the view shows moments by the calendar; nothing is decided by them"
)]
fn calendar_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
