//! A histogram of microseconds that is cheap to keep for each pool: 1 us to 1 s, two significant digits, 7 KiB.
//!
//! Owns: the buckets. Values up to 255 have one each; above that each doubling has 128, so that a value and its bucket
//! differ by less than one in a hundred. Counts stay at `u32::MAX` when they reach it: 4 billion at 128 buckets.

use std::ops::Range;

/// Buckets of each doubling, and the bits that tell them apart.
const PER_DOUBLING: usize = 1 << PLACE_BITS;
const PLACE_BITS: u32 = 7;
/// Values above this count as this.
const VALUE_MAX: u64 = (1 << 20) - 1;
/// 256 for the small values, then 12 doublings up to 2^20.
const BUCKETS: usize = 2 * PER_DOUBLING + 12 * PER_DOUBLING;

const _: () = assert!(bucket(VALUE_MAX) == BUCKETS - 1);

/// Values and how often each came.
#[derive(Debug, Clone)]
pub struct SmallHistogram {
    counts: Box<[u32; BUCKETS]>,
    /// The buckets that are not zero lie in here: what is copied and added.
    used: Range<usize>,
    sum: u64,
}

impl Default for SmallHistogram {
    fn default() -> Self {
        Self { counts: Box::new([0; BUCKETS]), used: 0..0, sum: 0 }
    }
}

impl SmallHistogram {
    /// Counts `value` so often.
    pub(crate) fn record(&mut self, value: u64, count: u64) {
        let place = bucket(value.min(VALUE_MAX));
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.counts[place] = self.counts[place].saturating_add(count);
        self.widen(place..place + 1);
        self.sum += value * u64::from(count);
    }

    fn widen(&mut self, to: Range<usize>) {
        self.used = if self.used.is_empty() {
            to
        } else {
            self.used.start.min(to.start)..self.used.end.max(to.end)
        };
    }

    /// How many values there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts[self.used.clone()].iter().copied().map(u64::from).sum()
    }

    /// The sum of all values, exact.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// How many values are at most `bound`, as far as the buckets tell.
    #[must_use]
    pub fn count_up_to(&self, bound: u64) -> u64 {
        let end = (bucket(bound.min(VALUE_MAX)) + 1).clamp(self.used.start, self.used.end);
        self.counts[self.used.start..end].iter().copied().map(u64::from).sum()
    }

    /// The value that this share of all values (0 to 1) does not exceed; 0 when there is none.
    #[must_use]
    pub fn quantile(&self, share: f64) -> u64 {
        let count = self.count();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a count is a count"
        )]
        let wanted = ((count as f64 * share).ceil() as u64).clamp(1, count.max(1));
        let mut seen = 0;
        for place in self.used.clone() {
            seen += u64::from(self.counts[place]);
            if seen >= wanted {
                return value_max(place);
            }
        }
        0
    }

    /// Adds another's counts.
    pub fn add(&mut self, other: &Self) {
        for place in other.used.clone() {
            self.counts[place] = self.counts[place].saturating_add(other.counts[place]);
        }
        if !other.used.is_empty() {
            self.widen(other.used.clone());
        }
        self.sum += other.sum;
    }

    /// Becomes a copy of `other`; touches only what one of them used.
    pub(crate) fn copy_from(&mut self, other: &Self) {
        self.counts[self.used.clone()].fill(0);
        self.counts[other.used.clone()].copy_from_slice(&other.counts[other.used.clone()]);
        self.used = other.used.clone();
        self.sum = other.sum;
    }
}

/// Where a value of at most [`VALUE_MAX`] is counted.
const fn bucket(value: u64) -> usize {
    // The bits behind the first eight are not looked at.
    let shift = (u64::BITS - value.leading_zeros()).saturating_sub(PLACE_BITS + 1);
    // At most 255 + 12 * 128.
    #[expect(clippy::cast_possible_truncation, reason = "a place is small")]
    let place = (value >> shift) as usize;
    place + shift as usize * PER_DOUBLING
}

/// The largest value of a bucket.
fn value_max(place: usize) -> u64 {
    let shift = (place / PER_DOUBLING).saturating_sub(1);
    let first = place - shift * PER_DOUBLING;
    ((u64::try_from(first).expect("below 256") + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::Histogram;

    #[test]
    fn buckets_follow_each_other_without_a_gap() {
        let mut before = 0;
        for value in 0..=VALUE_MAX {
            let place = bucket(value);
            assert!(place == before || place == before + 1, "{value}");
            assert!(value <= value_max(place), "{value}");
            assert!((value_max(place) - value) * 100 <= value.max(100), "{value}");
            before = place;
        }
        assert_eq!(before, BUCKETS - 1);
    }

    /// The same values into a large histogram of the crate.
    #[test]
    fn quantiles_agree_with_another_histogram() {
        let (mut small, mut large) =
            (SmallHistogram::default(), Histogram::<u64>::new(3).expect("a bound"));
        let mut chance = 7_u64;
        for _ in 0..20_000 {
            chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let value = (chance >> 44) >> (chance % 20);
            small.record(value, 3);
            large.record_n(value, 3).expect("it grows");
        }
        for share in [0.0, 0.1, 0.5, 0.9, 0.99, 0.999, 1.0] {
            let (ours, theirs) = (small.quantile(share), large.value_at_quantile(share));
            assert!(ours.abs_diff(theirs) * 80 <= theirs.max(80), "{share}: {ours}, {theirs}");
        }
        assert_eq!(small.count(), large.len());
        for bound in [0, 10, 255, 511, 1023, 65_535, VALUE_MAX, u64::MAX] {
            let theirs = large.count_between(0, bound.min(VALUE_MAX));
            assert!(small.count_up_to(bound).abs_diff(theirs) * 100 <= theirs, "{bound}");
        }
    }

    #[test]
    fn sums_and_copies() {
        let mut one = SmallHistogram::default();
        one.record(10, 2);
        one.record(5_000_000, 1);
        let mut two = SmallHistogram::default();
        two.record(400, 5);
        let mut copy = two.clone();
        copy.copy_from(&one);
        assert_eq!((copy.count(), copy.sum(), copy.quantile(0.5)), (3, 5_000_020, 10));
        assert_eq!(copy.quantile(1.0), VALUE_MAX);
        copy.add(&two);
        assert_eq!((copy.count(), copy.sum(), copy.count_up_to(399)), (8, 5_002_020, 2));
        copy.copy_from(&SmallHistogram::default());
        assert_eq!((copy.count(), copy.sum(), copy.quantile(0.5)), (0, 0, 0));
        copy.add(&one);
        assert_eq!(copy.count(), 3);
    }
}
