//! The mailbox under every interleaving of its threads that loom can find.
//!
//! Owns: the models and their list. `src/datapath/mailbox.rs` and `counters.rs` are compiled here a second time, against
//! models of the two things that they are built on: the ring of the crate rtrb (`ring`, with its memory orderings) and the
//! kernel's eventfd (`sys`). The turn of a shard is that of `src/datapath/shard.rs`, cut down to its mail (`turn`).
//!
//! A wait has no time limit here, so a lost wake-up is a deadlock, which loom reports. `LOOM_LOG=trace
//! LOOM_LOCATION=1 cargo test --test loom -- NAME` shows the steps that led there.

use std::panic;
use std::process::ExitCode;

use sipedge::sip;

// What `use rtrb::..` in the mailbox finds: the model.
extern crate self as rtrb;
pub use datapath::ring::{Consumer, Producer, PushError, RingBuffer};

mod datapath;
mod hops;
mod letters;
mod turn;

/// A model's name and itself; it panics when it finds a fault.
type Case = (&'static str, fn());

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|w| name.contains(&**w));
    let cases = hops::CASES.iter().chain(letters::CASES).filter(|(name, _)| is_wanted(name));
    let (mut passed, mut failed) = (0, 0);
    for (name, model) in cases {
        let result = panic::catch_unwind(model);
        println!("test {name} ... {}", if result.is_ok() { "ok" } else { "FAILED" });
        *(if result.is_ok() { &mut passed } else { &mut failed }) += 1;
    }
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {word}. {passed} passed; {failed} failed; 0 ignored");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
