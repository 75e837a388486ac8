//! Requests that are held until their final response, so that another backend can get them.
//!
//! Owns: a bounded slab of them with their bytes, by transaction and by time. What happens to one of them is decided in
//! `entry.rs`. Knows no message, table or socket. Everything is allocated when it is made. Times are [`Now`], sizes bytes.

use std::net::SocketAddr;

use super::route::table::Limits;
use super::{ListenerId, Now};
use queue::Queue;

pub mod attempt;
pub mod entry;
mod own_answer;
mod queue;

#[cfg(test)]
mod tests;

use entry::{Entry, Held};

/// Most requests that a shard can hold, whatever the limits say.
pub const HELD_MAX: usize = 1 << 20;
/// The largest request that can be held, whatever the limits say, in bytes.
pub const HELD_BYTES_MAX: usize = 16_384;

/// No slot.
const NONE: u32 = u32::MAX;

/// What was done, since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HoldCounts {
    /// Requests that were held.
    pub held: u64,
    /// Requests that were not, because too many were held or they are too large.
    pub refused: u64,
    /// Requests that were sent on to a further backend.
    pub failed_over: u64,
    /// Backends that were given up because they were silent.
    pub given_up: u64,
    /// CANCELs of ours, without those that were repeated.
    pub cancelled: u64,
    /// Callers that were answered by us because no backend did, without the repetitions.
    pub answered: u64,
}

impl std::ops::AddAssign for HoldCounts {
    fn add_assign(&mut self, other: Self) {
        self.held += other.held;
        self.refused += other.refused;
        self.failed_over += other.failed_over;
        self.given_up += other.given_up;
        self.cancelled += other.cancelled;
        self.answered += other.answered;
    }
}

/// One held request: valid until it is released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot(u32);

#[derive(Debug, Clone)]
struct Place {
    entry: Option<Entry>,
    size: usize,
    /// The next in the chain of its bucket, or of the free ones.
    next: u32,
}

/// The held requests of one shard.
#[derive(Debug)]
pub struct Hold {
    places: Vec<Place>,
    /// Of `bytes_max` for each place.
    bytes: Vec<u8>,
    bytes_max: usize,
    /// By transaction: heads of chains.
    buckets: Vec<u32>,
    free: u32,
    count: usize,
    queue: Queue,
    /// What was done.
    pub counts: HoldCounts,
}

impl Hold {
    /// With room for what the limits say.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        let slots = u32::try_from(limits.held_max.clamp(1, HELD_MAX)).expect("at most HELD_MAX");
        let bytes_max = limits.held_bytes_max.min(HELD_BYTES_MAX);
        let next = |slot: u32| if slot + 1 < slots { slot + 1 } else { NONE };
        let place = |slot| Place { entry: None, size: 0, next: next(slot) };
        Self {
            places: (0..slots).map(place).collect(),
            bytes: vec![0; slots as usize * bytes_max],
            bytes_max,
            buckets: vec![NONE; (slots as usize * 2).next_power_of_two()],
            free: 0,
            count: 0,
            queue: Queue::new(slots),
            counts: HoldCounts::default(),
        }
    }

    /// How many requests are held.
    #[must_use]
    #[inline]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// None is held.
    #[must_use]
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many can be held.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.places.len()
    }

    /// The held request of this transaction.
    #[must_use]
    pub fn find(&self, id: u64) -> Option<Slot> {
        let mut slot = self.buckets[self.bucket(id)];
        while let Some(place) = self.places.get(slot as usize) {
            if place.entry.as_ref().is_some_and(|entry| entry.id == id) {
                return Some(Slot(slot));
            }
            slot = place.next;
        }
        None
    }

    /// Holds a request that was sent to `first`; `false`, and counted, when there is no room.
    pub fn admit(
        &mut self,
        held: Held,
        bytes: &[u8],
        first: (SocketAddr, ListenerId),
        now: Now,
    ) -> bool {
        let slot = self.free as usize;
        if bytes.len() > self.bytes_max || slot >= self.places.len() {
            self.counts.refused += 1;
            return false;
        }
        self.bytes[slot * self.bytes_max..][..bytes.len()].copy_from_slice(bytes);
        let bucket = self.bucket(held.id);
        let entry = Entry::new(held, first, now);
        self.queue.put(self.free, entry.due());
        let next = std::mem::replace(&mut self.buckets[bucket], self.free);
        let place = &mut self.places[slot];
        self.free = place.next;
        *place = Place { entry: Some(entry), size: bytes.len(), next };
        self.count += 1;
        self.counts.held += 1;
        true
    }

    /// The request as it was received.
    #[must_use]
    pub fn bytes(&self, slot: Slot) -> &[u8] {
        let place = slot.0 as usize;
        let size = self.places.get(place).map_or(0, |place| place.size);
        self.bytes
            .get(place * self.bytes_max..)
            .and_then(|bytes| bytes.get(..size))
            .unwrap_or_default()
    }

    /// The held request.
    #[must_use]
    pub fn entry(&self, slot: Slot) -> Option<&Entry> {
        self.places.get(slot.0 as usize)?.entry.as_ref()
    }

    /// The held request, to be changed; [`Hold::tidy`] comes after it.
    pub fn entry_mut(&mut self, slot: Slot) -> Option<&mut Entry> {
        self.places.get_mut(slot.0 as usize)?.entry.as_mut()
    }

    /// Who is due first, and when.
    #[must_use]
    pub fn first(&self) -> Option<(Now, Slot)> {
        self.queue.first().map(|(due, slot)| (due, Slot(slot)))
    }

    /// After a change: lets it wait for its next time, or releases it when it is over.
    pub fn tidy(&mut self, slot: Slot) {
        match self.entry(slot) {
            Some(entry) if entry.is_over() => self.release(slot),
            Some(entry) => self.queue.put(slot.0, entry.due()),
            None => {}
        }
    }

    fn release(&mut self, Slot(slot): Slot) {
        let Some(entry) = self.places[slot as usize].entry.take() else { return };
        self.queue.remove(slot);
        let bucket = self.bucket(entry.id);
        let after = self.places[slot as usize].next;
        if self.buckets[bucket] == slot {
            self.buckets[bucket] = after;
        } else {
            let mut before = self.buckets[bucket];
            while let Some(place) = self.places.get_mut(before as usize) {
                if place.next == slot {
                    place.next = after;
                    break;
                }
                before = place.next;
            }
        }
        self.places[slot as usize].next = std::mem::replace(&mut self.free, slot);
        self.count -= 1;
    }

    /// Ids are hashes, so their low bits are as good as any.
    fn bucket(&self, id: u64) -> usize {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the number of buckets is a power of two"
        )]
        let low = id as usize;
        low & (self.buckets.len() - 1)
    }
}
