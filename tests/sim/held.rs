//! Worlds of their own for pools that fail over: one edge or two, callers, and backends that fail, are late, or say nothing.
//!
//! Owns: which of these worlds run, and what is said about them. What must hold is judged in `held/judge.rs`.

mod backend;
mod caller;
mod edges;
mod judge;
mod world;

use std::collections::BTreeMap;

use super::invariants::Invariant;
use super::{Counts, number, say};
use world::World;

/// Worlds of `make test` with one edge, and with two on anycast.
const WORLDS: [u64; 2] = [120, 80];

/// What worlds with so many edges must have done, or they prove nothing.
const MUST_HAPPEN: [&[&str]; 2] = [
    &[
        "100 with one Via",
        "answer of ours, lost",
        "answer of ours, once more",
        "answer of ours: 408",
        "backend given up",
        "caller cancelled",
        "failure absorbed",
        "failure acknowledged by the edge",
        "failure for the caller",
        "held in no room",
        "late success",
        "lost",
        "request repeated by the edge",
        "ringing ended by the edge",
        "success",
    ],
    &[
        "backend given up",
        "edge died",
        "failure absorbed",
        "keys turned",
        "sources whose route moved",
        "success",
        "transaction of one edge",
        "transaction of two edges, or of a dead one",
        "unpromised",
    ],
];

#[test]
fn worlds_that_fail_over() {
    judge_worlds(1);
}

#[test]
fn worlds_that_fail_over_on_anycast() {
    judge_worlds(2);
}

fn judge_worlds(edges: usize) {
    let enough = WORLDS[edges - 1];
    let seed = number("SEED");
    let first = seed.or(number("FIRST")).unwrap_or(1);
    let worlds = if seed.is_some() { 1 } else { number("SEEDS").map_or(enough, |n| n.min(1_000)) };
    let mut counts = Counts::new();
    let mut failed: BTreeMap<Invariant, (u64, u64, String)> = BTreeMap::new();
    for seed in first..first + worlds {
        let mut world = World::new(seed, edges);
        if let Err(failure) = world.run() {
            let trace = world.judge.trace.join("\n");
            let what = format!("{}\n\n{trace}", failure.what);
            failed.entry(failure.invariant).or_insert((0, seed, what)).0 += 1;
        }
        for (what, count) in world.judge.counts {
            *counts.entry(what).or_default() += count;
        }
    }
    for (invariant, (count, seed, _)) in &failed {
        let name = invariant.name();
        say(&format!("sim: failed {name} in {count} of {worlds} worlds, first seed {seed}"));
    }
    if let Some((invariant, (_, seed, what))) = failed.iter().next() {
        panic!("seed {seed}: invariant {} does not hold\n{what}", invariant.name());
    }
    let is_missing = |what: &&&str| !counts.contains_key(**what);
    let missing: Vec<_> = MUST_HAPPEN[edges - 1].iter().filter(is_missing).collect();
    assert!(worlds < enough || missing.is_empty(), "never happened: {missing:?}");
    let name = if edges == 1 { "held" } else { "held, two edges" };
    counts.iter().for_each(|(what, count)| say(&format!("sim: {count:>9}  {name}: {what}")));
}
