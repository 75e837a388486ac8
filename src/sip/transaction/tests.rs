//! What is remembered, for how long, and what gives way.

use super::*;

fn backend(port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], port))
}

fn at(second: u64) -> Now {
    Now(second * 1_000_000)
}

struct Known(Transactions);

impl Known {
    fn new(entries_max: usize) -> Self {
        let mut table = Transactions::new(entries_max);
        table.learn((0..10).map(backend));
        Self(table)
    }

    fn backend(&self, id: u64, now: Now) -> Option<SocketAddr> {
        self.0.recent(id, now).map(|recent| recent.backend)
    }

    fn remember(&mut self, id: u64, port: u16, second: u64) {
        let number = self.0.number(backend(port)).expect("it was learnt");
        self.0.remember(id, number, at(second), 40);
    }
}

#[test]
fn remembers_until_it_expires() {
    let mut table = Known::new(16);
    table.remember(7, 1, 1);
    assert_eq!(table.backend(7, at(40)), Some(backend(1)));
    assert_eq!(table.backend(7, at(41)), None);
    assert_eq!(table.backend(8, at(2)), None);
    assert_eq!(table.backend(0, at(0)), None, "an unused entry is nobody's");
    table.remember(7, 2, 30);
    assert_eq!(table.backend(7, at(50)), Some(backend(2)));
    assert_eq!((table.0.len(at(50)), table.0.evicted()), (1, 0));
}

#[test]
fn the_bound_holds_and_the_oldest_gives_way() {
    let mut table = Known::new(4);
    for n in 0..5_u16 {
        table.remember(u64::from(n), n, u64::from(n));
    }
    assert_eq!(table.0.capacity(), 4);
    assert_eq!(table.backend(0, at(5)), None, "the oldest gave way");
    for n in 1..5_u16 {
        assert_eq!(table.backend(u64::from(n), at(5)), Some(backend(n)));
    }
    assert_eq!(table.0.evicted(), 1);
    table.remember(99, 9, 100);
    assert_eq!(table.0.evicted(), 1, "a dead entry is no loss");
}

#[test]
fn what_is_logged_is_looked_up_once_the_table_was_replaced() {
    let mut table = Known::new(4);
    let number = |table: &Known, port| table.0.number(backend(port)).expect("it was learnt");
    let (one, two) = (number(&table, 1), number(&table, 2));
    table.0.note(7, one, at(1), 40);
    assert!(!table.0.is_watching(at(1)));
    assert_eq!(table.backend(7, at(1)), None, "nobody asks while the key gives it");
    assert_eq!(table.0.len(at(1)), 1);

    table.0.watch();
    table.0.note(8, two, at(2), 40);
    assert!(table.0.is_watching(at(3)));
    assert_eq!(table.backend(7, at(3)), Some(backend(1)), "noted before");
    assert_eq!(table.backend(8, at(3)), Some(backend(2)), "noted before anybody told the time");
    table.0.note(9, two, at(4), 40);
    assert_eq!(table.backend(9, at(4)), Some(backend(2)), "noted since");
    assert_eq!(table.0.len(at(4)), 3);

    assert!(table.0.is_watching(at(2 + u64::from(INVITE_SECONDS))));
    assert!(!table.0.is_watching(at(3 + u64::from(INVITE_SECONDS))), "all have expired");
    for id in 0..4 {
        table.0.note(id, one, at(500), 40);
    }
    assert_eq!(table.0.evicted(), 0);
    table.0.note(4, one, at(500), 40);
    assert_eq!((table.0.evicted(), table.0.len(at(500))), (1, 4), "the log is bounded");
}

#[test]
fn what_is_remembered_outlives_the_edit_of_a_pool() {
    let mut table = Known::new(16);
    table.remember(7, 1, 1);
    table.0.learn([backend(77), backend(3)].into_iter());
    assert_eq!(table.backend(7, at(2)), Some(backend(1)));
    assert!(table.0.number(backend(77)).is_some());
    assert_eq!(table.0.number(backend(78)), None);
}

#[test]
fn an_answer_is_known_however_it_came() {
    let is_answered = |table: &Known, id| table.0.is_answered(id, at(9));
    let mut table = Known::new(4);
    let one = table.0.number(backend(1)).expect("it was learnt");
    for id in [7, 8] {
        table.0.note(id, one, at(1), 40);
    }
    table.0.answered(7, at(2));
    table.0.note(7, one, at(3), 40);
    table.0.answered(99, at(3));
    table.0.watch();
    assert!(table.0.is_watching(at(4)));
    assert!(is_answered(&table, 7), "before it was looked up, and repeated since");
    assert!(!is_answered(&table, 8));
    assert_eq!(table.0.recent(99, at(9)), None, "it was never sent on");

    table.0.answered(8, at(5));
    assert!(is_answered(&table, 8), "while it is looked up");
    table.0.note(8, one, at(6), 40);
    assert!(is_answered(&table, 8), "a repetition changes nothing");
    table.remember(8, 2, 7);
    assert!(!is_answered(&table, 8), "another backend has not answered");

    table.0.note(9, one, at(8), 40);
    table.0.watch();
    table.0.answered(9, at(8));
    assert!(is_answered(&table, 9), "before anybody told the time");
}

#[test]
fn of_too_many_answers_the_latest_are_known() {
    let mut table = Known::new(4);
    let one = table.0.number(backend(1)).expect("it was learnt");
    table.0.answered(1, at(1));
    for id in [1, 2] {
        table.0.note(id, one, at(1), 40);
    }
    for _ in 0..8 {
        table.0.answered(2, at(1));
    }
    table.0.watch();
    assert!(table.0.is_watching(at(1)));
    assert!(table.0.is_answered(2, at(1)));
    assert!(!table.0.is_answered(1, at(1)), "the bound");
}

#[test]
fn answer_that_comes_before_its_invite_takes_a_free_way() {
    let mut table = Known::new(4);
    table.0.watch();
    table.0.answered(7, at(1));
    assert_eq!((table.0.recent(7, at(1)), table.0.len(at(1))), (None, 1), "nobody knows where");
    assert!(table.0.is_answered(7, at(1)) && !table.0.is_answered(8, at(1)));
    table.remember(7, 1, 2);
    assert!(table.0.is_answered(7, at(2)) && table.0.recent(7, at(2)).is_some());

    for id in 0..4 {
        table.0.answered(100 + id, at(3));
    }
    assert_eq!(table.0.len(at(3)), 4, "three ways were free");
    for id in 0..3 {
        table.remember(200 + id, 2, 4);
    }
    assert_eq!(table.0.evicted(), 0, "they are no loss");
    assert_eq!(table.backend(7, at(5)), Some(backend(1)));
    table.0.answered(300, at(5));
    assert_eq!(table.backend(7, at(5)), Some(backend(1)), "nobody gives way to an answer");
}
