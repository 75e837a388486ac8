//! The little that changes from pick to pick: where the round is, and chance.
//!
//! Owns: one counter and one xorshift state for each shard and pool. Knows nothing of who is picked. Chance here
//! spreads load; it is no secret and must never make one.

/// The mutable state of one pool on one shard.
#[derive(Debug, Clone)]
pub struct Rotation {
    position: u16,
    random: u64,
}

impl Rotation {
    /// At the start of the round. Give each shard and pool another seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        // Xorshift stays at 0 for ever once it is there.
        let mixed = mix(seed);
        Self { position: 0, random: if mixed == 0 { 1 } else { mixed } }
    }

    /// The next number, even over all 64 bits (xorshift64*).
    pub(super) const fn random(&mut self) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Where the round is: below `count`, or 0.
    pub(super) const fn position(&self, count: u16) -> u16 {
        if self.position < count { self.position } else { 0 }
    }

    /// Where the next pick starts.
    pub(super) const fn set_position(&mut self, position: u16) {
        self.position = position;
    }
}

/// Spreads a number over 64 bits; a bijection (the finaliser of splitmix64).
pub(super) const fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_is_repeatable_and_even() {
        let mut rotation = Rotation::new(7);
        let mut again = Rotation::new(7);
        let mut sixteenths = [0u32; 16];
        for _ in 0..16_000 {
            let number = rotation.random();
            assert_eq!(number, again.random());
            sixteenths[(number >> 60) as usize] += 1;
        }
        assert!(sixteenths.iter().all(|n| (880..1120).contains(n)), "{sixteenths:?}");
        assert_ne!(Rotation::new(8).random(), Rotation::new(9).random());
    }

    #[test]
    fn a_position_beyond_a_shrunk_pool_starts_over() {
        let mut rotation = Rotation::new(0);
        rotation.set_position(5);
        assert_eq!((rotation.position(6), rotation.position(5), rotation.position(0)), (5, 0, 0));
    }
}
