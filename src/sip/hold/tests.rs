//! Held requests without bytes: each transition, and the bounds of the slab.

use super::attempt::Phase;
use super::entry::{Due, Entry, Held, Outcome, Reaction};
use super::*;
use crate::sip::message::Method;
use crate::sip::route::failover::{Failover, StatusSet};

const SECOND: u64 = 1_000_000;

fn at(seconds: u64) -> Now {
    Now(seconds * SECOND)
}

fn place(number: u16) -> (SocketAddr, ListenerId) {
    (SocketAddr::from(([10, 0, 0, 1], number)), ListenerId(0))
}

fn held(method: Method, tries: u8) -> Held {
    let policy = Failover { statuses: StatusSet::of(&[500, 503]), timeout_us: 2 * SECOND, tries };
    let source = SocketAddr::from(([192, 0, 2, 1], 5060));
    Held { id: 7, key_id: 1, method, source, listener: ListenerId(0), policy }
}

fn entry(method: Method, tries: u8) -> Entry {
    Entry::new(held(method, tries), place(1), at(0))
}

const FORWARD: Reaction =
    Reaction { forwards: true, acknowledges: false, cancels: None, fails: false };
const ABSORB: Reaction = Reaction { forwards: false, ..FORWARD };
const ACK: Reaction = Reaction { acknowledges: true, ..ABSORB };
const FAIL: Reaction = Reaction { fails: true, ..ACK };

fn responds(entry: &mut Entry, place: u8, status: u16, now: u64, expected: Reaction) {
    assert_eq!(entry.on_response(place, status, at(now)), Some(expected), "{place} says {status}");
}

/// Only copies of answers that were absorbed are waited for.
fn lingers(mut entry: Entry) {
    assert!(!entry.is_over());
    assert!(entry.due() <= at(100));
    for _ in 0..3 {
        assert_eq!(entry.on_time(at(100)), Due::Nothing);
    }
    assert!(entry.is_over());
}

#[test]
fn an_answer_that_is_no_failure_ends_it() {
    for status in [200, 401, 486, 603] {
        let mut entry = entry(Method::Invite, 2);
        responds(&mut entry, 0, 180, 1, FORWARD);
        assert!(!entry.is_over());
        responds(&mut entry, 0, status, 5, FORWARD);
        assert!(entry.is_over());
        responds(&mut entry, 0, status, 6, FORWARD);
    }
}

#[test]
fn a_provisional_answer_stops_the_clock() {
    let mut entry = entry(Method::Invite, 2);
    assert_eq!(entry.due(), at(2));
    responds(&mut entry, 0, 100, 1, FORWARD);
    assert_eq!(entry.due(), at(201));
    assert_eq!(entry.on_time(at(201)), Due::Nothing);
    assert!(entry.is_over(), "a call that rings for ever is not held for ever");
}

#[test]
fn a_failure_goes_on_and_the_last_one_is_for_the_caller() {
    let mut entry = entry(Method::Invite, 3);
    responds(&mut entry, 0, 503, 1, FAIL);
    entry.start(place(2), at(1));
    responds(&mut entry, 0, 503, 1, ACK);
    responds(&mut entry, 1, 500, 2, FAIL);
    entry.start(place(3), at(2));
    responds(&mut entry, 2, 503, 2, FORWARD);
    assert_eq!(entry.outcome, Some(Outcome::Of(2)));
    lingers(entry);
}

#[test]
fn a_failure_without_candidate_is_for_the_caller() {
    let mut entry = entry(Method::Invite, 2);
    responds(&mut entry, 0, 503, 1, FAIL);
    entry.settle(0);
    assert!(entry.is_over());
    responds(&mut entry, 0, 503, 1, FORWARD);
}

#[test]
fn a_silent_backend_is_given_up_once() {
    let mut entry = entry(Method::Invite, 2);
    assert_eq!(entry.on_time(at(1)), Due::Nothing);
    assert_eq!(entry.on_time(at(2)), Due::GiveUp);
    entry.start(place(2), at(2));
    assert_eq!(entry.due(), at(32), "the last candidate has no clock of ours");
    // It is late: cancelled, because now it may be, and repeated until that is answered.
    responds(&mut entry, 0, 180, 3, Reaction { cancels: Some(0), ..ABSORB });
    responds(&mut entry, 0, 180, 3, ABSORB);
    assert_eq!(entry.on_time(Now(3_500_000)), Due::Cancel(0));
    assert_eq!(entry.on_time(Now(4_500_000)), Due::Cancel(0));
    assert!(entry.on_cancel_answer(0, 200), "absorbed");
    assert_eq!(entry.on_time(at(20)), Due::Nothing);
    responds(&mut entry, 1, 200, 21, FORWARD);
    assert!(!entry.is_over(), "the cancelled one has not ended");
    responds(&mut entry, 0, 487, 22, ACK);
    lingers(entry);
}

#[test]
fn nobody_else_gets_it_while_one_rings() {
    let mut entry = entry(Method::Invite, 3);
    assert_eq!(entry.on_time(at(2)), Due::GiveUp);
    entry.start(place(2), at(2));
    responds(&mut entry, 0, 180, 3, Reaction { cancels: Some(0), ..ABSORB });
    assert!(!entry.may_go_on());
    let mut ended = entry.clone();
    responds(&mut entry, 1, 503, 3, FORWARD);
    responds(&mut ended, 0, 487, 3, ACK);
    responds(&mut ended, 1, 503, 3, FAIL);
}

#[test]
fn a_late_success_wins_and_the_current_one_is_cancelled() {
    let mut ringing = entry(Method::Invite, 2);
    assert_eq!(ringing.on_time(at(2)), Due::GiveUp);
    ringing.start(place(2), at(2));
    let mut silent = ringing.clone();
    responds(&mut ringing, 1, 180, 3, FORWARD);
    responds(&mut ringing, 0, 200, 4, Reaction { cancels: Some(1), ..FORWARD });
    responds(&mut ringing, 1, 487, 5, ACK);
    lingers(ringing);

    responds(&mut silent, 0, 200, 4, FORWARD);
    responds(&mut silent, 1, 180, 5, Reaction { cancels: Some(1), ..ABSORB });
    responds(&mut silent, 1, 200, 6, FORWARD);
    assert_eq!(silent.outcome, Some(Outcome::Of(0)), "RFC 3261 16.7 step 10");
    assert!(silent.is_over());
}

#[test]
fn a_late_failure_is_absorbed() {
    let mut entry = entry(Method::Invite, 2);
    assert_eq!(entry.on_time(at(2)), Due::GiveUp);
    entry.start(place(2), at(2));
    responds(&mut entry, 0, 486, 3, ACK);
    responds(&mut entry, 1, 486, 4, FORWARD);
    lingers(entry);
}

#[test]
fn what_is_cancelled_goes_nowhere_else() {
    let mut ringing = entry(Method::Invite, 2);
    responds(&mut ringing, 0, 180, 1, FORWARD);
    ringing.on_cancel();
    responds(&mut ringing, 0, 503, 2, FORWARD);
    assert!(ringing.is_over());

    let mut silent = entry(Method::Invite, 3);
    responds(&mut silent, 0, 180, 1, FORWARD);
    responds(&mut silent, 0, 503, 1, FAIL);
    silent.start(place(2), at(1));
    assert_eq!(silent.due(), Now(SECOND + 500_000), "the caller repeats no more, so we do");
    silent.on_cancel();
    assert_eq!(silent.on_time(at(20)), Due::Nothing, "neither repeated nor given up");
    responds(&mut silent, 1, 100, 21, Reaction { cancels: Some(1), ..FORWARD });
    assert!(silent.on_cancel_answer(1, 200));
    assert!(!silent.on_cancel_answer(0, 200), "that was not cancelled");
}

#[test]
fn an_invite_is_repeated_for_a_caller_who_does_not() {
    let mut entry = entry(Method::Invite, 2);
    responds(&mut entry, 0, 100, 0, FORWARD);
    responds(&mut entry, 0, 503, 1, FAIL);
    entry.start(place(2), at(1));
    let mut repeats = 0;
    loop {
        let due = entry.due();
        match entry.on_time(due) {
            Due::Repeat(1) => repeats += 1,
            Due::Answer => break,
            Due::Nothing => {}
            other => panic!("{other:?} at {due:?}"),
        }
    }
    assert_eq!(repeats, 6, "0.5, 1.5, 3.5, 7.5, 15.5 and 31.5 seconds");
    assert_eq!(entry.outcome, Some(Outcome::Own));
    responds(&mut entry, 1, 180, 40, Reaction { cancels: Some(1), ..ABSORB });
    responds(&mut entry, 1, 487, 41, ACK);
    lingers(entry);
}

#[test]
fn other_requests_need_neither_ack_nor_cancel() {
    let mut entry = entry(Method::Register, 2);
    responds(&mut entry, 0, 503, 1, Reaction { acknowledges: false, ..FAIL });
    entry.start(place(2), at(1));
    responds(&mut entry, 0, 503, 1, ABSORB);
    responds(&mut entry, 1, 200, 2, FORWARD);
    lingers(entry);

    let mut late = self::entry(Method::Register, 2);
    assert_eq!(late.on_time(at(2)), Due::GiveUp);
    late.start(place(2), at(2));
    responds(&mut late, 0, 100, 3, ABSORB);
    responds(&mut late, 0, 200, 4, FORWARD);
    responds(&mut late, 1, 200, 5, ABSORB);
    lingers(late);
}

#[test]
fn an_ack_for_an_answer_that_went_another_way_ends_it() {
    let mut entry = entry(Method::Invite, 2);
    entry.on_ack();
    assert!(entry.is_over());
    assert_eq!(entry.on_time(at(2)), Due::Nothing);
}

#[test]
fn nothing_is_said_of_an_attempt_of_another_node() {
    assert_eq!(entry(Method::Invite, 2).on_response(1, 180, at(0)), None);
}

#[test]
fn the_slab_is_bounded_and_finds_what_it_holds() {
    let limits = Limits { held_max: 3, held_bytes_max: 4, ..Limits::default() };
    let mut hold = Hold::new(&limits);
    let request = |id| Held { id, ..held(Method::Invite, 2) };
    // The same bucket, all of them.
    for id in [8, 16, 24] {
        let bytes = [u8::try_from(id).expect("small"); 4];
        assert!(hold.admit(request(id), &bytes, place(1), at(id)));
    }
    assert!(!hold.admit(request(1), b"full", place(1), at(0)));
    assert_eq!((hold.len(), hold.counts.refused), (3, 1));
    for id in [16, 8, 24] {
        let slot = hold.find(id).expect("held");
        assert_eq!(hold.bytes(slot), [u8::try_from(id).expect("small"); 4]);
        hold.entry_mut(slot).expect("held").settle(0);
        hold.tidy(slot);
        assert_eq!(hold.find(id), None);
    }
    assert!(hold.is_empty() && hold.first().is_none());
    assert!(!hold.admit(request(1), b"large", place(1), at(0)));
    assert!(hold.admit(request(1), b"fits", place(1), at(0)));
    assert_eq!(hold.counts, HoldCounts { held: 4, refused: 2, ..HoldCounts::default() });
}

#[test]
fn silence_ends_everything() {
    let mut hold = Hold::new(&Limits::default());
    assert!(hold.admit(held(Method::Invite, 2), b"INVITE", place(1), at(0)));
    let mut given_up = 0;
    while let Some((due, slot)) = hold.first() {
        let entry = hold.entry_mut(slot).expect("held");
        if entry.on_time(due) == Due::GiveUp {
            entry.start(place(2), due);
            given_up += 1;
        }
        assert!(entry.attempts.iter().all(|attempt| attempt.phase != Phase::Answered));
        hold.tidy(slot);
        assert!(due <= at(60));
    }
    assert_eq!((given_up, hold.len()), (1, 0));
}
