//! What a pool does with a request that a backend fails: on which answers it goes on to the next candidate, and how often.
//!
//! Owns: the policy as the hot path reads it. Knows nothing of a request that is under way. Times are microseconds.

/// Most backends that one request may go to: two bits of our branch say which of them it is.
pub const TRIES_MAX: u8 = 4;

/// A set of statuses from 300 to 699.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StatusSet([u64; 7]);

impl StatusSet {
    /// Of these; what is no final answer that can fail is left out.
    #[must_use]
    pub fn of(statuses: &[u16]) -> Self {
        let mut set = Self::default();
        for (word, bit) in statuses.iter().filter_map(|&status| Self::place(status)) {
            set.0[word] |= bit;
        }
        set
    }

    /// Whether the status is in.
    #[must_use]
    pub fn contains(&self, status: u16) -> bool {
        Self::place(status).is_some_and(|(word, bit)| self.0[word] & bit != 0)
    }

    fn place(status: u16) -> Option<(usize, u64)> {
        let place = status.checked_sub(300).filter(|&place| place < 400)?;
        Some((usize::from(place / 64), 1 << (place % 64)))
    }
}

/// When a request leaves its backend for the next candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failover {
    /// Final answers that are not for the caller while another backend may do better.
    pub statuses: StatusSet,
    /// How long a backend may be silent; 0: as long as it likes.
    pub timeout_us: u64,
    /// How many backends one request may go to, the first included: 2 to [`TRIES_MAX`].
    pub tries: u8,
}

impl std::fmt::Display for Failover {
    /// As an operator reads it: `on 500, 503, 2000 ms of silence, at most 2 tries`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("on ")?;
        for status in (300..700).filter(|&status| self.statuses.contains(status)) {
            write!(f, "{status}, ")?;
        }
        if self.timeout_us > 0 {
            write!(f, "{} ms of silence, ", self.timeout_us / 1_000)?;
        }
        write!(f, "at most {} tries", self.tries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_as_it_was_written() {
        let statuses = StatusSet::of(&[503, 500]);
        let failover = Failover { statuses, timeout_us: 2_000_000, tries: 2 };
        assert_eq!(failover.to_string(), "on 500, 503, 2000 ms of silence, at most 2 tries");
        let failover = Failover { timeout_us: 0, tries: 3, ..failover };
        assert_eq!(failover.to_string(), "on 500, 503, at most 3 tries");
    }

    #[test]
    fn statuses_are_found_again() {
        let listed = [300, 363, 364, 500, 503, 699];
        let set = StatusSet::of(&listed);
        for status in 0..=1_000 {
            assert_eq!(set.contains(status), listed.contains(&status), "{status}");
        }
        assert_eq!(StatusSet::of(&[0, 180, 200, 299, 700, u16::MAX]), StatusSet::default());
    }
}
