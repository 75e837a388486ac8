//! The logarithm that weighted rendezvous needs, in integers: the same on every CPU, compiler and libm.
//!
//! Owns: -log2 of a 64-bit hash read as a number in (0, 1]. Fixed point, [`FRACTION_BITS`] bits behind the point.
//! Rises as the hash falls. Off by less than one part in 2,000 of its value, which only shifts shares that little.

/// Bits behind the point of [`negative_log2`].
pub(super) const FRACTION_BITS: u32 = 40;

const STEP_BITS: u32 = 10;
const STEPS: usize = 1 << STEP_BITS;

/// log2(1 + i / STEPS) for i in 0..=STEPS.
static LOG2: [u64; STEPS + 1] = log2_table();

/// -log2((hash + 1) / 2^64): 0 for the largest hash, 64 for hash 0.
pub(super) fn negative_log2(hash: u64) -> u64 {
    let zeros = hash.leading_zeros();
    if zeros == 64 {
        return 64 << FRACTION_BITS;
    }
    // The bits behind the leading one: which step, and how far into it. Between the steps it is a straight line.
    let behind = (hash << zeros) << 1;
    let step = (behind >> (64 - STEP_BITS)) as usize;
    let into = (behind << STEP_BITS) >> 32;
    // +1: the number that it stands for is one above the hash, so that 2^64 - 1 gives 0 within the last bit.
    let rise = ((LOG2[step + 1] - LOG2[step]) * (into + 1).min(1 << 32)) >> 32;
    (u64::from(zeros + 1) << FRACTION_BITS) - (LOG2[step] + rise)
}

const fn log2_table() -> [u64; STEPS + 1] {
    let mut table = [0; STEPS + 1];
    let mut step = 0;
    while step < STEPS {
        table[step] = log2_of_mantissa(((STEPS + step) as u64) << (63 - STEP_BITS));
        step += 1;
    }
    table[STEPS] = 1 << FRACTION_BITS;
    table
}

/// log2 of a number in [1, 2) with 63 bits behind the point, bit by bit: squaring doubles the logarithm.
const fn log2_of_mantissa(mantissa: u64) -> u64 {
    let mut value = mantissa as u128;
    let mut log = 0;
    let mut bit = FRACTION_BITS;
    while bit > 0 {
        bit -= 1;
        value = (value * value) >> 63;
        if value >= 1 << 64 {
            value >>= 1;
            log |= 1 << bit;
        }
    }
    log
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(hash: u64) -> f64 {
        64.0 - (hash as f64 + 1.0).log2()
    }

    #[test]
    fn follows_the_real_logarithm() {
        let mut hash = u64::MAX / 2 + 12_345;
        for _ in 0..200_000 {
            hash = super::super::rotation::mix(hash);
            for hash in [hash, hash >> 7, hash >> 40, hash | 0xffff << 48] {
                let ours = negative_log2(hash) as f64 / (1u64 << FRACTION_BITS) as f64;
                let error = (ours - exact(hash)).abs();
                // The last bits behind the point cannot be right.
                let allowed = exact(hash) / 2_000.0 + 4.0 / (1u64 << FRACTION_BITS) as f64;
                assert!(
                    error < allowed,
                    "{hash:#x}: {ours} against {}, off by {error}",
                    exact(hash)
                );
            }
        }
    }

    #[test]
    fn falls_as_the_hash_rises() {
        assert_eq!(negative_log2(0), 64 << FRACTION_BITS);
        assert_eq!(negative_log2(u64::MAX), 0);
        assert_eq!(negative_log2(u64::MAX >> 1), 1 << FRACTION_BITS);
        let mut last = u64::MAX;
        for zeros in (0..64).rev() {
            for top in [0x8000, 0x8001, 0x803f, 0x8040, 0x9000, 0xc123, 0xffbf, 0xfffe, 0xffff] {
                let log = negative_log2((top << 48) >> zeros);
                assert!(log <= last, "{top:#x} {zeros}");
                last = log;
            }
        }
    }

    #[test]
    fn is_the_same_everywhere() {
        let digest = (0..=STEPS).fold(0u64, |sum, i| super::super::rotation::mix(sum ^ LOG2[i]));
        assert_eq!(
            digest, 17_920_878_365_243_338_765,
            "the table is part of what nodes must agree on"
        );
    }
}
