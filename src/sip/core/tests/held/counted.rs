//! Requests that are held for pools that count: each counts at the backend that has it now.

use super::*;
use crate::sip::balance::{Detail, LoadCap};
use crate::sip::core::counted::FAILED_SECONDS;
use crate::sip::core::tests::counted::{BACKENDS, later, place, under_way};

/// Nothing but one at the backend that got this.
fn only_at(sent: &Sent) -> [u32; 3] {
    BACKENDS.map(|backend| u32::from(backend == sent.to))
}

fn fails(world: &mut World, sent: &Sent) -> Sent {
    let failure = respond(&sent.text, "503 Service Unavailable", "b1");
    world.absorbed(&failure, &sent.to).remove(0)
}

/// `kamailio:10`, where each backend may have so many calls.
fn calls(tries: u8, max_loads: [u32; 3]) -> World {
    let mut parts = held_parts("first", tries);
    let member = |uri: &'static str| Member { identity: uri.as_bytes(), weight: 1, rweight: 0 };
    let details = max_loads.map(|max_load| Detail { max_load, ..Detail::default() });
    let spec = Spec::parse("kamailio:10").expect("a balance");
    let balance = Balance::compile_detailed(&spec, &BACKENDS.map(member), &details, 1);
    parts.pools[0].balance = Arc::new(balance.expect("compiles"));
    World::new(parts)
}

/// Another call.
fn other(method: &str, number: u32) -> String {
    request(method, BOB, "")
        .replace("phone1", &format!("other{number}"))
        .replace("call-1@", &format!("other-{number}@"))
}

#[test]
fn a_cap_moves_the_first_attempt_and_a_failure_goes_on() {
    let mut parts = held_parts("rendezvous", 3);
    parts.pools[0].key = KeySource::To;
    parts.pools[0].load_cap = Some(LoadCap::of_thousandths(1_250));
    let mut world = World::new(parts);
    let own = world.invite();
    let sent: Vec<Sent> =
        (0..12).map(|number| world.send(&other("INVITE", number), PHONE, 0)).collect();
    let (number, moved) =
        (0..).zip(&sent).find(|(_, sent)| sent.to != own.to).expect("the cap acts");
    assert!(under_way(&mut world).iter().all(|count| *count <= 6), "1.25 times 13 / 3, rounded up");
    // A copy follows its first, whatever the load is now.
    assert_eq!(world.send(&other("INVITE", number), PHONE, 0), *moved);
    let before = under_way(&mut world);
    let next = fails(&mut world, moved);
    assert_ne!(next.to, moved.to);
    let after = under_way(&mut world);
    let mut expected = before;
    expected[place(&next)] += 1;
    assert_eq!(after, expected, "it counts there, and the failure counts on");
}

#[test]
fn the_count_goes_with_the_request() {
    // Who has failed a request has it counted for a while yet; a call he has not.
    let worlds = [(World::new(held_parts("least-load", 3)), true), (calls(3, [9; 3]), false)];
    for (mut world, stays) in worlds {
        let at = |here: &Sent, failed: &[&Sent]| {
            let failed = failed.iter().filter(|_| stays).copied();
            let all = failed.chain([here]).map(only_at);
            all.fold([0; 3], |sum, one| [0, 1, 2].map(|backend| sum[backend] + one[backend]))
        };
        let first = world.invite();
        assert_eq!(under_way(&mut world), only_at(&first));
        let second = fails(&mut world, &first);
        assert_eq!(under_way(&mut world), at(&second, &[&first]));
        // A copy, a provisional answer and the failure once more change nothing.
        world.invite();
        world.absorbed(&respond(&first.text, "503 Service Unavailable", "b1"), &first.to);
        assert_eq!(under_way(&mut world), at(&second, &[&first]));
        let third = one(world.until(2));
        let all = at(&third, &[&first, &second]);
        assert_eq!(under_way(&mut world), all, "the silent one was given up");
        world.reaches_caller(&third, "180 Ringing");
        world.reaches_caller(&third, "486 Busy Here");
        let failed = [0, 1, 2].map(|backend| all[backend] - only_at(&third)[backend]);
        assert_eq!(under_way(&mut world), failed);
        world.until(120);
        assert_eq!((under_way(&mut world), world.held()), ([0; 3], 0));
    }
}

#[test]
fn a_dead_backend_gives_its_count_up() {
    let mut world = World::new(held_parts("least-load", 2));
    let first = world.invite();
    let mut parts = held_parts("least-load", 2);
    parts.pools[0] = world.core.table().pools[0].clone();
    let dead = (0..).zip(BACKENDS).find(|(_, backend)| *backend == first.to).expect("of three").0;
    parts.pools[0].usable.remove(dead);
    parts.pools[0].down.insert(dead);
    world.core.install(Arc::new(Table::new(parts)));
    let next = one(world.absorbed(&request("INVITE", BOB, ""), PHONE));
    // It is not tried again, whatever it counts for yet.
    assert_eq!(under_way(&mut world)[place(&next)], 1);
    later(&mut world, u64::from(FAILED_SECONDS) + 4);
    assert_eq!(under_way(&mut world), only_at(&next));
}

#[test]
fn the_next_candidate_is_the_one_that_has_less_to_do() {
    let mut world = World::new(held_parts("least-load", 2));
    // Two get much to do: what is to be tried next is the idle one, or, when that failed, one of these.
    for number in 1_000..1_400 {
        let sent = world.send(&other("MESSAGE", number), PHONE, 0);
        if sent.to == BACKENDS[2] {
            world.send(&respond(&sent.text, "200 OK", "b1"), &sent.to, 0);
        }
    }
    let before = under_way(&mut world);
    assert!(before[0] > 30 && before[1] > 30 && before[2] == 0, "{before:?}");
    for number in 1..=20 {
        let first = world.send(&other("INVITE", number), PHONE, 0);
        let next = fails(&mut world, &first);
        assert_eq!(next.to == BACKENDS[2], first.to != BACKENDS[2], "{}", first.to);
        world.reaches_caller(&next, "486 Busy Here");
        // Only the failure counts on.
        assert_eq!(under_way(&mut world).iter().sum::<u32>(), before.iter().sum::<u32>() + number);
    }
}

#[test]
fn a_late_success_counts_where_the_call_is() {
    for (mut world, stays) in [(World::new(held_parts("least-load", 2)), 0), (calls(2, [9; 3]), 1)]
    {
        let first = world.invite();
        let next = one(world.until(2));
        assert_eq!(under_way(&mut world)[place(&next)], 1);
        world.reaches_caller(&first, "200 OK");
        // A call, or the silence that counts on for a while.
        assert_eq!(under_way(&mut world), only_at(&first));
        world.reaches_caller(&first, "200 OK");
        world.until(120);
        let expected = only_at(&first).map(|count| count * stays);
        assert_eq!(under_way(&mut world), expected);
        // Whoever says it once more when the call is over begins no other.
        let bye = request("BYE", BOB, "")
            .replace("To: <sip:bob@example.com>", "To: <sip:bob@example.com>;tag=b1");
        world.send(&bye, PHONE, 0);
        world.reaches_caller(&first, "200 OK");
        assert_eq!(under_way(&mut world), [0; 3]);
    }
}

#[test]
fn our_own_answer_ends_the_count() {
    for mut world in [World::new(held_parts("least-load", 2)), calls(2, [9; 3])] {
        let first = world.invite();
        world.reaches_caller(&first, "100 Trying");
        fails(&mut world, &first);
        world.until(32);
        assert_eq!((world.counts().answered, under_way(&mut world)), (1, [0; 3]));
        // Another call with the same Call-ID is another matter for what is said again.
        let second =
            request("INVITE", BOB, "").replace("phone1", "phone2").replace("CSeq: 1", "CSeq: 2");
        let sent = world.send(&second, PHONE, 0);
        world.until(34);
        later(&mut world, u64::from(FAILED_SECONDS) + 4);
        assert_eq!(under_way(&mut world).iter().sum::<u32>(), 1, "{}", sent.to);
    }
}

#[test]
fn a_success_after_our_own_answer_is_a_call() {
    let mut world = calls(2, [9; 3]);
    let first = world.invite();
    world.reaches_caller(&first, "100 Trying");
    let next = fails(&mut world, &first);
    world.until(32);
    assert_eq!(under_way(&mut world), [0; 3]);
    world.reaches_caller(&next, "200 OK");
    assert_eq!(under_way(&mut world), only_at(&next));
}

#[test]
fn who_is_full_is_no_candidate() {
    let mut world = calls(3, [9, 1, 1]);
    // Each call goes to the fewest, in the order of the file.
    let sent: Vec<Sent> = (0..3).map(|n| world.send(&other("INVITE", n), PHONE, 0)).collect();
    assert_eq!(sent.iter().map(|sent| sent.to.as_str()).collect::<Vec<_>>(), BACKENDS);
    let invite = world.invite();
    assert_eq!(invite.to, BACKENDS[0]);
    world.reaches_caller(&invite, "503 Service Unavailable");
    assert_eq!(under_way(&mut world), [1, 1, 1]);
    // One has room again.
    world.reaches_caller(&sent[1], "486 Busy Here");
    let invite = world.send(&other("INVITE", 7), PHONE, 0);
    assert_eq!(invite.to, BACKENDS[1]);
    world.reaches_caller(&invite, "200 OK");
    assert_eq!(under_way(&mut world), [1, 1, 1]);
}

#[test]
fn what_is_no_call_fails_over_uncounted() {
    let mut world = calls(2, [9; 3]);
    let first = world.send(&request("MESSAGE", BOB, ""), PHONE, 0);
    let next = fails(&mut world, &first);
    assert_eq!((first.to.as_str(), next.to.as_str()), (BACKENDS[0], BACKENDS[1]));
    assert_eq!(under_way(&mut world), [0; 3]);
}

#[test]
fn what_finds_no_room_counts_as_without_failover() {
    let mut parts = held_parts("least-load", 2);
    parts.limits.held_bytes_max = 10;
    let mut world = World::new(parts);
    let sent = world.invite();
    assert_eq!(under_way(&mut world), only_at(&sent));
    world.reaches_caller(&sent, "486 Busy Here");
    assert_eq!((under_way(&mut world), world.counts().refused), ([0; 3], 1));
}
