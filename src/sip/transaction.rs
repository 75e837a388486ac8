//! The little that cannot be sealed: which backend a recent transaction went to.
//!
//! Owns: a bounded table, transaction to backend address. It keeps a retransmission, a CANCEL and the ACK of a non-2xx
//! on the backend of their request while the pool is edited, and gives round-robin pools a memory at all. It is soft:
//! lost without harm for hashed pools. Times are [`Now`]; sizes are entries.

use std::net::SocketAddr;

use super::Now;

/// Entries that share one place; the oldest of them gives way.
const WAYS: usize = 4;

/// How long an INVITE is remembered: ringing may take three minutes (RFC 3261 16.6 step 11, timer C), then the
/// final response and its ACK.
pub const INVITE_SECONDS: u64 = 220;
/// How long any other request is remembered: 64 * T1 of retransmissions (RFC 3261 17.1.2.2) and a little.
pub const REQUEST_SECONDS: u64 = 40;

#[derive(Debug, Clone, Copy)]
struct Entry {
    id: u64,
    expires: Now,
    backend: SocketAddr,
}

/// Recent transactions of one shard.
#[derive(Debug)]
pub struct Transactions {
    entries: Vec<Option<Entry>>,
    /// Live entries that gave way to others.
    evicted: u64,
}

impl Transactions {
    /// With room for `entries_max`, rounded up to a power of two of at least four.
    #[must_use]
    pub fn new(entries_max: usize) -> Self {
        let size = entries_max.max(WAYS).next_power_of_two();
        Self { entries: vec![None; size], evicted: 0 }
    }

    /// How many entries there is room for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.entries.len()
    }

    /// How many live entries gave way to others since the start.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// How many entries are alive. Reads the whole table: not for the hot path.
    #[must_use]
    pub fn len(&self, now: Now) -> usize {
        self.entries.iter().flatten().filter(|entry| entry.expires > now).count()
    }

    /// Nothing is remembered.
    #[must_use]
    pub fn is_empty(&self, now: Now) -> bool {
        self.len(now) == 0
    }

    /// The backend that this transaction went to.
    #[must_use]
    pub fn backend(&self, id: u64, now: Now) -> Option<SocketAddr> {
        let ways = &self.entries[self.place(id)..][..WAYS];
        let is_it = |entry: &&Entry| entry.id == id && entry.expires > now;
        ways.iter().flatten().find(is_it).map(|entry| entry.backend)
    }

    /// Remembers, or prolongs, for `seconds`.
    pub fn remember(&mut self, id: u64, backend: SocketAddr, now: Now, seconds: u64) {
        let place = self.place(id);
        let ways = &mut self.entries[place..][..WAYS];
        // Its own old entry first, then an empty or dead one, then the one that dies first.
        let worth = |entry: &Option<Entry>| match entry {
            Some(entry) if entry.id == id => Now(0),
            Some(entry) if entry.expires > now => entry.expires,
            _ => Now(1),
        };
        let Some(way) = ways.iter_mut().min_by_key(|entry| worth(entry)) else { return };
        let gives_way = way.is_some_and(|old| old.id != id && old.expires > now);
        *way = Some(Entry { id, expires: now.plus_seconds(seconds), backend });
        self.evicted += u64::from(gives_way);
    }

    /// Ids are hashes, so their low bits are as good as any.
    fn place(&self, id: u64) -> usize {
        let sets = self.entries.len() / WAYS;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the remainder is below `sets`, a usize"
        )]
        let set = (id % sets as u64) as usize;
        set * WAYS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backend(n: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], n))
    }

    #[test]
    fn remembers_until_it_expires() {
        let mut table = Transactions::new(16);
        table.remember(7, backend(1), Now(1_000_000), 40);
        assert_eq!(table.backend(7, Now(40_999_999)), Some(backend(1)));
        assert_eq!(table.backend(7, Now(41_000_000)), None);
        assert_eq!(table.backend(8, Now(2_000_000)), None);
        table.remember(7, backend(2), Now(30_000_000), 40);
        assert_eq!(table.backend(7, Now(50_000_000)), Some(backend(2)));
        assert_eq!((table.len(Now(50_000_000)), table.evicted()), (1, 0));
    }

    #[test]
    fn the_bound_holds_and_the_oldest_gives_way() {
        let mut table = Transactions::new(4);
        for n in 0..5_u16 {
            table.remember(u64::from(n), backend(n), Now(u64::from(n)), 40);
        }
        assert_eq!(table.capacity(), 4);
        assert_eq!(table.backend(0, Now(5)), None, "the oldest gave way");
        for n in 1..5_u16 {
            assert_eq!(table.backend(u64::from(n), Now(5)), Some(backend(n)));
        }
        assert_eq!(table.evicted(), 1);
        table.remember(99, backend(9), Now(100_000_000), 40);
        assert_eq!(table.evicted(), 1, "a dead entry is no loss");
    }
}
