//! What is known of each name, and what is told of it: only changes, and never worse than it must be.
//!
//! Owns: the names that are asked for, and their last outcomes. A name that stops to resolve keeps its addresses for
//! `stale_max`: a mistake in a zone, or a dead DNS server, must not empty a pool that works. Pure: `resolver` and `names` bring
//! answers and moments.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::discriminant;
use std::time::Duration;

use super::cache::{Cache, Reply};
use super::plan::{self, Query, Step};
use super::{Name, Outcome, Resolution, Settings, State};

#[cfg(test)]
mod tests;

/// The names, the answers, and what was told.
#[derive(Debug, Default)]
pub struct Book {
    settings: Settings,
    cache: Cache,
    names: BTreeMap<Name, Told>,
}

#[derive(Debug, Default)]
struct Told {
    outcome: Option<Outcome>,
    /// Since when its addresses are those of before.
    stale_since: Option<Duration>,
    /// The questions that counted last.
    queries: BTreeSet<Query>,
}

impl Book {
    /// From now on these names, by these settings. Names that stay keep what is known of them.
    pub fn ask(&mut self, names: BTreeSet<Name>, settings: Settings, now: Duration) {
        if self.settings.servers != settings.servers {
            self.cache.ask_all(now);
        }
        self.settings = settings;
        self.names.retain(|name, _| names.contains(name));
        for name in names {
            self.names.entry(name).or_default();
        }
    }

    /// None of a name's addresses is good: ask again before its time, in the hope of others.
    pub fn hurry(&mut self, name: &Name) {
        let Some(told) = self.names.get(name) else { return };
        for query in &told.queries {
            self.cache.hurry(query, &self.settings);
        }
    }

    /// Takes in what came of a question.
    pub fn answered(&mut self, query: &Query, reply: Result<Reply, String>, now: Duration) {
        self.cache.answered(query, reply, &self.settings, now);
    }

    /// Follows every name as far as the answers go: what changed since the last time.
    pub fn changes(&mut self, now: Duration) -> Vec<Resolution> {
        let mut wanted = BTreeSet::new();
        let mut changes = Vec::new();
        for (name, told) in &mut self.names {
            let (step, queries, stale) = follow(name, &self.cache, self.settings.stale_max, now);
            if step == Step::Wait {
                // What led to the last outcome is still wanted.
                told.queries.extend(queries);
            } else {
                told.queries = queries;
            }
            wanted.extend(told.queries.iter().cloned());
            if let Some(outcome) = told.next(step, stale, self.settings.stale_max, now) {
                changes.push(Resolution { name: name.clone(), outcome });
            }
        }
        self.cache.keep(&wanted, now);
        changes
    }

    /// The questions to ask now, at most `room`. [`Book::changes`] says first which ones there are.
    pub fn take_due(&mut self, room: usize, now: Duration) -> Vec<Query> {
        self.cache.take_due(room, now)
    }

    /// When to come back, if no answer comes before.
    #[must_use]
    pub fn next(&self, now: Duration) -> Option<Duration> {
        let held = |told: &Told| Some(told.stale_since? + self.settings.stale_max);
        let held = self.names.values().filter_map(held).filter(|end| *end > now);
        held.chain(self.cache.next(self.settings.stale_max, now)).min()
    }
}

/// How far a name goes, the questions that count for it, and why an answer is old when one is.
fn follow(
    name: &Name,
    cache: &Cache,
    stale_max: Duration,
    now: Duration,
) -> (Step, BTreeSet<Query>, Option<String>) {
    let mut queries = BTreeSet::new();
    let mut stale = None;
    let step = plan::evaluate(name, &mut |query| {
        queries.insert(query.clone());
        let (look, old) = cache.look(query, stale_max, now);
        if let Some(why) = old {
            stale.get_or_insert_with(|| format!("{query}: {why}"));
        }
        look
    });
    (step, queries, stale)
}

impl Told {
    /// Takes in a step; what to tell when that is a change.
    fn next(
        &mut self,
        step: Step,
        stale: Option<String>,
        stale_max: Duration,
        now: Duration,
    ) -> Option<Outcome> {
        let outcome = match step {
            Step::Wait => return None,
            Step::Found(found, notes) => {
                let state = stale.map_or(State::Fresh, State::Stale);
                Outcome { found, notes, state }
            }
            Step::Nothing(why) | Step::Failed(why) => self.kept(why, stale_max, now),
        };
        self.stale_since = match outcome.state {
            State::Stale(_) => self.stale_since.or(Some(now)),
            State::Fresh | State::Failed(_) => None,
        };
        if self.outcome.as_ref().is_some_and(|old| is_same(old, &outcome)) {
            return None;
        }
        self.outcome = Some(outcome.clone());
        Some(outcome)
    }

    /// There are no addresses now: those of before, for a while.
    fn kept(&self, why: String, stale_max: Duration, now: Duration) -> Outcome {
        let before = self.outcome.as_ref().filter(|old| !old.found.is_empty());
        match before {
            Some(old) if now < self.stale_since.unwrap_or(now) + stale_max => {
                Outcome { state: State::Stale(why), ..old.clone() }
            }
            _ => Outcome { found: Vec::new(), notes: Vec::new(), state: State::Failed(why) },
        }
    }
}

/// Why something is stale or failed may change with each attempt; that alone is no news.
fn is_same(old: &Outcome, new: &Outcome) -> bool {
    old.found == new.found
        && discriminant(&old.state) == discriminant(&new.state)
        && old.notes == new.notes
}
