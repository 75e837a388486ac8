//! What kind of world a seed makes: how many of everything, which balance, which listeners, which weather.
//!
//! Owns: the choice, the addresses, and the compiling of routing tables. Sizes are bytes, times microseconds.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use sipedge::sip::ListenerId;
use sipedge::sip::balance::{Balance, LoadCap, Member, Ramp, Spec};
use sipedge::sip::message::Method;
use sipedge::sip::route::sides::{Network, Sides};
use sipedge::sip::route::table::{
    Action, Backend, Key, KeySource, Limits, Listener, Parts, PathPolicy, Pool, Rule, Table,
};

use super::control::Shape;
use super::effects::SECOND_US;
use super::network::Weather;
use super::random::Random;

/// What clients know: all edges have it.
pub(crate) const PUBLIC: &str = "192.0.2.1:5060";
/// What backends know: all edges have it.
pub(crate) const PRIVATE: &str = "10.0.0.9:5060";

/// Of ten kinds of pools, the one with a cap on the load.
const CAPPED: u64 = 5;

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().expect("a literal address")
}

/// The world that a seed makes.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) edges: usize,
    pub(crate) shards: u8,
    pub(crate) backends: usize,
    pub(crate) phones: usize,
    pub(crate) nats: usize,
    /// An address of its own towards the pool (RFC 5658: two Record-Routes), or one for both sides.
    pub(crate) has_private: bool,
    pub(crate) balance: &'static str,
    pub(crate) key: KeySource,
    pub(crate) load_cap: Option<LoadCap>,
    /// INVITEs go to the first backends, all else to the last one.
    pub(crate) is_split: bool,
    pub(crate) weather: Weather,
    pub(crate) nat_timeout_us: u64,
    pub(crate) actions: u64,
}

impl Plan {
    pub(crate) fn new(random: &mut Random) -> Self {
        let kind = random.below(10);
        let (balance, key) = match kind {
            0 => ("round-robin", KeySource::CallId),
            1 => ("kamailio:0", KeySource::CallId),
            2 | 3 | CAPPED => ("rendezvous", KeySource::Aor),
            4 => ("rendezvous", KeySource::From),
            6 => ("rendezvous", KeySource::Header("X-Tenant".to_owned())),
            7 => ("kamailio:5", KeySource::AuthUser),
            8 => ("rendezvous", KeySource::Presentity),
            _ => ("rendezvous", KeySource::CallId),
        };
        let is_fair = random.permille(300);
        let weather = Weather {
            loss_permille: if is_fair { 0 } else { random.below(90) },
            duplicate_permille: if is_fair { 0 } else { random.below(60) },
            late_permille: random.below(40),
            delay_us: random.between(2_000, 40_000),
            datagram_bytes_max: if random.permille(80) { 1_000 } else { 65_507 },
        };
        let phones = usize::try_from(random.between(3, 7)).expect("small");
        Self {
            edges: 1 + random.index(3),
            shards: 1 + u8::try_from(random.below(2)).expect("small"),
            backends: 2 + random.index(4),
            phones,
            nats: 1 + random.index(phones),
            has_private: random.permille(700),
            balance,
            key,
            load_cap: (kind == CAPPED).then(|| LoadCap::of_thousandths(1_250)),
            is_split: random.permille(250),
            weather,
            nat_timeout_us: if random.permille(300) { 8 * SECOND_US } else { 60 * SECOND_US },
            actions: 45,
        }
    }

    pub(crate) fn private(&self) -> SocketAddr {
        address(if self.has_private { PRIVATE } else { PUBLIC })
    }

    /// The key is made of a field that a CANCEL and the ACK of a failure lack: who has not seen their INVITE cannot know it.
    pub(crate) fn is_lacking_key(&self, method: &str) -> bool {
        let lacks = matches!(self.key, KeySource::Header(_) | KeySource::AuthUser);
        lacks && matches!(method, "ACK" | "CANCEL")
    }

    /// The pool picks by key, and this request has what the key is made of.
    pub(crate) fn picks_by_key(&self, method: &str) -> bool {
        self.balance != "round-robin" && !self.is_lacking_key(method)
    }

    /// `host:port` that mean the edge.
    pub(crate) fn own(&self) -> Vec<String> {
        vec![PUBLIC.to_owned(), self.private().to_string()]
    }

    pub(crate) fn backend(index: usize) -> SocketAddr {
        address(&format!("10.0.0.{}:5060", index + 10))
    }
}

/// What an edge is configured with: the version of the pool and the key ids, the sealing one first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Setup {
    pub(crate) pool: usize,
    pub(crate) keys: Vec<u8>,
}

/// The shapes that the pool had so far, and the tables that were compiled of them.
#[derive(Debug)]
pub(crate) struct Tables {
    pub(crate) shapes: Vec<Shape>,
    compiled: BTreeMap<Setup, Arc<Table>>,
    /// By members: compiling a balance is what takes time.
    balances: BTreeMap<Vec<(usize, u32)>, Arc<Balance>>,
}

impl Tables {
    pub(crate) fn new(first: Vec<(usize, u32)>) -> Self {
        let first = Shape { members: first, ..Shape::default() };
        Self { shapes: vec![first], compiled: BTreeMap::new(), balances: BTreeMap::new() }
    }

    pub(crate) fn compile(&mut self, plan: &Plan, setup: &Setup) -> Arc<Table> {
        if let Some(table) = self.compiled.get(setup) {
            return Arc::clone(table);
        }
        let mut pools = vec![self.pool(plan, setup.pool)];
        if plan.is_split {
            let only = Shape {
                members: vec![(plan.backends - 1, 1)],
                leaving: vec![],
                ..self.shapes[setup.pool].clone()
            };
            pools.push(self.pool_of(plan, &only));
        }
        let table = Arc::new(Table::new(parts(plan, setup, pools)));
        self.compiled.insert(setup.clone(), Arc::clone(&table));
        table
    }

    /// The first pool in this version.
    pub(crate) fn pool(&mut self, plan: &Plan, version: usize) -> Pool {
        let shape = self.shapes[version].clone();
        self.pool_of(plan, &shape)
    }

    fn pool_of(&mut self, plan: &Plan, shape: &Shape) -> Pool {
        let compiled = || Arc::new(balance(plan, &shape.members));
        let balance = self.balances.entry(shape.members.clone()).or_insert_with(compiled);
        pool(plan, shape, Arc::clone(balance))
    }
}

fn parts(plan: &Plan, setup: &Setup, pools: Vec<Pool>) -> Parts {
    let mut listeners = vec![listener("public", PUBLIC)];
    if plan.has_private {
        listeners.push(listener("private", PRIVATE));
    }
    let mut rules = vec![rule(vec![], Action::Pool(0))];
    if plan.is_split {
        let methods = vec![Method::Invite];
        rules = vec![rule(methods, Action::Pool(0)), rule(vec![], Action::Pool(1))];
    }
    let key = |id: &u8| Key { id: *id, secret: [*id ^ 0x5a; 32] };
    Parts {
        shards: plan.shards,
        listeners,
        pools,
        rules,
        keys: setup.keys.iter().map(key).collect(),
        limits: Limits { transactions_max: 1024, ..Limits::default() },
        aliases: vec!["example.com".into()],
        is_draining: false,
        sides: sides(plan),
    }
}

/// The outside is where the public address is; backends are inside, where a node has an address for them.
fn sides(plan: &Plan) -> Sides {
    let network = |text, id| Network::parse(text, ListenerId(id)).expect("a literal network");
    let mut networks = vec![network("0.0.0.0/0", 0)];
    if plan.has_private {
        networks.push(network("10.0.0.0/8", 1));
    }
    Sides::new(vec![], networks)
}

fn listener(name: &str, bound: &str) -> Listener {
    let address = address(bound);
    Listener {
        name: name.to_owned(),
        address,
        host: address.ip().to_string(),
        port: address.port(),
    }
}

fn uri(index: usize) -> String {
    format!("sip:{}", Plan::backend(index))
}

fn balance(plan: &Plan, members: &[(usize, u32)]) -> Balance {
    let uris: Vec<String> = members.iter().map(|(index, _)| uri(*index)).collect();
    let weighed: Vec<Member<'_>> = uris
        .iter()
        .zip(members)
        .map(|(uri, (_, weight))| Member { identity: uri.as_bytes(), weight: *weight, rweight: 0 })
        .collect();
    let spec = Spec::parse(plan.balance).expect("a known balance");
    Balance::compile(&spec, &weighed, 1).expect("few members, each once")
}

fn pool(plan: &Plan, shape: &Shape, balance: Arc<Balance>) -> Pool {
    let members = || (0..).zip(shape.members.iter().map(|(index, _)| *index));
    let known = || (0..).zip(members().map(|(_, index)| index).chain(shape.leaving.clone()));
    let ramp = members()
        .filter_map(|(backend, index)| shape.lowered(index).map(|share| Ramp { backend, share }));
    let usable = members().filter(|(_, index)| shape.is_usable(*index));
    let down = known().filter(|(_, index)| shape.down.contains(index));
    let backend = |(_, index): (u16, usize)| Backend::new(uri(index), Plan::backend(index));
    Pool {
        name: "pool".to_owned(),
        key: plan.key.clone(),
        balance,
        usable: usable.map(|(place, _)| place).collect(),
        down: down.map(|(place, _)| place).collect(),
        ramp: ramp.collect(),
        backends: known().map(backend).collect(),
        send_from: plan.has_private.then_some(ListenerId(1)),
        match_source_ip: false,
        meter: 0,
        failover: None,
        load_cap: plan.load_cap,
    }
}

fn rule(methods: Vec<Method>, action: Action) -> Rule {
    Rule {
        needs_token: false,
        methods,
        other_methods: vec![],
        listeners: vec![],
        domains: vec![],
        action,
        record_route: true,
        path: PathPolicy::Always,
    }
}
