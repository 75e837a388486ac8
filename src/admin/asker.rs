//! Asks the thread that owns the node, and waits for the answer.
//!
//! Owns: how long one waits. All of it blocks: never on the thread that serves the connections.

use std::sync::mpsc::{Receiver, SyncSender, channel};
use std::time::Duration;

use crate::control::event::{Ask, Command, Event, Outcome, Scrape};

/// How long a look may take; the shards have a second of that.
const LOOK_TIME_MAX: Duration = Duration::from_secs(3);
/// How long a command may take: a reload of a large configuration compiles all its pools.
const COMMAND_TIME_MAX: Duration = Duration::from_secs(30);

/// The way to the node.
#[derive(Debug, Clone)]
pub(super) struct Asker {
    events: SyncSender<Event>,
}

impl Asker {
    pub(super) const fn new(events: SyncSender<Event>) -> Self {
        Self { events }
    }

    /// The counters and what they are called.
    pub(super) fn scrape(&self) -> Result<Scrape, String> {
        let (answer, scrape) = channel();
        self.ask(Ask::Scrape(answer), &scrape, LOOK_TIME_MAX)?
    }

    /// The last decision records, the oldest first; nothing when none are kept.
    pub(super) fn decisions(&self) -> Result<Option<Vec<String>>, String> {
        let (answer, decisions) = channel();
        self.ask(Ask::Decisions(answer), &decisions, LOOK_TIME_MAX)
    }

    /// Does it.
    pub(super) fn act(&self, command: Command) -> Result<Outcome, String> {
        let (answer, outcome) = channel();
        self.ask(Ask::Do(command, answer), &outcome, COMMAND_TIME_MAX)
    }

    fn ask<T>(&self, ask: Ask, answer: &Receiver<T>, time_max: Duration) -> Result<T, String> {
        self.events.send(Event::Ask(ask)).map_err(|_| "the node has ended".to_owned())?;
        answer.recv_timeout(time_max).map_err(|_| "the node does not answer".to_owned())
    }
}
