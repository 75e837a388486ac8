//! Whole clusters on virtual time: phones, NATs, a bad network, edges with the real core, and backends.
//!
//! Owns: which seeds run, and what is said about them. `make sim SEEDS=5000` runs many, `SEED=n make sim` replays one
//! with its trace. What must hold is in `invariants.rs`, what is promised about copies of a request in `ledger.rs`.

mod actions;
mod agent;
mod backend;
mod checks;
mod client;
mod deliver;
mod edge;
mod effects;
mod forger;
mod invariants;
mod kept;
mod ledger;
mod nat;
mod network;
mod phone;
mod plan;
mod random;
mod server;
mod text;
mod trace;
mod world;

use std::collections::BTreeMap;
use std::io::Write as _;

use invariants::{Failure, Invariant};
use world::World;

/// Seeds of `make test`.
const SEEDS: u64 = 200;
/// Trace lines that a failure shows.
const LINES_SHOWN: usize = 60;
/// One seed in so many runs twice.
const TWICE_EVERY: u64 = 20;

type Counts = BTreeMap<&'static str, u64>;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().filter(|text| !text.is_empty()).and_then(|text| text.parse().ok())
}

/// One world; what it counted and its hash, or what does not hold.
fn run(seed: u64) -> Result<(Counts, u64), Failure> {
    let mut world = World::new(seed, false);
    world.run()?;
    Ok((world.ledger.counts, world.trace.hash))
}

/// Runs it again with its trace.
fn explain(seed: u64, failure: &Failure) -> String {
    let mut world = World::new(seed, true);
    let again = world.run().err();
    let lines = world.trace.lines.unwrap_or_default();
    let shown = lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n");
    let same = again.is_some_and(|again| again.invariant == failure.invariant);
    format!(
        "seed {seed}: invariant {} does not hold{}\n{}\n\nlast {LINES_SHOWN} lines of the trace:\n{shown}\n\nreplay: SEED={seed} make sim",
        failure.invariant.name(),
        if same { "" } else { " (and not the second time: the world is not deterministic)" },
        failure.what,
    )
}

fn say(line: &str) {
    // Past the capture of the test runner, so that a long run shows what it did.
    writeln!(std::io::stderr(), "{line}").expect("a writable stderr");
}

/// One seed with its whole trace.
fn replay(seed: u64) {
    let mut world = World::new(seed, true);
    say(&format!("seed {seed}: {:?}", world.plan));
    let outcome = world.run();
    world.trace.lines.iter().flatten().for_each(|line| say(line));
    if let Err(failure) = outcome {
        panic!(
            "seed {seed}: invariant {} does not hold\n{}",
            failure.invariant.name(),
            failure.what
        );
    }
    say(&format!("seed {seed}: everything holds, trace {:016x}", world.trace.hash));
}

/// For `make mutants`: does not stop at the first failure; says which invariants failed, in how many worlds.
fn tally(first: u64, seeds: u64) {
    let mut failed: BTreeMap<Invariant, (u64, u64)> = BTreeMap::new();
    for seed in first..first + seeds {
        if let Err(failure) = run(seed) {
            failed.entry(failure.invariant).or_insert((0, seed)).0 += 1;
        }
    }
    for (invariant, (worlds, seed)) in &failed {
        say(&format!(
            "sim: failed {} in {worlds} of {seeds} worlds, first seed {seed}",
            invariant.name()
        ));
    }
    assert!(failed.is_empty(), "{} invariants failed", failed.len());
}

#[test]
fn worlds() {
    if let Some(seed) = number("SEED") {
        return replay(seed);
    }
    let seeds = number("SEEDS").unwrap_or(SEEDS);
    let first = number("FIRST").unwrap_or(1);
    if number("TALLY") == Some(1) {
        return tally(first, seeds);
    }
    let mut total = Counts::new();
    for seed in first..first + seeds {
        let (counts, hash) =
            run(seed).unwrap_or_else(|failure| panic!("{}", explain(seed, &failure)));
        if seed % TWICE_EVERY == 0 {
            let again = run(seed).map(|(_, hash)| hash).ok();
            assert_eq!(Some(hash), again, "seed {seed}: invariant {}", Invariant::SameTrace.name());
        }
        for (what, count) in counts {
            *total.entry(what).or_default() += count;
        }
    }
    say(&format!("sim: {seeds} worlds from seed {first}"));
    for (what, count) in &total {
        say(&format!("sim: {count:>9}  {what}"));
    }
}
