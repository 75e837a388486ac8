//! Records that change, and a server that goes and comes.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use sipedge::control::resolve::{Names, Settings, State};

use crate::asker::{Asker, failure, hasty, is_stale, lines, name};
use crate::server::{PATIENCE, Server};

#[test]
#[expect(clippy::disallowed_methods, reason = "compares with the time that the zone says")]
fn an_answer_holds_as_long_as_its_ttl_says() {
    let Some(mut server) = Server::start("pool 4 A 127.0.0.1") else { return };
    let settings = Settings {
        servers: vec![server.address()],
        ttl_min: Duration::from_millis(50),
        ..Settings::default()
    };
    let asker = Asker::start(&name("sip:pool.sip.test:5060"), &settings);
    assert_eq!(lines(&asker.next()), ["0 127.0.0.1:5060 65536"]);
    let known = Instant::now();
    server.change("pool 4 A 127.0.0.2");
    assert_eq!(lines(&asker.next()), ["0 127.0.0.2:5060 65536"]);
    // Asked again when nine tenths of four seconds have passed, and not before.
    let took = known.elapsed();
    assert!(took > Duration::from_secs(2), "{took:?}");
    assert_eq!(asker.names().counts().answered.load(Ordering::Relaxed), 2);
}

#[test]
fn changes_are_told_and_answers_without_change_are_not() {
    let Some(mut server) = Server::start("pool A 127.0.0.1\n pool A 127.0.0.2") else { return };
    let asker = Asker::start(&name("sip:pool.sip.test"), &hasty(&[server.address()]));
    assert_eq!(lines(&asker.next()).len(), 2);
    server.change("pool A 127.0.0.2\n pool A 127.0.0.1\n other A 127.0.0.9");
    server.change("pool A 127.0.0.2");
    assert_eq!(lines(&asker.next()), ["0 127.0.0.2:5060 65536"], "the order is no change");
    server.change("_sip._udp.pool SRV 1 1 5070 a\n a A 127.0.0.3\n pool A 127.0.0.2");
    let outcome = asker.until(|outcome| outcome.found[0].address.port() == 5070);
    assert_eq!(lines(&outcome), ["1 127.0.0.3:5070 65536"], "SRV records go before");
    assert_eq!(outcome.state, State::Fresh);
}

#[test]
fn a_dead_server_leaves_the_last_answer_and_is_asked_until_it_is_back() {
    let Some(mut server) = Server::start("pool A 127.0.0.1") else { return };
    let asker = Asker::start(&name("sip:pool.sip.test"), &hasty(&[server.address()]));
    assert_eq!(lines(&asker.next()), ["0 127.0.0.1:5060 65536"]);
    server.kill();
    let outcome = asker.next();
    assert!(is_stale(&outcome), "{outcome:?}");
    assert_eq!(lines(&outcome), ["0 127.0.0.1:5060 65536"]);
    assert!(asker.names().counts().failed.load(Ordering::Relaxed) > 0);
    server.change("pool A 127.0.0.2");
    server.run();
    let outcome = asker.until(|outcome| outcome.state == State::Fresh);
    assert_eq!(lines(&outcome), ["0 127.0.0.2:5060 65536"]);
}

#[test]
fn an_old_answer_is_given_up_in_the_end() {
    let Some(mut server) = Server::start("pool A 127.0.0.1") else { return };
    let stale_max = Duration::from_millis(300);
    let settings = Settings { stale_max, ..hasty(&[server.address()]) };
    let asker = Asker::start(&name("sip:pool.sip.test:5060"), &settings);
    assert_eq!(lines(&asker.next()).len(), 1);
    server.kill();
    let outcome = asker.until(|outcome| outcome.found.is_empty());
    assert!(!failure(&outcome).is_empty());
    server.run();
    assert_eq!(lines(&asker.until(|outcome| outcome.state == State::Fresh)).len(), 1);
}

#[test]
fn a_server_that_is_away_at_the_start_is_no_end() {
    let Some(mut server) = Server::start("pool A 127.0.0.1") else { return };
    server.kill();
    let asker = Asker::start(&name("sip:pool.sip.test"), &hasty(&[server.address()]));
    assert!(!failure(&asker.next()).is_empty());
    server.run();
    assert_eq!(lines(&asker.until(|outcome| outcome.state == State::Fresh)).len(), 1);
}

#[test]
fn a_name_that_vanishes_keeps_its_addresses_and_one_that_appears_is_found() {
    let Some(mut server) = Server::start("pool A 127.0.0.1") else { return };
    let asker = Asker::start(&name("sip:pool.sip.test"), &hasty(&[server.address()]));
    assert_eq!(lines(&asker.next()).len(), 1);
    server.change("other A 127.0.0.2");
    let outcome = asker.next();
    assert!(is_stale(&outcome), "{outcome:?}");
    assert_eq!(lines(&outcome), ["0 127.0.0.1:5060 65536"]);
    let other = Asker::start(&name("sip:new.sip.test"), &hasty(&[server.address()]));
    assert!(!failure(&other.next()).is_empty());
    server.change("new A 127.0.0.3");
    assert_eq!(lines(&other.next()), ["0 127.0.0.3:5060 65536"]);
}

#[test]
fn a_reload_asks_for_what_is_new_and_forgets_what_is_gone() {
    let Some(mut server) = Server::start("a A 127.0.0.1\n b A 127.0.0.2\n c A 127.0.0.3") else {
        return;
    };
    let [a, b, c] = ["a", "b", "c"].map(|host| name(&format!("sip:{host}.sip.test:5060")));
    let (sender, told) = channel();
    let tell = Box::new(move |resolution| drop(sender.send(resolution)));
    let settings = hasty(&[server.address()]);
    let names =
        Names::start([a.clone(), b.clone()].into(), settings.clone(), tell).expect("a thread");
    let next = || told.recv_timeout(PATIENCE).expect("told in time").name;
    assert_eq!(BTreeSet::from([next(), next()]), BTreeSet::from([a, b.clone()]));
    names.ask([b.clone(), c.clone()].into(), settings);
    assert_eq!(next(), c);
    // `a` changes, too, and nobody is told.
    server.change("a A 127.0.0.9\n b A 127.0.0.9\n c A 127.0.0.9");
    assert_eq!(BTreeSet::from([next(), next()]), BTreeSet::from([b, c]));
    drop(names);
    assert!(told.recv_timeout(PATIENCE).is_err(), "the thread ends");
}

#[test]
fn all_nodes_read_a_zone_alike() {
    let mut records = String::new();
    for host in 0..20 {
        records += &format!("_sip._udp.pool SRV {} {} 5060 h{host}\n", host % 3, host % 5);
        records += &format!("h{host} A 127.0.1.{host}\nh{host} A 127.0.2.{host}\n");
    }
    let Some(server) = Server::start(&records) else { return };
    let settings = hasty(&[server.address()]);
    let nodes: Vec<_> =
        (0..3).map(|_| Asker::start(&name("sip:pool.sip.test"), &settings).next()).collect();
    assert_eq!(nodes[0].found.len(), 40);
    assert!(nodes.iter().all(|node| *node == nodes[0]));
}
