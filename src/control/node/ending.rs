//! The end of a node: it is told to end, says so to those who ask, lets its work run out, and ends.
//!
//! Owns: the hook and when it is over. While a node drains it forwards as before: others have to notice first.

use std::process::{Command, Stdio};
use std::time::Duration;

use tracing::{info, warn};

use super::Node;
use crate::config::Drain;
use crate::datapath::counters::VERDICTS;
use crate::sip::Now;

/// This long without a message is the end of a drain: nobody comes any more.
pub(crate) const QUIET: Duration = Duration::from_secs(1);

/// A drain that has begun.
#[derive(Debug)]
pub(crate) struct Ending {
    deadline: Now,
    quiet: Quiet,
}

/// For how long nothing has arrived.
#[derive(Debug)]
pub(crate) struct Quiet {
    received: u64,
    since: Now,
}

impl Quiet {
    pub(crate) const fn new(received: u64, now: Now) -> Self {
        Self { received, since: now }
    }

    /// Nothing has arrived for [`QUIET`].
    pub(crate) fn holds(&mut self, received: u64, now: Now) -> bool {
        if received != self.received {
            *self = Self::new(received, now);
        }
        now.0.saturating_sub(self.since.0) >= micros(QUIET)
    }
}

impl Node {
    /// Says from now on that it ends: OPTIONS to the node are answered 503, the hook is started.
    pub(crate) fn begin_to_end(&mut self) -> Ending {
        self.is_draining = true;
        self.install_and_log();
        start_hook(&self.config.node.drain);
        let now = self.shards.now();
        let time = Duration::from_secs(u64::from(self.config.node.drain.seconds));
        info!(
            "draining for at most {} s, or until nothing arrives for {} s",
            time.as_secs(),
            QUIET.as_secs()
        );
        let received = self.received();
        Ending {
            deadline: Now(now.0.saturating_add(micros(time))),
            quiet: Quiet::new(received, now),
        }
    }

    /// The drain is over: its time is, or nobody comes any more.
    pub(crate) fn has_ended(&mut self, ending: &mut Ending) -> bool {
        let now = self.shards.now();
        if ending.deadline <= now {
            return true;
        }
        let received = self.received();
        ending.quiet.holds(received, now)
    }

    /// Messages of others: what is absorbed are keep-alives and the answers to our own probes.
    fn received(&mut self) -> u64 {
        let Ok(snapshot) = self.snapshot() else { return 0 };
        let counted = snapshot.merged();
        let absorbed = VERDICTS.iter().position(|&verdict| verdict == "absorb");
        let messages = counted.messages.iter().flat_map(|by_verdict| by_verdict.iter().enumerate());
        messages.filter(|&(place, _)| Some(place) != absorbed).map(|(_, &count)| count).sum()
    }
}

/// Starts the hook and leaves it to itself: the node ends in its own time.
fn start_hook(drain: &Drain) {
    let Some((program, arguments)) = drain.hook.split_first() else { return };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return warn!("drain_hook: {program} cannot be started: {error}"),
    };
    info!("drain_hook: {program} started");
    let program = program.clone();
    let wait = move || match child.wait() {
        Ok(status) if status.success() => info!("drain_hook: {program} is done"),
        Ok(status) => warn!("drain_hook: {program} failed: {status}"),
        Err(error) => warn!("drain_hook: {program} is lost: {error}"),
    };
    if let Err(error) = std::thread::Builder::new().name("drain-hook".to_owned()).spawn(wait) {
        warn!("drain_hook: its end cannot be watched: {error}");
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quiet_is_a_second_without_a_message() {
        let mut quiet = Quiet::new(5, Now(0));
        assert!(!quiet.holds(5, Now(999_999)));
        assert!(!quiet.holds(6, Now(1_000_000)), "one arrived");
        assert!(!quiet.holds(6, Now(1_900_000)));
        assert!(quiet.holds(6, Now(2_000_000)));
    }
}
