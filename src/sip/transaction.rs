//! The little that cannot be sealed: which backend a recent transaction went to.
//!
//! Owns: a bounded table, transaction to backend address. It keeps a retransmission, a CANCEL and the ACK of a non-2xx
//! on the backend of their request while the pool is edited, and gives round-robin pools a memory at all. It is soft:
//! lost without harm for hashed pools. Times are [`Now`], kept as whole seconds; sizes are entries.
//!
//! A key gives the same backend until the routing table is replaced, so until then nobody asks: such transactions are only
//! logged, one after the other. When the table is replaced they move into the look-up, which is asked and filled until
//! the last of them has expired. The look-up is as large as a cache: a miss for each new request cost a tenth of its time.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::Now;

/// Entries that share one place; the oldest of them gives way.
const WAYS: usize = 4;

/// How long an INVITE is remembered: ringing may take three minutes (RFC 3261 16.6 step 11, timer C), then the
/// final response and its ACK.
pub const INVITE_SECONDS: u32 = 220;
/// How long any other request is remembered: 64 * T1 of retransmissions (RFC 3261 17.1.2.2) and a little.
pub const REQUEST_SECONDS: u32 = 40;

/// Most backend addresses that are known by number. Far beyond any edit history: at this bound everything is forgotten.
const ADDRESSES_MAX: usize = 1 << 18;

/// A backend's address by its number: what fits into an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressNumber(u32);

/// 16 bytes, so that the ways of a place are one cache line: a look-up costs one miss, not four.
#[derive(Debug, Clone, Copy)]
struct Entry {
    id: u64,
    /// Seconds of the caller's clock plus one; 0 is never used.
    expires: u32,
    backend: AddressNumber,
}

const UNUSED: Entry = Entry { id: 0, expires: 0, backend: AddressNumber(0) };

/// The entries of one place.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Place([Entry; WAYS]);

const _: () = assert!(size_of::<Place>() == 64);

/// Whether keyed transactions are looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Watch {
    /// The routing table is the one that they were given their backends by.
    Off,
    /// The routing table was replaced; nobody told the time yet.
    Starts,
    /// Until this second.
    Until(u32),
}

/// Recent transactions of one shard.
#[derive(Debug)]
pub struct Transactions {
    places: Vec<Place>,
    /// Keyed transactions since the routing table was replaced, a ring.
    log: Vec<Entry>,
    /// How many were logged.
    logged: usize,
    watch: Watch,
    addresses: Vec<SocketAddr>,
    numbers: BTreeMap<SocketAddr, AddressNumber>,
    /// Live entries that gave way to others.
    evicted: u64,
}

impl Transactions {
    /// With room for `entries_max`, rounded up to a power of two of at least four, in the look-up and in the log.
    #[must_use]
    pub fn new(entries_max: usize) -> Self {
        let size = entries_max.max(WAYS).next_power_of_two();
        Self {
            places: vec![Place([UNUSED; WAYS]); size / WAYS],
            log: vec![UNUSED; size],
            logged: 0,
            watch: Watch::Off,
            addresses: Vec::new(),
            numbers: BTreeMap::new(),
            evicted: 0,
        }
    }

    /// How many entries there is room for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.places.len() * WAYS
    }

    /// How many live entries gave way to others since the start.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// How many entries are alive. Reads the whole table: not for the hot path.
    #[must_use]
    pub fn len(&self, now: Now) -> usize {
        let entries = self.places.iter().flat_map(|place| &place.0).chain(&self.log);
        entries.filter(|entry| entry.expires > seconds(now)).count()
    }

    /// Nothing is remembered.
    #[must_use]
    pub fn is_empty(&self, now: Now) -> bool {
        self.len(now) == 0
    }

    /// Makes sure that all of these have a number; the numbers of others stay. Allocates: when a table is installed.
    pub fn learn(&mut self, addresses: impl Iterator<Item = SocketAddr> + Clone) {
        if self.addresses.len() + addresses.clone().count() > ADDRESSES_MAX {
            self.places.fill(Place([UNUSED; WAYS]));
            self.log.fill(UNUSED);
            self.addresses.clear();
            self.numbers.clear();
        }
        for address in addresses {
            self.numbers.entry(address).or_insert_with(|| {
                self.addresses.push(address);
                AddressNumber(
                    u32::try_from(self.addresses.len() - 1).expect("at most ADDRESSES_MAX"),
                )
            });
        }
    }

    /// The number of an address that was learnt.
    #[must_use]
    pub fn number(&self, address: SocketAddr) -> Option<AddressNumber> {
        self.numbers.get(&address).copied()
    }

    /// The backend that this transaction went to.
    #[must_use]
    pub fn backend(&self, id: u64, now: Now) -> Option<SocketAddr> {
        let ways = &self.places[self.place(id)].0;
        let is_it = |entry: &&Entry| entry.id == id && entry.expires > seconds(now);
        let number = ways.iter().find(is_it)?.backend.0;
        self.addresses.get(usize::try_from(number).ok()?).copied()
    }

    /// The routing table was replaced: from now on keyed transactions are looked up.
    pub fn watch(&mut self) {
        self.watch = Watch::Starts;
    }

    /// Keyed transactions have to be looked up.
    #[inline]
    pub fn is_watching(&mut self, now: Now) -> bool {
        match self.watch {
            Watch::Off => false,
            Watch::Starts => {
                self.look_up_logged(now);
                true
            }
            Watch::Until(end) => {
                if end <= seconds(now) {
                    self.watch = Watch::Off;
                }
                self.watch != Watch::Off
            }
        }
    }

    #[cold]
    fn look_up_logged(&mut self, now: Now) {
        self.watch = Watch::Until(seconds(now).saturating_add(INVITE_SECONDS));
        for place in 0..self.log.len() {
            let entry = std::mem::replace(&mut self.log[place], UNUSED);
            if entry.expires > seconds(now) {
                self.put(entry, seconds(now));
            }
        }
    }

    /// Logs a keyed transaction; while they are looked up, remembers it.
    #[inline]
    pub fn note(&mut self, id: u64, backend: AddressNumber, now: Now, for_seconds: u32) {
        if self.watch != Watch::Off {
            return self.remember(id, backend, now, for_seconds);
        }
        let place = self.logged & (self.log.len() - 1);
        self.logged = self.logged.wrapping_add(1);
        let now = seconds(now);
        let expires = now.saturating_add(for_seconds);
        if let Some(entry) = self.log.get_mut(place) {
            self.evicted += u64::from(entry.expires > now);
            *entry = Entry { id, expires, backend };
        }
    }

    /// Remembers, or prolongs, for `for_seconds`.
    pub fn remember(&mut self, id: u64, backend: AddressNumber, now: Now, for_seconds: u32) {
        let now = seconds(now);
        self.put(Entry { id, expires: now.saturating_add(for_seconds), backend }, now);
    }

    fn put(&mut self, new: Entry, now: u32) {
        let id = new.id;
        let place = self.place(id);
        // Its own old entry first, then an empty or dead one, then the one that dies first.
        let worth = |entry: &Entry| match entry {
            entry if entry.expires <= now => 1,
            entry if entry.id == id => 0,
            entry => entry.expires,
        };
        let Some(way) = self.places[place].0.iter_mut().min_by_key(|entry| worth(entry)) else {
            return;
        };
        self.evicted += u64::from(way.id != id && way.expires > now);
        *way = new;
    }

    /// Ids are hashes, so their low bits are as good as any.
    fn place(&self, id: u64) -> usize {
        #[expect(clippy::cast_possible_truncation, reason = "the remainder is below a usize")]
        let place = (id % self.places.len() as u64) as usize;
        place
    }
}

/// Whole seconds, from 1 on; 136 years fit.
fn seconds(now: Now) -> u32 {
    u32::try_from(now.0 / 1_000_000).unwrap_or(u32::MAX - 1).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backend(port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], port))
    }

    fn at(second: u64) -> Now {
        Now(second * 1_000_000)
    }

    struct Known(Transactions);

    impl Known {
        fn new(entries_max: usize) -> Self {
            let mut table = Transactions::new(entries_max);
            table.learn((0..10).map(backend));
            Self(table)
        }

        fn remember(&mut self, id: u64, port: u16, second: u64) {
            let number = self.0.number(backend(port)).expect("it was learnt");
            self.0.remember(id, number, at(second), 40);
        }
    }

    #[test]
    fn remembers_until_it_expires() {
        let mut table = Known::new(16);
        table.remember(7, 1, 1);
        assert_eq!(table.0.backend(7, at(40)), Some(backend(1)));
        assert_eq!(table.0.backend(7, at(41)), None);
        assert_eq!(table.0.backend(8, at(2)), None);
        assert_eq!(table.0.backend(0, at(0)), None, "an unused entry is nobody's");
        table.remember(7, 2, 30);
        assert_eq!(table.0.backend(7, at(50)), Some(backend(2)));
        assert_eq!((table.0.len(at(50)), table.0.evicted()), (1, 0));
    }

    #[test]
    fn the_bound_holds_and_the_oldest_gives_way() {
        let mut table = Known::new(4);
        for n in 0..5_u16 {
            table.remember(u64::from(n), n, u64::from(n));
        }
        assert_eq!(table.0.capacity(), 4);
        assert_eq!(table.0.backend(0, at(5)), None, "the oldest gave way");
        for n in 1..5_u16 {
            assert_eq!(table.0.backend(u64::from(n), at(5)), Some(backend(n)));
        }
        assert_eq!(table.0.evicted(), 1);
        table.remember(99, 9, 100);
        assert_eq!(table.0.evicted(), 1, "a dead entry is no loss");
    }

    #[test]
    fn what_is_logged_is_looked_up_once_the_table_was_replaced() {
        let mut table = Known::new(4);
        let number = |table: &Known, port| table.0.number(backend(port)).expect("it was learnt");
        let (one, two) = (number(&table, 1), number(&table, 2));
        table.0.note(7, one, at(1), 40);
        assert!(!table.0.is_watching(at(1)));
        assert_eq!(table.0.backend(7, at(1)), None, "nobody asks while the key gives it");
        assert_eq!(table.0.len(at(1)), 1);

        table.0.watch();
        table.0.note(8, two, at(2), 40);
        assert!(table.0.is_watching(at(3)));
        assert_eq!(table.0.backend(7, at(3)), Some(backend(1)), "noted before");
        assert_eq!(
            table.0.backend(8, at(3)),
            Some(backend(2)),
            "noted before anybody told the time"
        );
        table.0.note(9, two, at(4), 40);
        assert_eq!(table.0.backend(9, at(4)), Some(backend(2)), "noted since");
        assert_eq!(table.0.len(at(4)), 3);

        assert!(table.0.is_watching(at(2 + u64::from(INVITE_SECONDS))));
        assert!(!table.0.is_watching(at(3 + u64::from(INVITE_SECONDS))), "all have expired");
        for id in 0..4 {
            table.0.note(id, one, at(500), 40);
        }
        assert_eq!(table.0.evicted(), 0);
        table.0.note(4, one, at(500), 40);
        assert_eq!((table.0.evicted(), table.0.len(at(500))), (1, 4), "the log is bounded");
    }

    #[test]
    fn what_is_remembered_outlives_the_edit_of_a_pool() {
        let mut table = Known::new(16);
        table.remember(7, 1, 1);
        table.0.learn([backend(77), backend(3)].into_iter());
        assert_eq!(table.0.backend(7, at(2)), Some(backend(1)));
        assert!(table.0.number(backend(77)).is_some());
        assert_eq!(table.0.number(backend(78)), None);
    }
}
