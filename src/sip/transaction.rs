//! The little that cannot be sealed: which backend a recent transaction went to.
//!
//! Owns: a bounded table, transaction to backend address. It keeps a retransmission, a CANCEL and the ACK of a non-2xx
//! on the backend of their request while the pool is edited, and gives round-robin pools a memory at all. It is soft:
//! lost without harm for hashed pools. Times are [`Now`], kept as whole seconds; sizes are entries.
//!
//! A key gives the same backend until the routing table is replaced, so until then nobody asks: such transactions are only
//! logged, one after the other. When the table is replaced they move into the look-up, which is asked and filled until
//! the last of them has expired. The look-up is as large as a cache: a miss for each new request cost a tenth of its time.
//! So it is with the answers to an INVITE: an INVITE that was answered stays with its backend, even a dead one.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::Now;
use answers::Answers;

mod answers;

#[cfg(test)]
mod tests;

/// Entries that share one place; the oldest of them gives way.
const WAYS: usize = 4;

/// How long an INVITE is remembered: ringing may take three minutes (RFC 3261 16.6 step 11, timer C), then the
/// final response and its ACK.
pub const INVITE_SECONDS: u32 = 220;
/// How long any other request is remembered: 64 * T1 of retransmissions (RFC 3261 17.1.2.2) and a little.
pub const REQUEST_SECONDS: u32 = 40;

/// Most backend addresses that are known by number. Far beyond any edit history: at this bound everything is forgotten.
const ADDRESSES_MAX: usize = 1 << 18;

/// A backend's address by its number, and at which attempt it got the request: what fits into an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressNumber(u32);

impl AddressNumber {
    /// For attempt number `attempt`, 0 to 3.
    #[must_use]
    pub fn at_attempt(self, attempt: u8) -> Self {
        Self(self.0 & NOBODY | u32::from(attempt & 3) << ATTEMPT_SHIFT)
    }

    /// As an index: numbers are given from 0 on.
    #[must_use]
    pub const fn index(self) -> usize {
        (self.0 & NOBODY) as usize
    }
}

/// What is remembered of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recent {
    /// The backend that it went to.
    pub backend: SocketAddr,
    /// At which attempt: 0 where nothing fails over.
    pub attempt: u8,
}

/// 16 bytes, so that the ways of a place are one cache line: a look-up costs one miss, not four.
#[derive(Debug, Clone, Copy)]
struct Entry {
    id: u64,
    /// Seconds of the caller's clock plus one; 0 is never used.
    expires: u32,
    /// The number of its backend's address, the attempt, [`ANSWERED`] and [`COUNTED`].
    backend: u32,
}

/// The bit of an entry whose INVITE was answered.
const ANSWERED: u32 = 1 << 31;
/// The bit of an entry that counts as under way at its backend.
const COUNTED: u32 = 1 << 30;
/// The backend of an INVITE that was answered before it came this way: it went another way first.
const NOBODY: u32 = (1 << ATTEMPT_SHIFT) - 1;
/// Two bits above the number say at which attempt.
const ATTEMPT_SHIFT: u32 = 28;
const _: () = assert!(ADDRESSES_MAX <= NOBODY as usize);

const UNUSED: Entry = Entry { id: 0, expires: 0, backend: 0 };

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
    /// Answers to INVITEs since then.
    answers: Answers,
    watch: Watch,
    addresses: Vec<SocketAddr>,
    numbers: BTreeMap<SocketAddr, AddressNumber>,
    /// Live entries that gave way to others.
    evicted: u64,
    /// Answers that found no room.
    answers_lost: u64,
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
            answers: Answers::new(size),
            watch: Watch::Off,
            addresses: Vec::new(),
            numbers: BTreeMap::new(),
            evicted: 0,
            answers_lost: 0,
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

    /// How many answers to INVITEs found no room since the start, as far as that shows: the backend of such a call may change
    /// when it dies.
    #[must_use]
    pub fn answers_lost(&self) -> u64 {
        self.answers_lost
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

    /// Makes sure that all of these have a number; the numbers of others stay. Says so when there were too many, and
    /// everything was forgotten. Allocates: when a table is installed.
    pub fn learn(&mut self, addresses: impl Iterator<Item = SocketAddr> + Clone) -> bool {
        let is_full = self.addresses.len() + addresses.clone().count() > ADDRESSES_MAX;
        if is_full {
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
        is_full
    }

    /// How many addresses have a number: those below it are given.
    #[must_use]
    pub fn addresses(&self) -> usize {
        self.addresses.len()
    }

    /// The number of an address that was learnt.
    #[must_use]
    pub fn number(&self, address: SocketAddr) -> Option<AddressNumber> {
        self.numbers.get(&address).copied()
    }

    /// What is remembered of this transaction.
    #[must_use]
    pub fn recent(&self, id: u64, now: Now) -> Option<Recent> {
        let word = self.entry(id, now)?.backend;
        let number = usize::try_from(word & NOBODY).ok()?;
        let backend = *self.addresses.get(number)?;
        let attempt = u8::try_from(word >> ATTEMPT_SHIFT & 3).unwrap_or(0);
        Some(Recent { backend, attempt })
    }

    /// The INVITE of this transaction was answered, wherever it went.
    #[must_use]
    pub fn is_answered(&self, id: u64, now: Now) -> bool {
        self.entry(id, now).is_some_and(|entry| entry.backend & ANSWERED != 0)
    }

    /// A remembered transaction counts as under way from now on. Says at which backend, and until which second it is
    /// remembered; nothing when it is not remembered, or counts already.
    pub fn count(&mut self, id: u64, now: Now) -> Option<(AddressNumber, u32)> {
        let entry = self.entry_mut(id, now).filter(|entry| entry.backend & COUNTED == 0)?;
        entry.backend |= COUNTED;
        Some((AddressNumber(entry.backend & NOBODY), entry.expires))
    }

    /// A transaction that counted as under way is over: what [`Transactions::count`] said of it.
    pub fn uncount(&mut self, id: u64, now: Now) -> Option<(AddressNumber, u32)> {
        let entry = self.entry_mut(id, now).filter(|entry| entry.backend & COUNTED != 0)?;
        entry.backend &= !COUNTED;
        Some((AddressNumber(entry.backend & NOBODY), entry.expires))
    }

    fn entry_mut(&mut self, id: u64, now: Now) -> Option<&mut Entry> {
        let place = place(&self.places, id);
        let is_it = |entry: &&mut Entry| entry.id == id && entry.expires > seconds(now);
        self.places[place].0.iter_mut().find(is_it)
    }

    fn entry(&self, id: u64, now: Now) -> Option<&Entry> {
        let ways = &self.places[place(&self.places, id)].0;
        let is_it = |entry: &&Entry| entry.id == id && entry.expires > seconds(now);
        ways.iter().find(is_it)
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
        for place in 0..self.log.len().min(std::mem::take(&mut self.logged)) {
            let entry = std::mem::replace(&mut self.log[place], UNUSED);
            if entry.expires > seconds(now) {
                self.put(entry, seconds(now));
            }
        }
        self.answers_lost += self.answers.lost();
        let (places, lost) = (&mut self.places, &mut self.answers_lost);
        for id in self.answers.take() {
            *lost += u64::from(!mark_answered(places, id, seconds(now)));
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
            *entry = Entry { id, expires, backend: backend.0 };
        }
    }

    /// A backend has answered the INVITE of this transaction.
    #[inline]
    pub fn answered(&mut self, id: u64, now: Now) {
        if self.is_watching(now) {
            let is_marked = mark_answered(&mut self.places, id, seconds(now));
            self.answers_lost += u64::from(!is_marked);
        } else {
            self.answers.note(id);
        }
    }

    /// Remembers, or prolongs, for `for_seconds`.
    pub fn remember(&mut self, id: u64, backend: AddressNumber, now: Now, for_seconds: u32) {
        let now = seconds(now);
        self.put(Entry { id, expires: now.saturating_add(for_seconds), backend: backend.0 }, now);
    }

    fn put(&mut self, mut new: Entry, now: u32) {
        let id = new.id;
        let place = place(&self.places, id);
        // Its own old entry first, then an empty or dead one, then one without a backend, then the one that dies first.
        let worth = |entry: &Entry| match entry {
            entry if entry.expires <= now => 1,
            entry if entry.id == id => 0,
            entry if entry.backend & NOBODY == NOBODY => 2,
            entry => entry.expires,
        };
        let Some(way) = self.places[place].0.iter_mut().min_by_key(|entry| worth(entry)) else {
            return;
        };
        let old = way.backend & NOBODY;
        let is_alive = way.expires > now;
        self.evicted += u64::from(way.id != id && is_alive && old != NOBODY);
        // A transaction that was answered is repeated; another backend has not answered.
        let is_same = way.backend & !(ANSWERED | COUNTED) == new.backend;
        if way.id == id && is_alive && (is_same || old == NOBODY) {
            new.backend |= way.backend & (ANSWERED | COUNTED);
        }
        *way = new;
    }
}

/// An INVITE that is not remembered may still come: its answer takes a free way, and nobody else's. Without one it is lost.
fn mark_answered(places: &mut [Place], id: u64, now: u32) -> bool {
    let place = place(places, id);
    let ways = &mut places[place].0;
    if let Some(entry) = ways.iter_mut().find(|entry| entry.id == id && entry.expires > now) {
        entry.backend |= ANSWERED;
        true
    } else if let Some(free) = ways.iter_mut().find(|entry| entry.expires <= now) {
        let expires = now.saturating_add(REQUEST_SECONDS);
        *free = Entry { id, expires, backend: NOBODY | ANSWERED };
        true
    } else {
        false
    }
}

/// Ids are hashes, so their low bits are as good as any.
fn place(places: &[Place], id: u64) -> usize {
    #[expect(clippy::cast_possible_truncation, reason = "the remainder is below a usize")]
    let place = (id % places.len() as u64) as usize;
    place
}

/// Whole seconds, from 1 on; 136 years fit.
#[must_use]
pub fn seconds(now: Now) -> u32 {
    u32::try_from(now.0 / 1_000_000).unwrap_or(u32::MAX - 1).saturating_add(1)
}
