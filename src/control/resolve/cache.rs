//! Answers and how long they hold: by TTL within bounds, asked again before they end, and used beyond it when they must be.
//!
//! Owns: when a question is asked (again), and which of its answers counts. It knows neither names of backends nor what
//! records mean. Pure: moments are `Duration`s from one origin, answers are handed in.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Settings;
use super::plan::{Look, Query, Record};

/// "There is none" holds at most this long: what is missing now may be a record that is just being added.
pub const NEGATIVE_TTL_MAX: Duration = Duration::from_secs(60);
/// A question without an answer is asked again after this, then after twice as long, ..
pub const RETRY_MIN: Duration = Duration::from_secs(1);
/// .. and at last in steps of this.
pub const RETRY_MAX: Duration = Duration::from_secs(30);
/// An answer is asked for again when this part of its time is left.
const AHEAD: u32 = 10;

/// What the DNS said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Its records; empty: there are none.
    pub records: Vec<Record>,
    /// The smallest TTL in it.
    pub ttl: Duration,
}

/// What is known of each question.
#[derive(Debug, Default)]
pub(super) struct Cache {
    sets: BTreeMap<Query, Set>,
}

#[derive(Debug, Default)]
struct Set {
    /// The last good answer, and how long it holds.
    answer: Option<(Vec<Record>, Duration)>,
    /// When to ask; not looked at while a question is under way.
    due: Duration,
    is_under_way: bool,
    asked_last: Duration,
    failures: u32,
    /// Why the last question failed; none after an answer.
    failure: Option<String>,
}

impl Cache {
    /// Keeps what is wanted and forgets the rest; what is new is due at once.
    pub(super) fn keep(&mut self, wanted: &BTreeSet<Query>, now: Duration) {
        self.sets.retain(|query, _| wanted.contains(query));
        for query in wanted {
            let fresh = || Set { due: now, ..Set::default() };
            self.sets.entry(query.clone()).or_insert_with(fresh);
        }
    }

    /// What counts for a question now, and why it is old when it is.
    pub(super) fn look(
        &self,
        query: &Query,
        stale_max: Duration,
        now: Duration,
    ) -> (Look<'_>, Option<&str>) {
        let Some(set) = self.sets.get(query) else { return (Look::Pending, None) };
        match (&set.answer, &set.failure) {
            (Some((records, until)), _) if now < *until => (Look::Records(records), None),
            // Asked again, and not answered yet: the old answer does until then.
            (Some((records, _)), None) => (Look::Records(records), None),
            (Some((records, until)), Some(why)) if now < *until + stale_max => {
                (Look::Records(records), Some(why))
            }
            (_, Some(why)) => (Look::Failed(why), None),
            (None, None) => (Look::Pending, None),
        }
    }

    /// The questions to ask now, at most `room`; each is under way from here on.
    pub(super) fn take_due(&mut self, room: usize, now: Duration) -> Vec<Query> {
        let due = self.sets.iter_mut().filter(|(_, set)| !set.is_under_way && set.due <= now);
        due.take(room)
            .map(|(query, set)| {
                (set.is_under_way, set.asked_last) = (true, now);
                query.clone()
            })
            .collect()
    }

    /// Takes in what came of a question.
    pub(super) fn answered(
        &mut self,
        query: &Query,
        reply: Result<Reply, String>,
        settings: &Settings,
        now: Duration,
    ) {
        // Nobody wants it any more.
        let Some(set) = self.sets.get_mut(query) else { return };
        set.is_under_way = false;
        match reply {
            Ok(reply) => {
                let holds = holds(&reply, settings);
                set.due = now + holds.saturating_sub(holds / AHEAD);
                set.answer = Some((reply.records, now + holds));
                (set.failures, set.failure) = (0, None);
            }
            Err(why) => {
                let pause = RETRY_MIN.saturating_mul(1 << set.failures.min(16)).min(RETRY_MAX);
                set.due = now + pause;
                set.failures = set.failures.saturating_add(1);
                set.failure = Some(why);
            }
        }
    }

    /// Asks again soon: at most once in the shortest time that an answer holds.
    pub(super) fn hurry(&mut self, query: &Query, settings: &Settings) {
        if let Some(set) = self.sets.get_mut(query) {
            set.due = set.due.min(set.asked_last + settings.ttl_min);
        }
    }

    /// All questions are due: who is asked has changed.
    pub(super) fn ask_all(&mut self, now: Duration) {
        self.sets.values_mut().for_each(|set| set.due = now);
    }

    /// When something changes by itself: a question is due, or an answer ends.
    pub(super) fn next(&self, stale_max: Duration, now: Duration) -> Option<Duration> {
        let due = self.sets.values().filter(|set| !set.is_under_way).map(|set| set.due);
        let failing = self.sets.values().filter(|set| set.failure.is_some());
        let ends = failing
            .filter_map(|set| set.answer.as_ref())
            .flat_map(|(_, until)| [*until, *until + stale_max])
            .filter(|end| *end > now);
        due.chain(ends).min()
    }
}

fn holds(reply: &Reply, settings: &Settings) -> Duration {
    let ttl = if reply.records.is_empty() { reply.ttl.min(NEGATIVE_TTL_MAX) } else { reply.ttl };
    // Not `clamp`: it panics when the bounds are contradictory.
    ttl.max(settings.ttl_min).min(settings.ttl_max)
}
