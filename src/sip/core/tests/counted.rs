//! Pools that look at what is under way: what counts, and when it ends.

use super::*;
use crate::sip::balance::{Detail, Part};
use crate::sip::core::counted::FAILED_SECONDS;

pub(super) const BACKENDS: [&str; 3] = ["10.0.0.1:5060", "10.0.0.2:5060", "10.0.0.3:5060"];

/// A request of its own transaction and call.
pub(super) fn numbered(method: &str, number: u32) -> String {
    request(method, "sip:bob@example.com", "")
        .replace("phone1", &format!("phone{number}"))
        .replace("call-1@", &format!("call-{number}@"))
}

pub(super) fn under_way(world: &mut World) -> [u32; 3] {
    let now = world.now;
    [0, 1, 2].map(|backend| world.core.load(BackendRef { pool: 0, backend }, now))
}

pub(super) fn place(sent: &Sent) -> usize {
    BACKENDS.iter().position(|backend| *backend == sent.to).expect("a backend")
}

pub(super) fn later(world: &mut World, seconds: u64) {
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
fn who_fails_everything_at_once_does_not_get_all() {
    for code in ["503 Service Unavailable", "408 Request Timeout", "500 Server Internal Error"] {
        let mut parts = parts("least-load");
        parts.limits.transactions_max = 1_024;
        let mut world = World::new(parts);
        let mut slow = std::collections::VecDeque::new();
        let mut failed = 0;
        for number in 0..300 {
            let sent = world.send(&numbered("INVITE", number), PHONE, 0);
            if sent.to == BACKENDS[0] {
                failed += 1;
                world.send(&respond(&sent.text, code, "b1"), &sent.to, 0);
                continue;
            }
            // The others take their time, and do it.
            slow.push_back(sent);
            if slow.len() > 20
                && let Some(done) = slow.pop_front()
            {
                world.send(&respond(&done.text, "200 OK", "b1"), &done.to, 0);
            }
        }
        assert!((5..60).contains(&failed), "{failed} of 300, {code} {:?}", under_way(&mut world));
        assert_eq!(under_way(&mut world)[0], failed);
        // It gets its part again when it has not failed for a while.
        later(&mut world, u64::from(FAILED_SECONDS) + 4);
        assert_eq!(under_way(&mut world)[0], 0);
    }
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

/// A pool whose backends may have two calls, two and one.
fn call_parts() -> Parts {
    let mut parts = parts("first");
    let member = |uri: &'static str| Member { identity: uri.as_bytes(), weight: 1, rweight: 0 };
    let details = [2, 2, 1].map(|max_load| Detail { max_load, ..Detail::default() });
    let spec = Spec::parse("kamailio:10").expect("a balance");
    let balance = Balance::compile_detailed(&spec, &BACKENDS.map(member), &details, 1);
    parts.pools[0].balance = Arc::new(balance.expect("compiles"));
    parts
}

#[test]
fn calls_go_where_fewest_are_until_all_are_full() {
    let mut world = World::new(call_parts());
    let sent: Vec<Sent> =
        (0..5).map(|number| world.send(&numbered("INVITE", number), PHONE, 0)).collect();
    assert_eq!(sent.iter().map(place).collect::<Vec<_>>(), [0, 1, 2, 0, 1]);
    assert_eq!(world.refused(&numbered("INVITE", 5)), "SIP/2.0 503 Service Unavailable");
    // A retransmission is known, and what is no INVITE goes to the first.
    assert_eq!(place(&world.send(&numbered("INVITE", 4), PHONE, 0)), 1);
    assert_eq!(place(&world.send(&numbered("MESSAGE", 6), PHONE, 0)), 0);
    assert_eq!(under_way(&mut world), [2, 2, 1]);
    // A failure gives its place away, a success does not.
    world.send(&respond(&sent[2].text, "486 Busy Here", "b1"), BACKENDS[2], 0);
    world.send(&respond(&sent[1].text, "200 OK", "b1"), BACKENDS[1], 0);
    assert_eq!(under_way(&mut world), [2, 2, 0]);
    assert_eq!(place(&world.send(&numbered("INVITE", 7), PHONE, 0)), 2);
    later(&mut world, 7_400);
    assert_eq!(under_way(&mut world), [0; 3]);
}

#[test]
fn a_bye_ends_its_call_and_a_cancel_one_that_is_not_answered() {
    let mut world = World::new(call_parts());
    let sent = world.send(&numbered("INVITE", 1), PHONE, 0);
    let answer = world.send(&respond(&sent.text, "200 OK", "b1"), &sent.to, 0);
    world.send(&numbered("CANCEL", 1), PHONE, 0);
    assert_eq!(under_way(&mut world), [1, 0, 0], "it was answered");
    let bye = |uri: &str, route: &str| {
        numbered("BYE", 1).replace("phone1", "bye").replace("sip:bob@example.com SIP", uri).replace(
            "To: <sip:bob@example.com>\r\n",
            &format!("To: <sip:bob@example.com>;tag=b1\r\n{route}"),
        )
    };
    let route = answer.text.lines().find_map(|line| line.strip_prefix("Record-Route: "));
    let route = format!("Route: {}\r\n", route.expect("we stay in the path"));
    // One along a token that nobody sealed is not sent on, and ends nothing.
    let at = route.find('@').expect("user and host");
    let other = if route.as_bytes()[at - 3] == b'A' { "B" } else { "A" };
    let forged = format!("{}{other}{}", &route[..at - 3], &route[at - 2..]);
    let forged = bye("sip:bob@10.0.0.1 SIP", &forged);
    assert_ne!(world.verdict(&forged, PHONE, 0), Verdict::Forward);
    assert_eq!(under_way(&mut world), [1, 0, 0]);
    assert_eq!(world.send(&bye("sip:bob@10.0.0.1 SIP", &route), PHONE, 0).to, sent.to);
    assert_eq!(under_way(&mut world), [0; 3]);
    world.send(&numbered("INVITE", 2), PHONE, 0);
    assert_eq!(under_way(&mut world), [1, 0, 0]);
    world.send(&numbered("CANCEL", 2), PHONE, 0);
    assert_eq!(under_way(&mut world), [0; 3]);
    assert_eq!(world.core.calls_uncounted(), 0);
}

#[test]
fn shards_divide_what_a_backend_may_have() {
    for (bound, shards, expected) in [(10, 3, [4, 3, 3]), (2, 3, [1, 1, 1]), (6, 3, [2, 2, 2])] {
        assert_eq!([0, 1, 2].map(|shard| Part { shard, shards }.of(bound)), expected);
    }
    let parts = Parts { shards: 2, ..call_parts() };
    let core = Core::new(Arc::new(Table::new(parts)), 1, 1);
    let mut world = World { core, outbox: Outbox::new(), now: Now(1_000_000) };
    let places: Vec<usize> =
        (0..3).map(|n| place(&world.send(&numbered("INVITE", n), PHONE, 0))).collect();
    assert_eq!(places, [0, 1, 2]);
    assert_eq!(world.refused(&numbered("INVITE", 3)), "SIP/2.0 503 Service Unavailable");
}
