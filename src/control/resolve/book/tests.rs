//! Names over time: answers come, change, get old and stay away.

use super::super::Families;
use super::super::plan::{Kind, Record};
use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn name(host: &str) -> Name {
    let families = Families { ipv4: true, ipv6: false };
    Name { host: host.to_owned(), port: Some(5060), transport_written: false, families }
}

fn settings() -> Settings {
    Settings {
        ttl_min: seconds(5),
        ttl_max: seconds(600),
        stale_max: seconds(3_600),
        servers: Vec::new(),
    }
}

fn a(host: &str) -> Query {
    Query { name: host.to_owned(), kind: Kind::A }
}

fn reply(addresses: &[&str], ttl: u64) -> Result<Reply, String> {
    let records = addresses.iter().map(|ip| Record::Address(ip.parse().unwrap())).collect();
    Ok(Reply { records, ttl: seconds(ttl) })
}

/// A book with names, and its clock.
struct Test {
    book: Book,
    now: Duration,
}

impl Test {
    fn new(hosts: &[&str]) -> Self {
        let mut test = Self { book: Book::default(), now: seconds(1_000) };
        test.ask(hosts);
        test
    }

    fn ask(&mut self, hosts: &[&str]) {
        self.book.ask(hosts.iter().map(|host| name(host)).collect(), settings(), self.now);
    }

    /// What is told, as `host addresses` with a word for the state.
    fn told(&mut self) -> Vec<String> {
        let line = |resolution: &Resolution| {
            let Resolution { name, outcome } = resolution;
            let word = match outcome.state {
                State::Fresh => "",
                State::Stale(_) => " stale",
                State::Failed(_) => " failed",
            };
            let found = outcome.found.iter().map(|one| one.address.ip().to_string());
            format!("{}{word} {}", name.host, found.collect::<Vec<_>>().join(" "))
                .trim_end()
                .to_owned()
        };
        self.book.changes(self.now).iter().map(line).collect()
    }

    fn due(&mut self) -> Vec<String> {
        self.book.take_due(100, self.now).iter().map(|query| query.name.clone()).collect()
    }

    /// The next moment of the book, from now.
    fn next(&self) -> Option<Duration> {
        self.book.next(self.now).map(|at| at.saturating_sub(self.now))
    }

    /// The question is under way and gets this answer.
    fn answer(&mut self, host: &str, reply: Result<Reply, String>) -> Vec<String> {
        self.told();
        assert!(self.due().contains(&host.to_owned()), "{host} is not due");
        self.book.answered(&a(host), reply, self.now);
        self.told()
    }
}

#[test]
fn a_name_is_asked_told_and_asked_again_before_its_time() {
    let mut test = Test::new(&["x"]);
    assert!(test.told().is_empty());
    assert_eq!(test.due(), ["x"]);
    assert!(test.due().is_empty(), "under way");
    assert_eq!(test.next(), None, "only an answer helps");
    test.book.answered(&a("x"), reply(&["10.0.0.2", "10.0.0.1"], 100), test.now);
    assert_eq!(test.told(), ["x 10.0.0.1 10.0.0.2"]);
    assert_eq!(test.next(), Some(seconds(90)));
    test.now += seconds(89);
    assert!(test.due().is_empty());
    test.now += seconds(1);
    assert!(test.answer("x", reply(&["10.0.0.1", "10.0.0.2"], 100)).is_empty(), "no change");
    test.now += seconds(90);
    assert_eq!(test.answer("x", reply(&["10.0.0.3"], 100)), ["x 10.0.0.3"]);
}

#[test]
fn times_stay_within_their_bounds() {
    let check = |ttl, addresses: &[&str], expected: Duration| {
        let mut test = Test::new(&["x"]);
        test.answer("x", reply(addresses, ttl));
        assert_eq!(test.next(), Some(expected * 9 / 10), "{ttl} {addresses:?}");
    };
    check(0, &["10.0.0.1"], seconds(5));
    check(100, &["10.0.0.1"], seconds(100));
    check(u64::from(u32::MAX), &["10.0.0.1"], seconds(600));
    check(3_600, &[], MINUTE);
    check(0, &[], seconds(5));
}

#[test]
fn a_name_that_never_resolved_is_told_and_tried_at_growing_intervals() {
    let mut test = Test::new(&["x"]);
    assert_eq!(test.answer("x", Err("no answer".to_owned())), ["x failed"]);
    for pause in [1, 2, 4, 8, 16, 30, 30] {
        assert_eq!(test.next(), Some(seconds(pause)));
        test.now += seconds(pause);
        assert!(test.answer("x", Err("something else".to_owned())).is_empty(), "no news");
    }
    test.now += seconds(30);
    assert_eq!(test.answer("x", reply(&["10.0.0.1"], 60)), ["x 10.0.0.1"]);
}

#[test]
fn an_old_answer_serves_while_the_dns_is_away_and_no_longer_than_allowed() {
    let mut test = Test::new(&["x"]);
    test.answer("x", reply(&["10.0.0.1"], 100));
    test.now += seconds(90);
    assert!(test.answer("x", Err("no answer".to_owned())).is_empty(), "it still holds");
    test.now += seconds(5);
    assert!(test.answer("x", Err("no answer".to_owned())).is_empty());
    test.now += seconds(5);
    assert_eq!(test.told(), ["x stale 10.0.0.1"], "told at the moment that it ends");
    test.now += MINUTE * 59;
    assert!(test.answer("x", Err("no answer".to_owned())).is_empty());
    assert_eq!(test.next(), Some(seconds(4)), "the third attempt that failed");
    test.now += MINUTE;
    assert_eq!(test.told(), ["x failed"]);
    assert_eq!(test.answer("x", reply(&["10.0.0.1"], 100)), ["x 10.0.0.1"]);
}

#[test]
fn when_the_dns_is_back_the_name_is_fresh_again() {
    let mut test = Test::new(&["x"]);
    test.answer("x", reply(&["10.0.0.1"], 10));
    test.now += seconds(10);
    assert_eq!(test.answer("x", Err("no answer".to_owned())), ["x stale 10.0.0.1"]);
    test.now += seconds(1);
    assert_eq!(test.answer("x", reply(&["10.0.0.1"], 10)), ["x 10.0.0.1"]);
}

#[test]
fn a_name_that_vanishes_keeps_its_addresses_for_a_while() {
    let mut test = Test::new(&["x"]);
    test.answer("x", reply(&["10.0.0.1"], 60));
    test.now += MINUTE;
    assert_eq!(test.answer("x", reply(&[], 60)), ["x stale 10.0.0.1"]);
    test.now += MINUTE;
    assert!(test.answer("x", reply(&[], 60)).is_empty());
    // Back again: the time starts anew.
    test.now += MINUTE * 30;
    assert_eq!(test.answer("x", reply(&["10.0.0.2"], 60)), ["x 10.0.0.2"]);
    test.now += MINUTE;
    assert_eq!(test.answer("x", reply(&[], 60)), ["x stale 10.0.0.2"]);
    test.now += MINUTE * 59;
    assert!(test.answer("x", reply(&[], 60)).is_empty());
    test.now += MINUTE;
    assert_eq!(test.told(), ["x failed"]);
}

#[test]
fn names_that_nobody_wants_are_forgotten_and_the_others_kept() {
    let mut test = Test::new(&["x", "y"]);
    test.told();
    assert_eq!(test.due(), ["x", "y"]);
    test.book.answered(&a("x"), reply(&["10.0.0.1"], 60), test.now);
    test.book.answered(&a("y"), reply(&["10.0.0.2"], 60), test.now);
    assert_eq!(test.told(), ["x 10.0.0.1", "y 10.0.0.2"]);
    test.ask(&["y", "z"]);
    assert!(test.told().is_empty(), "y is known");
    assert_eq!(test.due(), ["z"]);
    // An answer that comes too late for its name.
    test.book.answered(&a("x"), reply(&["10.0.0.9"], 60), test.now);
    test.book.answered(&a("z"), reply(&["10.0.0.3"], 60), test.now);
    assert_eq!(test.told(), ["z 10.0.0.3"]);
}

#[test]
fn bad_addresses_make_a_name_be_asked_again_but_not_all_the_time() {
    let mut test = Test::new(&["x"]);
    test.answer("x", reply(&["10.0.0.1"], 600));
    test.now += seconds(2);
    test.book.hurry(&name("x"));
    assert_eq!(test.next(), Some(seconds(3)), "at most once in ttl_min");
    test.now += seconds(3);
    assert_eq!(test.answer("x", reply(&["10.0.0.2"], 600)), ["x 10.0.0.2"]);
    test.book.hurry(&name("unknown"));
    assert_eq!(test.next(), Some(seconds(540)));
}

#[test]
fn other_servers_are_asked_at_once() {
    let mut test = Test::new(&["x"]);
    test.answer("x", reply(&["10.0.0.1"], 600));
    test.ask(&["x"]);
    assert!(test.due().is_empty());
    let servers = vec!["127.0.0.1:53".parse().unwrap()];
    test.book.ask([name("x")].into(), Settings { servers, ..settings() }, test.now);
    assert_eq!(test.due(), ["x"]);
}

#[test]
fn a_host_that_stops_to_answer_keeps_its_part_and_the_others_move_on() {
    let srv = Query { name: "_sip._udp.x".to_owned(), kind: Kind::Srv };
    let record = |target: &str| Record::Srv {
        priority: 0,
        weight: 0,
        port: 5060,
        target: target.to_owned(),
    };
    let mut test = Test::new(&[]);
    let whole = Name { port: None, transport_written: true, ..name("x") };
    test.book.ask([whole].into(), settings(), test.now);
    test.told();
    assert_eq!(test.due(), ["_sip._udp.x"]);
    let both = Reply { records: vec![record("a"), record("b")], ttl: seconds(600) };
    test.book.answered(&srv, Ok(both), test.now);
    assert!(test.told().is_empty());
    assert_eq!(test.due(), ["a", "b"]);
    test.book.answered(&a("a"), reply(&["10.0.0.1"], 10), test.now);
    assert!(test.told().is_empty(), "b is still under way");
    test.book.answered(&a("b"), reply(&["10.0.0.2"], 10), test.now);
    assert_eq!(test.told(), ["x 10.0.0.1 10.0.0.2"]);
    test.now += seconds(10);
    assert_eq!(test.due(), ["a", "b"]);
    test.book.answered(&a("a"), reply(&["10.0.0.7"], 10), test.now);
    test.book.answered(&a("b"), Err("no answer".to_owned()), test.now);
    assert_eq!(test.told(), ["x stale 10.0.0.2 10.0.0.7"]);
}
