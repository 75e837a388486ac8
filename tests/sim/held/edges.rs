//! The edges of such a world: real cores with one table, behind one anycast address.
//!
//! Owns: their tables, which of them is up, and when something happens to them. Times are microseconds.

use std::sync::Arc;

use sipedge::sip::balance::{Balance, Member, Spec};
use sipedge::sip::core::Core;
use sipedge::sip::route::failover::{Failover, StatusSet};
use sipedge::sip::route::table::{
    Action, Backend, Key, KeySource, Limits, Listener, Parts, PathPolicy, Pool, Rule, Table,
};

use super::world::{EDGE, address};
use crate::effects::SECOND_US;
use crate::random::Random;

const BACKENDS: usize = 4;
/// Until then requests come.
const BUSY_US: u64 = 40 * SECOND_US;

/// What happens to edges, where there are two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Routes lead elsewhere.
    Flap,
    /// This edge seals with the other key from now on. Both know both: so keys are turned.
    TurnKeys(usize),
    /// This edge is gone for good, and what it held with it.
    Death(usize),
}

/// One edge.
pub(super) struct Edge {
    pub(super) core: Core,
    pub(super) is_up: bool,
}

/// All edges.
pub(super) struct Edges {
    pub(super) all: Vec<Edge>,
    parts: Parts,
}

impl Edges {
    pub(super) fn new(random: &mut Random, seed: u64, count: usize, tries: u8) -> Self {
        let parts = parts(random, tries);
        let edge = |number: u64| Edge {
            core: Core::new(Arc::new(Table::new(parts.clone())), seed ^ number << 40, 0),
            is_up: true,
        };
        Self { all: (0..).take(count).map(edge).collect(), parts }
    }

    /// Those that answer.
    pub(super) fn up(&self) -> Vec<usize> {
        (0..self.all.len()).filter(|&edge| self.all[edge].is_up).collect()
    }

    /// Who is due first, and when.
    pub(super) fn due(&self) -> Option<(u64, usize)> {
        let due = |edge: &usize| Some((self.all[*edge].core.poll_timeout()?.0.0, *edge));
        self.up().iter().filter_map(due).min()
    }

    pub(super) fn turn_keys(&mut self, edge: usize) {
        let mut parts = self.parts.clone();
        parts.keys.reverse();
        self.all[edge].core.install(Arc::new(Table::new(parts)));
    }

    /// When what happens.
    pub(super) fn changes(&self, random: &mut Random) -> Vec<(u64, Change)> {
        if self.all.len() == 1 {
            return Vec::new();
        }
        let mut changes = Vec::new();
        for _ in 0..random.below(5) {
            changes.push((random.below(BUSY_US), Change::Flap));
        }
        for edge in 0..self.all.len() {
            if random.permille(700) {
                changes.push((random.below(BUSY_US), Change::TurnKeys(edge)));
            }
        }
        if random.permille(400) {
            let edge = usize::try_from(random.below(2)).expect("small");
            changes.push((random.below(BUSY_US), Change::Death(edge)));
        }
        changes
    }
}

fn parts(random: &mut Random, tries: u8) -> Parts {
    let uris: Vec<String> = (1..=BACKENDS).map(|n| format!("10.0.0.{n}:5060")).collect();
    let member = |uri: &String| Backend::new(format!("sip:{uri}"), address(uri));
    let members: Vec<Member<'_>> =
        uris.iter().map(|uri| Member { identity: uri.as_bytes(), weight: 1, rweight: 0 }).collect();
    let balances =
        ["rendezvous", "round-robin", "random", "first", "least-load", "kamailio:0", "kamailio:10"];
    let spec = Spec::parse(random.pick(&balances).unwrap_or("rendezvous")).expect("a balance");
    let balance = Balance::compile(&spec, &members, 1).expect("compiles");
    let backends = uris.iter().map(member).collect();
    let mut pool = Pool::new("pool".to_owned(), KeySource::CallId, balance, backends);
    pool.failover = Some(Failover {
        statuses: StatusSet::of(&[500, 503]),
        timeout_us: random.between(500_000, 3 * SECOND_US),
        tries,
    });
    let held_max = if random.permille(250) { 4 } else { 4_096 };
    let listener = Listener {
        name: "public".to_owned(),
        address: address(EDGE),
        host: "192.0.2.1".to_owned(),
        port: 5060,
    };
    let rule = Rule {
        needs_token: false,
        methods: vec![],
        other_methods: vec![],
        listeners: vec![],
        domains: vec![],
        action: Action::Pool(0),
        record_route: true,
        path: PathPolicy::Always,
    };
    Parts {
        shards: 1,
        listeners: vec![listener],
        pools: vec![pool],
        rules: vec![rule],
        keys: vec![Key { id: 1, secret: [7; 32] }, Key { id: 2, secret: [9; 32] }],
        limits: Limits { transactions_max: 1_024, held_max, ..Limits::default() },
        aliases: vec!["example.com".into()],
        is_draining: false,
        sides: Default::default(),
    }
}
