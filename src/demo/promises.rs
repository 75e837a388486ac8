//! What the demo promises, and whether it held.
//!
//! Owns: the list of promises and the evidence that each is judged by. Pure: evidence in, judgements out. No promise
//! depends on speed: a slow machine retransmits, and what is counted is compared with what was sent.

use std::collections::HashMap;
use std::time::Duration;

use super::name_of;
use super::record::Record;
use super::uas::{Book, Seen};

/// A fixed sample of keys, asked of the pool before and after the removal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct MovedKeys {
    /// How many keys were asked.
    pub(super) sampled: u64,
    /// How many of them the removed backend had.
    pub(super) of_removed: u64,
    /// How many have another backend now.
    pub(super) moved: u64,
    /// How many of those were not the removed backend's.
    pub(super) moved_of_others: u64,
}

/// The removal of a backend from the pool.
#[derive(Debug, Clone, Copy)]
pub(super) struct Removal {
    /// Which one.
    pub(super) backend: usize,
    /// When it was asked for.
    pub(super) asked: Duration,
    /// When every shard had the new table.
    pub(super) effective: Duration,
    /// What it did to the keys.
    pub(super) keys: MovedKeys,
}

/// Everything that the promises are judged by.
#[derive(Debug)]
pub(super) struct Evidence {
    /// Calls that the caller says it started.
    pub(super) started: u64,
    /// What became of them.
    pub(super) records: Vec<Record>,
    /// Datagrams that the caller could not place.
    pub(super) caller_stray: u64,
    /// What the backends saw, in order.
    pub(super) books: Vec<Book>,
    /// The removal, when there was one.
    pub(super) removal: Option<Removal>,
    /// What the edge dropped, by reason.
    pub(super) drops: Vec<(&'static str, u64)>,
}

/// One promise and what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Judgement {
    /// The promise, in plain words.
    pub(super) promise: String,
    /// It held.
    pub(super) held: bool,
    /// The figures.
    pub(super) found: String,
}

impl Judgement {
    fn new(promise: impl Into<String>, held: bool, found: String) -> Self {
        Self { promise: promise.into(), held, found }
    }
}

/// Judges every promise.
pub(super) fn judge(evidence: &Evidence) -> Vec<Judgement> {
    let mut judgements =
        vec![calls_complete(evidence), one_backend(evidence), nothing_duplicated(evidence)];
    match &evidence.removal {
        Some(removal) => judgements.extend([
            only_its_share_moved(removal),
            no_new_call(evidence, removal),
            calls_in_progress_ended(evidence, removal),
        ]),
        None => judgements.push(Judgement::new(
            "a backend was taken out half way",
            false,
            "the run ended before".to_owned(),
        )),
    }
    judgements.push(no_drops(evidence));
    judgements
}

fn calls_complete(evidence: &Evidence) -> Judgement {
    let completed = evidence.records.iter().filter(|record| record.completed()).count() as u64;
    let mut failures: HashMap<String, u64> = HashMap::new();
    for failure in evidence.records.iter().filter_map(|record| record.failure) {
        *failures.entry(failure.to_string()).or_default() += 1;
    }
    let mut failures: Vec<String> =
        failures.into_iter().map(|(what, count)| format!("{count} x {what}")).collect();
    failures.sort();
    let mut found = format!("{completed} of {}", evidence.started);
    if !failures.is_empty() {
        found = format!("{found}; {}", failures.join("; "));
    }
    let held = completed == evidence.started && completed > 0;
    Judgement::new("every call completed", held, found)
}

/// By Call-ID: which backends saw it, and what.
fn sightings(books: &[Book]) -> HashMap<&str, Vec<(usize, &Seen)>> {
    let mut sightings: HashMap<&str, Vec<(usize, &Seen)>> = HashMap::new();
    for (backend, book) in books.iter().enumerate() {
        for (call_id, seen) in &book.calls {
            sightings.entry(call_id).or_default().push((backend, seen));
        }
    }
    sightings
}

fn one_backend(evidence: &Evidence) -> Judgement {
    let sightings = sightings(&evidence.books);
    let stayed = |record: &&Record| {
        let seen = sightings.get(record.call_id.as_str()).map(Vec::as_slice);
        let Some([(backend, seen)]) = seen else { return false };
        let whole = seen.invites > 0 && seen.acks > 0 && seen.byes > 0;
        whole && record.backend == Some(*backend) && record.ended_by == Some(*backend)
    };
    let answered = evidence.records.iter().filter(|record| record.backend.is_some());
    let (total, good) = (answered.clone().count(), answered.filter(stayed).count());
    let stray: u64 = evidence.books.iter().map(|book| book.stray + book.unreadable).sum();
    let found = format!("{good} of {total}, {stray} stray requests");
    let promise = "every dialog stayed on one backend: INVITE, ACK and BYE";
    Judgement::new(promise, good == total && total > 0 && stray == 0, found)
}

fn nothing_duplicated(evidence: &Evidence) -> Judgement {
    let sightings = sightings(&evidence.books);
    let mut excess = 0_u64;
    let mut forked = 0_u64;
    for record in &evidence.records {
        for (_, seen) in sightings.get(record.call_id.as_str()).into_iter().flatten() {
            let more = |seen: u32, sent: u32| u64::from(seen.saturating_sub(sent));
            excess += more(seen.invites, record.invites_sent)
                + more(seen.acks, record.acks_sent)
                + more(seen.byes, record.byes_sent)
                + more(record.answers_seen, seen.answers_sent)
                + more(record.ringings_seen, seen.invites)
                + more(record.bye_answers_seen, seen.byes);
            let second = |method| u64::from(seen.transactions(method) > 1);
            forked += second("INVITE") + second("ACK") + second("BYE");
        }
    }
    let unknown = evidence.caller_stray;
    let resent: u64 = evidence.records.iter().map(|r| u64::from(r.retransmissions())).sum();
    let found = format!(
        "{excess} more than was sent, {forked} second transactions, {unknown} unknown responses \
         ({resent} retransmissions by the caller)"
    );
    let held = excess + forked + unknown == 0 && !evidence.records.is_empty();
    Judgement::new("nothing was duplicated", held, found)
}

fn only_its_share_moved(removal: &Removal) -> Judgement {
    let MovedKeys { sampled, of_removed, moved, moved_of_others } = removal.keys;
    let name = name_of(removal.backend);
    let found = format!(
        "{moved} of {sampled} sampled keys moved ({}), {of_removed} were {name}'s, \
         {moved_of_others} were not",
        percent(moved, sampled)
    );
    let held = moved > 0 && moved == of_removed && moved_of_others == 0;
    Judgement::new(format!("only the share of backend {name} moved"), held, found)
}

fn no_new_call(evidence: &Evidence, removal: &Removal) -> Judgement {
    let name = name_of(removal.backend);
    let on_removed = |record: &&Record| record.backend == Some(removal.backend);
    let before = |record: &&Record| record.sent < removal.asked;
    let after = |record: &&Record| record.sent > removal.effective;
    let records = || evidence.records.iter();
    let had = records().filter(before).filter(on_removed).count();
    let got = records().filter(after).filter(on_removed).count();
    let later = records().filter(after).count();
    let found = format!("{got} of the {later} calls after it, {had} before");
    let held = got == 0 && later > 0 && had > 0;
    Judgement::new(format!("backend {name} got no new call once it was out"), held, found)
}

fn calls_in_progress_ended(evidence: &Evidence, removal: &Removal) -> Judgement {
    let in_progress = evidence.records.iter().filter(|record| {
        record.backend == Some(removal.backend)
            && record.sent <= removal.effective
            && record.ended.is_none_or(|ended| ended > removal.effective)
    });
    let total = in_progress.clone().count();
    let ended = in_progress.filter(|record| record.completed()).count();
    let promise =
        format!("calls in progress on backend {} ended normally, on it", name_of(removal.backend));
    Judgement::new(promise, ended == total && total > 0, format!("{ended} of {total}"))
}

fn no_drops(evidence: &Evidence) -> Judgement {
    let dropped: Vec<String> = evidence
        .drops
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(reason, count)| format!("{count} x {reason}"))
        .collect();
    let found = if dropped.is_empty() { "0".to_owned() } else { dropped.join(", ") };
    Judgement::new("the edge dropped nothing", dropped.is_empty(), found)
}

/// A share in percent with one decimal.
pub(super) fn percent(part: u64, whole: u64) -> String {
    let share = if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 };
    format!("{share:.1} %")
}

#[cfg(test)]
mod tests;
