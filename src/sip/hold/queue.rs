//! Who is due next: a binary heap of slots that knows where each of them stands.
//!
//! Owns: the order. Allocates when it is made, for all slots, and never again. Times are [`Now`].

use crate::sip::Now;

/// Stands in no place.
const ABSENT: u32 = u32::MAX;

/// The slots that wait, the one that is due first on top.
#[derive(Debug)]
pub(super) struct Queue {
    /// Time and slot, as a binary heap.
    heap: Vec<(Now, u32)>,
    /// By slot: its place in the heap.
    places: Vec<u32>,
}

impl Queue {
    pub(super) fn new(slots: u32) -> Self {
        let count = slots as usize;
        Self { heap: Vec::with_capacity(count), places: vec![ABSENT; count] }
    }

    /// The one that is due first.
    pub(super) fn first(&self) -> Option<(Now, u32)> {
        self.heap.first().copied()
    }

    /// Lets `slot` wait until `due`, whether it waited before or not.
    pub(super) fn put(&mut self, slot: u32, due: Now) {
        match self.place(slot) {
            Some(place) => {
                self.heap[place].0 = due;
                let place = self.rise(place);
                self.sink(place);
            }
            None => {
                self.heap.push((due, slot));
                self.note(self.heap.len() - 1);
                self.rise(self.heap.len() - 1);
            }
        }
    }

    /// It waits no longer.
    pub(super) fn remove(&mut self, slot: u32) {
        let Some(place) = self.place(slot) else { return };
        self.heap.swap_remove(place);
        self.places[slot as usize] = ABSENT;
        if place < self.heap.len() {
            self.note(place);
            let place = self.rise(place);
            self.sink(place);
        }
    }

    fn place(&self, slot: u32) -> Option<usize> {
        self.places
            .get(slot as usize)
            .filter(|&&place| place != ABSENT)
            .map(|&place| place as usize)
    }

    fn rise(&mut self, mut place: usize) -> usize {
        while place > 0 {
            let parent = (place - 1) / 2;
            if self.heap[parent].0 <= self.heap[place].0 {
                break;
            }
            self.swap(place, parent);
            place = parent;
        }
        place
    }

    fn sink(&mut self, mut place: usize) {
        loop {
            let children = [2 * place + 1, 2 * place + 2];
            let below = children.into_iter().filter(|&child| child < self.heap.len());
            let Some(least) = below.min_by_key(|&child| self.heap[child].0) else { return };
            if self.heap[place].0 <= self.heap[least].0 {
                return;
            }
            self.swap(place, least);
            place = least;
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        self.note(a);
        self.note(b);
    }

    fn note(&mut self, place: usize) {
        let slot = self.heap[place].1 as usize;
        self.places[slot] = u32::try_from(place).expect("no more places than slots");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_always_the_earliest() {
        const SLOTS: u32 = 37;
        let mut queue = Queue::new(SLOTS);
        let mut model = std::collections::BTreeMap::new();
        let mut dice = 1_u64;
        for _ in 0..if cfg!(miri) { 400 } else { 20_000 } {
            dice = dice
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let slot = u32::try_from((dice >> 33) % u64::from(SLOTS)).expect("below SLOTS");
            if dice >> 62 == 0 {
                queue.remove(slot);
                model.remove(&slot);
            } else {
                let due = Now((dice >> 20) % 1_000);
                queue.put(slot, due);
                model.insert(slot, due);
            }
            assert_eq!(queue.first().map(|(due, _)| due), model.values().min().copied());
            assert_eq!(queue.first().and_then(|(_, slot)| model.get(&slot)), model.values().min());
        }
        assert_eq!(queue.heap.capacity(), SLOTS as usize, "nothing was allocated");
    }
}
