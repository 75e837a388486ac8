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
use world::World;

const ROUNDS: u64 = 8_000;

/// One world, many messages: what comes out feeds what goes in.
fn abuse(seed: u64, mut world: World) {
    let mut random = Random::new(seed);
    for round in 0..ROUNDS {
        if round % 1_000 == 999 {
            world.turn_keys();
        }
        let mut input = world.choose(&mut random);
        let strokes = random.below(4);
        for _ in 0..strokes {
            mutate::stroke(&mut random, &mut input.bytes, &world.pieces);
        }
        world.step(&mut random, &input);
    }
    world.must_have_seen_everything();
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
