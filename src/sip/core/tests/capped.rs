//! Pools with a cap on the load of their backends: what is moved, and that the rest of its transaction follows.

use super::counted::{later, numbered, place, under_way};
use super::*;
use crate::sip::balance::LoadCap;

const BACKENDS: [&str; 3] = ["10.0.0.1:5060", "10.0.0.2:5060", "10.0.0.3:5060"];

/// One pool, in which everything has the one key.
fn capped() -> Parts {
    let mut parts = parts("rendezvous");
    parts.pools[0].key = KeySource::To;
    // So much that nothing gives way, whichever ids chance gives.
    parts.limits.transactions_max = 1_024;
    parts.pools[0].load_cap = Some(LoadCap::of_thousandths(1_250));
    parts
}

/// Sends so many INVITEs that nobody answers; where each went, and whether the cap moved it.
fn flood(world: &mut World, count: u32) -> Vec<(Sent, bool)> {
    let send = |number| {
        let sent = world.send(&numbered("INVITE", number), PHONE, 0);
        (sent, world.outbox.decision().is_capped)
    };
    (0..count).map(send).collect()
}

/// The first INVITE that the cap moved, with its number.
fn moved(sent: &[(Sent, bool)]) -> (u32, &Sent) {
    let place = sent.iter().position(|(_, is_capped)| *is_capped).expect("the cap acts");
    (u32::try_from(place).expect("few"), &sent[place].0)
}

#[test]
fn a_flood_of_one_key_stays_within_the_cap() {
    let mut world = World::new(capped());
    let sent = flood(&mut world, 30);
    let own = place(&sent[0].0);
    let mut level = under_way(&mut world);
    // 1.25 times 10, rounded up; what its own backend may not have goes to the next of its key, then to the last.
    assert_eq!((level[own], level.iter().sum::<u32>()), (13, 30));
    level.sort_unstable();
    assert_eq!(level, [4, 13, 13]);
    assert!(sent.iter().all(|(sent, is_capped)| *is_capped == (place(sent) != own)));
    // Answered, all have room again, and the key goes where it belongs.
    for (sent, _) in &sent {
        world.send(&respond(&sent.text, "486 Busy Here", "b1"), &sent.to, 0);
    }
    assert_eq!(under_way(&mut world), [0; 3]);
    assert_eq!(place(&world.send(&numbered("INVITE", 99), PHONE, 0)), own);
    assert!(!world.outbox.decision().is_capped);
}

#[test]
fn what_belongs_to_a_moved_request_follows_it() {
    let mut world = World::new(capped());
    let sent = flood(&mut world, 12);
    let level = under_way(&mut world);
    for (number, (sent, _)) in (0..).zip(&sent) {
        let again = world.send(&numbered("INVITE", number), PHONE, 0);
        assert_eq!(again, *sent, "a retransmission");
        assert_eq!(world.outbox.decision().cause, Cause::Transaction);
        assert!(!world.outbox.decision().is_capped);
        assert_eq!(world.send(&numbered("CANCEL", number), PHONE, 0).to, sent.to);
        let ack =
            numbered("ACK", number).replace("bob@example.com>\r\n", "bob@example.com>;tag=b1\r\n");
        assert_eq!(world.send(&ack, PHONE, 0).to, sent.to);
    }
    assert_eq!(under_way(&mut world), level, "none of it is load");
}

#[test]
fn what_begins_nothing_goes_where_its_key_belongs() {
    let mut world = World::new(capped());
    let sent = flood(&mut world, 12);
    let own = &sent[0].0.to;
    // Of INVITEs that nobody here has seen, and a request within a dialog that came without our token.
    for method in ["CANCEL", "ACK"] {
        assert_eq!(world.send(&numbered(method, 77), PHONE, 0).to, *own, "{method}");
    }
    let bye = numbered("BYE", 78).replace("bob@example.com>\r\n", "bob@example.com>;tag=b1\r\n");
    assert_eq!(world.send(&bye, PHONE, 0).to, *own);
    assert!(!world.outbox.decision().is_capped);
    let other = world.send(&numbered("OPTIONS", 79), PHONE, 0);
    assert!(other.to != *own && world.outbox.decision().is_capped, "a new request is moved");
}

#[test]
fn who_dies_gives_its_unanswered_away_within_the_cap() {
    let mut world = World::new(capped());
    let sent = flood(&mut world, 12);
    let (number, first) = moved(&sent);
    let dead = u16::try_from(place(first)).expect("one of three");
    let had = under_way(&mut world)[usize::from(dead)];
    let mut edited = capped();
    edited.pools[0].usable.remove(dead);
    edited.pools[0].down.insert(dead);
    world.core.install(Arc::new(Table::new(edited)));
    let again = world.send(&numbered("INVITE", number), PHONE, 0);
    assert_ne!(again.to, first.to);
    assert_eq!(world.send(&numbered("INVITE", number), PHONE, 0), again, "and stays there");
    assert_eq!(world.send(&numbered("CANCEL", number), PHONE, 0).to, again.to);
    let level = under_way(&mut world);
    assert_eq!((level[usize::from(dead)], level.iter().sum::<u32>()), (had - 1, 12));
    // Two are left, and the mean is theirs.
    for number in 100..120 {
        world.send(&numbered("INVITE", number), PHONE, 0);
    }
    let level = under_way(&mut world);
    let alive: Vec<u32> = (0..3).filter(|n| *n != usize::from(dead)).map(|n| level[n]).collect();
    let most = (alive.iter().sum::<u32>() * 5).div_ceil(8);
    assert!(alive.iter().all(|load| *load <= most), "{level:?}: at most {most}");
}

#[test]
fn a_cap_that_comes_or_goes_moves_nothing_that_is_under_way() {
    let free = || {
        let mut parts = capped();
        parts.pools[0].load_cap = None;
        parts
    };
    // Given without a cap, repeated under one.
    let mut world = World::new(free());
    let before = flood(&mut world, 12);
    assert!(before.iter().all(|(sent, is_capped)| sent.to == before[0].0.to && !is_capped));
    assert!(!Table::new(capped()).picks_as(world.core.table()));
    world.core.install(Arc::new(Table::new(capped())));
    let own = place(&before[0].0);
    let fresh: Vec<Sent> =
        (50..56).map(|number| world.send(&numbered("INVITE", number), PHONE, 0)).collect();
    assert!(fresh.iter().any(|sent| place(sent) != own), "what is new is counted and moved");
    for (number, (sent, _)) in (0..).zip(&before) {
        assert_eq!(world.send(&numbered("INVITE", number), PHONE, 0), *sent);
    }
    // And the other way round.
    world.core.install(Arc::new(Table::new(free())));
    for (number, sent) in (50..).zip(&fresh) {
        assert_eq!(world.send(&numbered("INVITE", number), PHONE, 0), *sent);
        assert_eq!(world.send(&numbered("CANCEL", number), PHONE, 0).to, sent.to);
    }
    assert_eq!(place(&world.send(&numbered("INVITE", 60), PHONE, 0)), own);
}

#[test]
fn what_is_never_answered_is_forgotten() {
    let mut world = World::new(capped());
    let own = place(&flood(&mut world, 12)[0].0);
    for number in 100..112 {
        world.send(&numbered("OPTIONS", number), PHONE, 0);
    }
    later(&mut world, u64::from(REQUEST_SECONDS) + 4);
    assert_eq!(under_way(&mut world).iter().sum::<u32>(), 12);
    later(&mut world, u64::from(INVITE_SECONDS));
    assert_eq!(under_way(&mut world), [0; 3]);
    assert_eq!(world.send(&numbered("INVITE", 200), PHONE, 0).to, BACKENDS[own]);
}
