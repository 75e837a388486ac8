//! Whole clusters on virtual time: phones, NATs, a bad network, edges with the real core, and backends.
//!
//! Owns: which seeds run, and what is said about them. `make sim SEEDS=5000` runs many, `SEED=n make sim` replays one
//! with its trace. What must hold is in `invariants.rs`, what is promised about copies of a request in `ledger.rs`.

mod actions;
mod agent;
mod backend;
mod checks;
mod client;
mod control;
mod deliver;
mod edge;
mod effects;
mod forger;
mod held;
mod invariants;
mod kept;
mod ledger;
mod mutations;
mod nat;
mod network;
mod phone;
mod plan;
mod random;
mod server;
mod soft;
mod text;
mod trace;
mod wire;
mod world;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use invariants::{Failure, Invariant, must};
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

/// What 200 worlds must have done, or they prove nothing; besides all actions.
const MUST_HAPPEN: [&str; 34] = [
    "100 with one Via",
    "another sent-by behind an INVITE",
    "CANCEL that stopped the ringing",
    "call established",
    "datagram doubled",
    "datagram lost",
    "datagram too large",
    "edge was dead",
    "backend was dead",
    "forged: Path behind a token",
    "forged: address of a backend",
    "forgery stopped",
    "hang-up by a backend",
    "hang-up by a phone",
    "kept by another edge",
    "kept by memory across an edit",
    "key ring turned",
    "moved by a load cap",
    "NAT port closed",
    "answered, and stays with the dead",
    "death noticed",
    "moved off a dead backend",
    "own answer: 482, a loop",
    "own answer: 503, nobody is usable",
    "ramp grew",
    "re-INVITE",
    "request of a backend in a dialog",
    "request relayed by a backend",
    "retransmission absorbed",
    "routes moved",
    "503 with Retry-After reported",
    "share lowered by soft evidence",
    "time-out with a reason",
    "unpromised: another backend",
];

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
    let name = failure.invariant.name();
    let doubt =
        if same { "" } else { " (and not the second time: the world is not deterministic)" };
    let what = &failure.what;
    format!(
        "seed {seed}: invariant {name} does not hold{doubt}\n{what}\n\n\
         last {LINES_SHOWN} lines of the trace:\n{shown}\n\nreplay: SEED={seed} make sim"
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

/// What became of one seed.
type Outcome = Result<Counts, Failure>;

/// Runs one seed, some of them twice.
fn judge(seed: u64) -> Outcome {
    let (counts, hash) = run(seed)?;
    if seed.is_multiple_of(TWICE_EVERY) {
        let again = run(seed)?.1;
        must(hash == again, Invariant::SameTrace, || format!("{hash:016x}, then {again:016x}"))?;
    }
    Ok(counts)
}

/// All seeds, on all cores; the results in the order of the seeds. Stops early at a failure unless `goes_on`.
fn judge_all(first: u64, seeds: u64, goes_on: bool) -> Vec<(u64, Outcome)> {
    let (next, failed) = (AtomicU64::new(first), AtomicBool::new(false));
    let work = || {
        let mut done = Vec::new();
        while goes_on || !failed.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + seeds {
                break;
            }
            let outcome = judge(seed);
            failed.fetch_or(outcome.is_err(), Ordering::Relaxed);
            done.push((seed, outcome));
        }
        done
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut all: Vec<_> = std::thread::scope(|scope| {
        let started: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        started.into_iter().flat_map(|thread| thread.join().expect("no world panics")).collect()
    });
    all.sort_by_key(|(seed, _)| *seed);
    all
}

/// For `make mutants`: which invariants failed, in how many worlds.
fn tally(first: u64, seeds: u64) {
    let mut failed: BTreeMap<Invariant, (u64, u64)> = BTreeMap::new();
    for (seed, outcome) in judge_all(first, seeds, true) {
        if let Err(failure) = outcome {
            failed.entry(failure.invariant).or_insert((0, seed)).0 += 1;
        }
    }
    for (invariant, (worlds, seed)) in &failed {
        let name = invariant.name();
        say(&format!("sim: failed {name} in {worlds} of {seeds} worlds, first seed {seed}"));
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
    for (seed, outcome) in judge_all(first, seeds, false) {
        let counts = outcome.unwrap_or_else(|failure| panic!("{}", explain(seed, &failure)));
        for (what, count) in counts {
            *total.entry(what).or_default() += count;
        }
    }
    say(&format!("sim: {seeds} worlds from seed {first}"));
    let happened = |what: &&str| total.get(what).is_some_and(|&count| count > 0);
    let deeds = actions::ACTIONS.iter().map(|(name, ..)| *name);
    let missing: Vec<&str> =
        MUST_HAPPEN.into_iter().chain(deeds).filter(|w| !happened(w)).collect();
    assert!(seeds < SEEDS || missing.is_empty(), "never happened: {missing:?}");
    for (what, count) in &total {
        say(&format!("sim: {count:>9}  {what}"));
    }
}
