//! Each promise holds on good evidence, and fails when the evidence for it is spoilt.

use super::super::record::Failure;
use super::*;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn record(number: u64, sent_ms: u64, backend: usize) -> Record {
    let mut record = Record::new(format!("{number}.x@demo"), ms(sent_ms), ms(sent_ms));
    record.backend = Some(backend);
    record.ended_by = Some(backend);
    record.latency = Some(ms(1));
    record.ended = Some(ms(sent_ms + 300));
    record.acks_sent = 1;
    record.byes_sent = 1;
    record.ringings_seen = 1;
    record.answers_seen = 1;
    record.bye_answers_seen = 1;
    record
}

/// Two backends; backend 1 is taken out at 1.0 to 1.1 s, with one call in progress on it.
fn good() -> Evidence {
    let records = vec![
        record(0, 100, 0),
        record(1, 200, 1),
        record(2, 900, 1),
        record(3, 1050, 1),
        record(4, 1200, 0),
    ];
    let mut books = vec![Book::default(), Book::default()];
    for record in &records {
        let mut seen = Seen { invites: 1, acks: 1, byes: 1, answers_sent: 1, ..Seen::default() };
        for method in ["INVITE", "ACK", "BYE"] {
            assert!(seen.note(method, &format!("z{method}")));
        }
        let backend = record.backend.expect("it was answered");
        books[backend].calls.insert(record.call_id.clone(), seen);
    }
    let keys = MovedKeys { sampled: 100, of_removed: 50, moved: 50, moved_of_others: 0 };
    let removal = Removal { backend: 1, asked: ms(1000), effective: ms(1100), keys };
    Evidence {
        started: 5,
        records,
        caller_stray: 0,
        books,
        removal: Some(removal),
        drops: vec![("not_sip", 0)],
    }
}

/// The promises that are broken, by the first words that tell them apart.
fn broken(spoil: impl FnOnce(&mut Evidence)) -> Vec<&'static str> {
    let mut evidence = good();
    spoil(&mut evidence);
    let names = [
        "every call",
        "every dialog",
        "nothing",
        "only the share",
        "backend b got no new call",
        "calls in progress",
        "the edge dropped",
        "a backend was taken out",
    ];
    let judgements = judge(&evidence);
    let name_of = |judgement: &Judgement| {
        let promise = &judgement.promise;
        *names.iter().find(|name| promise.starts_with(**name)).expect("a promise that is listed")
    };
    judgements.iter().filter(|judgement| !judgement.held).map(name_of).collect()
}

fn removal(evidence: &mut Evidence) -> &mut Removal {
    evidence.removal.as_mut().expect("good() has one")
}

fn seen<'e>(evidence: &'e mut Evidence, backend: usize, call_id: &str) -> &'e mut Seen {
    evidence.books[backend].calls.get_mut(call_id).expect("good() has it")
}

#[test]
fn good_evidence_keeps_every_promise() {
    assert_eq!(broken(|_| ()), [""; 0]);
    assert_eq!(judge(&good()).len(), 7);
}

#[test]
fn a_failed_or_a_lost_call() {
    let fails = |e: &mut Evidence| e.records[0].failure = Some(Failure::InviteRefused(503));
    assert_eq!(broken(fails), ["every call"]);
    assert_eq!(broken(|e| e.started = 6), ["every call"]);
    let silent = |e: &mut Evidence| {
        e.records[0].backend = None;
        e.records[0].failure = Some(Failure::InviteUnanswered);
    };
    assert_eq!(broken(silent), ["every call"]);
}

#[test]
fn a_dialog_that_moved() {
    assert_eq!(broken(|e| e.records[0].ended_by = Some(1)), ["every dialog"]);
    assert_eq!(broken(|e| e.books[1].stray = 1), ["every dialog"]);
    assert_eq!(broken(|e| e.books[1].unreadable = 1), ["every dialog"]);
    assert_eq!(broken(|e| seen(e, 0, "0.x@demo").acks = 0), ["every dialog"]);
    let twice = |e: &mut Evidence| {
        let copy = e.books[0].calls["0.x@demo"].clone();
        e.books[1].calls.insert("0.x@demo".to_owned(), copy);
    };
    assert_eq!(broken(twice), ["every dialog"]);
}

#[test]
fn a_duplicate() {
    assert_eq!(broken(|e| seen(e, 0, "0.x@demo").invites = 2), ["nothing"]);
    assert_eq!(broken(|e| e.records[0].answers_seen = 2), ["nothing"]);
    assert_eq!(broken(|e| e.records[0].bye_answers_seen = 2), ["nothing"]);
    assert_eq!(broken(|e| e.caller_stray = 1), ["nothing"]);
    let fork = |e: &mut Evidence| assert!(seen(e, 0, "0.x@demo").note("INVITE", "z other"));
    assert_eq!(broken(fork), ["nothing"]);
    // A retransmission is no duplicate: it was sent twice.
    let resent = |e: &mut Evidence| {
        e.records[0].invites_sent = 2;
        seen(e, 0, "0.x@demo").invites = 2;
    };
    assert_eq!(broken(resent), [""; 0]);
}

#[test]
fn keys_that_moved_without_need() {
    let others = |e: &mut Evidence| {
        removal(e).keys.moved = 51;
        removal(e).keys.moved_of_others = 1;
    };
    assert_eq!(broken(others), ["only the share"]);
    assert_eq!(broken(|e| removal(e).keys.moved = 49), ["only the share"]);
    assert_eq!(broken(|e| removal(e).keys = MovedKeys::default()), ["only the share"]);
}

#[test]
fn a_new_call_on_the_removed_backend() {
    let late = |e: &mut Evidence| {
        e.records[3].sent = ms(1101);
        e.records[3].ended = Some(ms(1400));
    };
    assert_eq!(broken(late), ["backend b got no new call"]);
    let none_later = |e: &mut Evidence| e.records[4].sent = ms(1000);
    assert_eq!(broken(none_later), ["backend b got no new call"]);
}

#[test]
fn a_call_in_progress_that_did_not_end() {
    let hung = |e: &mut Evidence| e.records[2].failure = Some(Failure::ByeUnanswered);
    assert_eq!(broken(hung), ["every call", "calls in progress"]);
}

#[test]
fn drops_and_no_removal() {
    assert_eq!(broken(|e| e.drops.push(("send_failed", 2))), ["the edge dropped"]);
    assert_eq!(broken(|e| e.removal = None), ["a backend was taken out"]);
}
