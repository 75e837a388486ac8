//! The whole core with a table: messages in a row, and what comes out comes back in.
//!
//! Owns: reading the input as a play. The promises are those of `tests/robust`, asserted at each step there. The first
//! byte of the input chooses the table; then follow scenes, apart by `SCENE`: one byte for who speaks, the rest is what
//! is said. `{route}` and `{via}` in it stand for the newest URI of a Record-Route or Path and the newest Via value of
//! ours, which nobody could guess.

use std::cell::RefCell;

use sipedge::sip::route::table::Parts;

use super::random::Random;
use super::world::{self, Input, World};

/// Between scenes: no SIP message needs this byte.
const SCENE: u8 = 0x1e;
/// More scenes say nothing new.
const SCENES_MAX: usize = 6;
pub(crate) const TABLES: u8 = 8;
/// From here on they fail over.
pub(crate) const FIRST_HELD: u8 = 4;

fn table(choice: u8) -> Parts {
    match choice {
        0 => world::plain(),
        1 => world::rich("rendezvous"),
        2 => world::rich("kamailio:3"),
        3 => world::rich("round-robin"),
        FIRST_HELD => world::failing_over("rendezvous"),
        5 => world::failing_over("round-robin"),
        6 => world::failing_over("least-load"),
        _ => world::failing_over("kamailio:10"),
    }
}

thread_local! {
    /// Compiling a table takes longer than the play.
    static PARTS: RefCell<[Option<Parts>; TABLES as usize]> =
        const { RefCell::new([const { None }; TABLES as usize]) };
}

pub(crate) fn check(bytes: &[u8]) {
    let Some((&choice, play)) = bytes.split_first() else { return };
    let choice = choice % TABLES;
    let made = |all: &mut [Option<Parts>]| {
        all[usize::from(choice)].get_or_insert_with(|| table(choice)).clone()
    };
    let parts = PARTS.with_borrow_mut(|all| made(all));
    let mut world = World::new(parts);
    let mut random = Random::new(7);
    for scene in play.split(|&b| b == SCENE).take(SCENES_MAX) {
        let Some((&who, said)) = scene.split_first() else { continue };
        let (source, listener) = world.peer(usize::from(who));
        let said = with_own(said, &world.pieces);
        let input = Input { bytes: super::datagram(&said).to_vec(), source, listener };
        world.step(&mut random, &input);
        // What came out, as its receiver gets it, answers it or follows its route.
        for _ in 0..2 {
            let Some(next) = world.stock.last().cloned() else { break };
            world.step(&mut random, &next);
        }
        if who & 0x80 != 0 {
            world.turn_keys();
        }
    }
    world.rest();
}

/// The names of our values replaced by the newest ones.
fn with_own(said: &[u8], pieces: &[Vec<u8>]) -> Vec<u8> {
    let newest = |is_route: bool| {
        let found = pieces.iter().rev().find(|piece| piece.starts_with(b"<") == is_route);
        found.map_or(&[][..], Vec::as_slice)
    };
    let route = newest(true).split(|b| b"<>".contains(b)).nth(1).unwrap_or_default();
    let mut out = Vec::with_capacity(said.len());
    let mut rest = said;
    while let Some(&first) = rest.first() {
        if let Some(behind) = rest.strip_prefix(b"{route}") {
            out.extend_from_slice(route);
            rest = behind;
        } else if let Some(behind) = rest.strip_prefix(b"{via}") {
            out.extend_from_slice(newest(false));
            rest = behind;
        } else {
            out.push(first);
            rest = &rest[1..];
        }
    }
    out
}
