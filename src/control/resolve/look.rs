//! Looks names up once, for who has no time to keep them: `check` and `explain`.
//!
//! Owns: the time that this may take. Names are asked in parallel.

use std::collections::BTreeSet;
use std::sync::mpsc::channel;
use std::time::Duration;

use tokio::time::Instant;

use super::{Known, Name, Names, Outcome, Resolution, Settings, State};

/// How long all names together may take.
pub const LOOK_TIME_MAX: Duration = Duration::from_secs(2);

/// What `names` stand for now: an outcome for each, whatever the DNS does.
#[must_use]
pub fn look(names: &BTreeSet<Name>, settings: &Settings) -> Known {
    let unknown = |why: &str| {
        let outcome =
            Outcome { found: Vec::new(), notes: Vec::new(), state: State::Failed(why.to_owned()) };
        names.iter().map(move |name| Resolution { name: name.clone(), outcome: outcome.clone() })
    };
    if names.is_empty() {
        return Known::default();
    }
    let (sender, changes) = channel();
    // Who asks may be gone before the last answer.
    let tell = Box::new(move |change| drop(sender.send(change)));
    let asking = match Names::start(names.clone(), settings.clone(), tell) {
        Ok(asking) => asking,
        Err(why) => return unknown(&why).collect(),
    };
    let end = Instant::now() + LOOK_TIME_MAX;
    let late = format!("no answer within {} seconds", LOOK_TIME_MAX.as_secs());
    let mut known: Known = unknown(&late).collect();
    let mut open = names.clone();
    while !open.is_empty() {
        let left = end.saturating_duration_since(Instant::now());
        let Ok(change) = changes.recv_timeout(left) else { break };
        open.remove(&change.name);
        known.insert(change);
    }
    drop(asking);
    known
}
