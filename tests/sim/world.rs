//! A whole cluster on one virtual clock: what happens next, and to whom.
//!
//! Owns: the queue of events, everybody who lives here, and the way of a datagram. Times are microseconds from the
//! start of the world. The same seed does the same, byte for byte.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::backend::{BackendNode, Locations, OWN_USER};
use super::control::Change;
use super::edge::Edge;
use super::effects::{Effects, Fact, SECOND_US, Timer};
use super::forger::Seen;
use super::invariants::{Invariant, Judged, must};
use super::ledger::Ledger;
use super::nat::Nat;
use super::network::{Datagram, Network};
use super::phone::PhoneNode;
use super::plan::{PUBLIC, Plan, Setup, Tables, address};
use super::random::Random;
use super::soft::Soft;
use super::trace::Trace;

/// When nothing new is started any more.
pub(crate) const ACTIONS_END_US: u64 = 60 * SECOND_US;
/// When everything must have ended: the longest call, its time-outs, and a turn of keys.
const END_US: u64 = 400 * SECOND_US;

/// What happens next.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    Deliver(Datagram),
    /// For a party of that epoch.
    Timer(usize, u32, Timer),
    Action,
    Closing,
    Pool(usize, usize),
    Keys(usize, Vec<u8>),
    Withdraw(usize),
    EdgeReturns(usize),
    BackendReturns(usize),
    /// The backend that rang last dies.
    RingingDies,
    RotationEnds,
    Control(Change),
    /// Something of what health knows is due.
    Soft,
    /// The probe of this number was answered from there.
    ProbeAnswered(u64, SocketAddr),
}

/// The world.
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) now: u64,
    pub(crate) random: Random,
    pub(crate) network: Network,
    pub(crate) nats: Vec<Nat>,
    pub(crate) edges: Vec<Edge>,
    pub(crate) backends: Vec<BackendNode>,
    pub(crate) phones: Vec<PhoneNode>,
    pub(crate) locations: Locations,
    pub(crate) tables: Tables,
    pub(crate) ledger: Ledger,
    pub(crate) trace: Trace,
    pub(crate) seen: Seen,
    pub(crate) serial: u64,
    pub(crate) is_rotating: bool,
    pub(crate) keys: Vec<u8>,
    pub(crate) backend_addresses: BTreeSet<SocketAddr>,
    pub(crate) names: BTreeMap<SocketAddr, String>,
    pub(crate) soft: Soft,
    queue: BTreeMap<(u64, u64), Event>,
    queued: u64,
    /// Datagrams sent, those that were doubled, lost, and that arrived somewhere or nowhere.
    pub(crate) flow: [u64; 4],
    at_edges: u64,
}

impl World {
    pub(crate) fn new(seed: u64, keeps_lines: bool) -> Self {
        let mut random = Random::new(seed);
        let plan = Plan::new(&mut random);
        let in_pool = plan.backends - usize::from(plan.is_split);
        let members: Vec<(usize, u32)> = (0..in_pool).map(|index| (index, 1)).collect();
        let mut tables = Tables::new(members);
        let setup = Setup { pool: 0, keys: vec![1] };
        let table = tables.compile(&plan, &setup);
        let edge =
            |n: usize| Edge::new(&table, setup.clone(), seed.wrapping_add(n as u64 * 7_919_777));
        let nat_ip = |n: usize| address(&format!("198.51.100.{}:1", n + 1)).ip();
        let mut world = Self {
            now: 0,
            network: Network::new(plan.weather, Random::new(seed ^ 0xabcd)),
            nats: (0..plan.nats).map(|n| Nat::new(nat_ip(n), plan.nat_timeout_us)).collect(),
            edges: (0..plan.edges).map(edge).collect(),
            backends: Vec::new(),
            phones: Vec::new(),
            locations: Locations::new(),
            tables,
            ledger: Ledger::default(),
            trace: Trace::new(keeps_lines),
            seen: Seen::default(),
            serial: 0,
            is_rotating: false,
            keys: vec![1],
            backend_addresses: (0..plan.backends).map(Plan::backend).collect(),
            names: BTreeMap::new(),
            soft: Soft::new(&plan, seed),
            queue: BTreeMap::new(),
            queued: 0,
            flow: [0; 4],
            at_edges: 0,
            plan,
            random,
        };
        world.settle(seed);
        world
    }

    /// Backends, phones, and the events that start everything.
    fn settle(&mut self, seed: u64) {
        for index in 0..self.plan.backends {
            let home = Plan::backend(index);
            let mut agent = super::agent::Agent::new(index, OWN_USER, home, self.plan.private());
            agent.is_backend = true;
            agent.asks_rport = false;
            agent.random = Random::new(seed ^ (index as u64 + 1) << 32);
            agent.style.joins = self.random.permille(300);
            agent.style.is_compact = self.random.permille(200);
            agent.is_terse = self.random.permille(350);
            self.names.insert(home, format!("backend{index}"));
            self.backends.push(BackendNode::new(agent));
        }
        for index in 0..self.plan.phones {
            let nat = self.random.permille(700).then(|| self.random.index(self.nats.len()));
            let home = match nat {
                Some(_) => address(&format!("192.168.{index}.2:5060")),
                None => address(&format!("198.51.100.{}:5060", 100 + index)),
            };
            let id = self.plan.backends + index;
            let mut agent =
                super::agent::Agent::new(id, &format!("u{index}"), home, address(PUBLIC));
            agent.random = Random::new(seed ^ (id as u64 + 1) << 32);
            agent.asks_rport = nat.is_some() || self.random.permille(600);
            let learns = agent.asks_rport && self.random.permille(350);
            agent.learned = learns.then(|| address(&format!("203.0.113.{}:6000", 100 + index)));
            agent.style.is_compact = self.random.permille(250);
            agent.style.joins = self.random.permille(250);
            agent.style.has_surplus = self.random.permille(150);
            agent.style.lacks_max_forwards = self.random.permille(150);
            self.names.insert(home, format!("phone{index}"));
            let keeps_alive = self.random.permille(600);
            self.phones.push(PhoneNode::new(agent, nat));
            let first = self.random.below(2 * SECOND_US);
            self.at(first, Event::Timer(id, 0, Timer::Register));
            if keeps_alive {
                self.at(first + SECOND_US, Event::Timer(id, 0, Timer::KeepAlive));
            }
        }
        for _ in 0..self.plan.actions {
            let when = self.random.between(3 * SECOND_US, ACTIONS_END_US);
            self.at(when, Event::Action);
        }
        self.at(ACTIONS_END_US + SECOND_US, Event::Closing);
    }

    pub(crate) fn at(&mut self, when: u64, event: Event) {
        self.queued += 1;
        self.queue.insert((when, self.queued), event);
    }

    /// Runs to the end.
    pub(crate) fn run(&mut self) -> Judged {
        while let Some(((when, _), event)) = self.queue.pop_first() {
            must(when < END_US, Invariant::RequestEnds, || {
                "the world does not come to an end".to_owned()
            })?;
            self.now = when;
            self.happen(event)?;
        }
        self.check_end()
    }

    fn happen(&mut self, event: Event) -> Judged {
        match event {
            Event::Deliver(datagram) => return self.deliver(datagram),
            Event::Timer(node, epoch, timer) => return self.on_timer(node, epoch, &timer),
            Event::Action => return self.act(),
            Event::Closing => {
                self.phones.iter_mut().for_each(|phone| phone.agent.is_closing = true);
                self.backends.iter_mut().for_each(|backend| backend.agent.is_closing = true);
            }
            Event::Pool(edge, version) => {
                let setup = &self.edges[edge].setup;
                if version > setup.pool {
                    let (old, keys) = (setup.pool, setup.keys.clone());
                    self.install(edge, Setup { pool: version, keys });
                    return self.ramp_grows(old, version);
                }
            }
            Event::Keys(edge, keys) => {
                let pool = self.edges[edge].setup.pool;
                self.install(edge, Setup { pool, keys });
            }
            Event::Withdraw(edge) => {
                let up = self.edges_up();
                self.network.withdraw(edge, &up);
            }
            Event::EdgeReturns(edge) => {
                self.edges[edge].restart();
                self.trace
                    .line(self.now, || format!("-- edge{edge} is back, with nothing remembered"));
            }
            Event::BackendReturns(backend) => {
                self.backends[backend].is_up = true;
                self.probes_change(Change::Recovers(backend));
                self.trace.line(self.now, || {
                    format!("-- backend{backend} is back, with nothing remembered")
                });
            }
            Event::RingingDies => {
                let last = self.ledger.rang_last.filter(|&node| node < self.plan.backends);
                last.into_iter().for_each(|backend| self.kill(backend));
                if self.random.permille(700) {
                    self.flap();
                }
            }
            Event::RotationEnds => self.is_rotating = false,
            Event::Control(change) => self.control(change),
            Event::Soft => return self.soft_due(),
            Event::ProbeAnswered(number, backend) => return self.probe_answered(number, backend),
        }
        Ok(())
    }

    fn install(&mut self, edge: usize, setup: Setup) {
        let table = self.tables.compile(&self.plan, &setup);
        self.trace.line(self.now, || {
            let pool = &self.tables.shapes[setup.pool];
            format!("-- edge{edge} installs pool {} {pool:?}, keys {:?}", setup.pool, setup.keys)
        });
        self.edges[edge].install(&table, setup);
        self.ledger.count("table installed");
    }

    pub(crate) fn edges_up(&self) -> Vec<usize> {
        let up = self.edges.iter().enumerate().filter(|(_, edge)| edge.is_up);
        up.map(|(place, _)| place).collect()
    }

    fn on_timer(&mut self, node: usize, epoch: u32, timer: &Timer) -> Judged {
        let mut fx = Effects::default();
        let now = self.now;
        match node.checked_sub(self.plan.backends) {
            None => {
                let backend = &mut self.backends[node];
                if backend.is_up && backend.agent.epoch == epoch {
                    backend.agent.on_timer(now, timer, &mut fx);
                }
            }
            Some(phone) => self.phones[phone].on_timer(now, timer, &mut fx),
        }
        self.apply(node, fx)
    }

    /// Does what a party wants.
    pub(crate) fn apply(&mut self, node: usize, fx: Effects) -> Judged {
        let epoch = self.backends.get(node).map_or(0, |backend| backend.agent.epoch);
        for fact in fx.facts {
            if let Fact::TimedOut { transaction, .. } = &fact {
                self.trace.line(self.now, || format!("-- node{node}: {transaction} timed out"));
            }
            self.ledger.judge(self.now, node, fact)?;
        }
        for (to, bytes) in fx.sends {
            let from = self.source_of(node, to);
            self.send(from, to, bytes);
        }
        for (when, timer) in fx.timers {
            self.at(when.max(self.now), Event::Timer(node, epoch, timer));
        }
        Ok(())
    }

    pub(crate) fn count_arrival(&mut self) {
        self.flow[3] += 1;
    }

    pub(crate) fn count_at_edge(&mut self) {
        self.at_edges += 1;
    }

    /// What must hold when everything is over.
    fn check_end(&mut self) -> Judged {
        let agents =
            self.phones.iter().map(|p| &p.agent).chain(self.backends.iter().map(|b| &b.agent));
        for agent in agents {
            let open =
                agent.clients.iter().find(|(_, client)| client.state != super::client::State::Over);
            must(open.is_none(), Invariant::RequestEnds, || format!("never ended: {open:?}"))?;
            let alive = agent.dialogs.iter().find(|(_, dialog)| !dialog.is_over);
            must(alive.is_none(), Invariant::RequestEnds, || {
                format!("a dialog never ended: {alive:?}")
            })?;
        }
        let [sent, doubled, lost, arrived] = self.flow;
        must(sent + doubled == lost + arrived, Invariant::Counters, || format!("{:?}", self.flow))?;
        let handled: u64 = self.edges.iter().map(|edge| edge.counters.handled).sum();
        must(handled == self.at_edges, Invariant::Counters, || {
            format!("{handled} {}", self.at_edges)
        })?;
        for edge in &self.edges {
            let adds_up = edge.counters.handled == edge.counters.sum();
            must(adds_up, Invariant::Counters, || format!("{:?}", edge.counters))?;
            self.trace.absorb(format!("{:?}", edge.counters).as_bytes());
        }
        *self.ledger.counts.entry("messages at edges").or_default() += handled;
        Ok(())
    }
}
