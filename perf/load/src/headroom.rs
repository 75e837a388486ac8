//! What the generator carries alone: the proof that it is not what a run measures.
//!
//! Owns: two runs without a target. "Direct" goes straight to the own backends, with all checks on one core: the same
//! work as with a target between. "Discard" goes to a socket that another thread empties and forgets: sending alone.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::machine;
use crate::report::Headroom;
use crate::run::{Rate, Setup, Target, run};
use crate::sockets::{self, Batch};

/// Flows under way at once in a direct run: the own backends never fall behind.
const WINDOW: u64 = 4_096;

/// Measures it, `setup.seconds` for each of the two.
///
/// # Errors
/// When a run cannot be made.
pub fn headroom(setup: &Setup) -> std::io::Result<Headroom> {
    let alone = Setup { pids: Vec::new(), target: Target::Direct, warmup: 0.5, ..setup.clone() };
    let direct = run(&Setup { rate: Rate::Saturate { window: WINDOW }, ..alone.clone() })?;
    let discard_rate = discard(&alone)?;
    Ok(Headroom {
        direct_rate: direct.rate_forwarded,
        direct_ns_per_message: direct.generator_ns_per_message.unwrap_or(0.0),
        direct_burst_mean: direct.burst_mean,
        discard_rate,
    })
}

/// Requests in a second that can be sent to a socket which is emptied elsewhere.
fn discard(alone: &Setup) -> std::io::Result<f64> {
    let sink = sockets::open(SocketAddr::new(alone.callers, 0))?;
    let target = Target::Address(sink.local_addr()?);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            if let Some(core) = alone.target_core {
                // Without its own core it is slower, which only makes the figure lower.
                let _ = machine::pin(core);
            }
            let mut batch = Batch::new();
            while !stop.load(Ordering::Relaxed) {
                if batch.receive(&sink) == 0 {
                    std::thread::park_timeout(Duration::from_micros(50));
                }
            }
        });
        let report = run(&Setup { target, rate: Rate::Unbounded, ..alone.clone() });
        stop.store(true, Ordering::Relaxed);
        Ok(report?.sent as f64 / alone.seconds)
    })
}
