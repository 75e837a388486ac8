//! Which calls are under way at which backend, for `kamailio:10`.
//!
//! Owns: a bounded table of calls and the count of each backend. A call is a number (a hash of its Call-ID), a backend
//! another. Soft: a call that finds no room is not counted, one that never ends is forgotten after [`CALL_SECONDS`].
//! Moments are whole seconds of the caller's clock.

use super::load::Loads;

/// Most calls that one shard counts.
pub const CALLS_MAX: usize = 1 << 16;
/// How long a call counts when nobody ends it (Kamailio's `ds_hash_expire`).
pub const CALL_SECONDS: u32 = 7_200;

/// How far from its place a call may stand.
const STEPS_MAX: usize = 32;

/// The bit of a call whose INVITE had a 2xx.
const CONFIRMED: u32 = 1 << 31;

#[derive(Debug, Clone, Copy)]
struct Call {
    id: u64,
    /// The second in which it is forgotten; 0 for a free place.
    expires: u32,
    /// The number of its backend, and [`CONFIRMED`].
    backend: u32,
}

const FREE: Call = Call { id: 0, expires: 0, backend: 0 };

/// The calls of one shard.
#[derive(Debug)]
pub struct Calls {
    calls: Box<[Call]>,
    loads: Loads,
    uncounted: u64,
}

impl Calls {
    /// Without room: for a shard whose pools count no calls.
    #[must_use]
    pub fn new() -> Self {
        Self { calls: Box::default(), loads: Loads::new(CALL_SECONDS), uncounted: 0 }
    }

    /// Makes room for calls to the backends below `backends`. Allocates: when a table is installed.
    pub fn grow(&mut self, backends: usize) {
        if self.calls.is_empty() {
            self.calls = vec![FREE; CALLS_MAX].into();
        }
        self.loads.grow(backends);
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.calls.fill(FREE);
        self.loads.clear();
    }

    /// How many calls are under way at a backend.
    #[must_use]
    pub fn count(&mut self, backend: usize, now: u32) -> u32 {
        self.loads.count(backend, now)
    }

    /// How many calls found no room to be counted.
    #[must_use]
    pub const fn uncounted(&self) -> u64 {
        self.uncounted
    }

    /// A call begins. One that is known already is not counted again.
    pub fn begin(&mut self, id: u64, backend: usize, now: u32) {
        if self.find(id, now).is_some() {
            return;
        }
        let free = self.places(id).find(|place| self.calls[*place].expires <= now);
        let (Some(place), Ok(number)) = (free, u32::try_from(backend)) else {
            self.uncounted += 1;
            return;
        };
        let expires = now.saturating_add(CALL_SECONDS);
        self.calls[place] = Call { id, expires, backend: number };
        self.loads.add(backend, expires, now);
    }

    /// Its INVITE had a 2xx.
    pub fn confirm(&mut self, id: u64, now: u32) {
        if let Some(place) = self.find(id, now) {
            self.calls[place].backend |= CONFIRMED;
        }
    }

    /// It was ended.
    pub fn end(&mut self, id: u64, now: u32) {
        if let Some(place) = self.find(id, now) {
            let Call { expires, backend, .. } = std::mem::replace(&mut self.calls[place], FREE);
            self.loads.remove((backend & !CONFIRMED) as usize, expires, now);
        }
    }

    /// Its INVITE failed or was given up. When it was confirmed before, that was only a change of the call.
    pub fn fail(&mut self, id: u64, now: u32) {
        let place = self.find(id, now);
        if place.is_some_and(|place| self.calls[place].backend & CONFIRMED == 0) {
            self.end(id, now);
        }
    }

    fn find(&self, id: u64, now: u32) -> Option<usize> {
        self.places(id).find(|place| {
            let call = &self.calls[*place];
            call.id == id && call.expires > now
        })
    }

    /// Where a call may stand.
    fn places(&self, id: u64) -> impl Iterator<Item = usize> + use<> {
        let len = self.calls.len();
        #[expect(clippy::cast_possible_truncation, reason = "an id is a hash: any bits do")]
        let start = id as usize;
        (0..STEPS_MAX.min(len)).map(move |step| start.wrapping_add(step) & (len - 1))
    }
}

const _: () = assert!(CALLS_MAX.is_power_of_two());

impl Default for Calls {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::super::rotation::mix;
    use super::*;

    fn with_room() -> Calls {
        let mut calls = Calls::new();
        calls.grow(3);
        calls
    }

    #[test]
    fn a_call_counts_once_and_until_its_end() {
        let mut calls = with_room();
        calls.begin(7, 1, 100);
        calls.begin(7, 2, 101);
        assert_eq!([0, 1, 2].map(|backend| calls.count(backend, 101)), [0, 1, 0]);
        calls.confirm(7, 101);
        // What fails now is a change of the call.
        calls.fail(7, 102);
        assert_eq!(calls.count(1, 102), 1);
        calls.end(7, 103);
        calls.end(7, 103);
        assert_eq!(calls.count(1, 103), 0);
        calls.begin(7, 2, 104);
        calls.fail(7, 105);
        assert_eq!((calls.count(2, 105), calls.uncounted()), (0, 0));
    }

    #[test]
    fn a_call_that_nobody_ends_is_forgotten() {
        let mut calls = with_room();
        calls.begin(7, 1, 100);
        assert_eq!(calls.count(1, 100 + CALL_SECONDS - 1), 1);
        // The count ends within a tick, the call itself at once: it may begin anew.
        let over = 100 + CALL_SECONDS + 200;
        assert_eq!(calls.count(1, over), 0);
        calls.end(7, over);
        calls.begin(7, 2, over);
        assert_eq!((calls.count(1, over), calls.count(2, over)), (0, 1));
    }

    #[test]
    fn a_call_without_room_is_not_counted_and_others_stay() {
        let mut none = Calls::new();
        none.begin(7, 0, 1);
        assert_eq!(none.uncounted(), 1);
        let mut calls = with_room();
        // All want the same place.
        for n in 0..40 {
            calls.begin(n << 32, 0, 1);
        }
        assert_eq!((calls.count(0, 1), calls.uncounted()), (32, 8));
        calls.end(3 << 32, 1);
        calls.begin(39 << 32, 0, 1);
        assert_eq!((calls.count(0, 1), calls.uncounted()), (32, 8));
        // Evenly spread, half of the room is used before any is missed.
        calls.clear();
        (0..CALLS_MAX as u64 / 2).for_each(|n| calls.begin(mix(n), 0, 2));
        assert!(calls.uncounted() < 8 + 40, "{}", calls.uncounted());
    }
}
