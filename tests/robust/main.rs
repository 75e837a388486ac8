//! Random abuse of the core: valid messages and our own output, cut up and put together again, from seeds.
//!
//! Owns: the promises that must hold for any bytes (see `promises.rs`). Every run does the same; a failure prints the
//! seed and the message.

mod mutate;
mod promises;
mod random;
mod seeds;
mod world;

use random::Random;
use world::{Input, World};

const ROUNDS: u64 = 8_000;

/// One world, many messages: what comes out feeds what goes in.
fn abuse(seed: u64, mut world: World) -> World {
    let mut random = Random::new(seed);
    for round in 0..ROUNDS {
        let is_held = world.core.held().is_some();
        if round % 1_000 == 999 {
            world.turn_keys();
        }
        if round % 300 == 299 && is_held {
            world.turn_health(&mut random);
        }
        let mut input = match is_held {
            true => world.choose_held(&mut random, round),
            false => world.choose(&mut random),
        };
        let strokes = random.below(if is_held { 3 } else { 4 });
        for _ in 0..strokes {
            mutate::stroke(&mut random, &mut input.bytes, &world.pieces);
        }
        world.step(&mut random, &input);
    }
    world.must_have_seen_everything();
    world
}

#[test]
fn one_listener_one_pool() {
    abuse(0x5ee_d001, World::new(world::plain()));
}

#[test]
fn two_families_rules_and_a_sending_listener() {
    abuse(0x5ee_d002, World::new(world::rich("rendezvous")));
}

#[test]
fn kamailio_hash() {
    abuse(0x5ee_d003, World::new(world::rich("kamailio:3")));
}

#[test]
fn pools_that_count() {
    abuse(0x5ee_d004, World::new(world::rich("round-robin")));
}

/// As [`abuse`], for a pool that fails over: what is held ends, and there is room for others then.
fn abuse_held(seed: u64, balance: &str) {
    let mut world = abuse(seed, World::new(world::failing_over(balance)));
    world.must_have_held();
    world.rest();
    let counts = world.hold_counts();
    let mut random = Random::new(seed);
    world.step(&mut random, &valid(&world, 0));
    assert_eq!(world.hold_counts().held, counts.held + 1, "there is room again");
}

#[test]
fn a_hashed_pool_that_fails_over() {
    abuse_held(0x5ee_d005, "rendezvous");
}

#[test]
fn a_pool_in_turns_that_fails_over() {
    abuse_held(0x5ee_d006, "round-robin");
}

#[test]
fn pools_that_count_and_fail_over() {
    abuse_held(0x5ee_d007, "least-load");
    abuse_held(0x5ee_d008, "kamailio:10");
}

/// An INVITE that no other is like.
fn valid(world: &World, number: usize) -> Input {
    let text = String::from_utf8(seeds::requests().swap_remove(0)).expect("the seeds are texts");
    let bytes = text.replace("z9hG4bKp0", &format!("z9hG4bKflood{number}")).into_bytes();
    let (source, listener) = world.peer(0);
    Input { bytes, source, listener }
}

/// All room is taken, and stays so: what comes is sent on without failover, and nothing grows.
#[test]
fn a_flood_finds_no_room_and_leaves_it_again() {
    const FLOOD: usize = 3_000;
    let mut world = World::new(world::failing_over("rendezvous"));
    let mut random = Random::new(0x5ee_d009);
    let mut most = 0;
    for number in 0..FLOOD {
        let input = valid(&world, number);
        world.step(&mut random, &input);
        most = most.max(world.core.held().map_or(0, |hold| hold.len()));
    }
    let counts = world.hold_counts();
    assert_eq!((most, counts.held + counts.refused), (6, FLOOD as u64));
    assert!(counts.refused > FLOOD as u64 / 2, "{counts:?}");
    world.rest();
    world.step(&mut random, &valid(&world, FLOOD));
    assert_eq!(world.hold_counts().held, counts.held + 1);
}
