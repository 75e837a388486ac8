//! What the thread that owns the node is told by others, and what it answers.
//!
//! Owns: the shapes. Signals, the admin page, the reports of the shards and the resolver all come through one channel, so that
//! one thread decides, one thing after the other.

use std::sync::mpsc::Sender;

use super::resolve::Resolution;
use super::view;
use crate::datapath::{Report, Snapshot};
use crate::trace::TraceCounts;

/// Something happened.
pub enum Event {
    /// A signal came.
    Signal(i32),
    /// A shard reports.
    Report(Report),
    /// A name of backends stands for other addresses.
    Resolved(Resolution),
    /// Somebody wants something.
    Ask(Ask),
}

/// A wish, and where the answer goes. Who asked may have given up.
pub enum Ask {
    /// The counters of the shards, and what they are called.
    Scrape(Sender<Result<Scrape, String>>),
    /// The last decision records, the oldest first, each a JSON object; nothing when none are kept.
    Decisions(Sender<Option<Vec<String>>>),
    /// To do something.
    Do(Command, Sender<Outcome>),
}

/// The counters at about one moment, with the view that names them.
#[derive(Debug)]
pub struct Scrape {
    /// Counters.
    pub snapshot: Snapshot,
    /// Names and states.
    pub view: view::Node,
    /// What was written of traces and what was lost.
    pub traces: TraceCounts,
}

/// What an operator may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Read the configuration again.
    Reload,
    /// End the node's work in order: as SIGTERM.
    DrainNode,
    /// Change what a backend may get, in one pool or in all.
    Backend {
        /// The pool; all that have the backend when left out.
        pool: Option<String>,
        /// Its URI as configured.
        uri: String,
        /// What to do.
        action: BackendAction,
    },
}

/// What an operator may do with a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackendAction {
    /// No new keys, no probes, whatever health says.
    Disable,
    /// No new keys; what it has goes on, and so do probes.
    Drain,
    /// In use again, as health says.
    Enable,
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Done, and what there is to say.
    Done(Vec<String>),
    /// Refused: nothing has changed.
    Refused {
        /// The thing that was named is not there.
        is_unknown: bool,
        /// Why, a line each.
        why: Vec<String>,
    },
}
