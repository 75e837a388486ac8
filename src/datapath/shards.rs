//! All shards of a node: start, tables, counters, drain, stop.
//!
//! Owns: the threads and control's ends of their mailboxes. It may block and allocate: it runs on control's side, and
//! reaches shards by mail only.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::clock::Clock;
use super::counters::Counters;
use super::mailbox::{Answer, Desk, Mail, Outgoing};
use super::options::Options;
use super::report::{StartError, StartReport};
use super::reports::Reports;
use super::start;
use super::sys::EventFd;
use super::tap::Taps;
use super::tap_filter::TapFilter;
use crate::bpf::{Picks, Steered};
use crate::sip::route::table::Table;
use crate::sip::{MESSAGE_BYTES_MAX, Now};

/// How long a shard may take to answer: a turn takes microseconds.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// How often a full mailbox is tried again.
const RETRY_EVERY: Duration = Duration::from_millis(1);

/// The running shards. Dropping them stops them.
pub struct Shards {
    pub(super) desks: Vec<Desk>,
    pub(super) threads: Vec<JoinHandle<io::Result<Box<Counters>>>>,
    /// Set when a shard answered.
    pub(super) answered: Arc<EventFd>,
    pub(super) reports: Reports,
    pub(super) taps: Taps,
    pub(super) clock: Clock,
    /// Counters with the room that those of the shards have.
    pub(super) shape: Counters,
    pub(super) report: StartReport,
    /// The listeners of the table: a new table must have the same.
    pub(super) configured: Vec<SocketAddr>,
    /// The steering program of each listener, where there is one.
    pub(super) steered: Vec<Option<Steered>>,
}

/// What was counted, at about one moment.
#[derive(Debug)]
pub struct Snapshot {
    /// By shard.
    pub shards: Vec<Box<Counters>>,
    /// What the steering program counted, by listener; `None` without a program.
    pub picks: Vec<Option<Picks>>,
}

impl Snapshot {
    /// The sum over the shards.
    #[must_use]
    pub fn merged(&self) -> Counters {
        let mut sum = Counters::new();
        for shard in &self.shards {
            sum.add(shard);
        }
        sum
    }
}

/// Why a table was not installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstallError {
    /// Sockets are bound at start: the listeners of a new table must be those of the first.
    ListenersChanged,
    /// This shard does not read its mail.
    ShardSilent(usize),
}

impl fmt::Display for InstallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ListenersChanged => {
                f.write_str("listeners cannot change while running: restart to change them")
            }
            Self::ShardSilent(shard) => write!(f, "shard {shard} does not read its mail"),
        }
    }
}

impl std::error::Error for InstallError {}

/// This shard did not answer in time, or has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotError(pub usize);

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shard {} does not answer", self.0)
    }
}

impl std::error::Error for SnapshotError {}

/// Why a datagram of control's is not on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendError {
    /// There is no such shard, or no such listener.
    Nowhere,
    /// It does not fit into a datagram.
    TooLarge,
    /// The shard has not read what it was told before.
    MailboxFull,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nowhere => "there is no such shard or listener",
            Self::TooLarge => "it does not fit into a datagram",
            Self::MailboxFull => "the shard's mailbox is full",
        })
    }
}

impl std::error::Error for SendError {}

impl Shards {
    /// Binds the table's listeners and starts the shards. Each shard's core gets `seed`.
    pub fn start(options: &Options, table: &Arc<Table>, seed: u64) -> Result<Self, StartError> {
        start::start(options, table, seed)
    }

    /// Gives all shards a new table, or none of them. Each uses it from its next turn on.
    pub fn install(&mut self, table: &Arc<Table>) -> Result<(), InstallError> {
        if !table
            .listeners
            .iter()
            .map(|listener| listener.address)
            .eq(self.configured.iter().copied())
        {
            return Err(InstallError::ListenersChanged);
        }
        self.shape.fit(table);
        self.post_to_all(|| Mail::Install(Arc::clone(table)))
    }

    /// Lets a shard send a datagram from a listener's socket. Never waits. A response comes back through the shard that the
    /// datagram's mark names, or else the one that its Call-ID belongs to; what the kernel refuses is counted there.
    pub fn send(&mut self, shard: usize, outgoing: Outgoing) -> Result<(), SendError> {
        let listener = usize::from(outgoing.listener.0);
        let desk = self.desks.get_mut(shard).filter(|_| listener < self.configured.len());
        let desk = desk.ok_or(SendError::Nowhere)?;
        if outgoing.bytes.len() > MESSAGE_BYTES_MAX {
            return Err(SendError::TooLarge);
        }
        desk.post(Mail::Send(outgoing)).map_err(|_| SendError::MailboxFull)
    }

    /// What the shards tell unasked. All of it goes to who asked first; later ones hear nothing.
    pub fn reports(&mut self) -> Reports {
        self.reports.taken()
    }

    /// Where copies of messages come out. All of them go to who asked first.
    pub fn taps(&mut self) -> Taps {
        self.taps.taken()
    }

    /// Lets the shards copy what these want, and nothing else; the place of a filter is its bit in
    /// [`super::tap::Taken::wanted`].
    pub fn trace(&mut self, filters: &[TapFilter]) -> Result<(), InstallError> {
        self.post_to_all(|| Mail::Trace(filters.to_vec()))
    }

    /// This moment on the clock of the shards: that of all [`Now`] in counters and reports.
    #[must_use]
    pub fn now(&self) -> Now {
        self.clock.now()
    }

    /// Asks all shards for their counters. Blocks for a turn of the slowest shard, at most a second.
    pub fn snapshot(&mut self) -> Result<Snapshot, SnapshotError> {
        for shard in 0..self.desks.len() {
            // Answers that came too late for who asked.
            while self.desks[shard].answers.pop().is_ok() {}
            // Room is made here and not by the shard.
            let mut counters = Box::<Counters>::default();
            counters.fit_as(&self.shape);
            if !self.post(shard, Mail::Snapshot(counters)) {
                return Err(SnapshotError(shard));
            }
        }
        let mut shards = Vec::with_capacity(self.desks.len());
        for shard in 0..self.desks.len() {
            shards.push(self.await_counters(shard).ok_or(SnapshotError(shard))?);
        }
        Ok(Snapshot { shards, picks: self.picks() })
    }

    /// Lets the shards handle what waits in their sockets, at most until `deadline` from now, then stops them.
    pub fn drain(mut self, deadline: Duration) -> Snapshot {
        let until = self.clock.now().0.saturating_add(micros(deadline));
        let asked: Vec<bool> =
            (0..self.desks.len()).map(|shard| self.post(shard, Mail::Drain)).collect();
        for (shard, _) in asked.iter().enumerate().filter(|(_, asked)| **asked) {
            while !matches!(self.answer(shard, until), None | Some(Answer::Drained)) {}
        }
        self.end()
    }

    /// Stops the shards: what is queued is sent, what waits in the sockets is lost.
    pub fn stop(mut self) -> Snapshot {
        self.end()
    }

    /// What runs, in plain words.
    #[must_use]
    pub fn report(&self) -> &StartReport {
        &self.report
    }

    /// The addresses that the listeners are bound to, by [`crate::sip::ListenerId`].
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.report.listeners.iter().map(|&(address, _)| address)
    }

    /// Whether no shard has ended by itself. One that has (its ring or its poll failed) is beyond repair.
    #[must_use]
    pub fn all_running(&self) -> bool {
        !self.threads.iter().any(JoinHandle::is_finished)
    }

    /// Posts a letter to each shard, or to none: first each box must have room, which only control can take away.
    fn post_to_all(&mut self, mail: impl Fn() -> Mail) -> Result<(), InstallError> {
        let until = self.clock.now().0 + micros(ANSWER_MAX);
        let is_full = |desk: &Desk| desk.letters.is_full();
        while let Some(shard) = self.desks.iter().position(is_full) {
            if self.clock.now().0 >= until || self.threads[shard].is_finished() {
                return Err(InstallError::ShardSilent(shard));
            }
            wait_a_little();
        }
        for shard in 0..self.desks.len() {
            if !self.post(shard, mail()) {
                return Err(InstallError::ShardSilent(shard));
            }
        }
        Ok(())
    }

    /// Posts a letter; tries for a while when the box is full.
    fn post(&mut self, shard: usize, mail: Mail) -> bool {
        let until = self.clock.now().0 + micros(ANSWER_MAX);
        let mut mail = mail;
        loop {
            match self.desks[shard].post(mail) {
                Ok(()) => return true,
                Err(back) => mail = back,
            }
            if self.clock.now().0 >= until || self.threads[shard].is_finished() {
                return false;
            }
            wait_a_little();
        }
    }

    fn await_counters(&mut self, shard: usize) -> Option<Box<Counters>> {
        let until = self.clock.now().0 + micros(ANSWER_MAX);
        loop {
            if let Answer::Snapshot(counters) = self.answer(shard, until)? {
                return Some(counters);
            }
        }
    }

    /// The next answer of a shard; `None` when it is late or the shard has ended.
    fn answer(&mut self, shard: usize, until: u64) -> Option<Answer> {
        loop {
            if let Ok(answer) = self.desks[shard].answers.pop() {
                return Some(answer);
            }
            let left = until.saturating_sub(self.clock.now().0);
            if left == 0 || self.threads[shard].is_finished() {
                return None;
            }
            let left_ms = i32::try_from(left.div_ceil(1000)).unwrap_or(i32::MAX);
            // At most 100 ms, to see when a shard ended without a word.
            if self.answered.wait(left_ms.min(100)) {
                self.answered.clear();
            }
        }
    }

    fn picks(&self) -> Vec<Option<Picks>> {
        self.steered.iter().map(|steered| steered.as_ref().map(Steered::picks)).collect()
    }

    fn end(&mut self) -> Snapshot {
        let picks = self.picks();
        for shard in 0..self.threads.len() {
            self.post(shard, Mail::Stop);
        }
        let shards = self
            .threads
            .drain(..)
            .map(|thread| match thread.join() {
                Ok(Ok(counters)) => counters,
                // It ended by itself (see `all_running`), and its counts went with it.
                Ok(Err(_)) | Err(_) => Box::default(),
            })
            .collect();
        Snapshot { shards, picks }
    }
}

impl Drop for Shards {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for Shards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shards").field("report", &self.report).finish_non_exhaustive()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a full mailbox has no event for room; control may wait"
)]
fn wait_a_little() {
    std::thread::sleep(RETRY_EVERY);
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
