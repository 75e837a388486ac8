//! A set of backend indices, as a bitset.
//!
//! Owns: membership and the order of indices, round the ring too. Knows nothing of what makes a backend usable.

/// Most backends of one pool; indices are below it.
pub const BACKENDS_MAX: usize = 1024;

const WORDS: usize = BACKENDS_MAX / 64;

/// A set of backend indices below [`BACKENDS_MAX`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BackendSet([u64; WORDS]);

impl BackendSet {
    /// Nobody.
    #[must_use]
    pub const fn empty() -> Self {
        Self([0; WORDS])
    }

    /// Nobody, as [`BackendSet::empty`].
    #[must_use]
    pub const fn new() -> Self {
        Self::empty()
    }

    /// The first `count` indices; more than [`BACKENDS_MAX`] are all.
    #[must_use]
    pub fn full(count: usize) -> Self {
        let mut set = Self::empty();
        for (place, word) in set.0.iter_mut().enumerate() {
            *word = match count.saturating_sub(place * 64) {
                0 => 0,
                rest @ 1..=63 => (1 << rest) - 1,
                _ => u64::MAX,
            };
        }
        set
    }

    /// Adds an index; false when it was there, or cannot be.
    pub fn insert(&mut self, index: u16) -> bool {
        let (word, bit) = Self::place(index);
        let Some(word) = self.0.get_mut(word) else { return false };
        let added = *word & bit == 0;
        *word |= bit;
        added
    }

    /// Takes an index out; false when it was not there.
    pub fn remove(&mut self, index: u16) -> bool {
        let (word, bit) = Self::place(index);
        let Some(word) = self.0.get_mut(word) else { return false };
        let removed = *word & bit != 0;
        *word &= !bit;
        removed
    }

    /// Whether the index is in.
    #[must_use]
    pub fn contains(&self, index: u16) -> bool {
        let (word, bit) = Self::place(index);
        self.0.get(word).is_some_and(|word| word & bit != 0)
    }

    /// How many are in.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether nobody is in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// The indices, rising.
    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        self.range(0, u16::MAX)
    }

    /// The first index from `start` on, round the ring of `count` places.
    #[must_use]
    pub fn next_in_ring(&self, start: u16, count: u16) -> Option<u16> {
        self.first_in(start, count).or_else(|| self.first_in(0, start.min(count)))
    }

    /// The indices from `start` on, once round the ring of `count` places.
    pub fn ring(&self, start: u16, count: u16) -> impl Iterator<Item = u16> + '_ {
        self.range(start, count).chain(self.range(0, start.min(count)))
    }

    /// Of the indices below `count`, the one that `number` falls on when it is spread evenly over them.
    #[must_use]
    pub fn nth_below(&self, number: u64, count: u16) -> Option<u16> {
        let below = Self::full(usize::from(count));
        let words = || self.0.iter().zip(&below.0).map(|(mine, limit)| mine & limit);
        let len: u64 = words().map(|word| u64::from(word.count_ones())).sum();
        let mut nth = (u128::from(number) * u128::from(len)) >> 64;
        for (place, mut word) in words().enumerate() {
            let ones = u128::from(word.count_ones());
            if nth >= ones {
                nth -= ones;
                continue;
            }
            for _ in 0..nth {
                word &= word - 1;
            }
            return Some(Self::index(place, word));
        }
        None
    }

    fn range(&self, start: u16, end: u16) -> impl Iterator<Item = u16> + '_ {
        let mut place = usize::from(start) / 64;
        let mut word = self.0.get(place).map_or(0, |word| word & (u64::MAX << (start % 64)));
        let rising = std::iter::from_fn(move || {
            while word == 0 {
                place += 1;
                word = *self.0.get(place)?;
            }
            let found = Self::index(place, word);
            word &= word - 1;
            Some(found)
        });
        rising.take_while(move |found| *found < end)
    }

    fn first_in(&self, start: u16, end: u16) -> Option<u16> {
        let from = usize::from(start);
        let mut word = self.0.get(from / 64)? & (u64::MAX << (from % 64));
        let mut place = from / 64;
        while word == 0 {
            place += 1;
            word = *self.0.get(place)?;
        }
        Some(Self::index(place, word)).filter(|found| *found < end)
    }

    /// The index of the lowest bit of a word.
    #[expect(clippy::cast_possible_truncation, reason = "16 words of 64 bits: below 1,024")]
    const fn index(place: usize, word: u64) -> u16 {
        place as u16 * 64 + word.trailing_zeros() as u16
    }

    const fn place(index: u16) -> (usize, u64) {
        (index as usize / 64, 1 << (index % 64))
    }
}

impl FromIterator<u16> for BackendSet {
    fn from_iter<I: IntoIterator<Item = u16>>(indices: I) -> Self {
        let mut set = Self::empty();
        for index in indices {
            set.insert(index);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behaves_as_a_sorted_set() {
        let wanted = [0u16, 1, 63, 64, 65, 500, 1022, 1023];
        let mut set: BackendSet = wanted.iter().rev().copied().collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), wanted);
        assert_eq!((set.len(), set.is_empty()), (8, false));
        assert!(!set.insert(64) && set.remove(64) && !set.remove(64) && !set.contains(64));
        assert!(set.insert(64));
        assert!(!set.insert(1024) && !set.contains(1024) && !set.remove(u16::MAX));
        assert_eq!(set.len(), 8);
    }

    #[test]
    fn full_is_the_first_so_many() {
        for count in [0u16, 1, 63, 64, 65, 127, 128, 1000, 1023, 1024] {
            let set = BackendSet::full(usize::from(count));
            assert!(set.iter().eq(0..count), "{count}");
        }
        assert_eq!(BackendSet::full(5000).len(), BACKENDS_MAX);
        assert!(BackendSet::new().is_empty());
    }

    #[test]
    fn the_ring_wraps_and_stays_below_its_count() {
        let set: BackendSet = [1u16, 4, 70, 200].into_iter().collect();
        let check = |start, count, expected: &[u16]| {
            assert_eq!(set.ring(start, count).collect::<Vec<_>>(), expected, "{start} {count}");
            assert_eq!(set.next_in_ring(start, count), expected.first().copied());
        };
        check(0, 71, &[1, 4, 70]);
        check(5, 71, &[70, 1, 4]);
        check(70, 70, &[1, 4]);
        check(4, 4, &[1]);
        check(9, 4, &[1]);
        check(0, 1, &[]);
        check(0, 0, &[]);
    }

    #[test]
    fn nth_below_reaches_each_evenly() {
        let set: BackendSet = [3u16, 64, 129, 300].into_iter().collect();
        let quarter = u64::MAX / 4 + 1;
        let picks: Vec<_> = (0..4).map(|n| set.nth_below(n * quarter, 301)).collect();
        assert_eq!(picks, [Some(3), Some(64), Some(129), Some(300)]);
        assert_eq!(set.nth_below(u64::MAX, 300), Some(129));
        assert_eq!(set.nth_below(u64::MAX, 3), None);
    }
}
