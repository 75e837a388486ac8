//! Weighted rendezvous hashing, compiled to a table of slots.
//!
//! The simple version: a key falls into a slot; each member draws a number for that slot from its identity; the member
//! with the smallest -ln(u) / weight has the slot. No member's draw depends on another, so taking a member out gives
//! away its own slots and no other, in proportion to the weights of the rest; adding one takes its share from all alike.
//! What the table buys: a pick is one load, whatever the number of members. The draws are made when it is compiled, and
//! again, by scanning the members, only for a key whose member is not usable: that gives exactly what a table without
//! the unusable ones would give.
//!
//! How even: [`SLOTS`] slots among N equal members leave each share off by sqrt((N-1) / SLOTS) of itself (one standard
//! deviation): 0.4 % at N = 2, 1.7 % at 20, 3.9 % at 100, 12 % at 1,000. The keys bring their own noise on top.
//! The number of slots is the same for every pool: else an edit that changes it would move every key.
//! 60,000 keys: the hottest is at most 1.1 times the mean up to about 50 members; beyond, chance shows (1.7 at 1,000,
//! measured with twice the slots, where 60 keys for each member would make 1.4 of it alone).
//! Memory: 64 KiB of slots, 128 KiB beyond 255 members, 16 bytes for each member. Compiling, CPU time at 10 / 100 / 1,000
//! members, measured with twice the slots: 3 / 26 / 275 ms with equal weights, 13 / 58 / 367 ms with others. A pick: some
//! 7 ns; one that has to scan 1,000 members: 4 us (release build, 2 busy cores of a virtual machine; `benches/balance.rs`).

use std::cmp::Ordering;

use super::logarithm::{FRACTION_BITS, negative_log2};
use super::rotation::mix;
use super::{BackendSet, Candidate, CompileError, Member, hash_key};

/// Slots of a table.
pub const SLOTS: usize = 1 << SLOT_BITS;
/// Under miri, some thousand times slower, every table that a test compiles is small.
const SLOT_BITS: u32 = if cfg!(miri) { 7 } else { 16 };

/// A slot of a pool without members.
const NOBODY: u16 = u16::MAX;

/// A compiled table.
#[derive(Debug, Clone)]
pub(super) struct Rendezvous {
    /// The member that has each slot; the slot is the top bits of the key.
    slots: Slots,
    draws: Draws,
}

/// A byte for each slot where that does: a pick is a cache miss, and the smaller table misses less.
#[derive(Debug, Clone)]
enum Slots {
    Few(Box<[u8]>),
    Many(Box<[u16]>),
}

impl Rendezvous {
    pub(super) fn compile(members: &[Member<'_>]) -> Result<Self, CompileError> {
        let draws = Draws::of(members)?;
        let best = |slot| draws.best(Slot::new(slot), 0..draws.len()).unwrap_or(NOBODY);
        let winners: Box<[u16]> = (0..SLOTS).map(best).collect();
        let few: Result<Box<[u8]>, _> =
            winners.iter().map(|&member| u8::try_from(member)).collect();
        Ok(Self { slots: few.map_or(Slots::Many(winners), Slots::Few), draws })
    }

    pub(super) fn pick(&self, key: u64, usable: &BackendSet) -> Option<u16> {
        let slot = slot_of(key);
        let picked = match &self.slots {
            Slots::Few(members) => u16::from(members[slot]),
            Slots::Many(members) => members[slot],
        };
        if usable.contains(picked) {
            return Some(picked);
        }
        self.draws.best(Slot::new(slot), usable.ring(0, self.draws.len()))
    }

    pub(super) const fn count(&self) -> u16 {
        self.draws.len()
    }

    /// The weight that a member draws with: all 1 when none was given.
    pub(super) fn weight(&self, member: u16) -> u32 {
        self.draws.members.get(usize::from(member)).map_or(0, |drawer| drawer.weight)
    }

    pub(super) fn candidates(&self, key: u64, usable: &BackendSet) -> Vec<Candidate> {
        let slot = Slot::new(slot_of(key));
        let mut draws: Vec<_> =
            usable.ring(0, self.draws.len()).map(|index| self.draws.draw(slot, index)).collect();
        draws.sort_by(|a, b| b.rank(a));
        draws.iter().map(|draw| Candidate { backend: draw.index, score: draw.score() }).collect()
    }
}

const fn slot_of(key: u64) -> usize {
    (key >> (64 - SLOT_BITS)) as usize
}

/// What every member draws with.
#[derive(Debug, Clone)]
struct Draws {
    members: Box<[Drawer]>,
    /// All weights are equal: the largest hash wins, and no logarithm is needed.
    equal: bool,
}

#[derive(Debug, Clone, Copy)]
struct Drawer {
    seed: u64,
    weight: u32,
}

/// One member's number for one slot.
#[derive(Debug, Clone, Copy)]
struct Draw {
    index: u16,
    hash: u64,
    /// -log2 of the hash; the base does not matter for who wins.
    wait: u64,
    weight: u32,
}

impl Draws {
    fn of(members: &[Member<'_>]) -> Result<Self, CompileError> {
        // A list file without weights has 0 everywhere: then all are alike.
        let weightless = members.iter().all(|member| member.weight == 0);
        let drawer = |member: &Member<'_>| Drawer {
            seed: hash_key(&[member.identity]),
            weight: if weightless { 1 } else { member.weight },
        };
        let drawers: Box<[Drawer]> = members.iter().map(drawer).collect();
        reject_same_identity(&drawers)?;
        let equal = drawers.windows(2).all(|pair| pair[0].weight == pair[1].weight);
        Ok(Self { members: drawers, equal })
    }

    #[expect(clippy::cast_possible_truncation, reason = "compile() allows at most BACKENDS_MAX")]
    const fn len(&self) -> u16 {
        self.members.len() as u16
    }

    /// The winner of a slot among some members.
    fn best(&self, slot: Slot, among: impl Iterator<Item = u16>) -> Option<u16> {
        if self.equal { self.best_by_hash(slot, among) } else { self.best_by_weight(slot, among) }
    }

    fn best_by_hash(&self, slot: Slot, among: impl Iterator<Item = u16>) -> Option<u16> {
        let mut best = (None, 0);
        for index in among {
            let hash = slot.hash(self.members[usize::from(index)].seed);
            if hash >= best.1 {
                best = (Some(index), hash);
            }
        }
        best.0
    }

    fn best_by_weight(&self, slot: Slot, among: impl Iterator<Item = u16>) -> Option<u16> {
        let better = |best: Draw, index| {
            let drawer = self.members[usize::from(index)];
            let hash = slot.hash(drawer.seed);
            // 1 - u <= -log2(u): most members are out of the race before the logarithm is taken.
            let wait_min = (u64::MAX - hash) >> (64 - FRACTION_BITS);
            if waits_longer((wait_min, drawer.weight), (best.wait, best.weight)) {
                return best;
            }
            let draw = self.draw(slot, index);
            if draw.rank(&best).is_gt() { draw } else { best }
        };
        let mut among = among;
        let first = self.draw(slot, among.next()?);
        Some(among.fold(first, better).index)
    }

    fn draw(&self, slot: Slot, index: u16) -> Draw {
        let Drawer { seed, weight } = self.members[usize::from(index)];
        let hash = slot.hash(seed);
        Draw { index, hash, wait: negative_log2(hash), weight }
    }
}

/// Whether a / its weight is above b / its weight. Weight 0 waits for ever.
fn waits_longer(a: (u64, u32), b: (u64, u32)) -> bool {
    u128::from(a.0) * u128::from(b.1) > u128::from(b.0) * u128::from(a.1)
}

impl Draw {
    /// Greater is better. A total order that does not know of indices, so that the order of a file does not matter.
    fn rank(&self, other: &Self) -> Ordering {
        let mine = u128::from(self.wait) * u128::from(other.weight);
        let theirs = u128::from(other.wait) * u128::from(self.weight);
        let weighted = (self.weight > 0).cmp(&(other.weight > 0));
        weighted.then(theirs.cmp(&mine)).then(self.hash.cmp(&other.hash))
    }

    fn score(&self) -> f64 {
        let one = (1u64 << FRACTION_BITS) as f64;
        f64::from(self.weight) * one / (self.wait.max(1) as f64 * std::f64::consts::LN_2)
    }
}

/// A slot as the members see it, computed once for all of them.
#[derive(Debug, Clone, Copy)]
struct Slot(u64);

impl Slot {
    const fn new(slot: usize) -> Self {
        Self(mix(slot as u64))
    }

    /// What a member draws: even over 64 bits. A bijection, so that members with different seeds never draw alike.
    const fn hash(self, seed: u64) -> u64 {
        mix(seed ^ self.0)
    }
}

/// By seed, which stands for the identity: then no two members ever draw the same hash, and order decides nothing.
fn reject_same_identity(drawers: &[Drawer]) -> Result<(), CompileError> {
    let mut order: Vec<(u64, u16)> = drawers.iter().map(|drawer| drawer.seed).zip(0..).collect();
    order.sort_unstable();
    match order.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        Some(pair) => Err(CompileError::SameIdentity { first: pair[0].1, second: pair[1].1 }),
        None => Ok(()),
    }
}
