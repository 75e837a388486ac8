//! A backend dies, is drained, leaves or comes back while transactions are under way.

use super::*;
use crate::sip::balance::Ramp;

const BACKENDS: [&str; 3] = ["10.0.0.1:5060", "10.0.0.2:5060", "10.0.0.3:5060"];

/// As control makes it: the balance is shared, states change.
fn next(world: &World, change: impl FnOnce(&mut Pool)) -> Arc<Table> {
    let mut next = parts("rendezvous");
    next.pools[0] = world.core.table().pools[0].clone();
    change(&mut next.pools[0]);
    Arc::new(Table::new(next))
}

fn place(backend: &str) -> u16 {
    let place = BACKENDS.iter().position(|b| *b == backend).expect("one of the three");
    u16::try_from(place).expect("of three")
}

impl World {
    fn change(&mut self, change: impl FnOnce(&mut Pool)) {
        let table = next(self, change);
        self.core.install(table);
    }

    fn dies(&mut self, backend: &str) {
        self.change(|pool| {
            pool.usable.remove(place(backend));
            pool.down.insert(place(backend));
        });
    }

    /// Where the request goes, and with which branch.
    fn way(&mut self, method: &str) -> (String, String) {
        let sent = self.send(&request(method, "sip:bob@example.com", ""), PHONE, 0);
        (sent.to, values(&sent.text, "Via")[0].to_owned())
    }
}

/// What becomes of an INVITE whose backend dies, and of its CANCEL, by the balance and by what came before the death.
fn check(balance: &str, before: impl Fn(&mut World, &Sent), stays: bool) {
    let mut world = World::new(parts(balance));
    let first = world.send(&request("INVITE", "sip:bob@example.com", ""), PHONE, 0);
    before(&mut world, &first);
    world.dies(&first.to);
    let (to, via) = world.way("INVITE");
    assert_eq!(to == first.to, stays, "{balance}: {} then {to}", first.to);
    assert_eq!(via, values(&first.text, "Via")[0], "the branch is the same everywhere");
    assert_eq!(world.way("INVITE"), (to.clone(), via.clone()), "{balance}: and there it stays");
    assert_eq!(world.way("CANCEL"), (to.clone(), via.clone()), "{balance}: its CANCEL follows");
    assert_eq!(world.way("ACK"), (to, via), "{balance}: so does the ACK of a failure");
}

#[test]
fn unanswered_invite_leaves_a_dead_backend() {
    let balances = ["rendezvous", "round-robin", "random", "first", "weight", "kamailio:0"];
    for balance in &balances[..if cfg!(miri) { 2 } else { 6 }] {
        check(balance, |_, _| {}, false);
        check(balance, |world, _| world.change(|_| {}), false);
    }
}

#[test]
fn answered_invite_stays_wherever_the_answer_was_noted() {
    let statuses = ["100 Trying", "180 Ringing", "200 OK", "486 Busy Here"];
    for status in &statuses[..if cfg!(miri) { 1 } else { 4 }] {
        let answer = |world: &mut World, sent: &Sent| {
            world.send(&respond(&sent.text, status, "b1"), &sent.to, 0);
        };
        for balance in ["rendezvous", "round-robin", "kamailio:0"] {
            check(balance, answer, true);
            // While it is looked up, because another member was drained before.
            let drains = |world: &mut World, sent: &Sent| {
                let other = BACKENDS.into_iter().find(|b| *b != sent.to).expect("of three");
                world.change(|pool| {
                    pool.usable.remove(place(other));
                });
            };
            check(balance, |world, sent| (drains(world, sent), answer(world, sent)).1, true);
            check(balance, |world, sent| (answer(world, sent), drains(world, sent)).1, true);
        }
    }
}

/// As FreeSWITCH answers: of all Vias the top one only.
pub(super) fn terse(received: &str) -> String {
    let whole = respond(received, "100 Trying", "");
    let top = values(&whole, "Via")[0].to_owned();
    let others = whole.split_inclusive("\r\n").filter(|line| !line.starts_with("Via:"));
    let others: Vec<&str> = others.collect();
    format!("{}Via: {top}\r\n{}", others[0], others[1..].concat())
}

#[test]
fn a_100_with_one_via_is_an_answer_when_a_backend_sends_it() {
    for (stays, from) in [(true, None), (false, Some("198.51.100.66:5060"))] {
        let answer = |world: &mut World, sent: &Sent| {
            let verdict = world.verdict(&terse(&sent.text), from.unwrap_or(&sent.to), 0);
            assert_eq!(verdict, Verdict::Absorb);
            assert_eq!(world.outbox.transmit(), None);
        };
        for balance in ["rendezvous", "round-robin"] {
            check(balance, answer, stays);
        }
    }
    let mut world = World::new(parts("rendezvous"));
    let sent = world.send(&request("INVITE", "sip:bob@example.com", ""), PHONE, 0);
    let ringing = terse(&sent.text).replace("100 Trying", "180 Ringing");
    let unknown = terse(&sent.text).replace("z9hG4bK~e~AB", "z9hG4bK~e~AC");
    for text in [ringing, unknown] {
        let dropped = Verdict::Drop(DropReason::ResponseViaLast);
        assert_eq!(world.verdict(&text, &sent.to, 0), dropped, "{text}");
    }
}

#[test]
fn answer_to_another_method_is_none_to_the_invite() {
    let cancelled = |world: &mut World, _: &Sent| {
        let cancel = world.send(&request("CANCEL", "sip:bob@example.com", ""), PHONE, 0);
        world.send(&respond(&cancel.text, "200 OK", "b1"), &cancel.to, 0);
    };
    check("rendezvous", cancelled, false);
}

#[test]
fn cancel_does_not_move_before_its_invite_does() {
    let mut world = World::new(parts("rendezvous"));
    let (first, _) = world.way("INVITE");
    world.dies(&first);
    assert_eq!(world.way("CANCEL").0, first);
    assert_ne!(world.way("INVITE").0, first);
}

#[test]
fn next_candidate_is_the_one_that_everybody_picks() {
    let mut world = World::new(parts("rendezvous"));
    let (first, _) = world.way("INVITE");
    let order = {
        let decision = world.outbox.decision().key;
        let pool = &world.core.table().pools[0];
        pool.candidates(decision, world.core.rotation(0).expect("one for each pool"))
    };
    world.dies(&first);
    let second = BACKENDS[usize::from(order[1].backend)];
    assert_eq!(world.way("INVITE").0, second);
    let mut other_node = World::new(parts("rendezvous"));
    other_node.dies(&first);
    assert_eq!(other_node.way("INVITE"), world.way("INVITE"));
    // It dies too; and with nobody left the call stays where it is.
    world.dies(second);
    let third = BACKENDS[usize::from(order[2].backend)];
    assert_eq!(world.way("INVITE").0, third);
    world.dies(third);
    assert_eq!(world.way("INVITE").0, third);
}

#[test]
fn drained_backend_keeps_what_it_has_and_gets_nothing_new() {
    let mut world = World::new(parts("rendezvous"));
    let before = world.way("INVITE");
    world.change(|pool| {
        pool.usable.remove(place(&before.0));
    });
    assert_eq!(world.way("INVITE"), before);
    for call in 2..if cfg!(miri) { 5 } else { 40 } {
        let other =
            request("INVITE", "sip:bob@example.com", "").replace("call-1", &format!("call-{call}"));
        assert_ne!(world.send(&other, PHONE, 0).to, before.0);
    }
}

#[test]
fn dialog_goes_to_its_backend_dead_or_leaving() {
    let mut world = World::new(parts("rendezvous"));
    let invite = world.send(&request("INVITE", "sip:bob@example.com", ""), PHONE, 0);
    let bye = in_dialog(&invite.text, "BYE", true, "sip:bob@10.0.0.9:5060");
    world.dies(&invite.to);
    assert_eq!(world.send(&bye, PHONE, 0).to, invite.to);
}

#[test]
fn leaving_backend_is_known_and_never_picked() {
    let balances =
        ["rendezvous", "kamailio:9", "round-robin", "random", "first", "weight", "kamailio:11"];
    let (balances, calls) = if cfg!(miri) { (&balances[..2], 6) } else { (&balances[..], 60) };
    for balance in balances {
        let mut leaving = parts(balance);
        let gone = Backend::new("sip:10.0.0.9".into(), address("10.0.0.9:5060"));
        leaving.pools[0].backends.push(gone);
        // Whatever it is said to be.
        leaving.pools[0].usable = BackendSet::full(4);
        let mut world = World::new(leaving);
        for call in 0..calls {
            let text = request("OPTIONS", "sip:bob@example.com", "")
                .replace("call-1", &format!("call-{call}"));
            assert_ne!(world.send(&text, PHONE, 0).to, "10.0.0.9:5060", "{balance}");
        }
    }
    let mut world = World::new(parts("rendezvous"));
    let before = world.send(&request("INVITE", "sip:bob@example.com", ""), PHONE, 0);
    let mut leaving = parts("rendezvous");
    let rest: Vec<&str> = BACKENDS.into_iter().filter(|b| *b != before.to).collect();
    let gone = Backend::new(format!("sip:{}", before.to), address(&before.to));
    leaving.pools = vec![pool("p", "rendezvous", &rest)];
    leaving.pools[0].backends.push(gone);
    world.core.install(Arc::new(Table::new(leaving)));
    let again = world.send(&request("INVITE", "sip:bob@example.com", ""), PHONE, 0);
    assert_eq!(again, before, "what it has stays there");
    let out = request("INVITE", "sip:carol@198.51.100.9:5070", "").replace("call-1", "call-2");
    assert_eq!(world.send(&out, &before.to, 0).to, "198.51.100.9:5070", "and it may still call");
}

#[test]
fn ramp_takes_its_part_and_refuses_nobody() {
    let mut world = World::new(parts("rendezvous"));
    let (first, _) = world.way("MESSAGE");
    let ramps = |shares: [Option<u16>; 3]| {
        move |pool: &mut Pool| {
            let of = |(backend, share): (u16, Option<u16>)| Some(Ramp { backend, share: share? });
            pool.ramp = (0..).zip(shares).filter_map(of).collect();
        }
    };
    let mut shares = [None; 3];
    shares[usize::from(place(&first))] = Some(0);
    world.change(ramps(shares));
    assert_eq!(world.way("MESSAGE").0, first, "what it has stays there");
    let mut new_node = World::new(parts("rendezvous"));
    new_node.change(ramps(shares));
    assert_ne!(new_node.way("MESSAGE").0, first, "a new key goes elsewhere");
    new_node.change(ramps([Some(0); 3]));
    let other = request("MESSAGE", "sip:b@e", "").replace("call-1", "call-2");
    assert!(new_node.send(&other, PHONE, 0).to.starts_with("10.0.0."), "nobody takes it: one does");
}

#[test]
fn equal_table_costs_nothing() {
    let is_watching = |change: fn(&mut Parts), old: &mut World| {
        let mut next = parts("rendezvous");
        next.pools[0] = old.core.table().pools[0].clone();
        change(&mut next);
        old.core.install(Arc::new(Table::new(next)));
        old.core.transactions.is_watching(old.now)
    };
    let unseen: [fn(&mut Parts); 4] = [
        |_| {},
        |parts| parts.pools[0].meter = 7,
        |parts| parts.pools[0].backends[0].hop = HopId(7),
        |parts| parts.limits.retry_after_seconds = 9,
    ];
    for change in unseen {
        assert!(!is_watching(change, &mut World::new(parts("rendezvous"))));
    }
    let seen: [fn(&mut Parts); 9] = [
        |parts| {
            parts.pools[0].usable.remove(1);
        },
        |parts| {
            parts.pools[0].down.insert(1);
        },
        |parts| parts.pools[0].ramp.push(Ramp { backend: 1, share: 1 }),
        |parts| parts.pools[0].key = KeySource::From,
        |parts| parts.pools[0].backends[1].address = address("10.0.0.7:5060"),
        |parts| parts.pools[0].balance = pool("p", "rendezvous", &BACKENDS).balance,
        |parts| parts.rules.insert(0, rule(Action::Reply(403))),
        |parts| parts.keys.insert(0, Key { id: 2, secret: [8; 32] }),
        |parts| parts.pools.push(pool("q", "first", &BACKENDS)),
    ];
    for (place, change) in seen.into_iter().enumerate() {
        assert!(is_watching(change, &mut World::new(parts("rendezvous"))), "{place}");
    }
}

#[test]
fn round_goes_on_when_states_change() {
    let mut world = World::new(parts("round-robin"));
    let to = |world: &mut World, call: u8| {
        let text = request("OPTIONS", "sip:bob@example.com", "");
        world.send(&text.replace("call-1", &format!("call-{call}")), PHONE, 0).to
    };
    assert_eq!(to(&mut world, 0), BACKENDS[0]);
    world.change(|pool| {
        pool.usable.remove(2);
    });
    assert_eq!(to(&mut world, 1), BACKENDS[1]);
}
