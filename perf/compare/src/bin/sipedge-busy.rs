//! `sipedge-busy`: takes a share of the core that it is started on, and does nothing with it. What a target's figures are
//! beside it says what the machine makes of a core that is busy, whoever keeps it so.
//!
//! Owns: the share. Times are in slices of some milliseconds.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use signal_hook::consts::SIGTERM;

/// Work and rest together.
const SLICE: Duration = Duration::from_millis(4);

/// Keeps a core busy until SIGTERM.
#[derive(Debug, Parser)]
#[command(name = "sipedge-busy")]
struct Arguments {
    /// Share of the time, 0 to 1.
    #[arg(long, value_parser = share)]
    share: f64,
}

fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| "must be a number".to_owned())?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("0 to 1".to_owned()) }
}

#[expect(clippy::disallowed_methods, reason = "to be busy by the clock is what it is for")]
fn main() -> ExitCode {
    let Arguments { share } = Arguments::parse();
    let ends = Arc::new(AtomicBool::new(false));
    if let Err(error) = signal_hook::flag::register(SIGTERM, Arc::clone(&ends)) {
        eprintln!("sipedge-busy: {error}");
        return ExitCode::FAILURE;
    }
    println!("ready");
    let mut slices = 0_u64;
    while !ends.load(Ordering::Relaxed) {
        let work = SLICE.mul_f64(share);
        let start = Instant::now();
        while start.elapsed() < work {
            std::hint::spin_loop();
        }
        std::thread::sleep(SLICE - work);
        slices += 1;
    }
    println!("{slices} slices of {} ms, {:.0} % busy", SLICE.as_millis(), share * 100.0);
    ExitCode::SUCCESS
}
