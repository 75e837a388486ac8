//! Pools that look at what is under way: what counts, and when it ends.

use super::*;

const BACKENDS: [&str; 3] = ["10.0.0.1:5060", "10.0.0.2:5060", "10.0.0.3:5060"];

/// A request of its own transaction and call.
fn numbered(method: &str, number: u32) -> String {
    request(method, "sip:bob@example.com", "")
        .replace("phone1", &format!("phone{number}"))
        .replace("call-1@", &format!("call-{number}@"))
}

fn under_way(world: &mut World) -> [u32; 3] {
    let now = world.now;
    [0, 1, 2].map(|backend| world.core.requests_under_way(BackendRef { pool: 0, backend }, now))
}

fn place(sent: &Sent) -> usize {
    BACKENDS.iter().position(|backend| *backend == sent.to).expect("a backend")
}

fn later(world: &mut World, seconds: u64) {
    world.now = world.now.plus_seconds(seconds);
}

#[test]
fn a_transaction_counts_once_until_its_final_response() {
    let mut world = World::new(parts("least-load"));
    let invite = numbered("INVITE", 1);
    let sent = world.send(&invite, PHONE, 0);
    let mut one = [0; 3];
    one[place(&sent)] = 1;
    assert_eq!(under_way(&mut world), one);
    // Its retransmission, its CANCEL and a provisional answer change nothing.
    assert_eq!(world.send(&invite, PHONE, 0).to, sent.to);
    let ringing = respond(&sent.text, "180 Ringing", "b1");
    world.send(&ringing, &sent.to, 0);
    let cancel = numbered("CANCEL", 1);
    assert_eq!(world.send(&cancel, PHONE, 0).to, sent.to);
    assert_eq!(under_way(&mut world), one);
    // The final one ends it, once; whoever repeats the request is not counted again.
    let busy = respond(&sent.text, "486 Busy Here", "b1");
    world.send(&busy, &sent.to, 0);
    world.send(&busy, &sent.to, 0);
    assert_eq!(under_way(&mut world), [0; 3]);
    assert_eq!(world.send(&invite, PHONE, 0).to, sent.to);
    assert_eq!(under_way(&mut world), [0; 3]);
}

#[test]
fn the_ack_and_the_cancel_of_nobody_are_no_load() {
    let mut world = World::new(parts("least-load"));
    assert_eq!(
        world.refused(&numbered("CANCEL", 1)),
        "SIP/2.0 481 Call/Transaction Does Not Exist"
    );
    assert_eq!(under_way(&mut world), [0; 3]);
}

#[test]
fn what_has_less_to_do_gets_more() {
    let mut world = World::new(parts("least-load"));
    // Backend 0 never answers, the others do at once.
    for number in 0..60 {
        let sent = world.send(&numbered("OPTIONS", number), PHONE, 0);
        if sent.to != BACKENDS[0] {
            world.send(&respond(&sent.text, "200 OK", "b1"), &sent.to, 0);
        }
    }
    assert_eq!(under_way(&mut world), [1, 0, 0]);
    // It forgets what was never answered, so that it is tried again.
    later(&mut world, u64::from(REQUEST_SECONDS) + 4);
    assert_eq!(under_way(&mut world), [0; 3]);
    for number in 100..115 {
        world.send(&numbered("INVITE", number), PHONE, 0);
    }
    let level = under_way(&mut world);
    assert!(
        level.iter().sum::<u32>() == 15 && level.iter().all(|n| (4..=6).contains(n)),
        "{level:?}"
    );
    later(&mut world, u64::from(INVITE_SECONDS) + 4);
    assert_eq!(under_way(&mut world), [0; 3]);
}

#[test]
fn counts_survive_an_edit_of_the_pool_and_a_dead_backend_gives_its_up() {
    let mut world = World::new(parts("least-load"));
    let sent: Vec<Sent> =
        (0..3).map(|number| world.send(&numbered("INVITE", number), PHONE, 0)).collect();
    let before = under_way(&mut world);
    assert_eq!(before.iter().sum::<u32>(), 3);
    let mut edited = parts("least-load");
    let first = place(&sent[0]);
    let first_index = u16::try_from(first).expect("one of three");
    edited.pools[0].usable.remove(first_index);
    edited.pools[0].down.insert(first_index);
    world.core.install(Arc::new(Table::new(edited)));
    assert_eq!(under_way(&mut world), before);
    // Its unanswered INVITE goes to another, and counts there instead.
    let moved = world.send(&numbered("INVITE", 0), PHONE, 0);
    assert_ne!(moved.to, sent[0].to);
    let mut after = before;
    after[first] -= 1;
    after[place(&moved)] += 1;
    assert_eq!(under_way(&mut world), after);
}

#[test]
fn pools_that_are_always_looked_up_make_no_other_watch() {
    for (spec, keyed) in [("least-load", false), ("random", false), ("rendezvous", true)] {
        let old = Table::new(parts(spec));
        let mut edited = parts(spec);
        edited.pools[0].usable.remove(1);
        assert_eq!(Table::new(edited).picks_as(&old), !keyed, "{spec}");
        let mut dead = parts(spec);
        dead.pools[0].down.insert(1);
        assert!(!Table::new(dead).picks_as(&old), "{spec}: answers are looked up");
    }
}
