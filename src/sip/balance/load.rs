//! How much is under way at each backend, as far as one shard knows.
//!
//! Owns: a count for each number, and its forgetting: what is never taken off ends by itself. Knows nothing of messages: a
//! number stands for a backend, and whoever adds something keeps the moment until when it counts to take it off with.
//! Moments are whole seconds of the caller's clock. What expires does so within a tick, of `TICKS` that are kept apart.

/// How many ticks may lie ahead.
const TICKS: u32 = 64;

/// What is under way at one backend.
#[derive(Debug, Clone, Copy)]
struct Load {
    count: u32,
    /// The first tick that has not ended.
    tick: u32,
    /// Of `count`, how many end in each tick.
    ending: [u32; TICKS as usize],
}

const IDLE: Load = Load { count: 0, tick: 0, ending: [0; TICKS as usize] };

impl Load {
    /// Forgets what has ended before this tick.
    fn settle(&mut self, tick: u32) {
        for passed in self.tick..tick.min(self.tick.saturating_add(TICKS)) {
            self.count -= std::mem::take(&mut self.ending[(passed % TICKS) as usize]);
        }
        self.tick = self.tick.max(tick);
    }

    /// The place of what ends in this tick; none when it has ended, or is too far ahead.
    fn ending(&mut self, tick: u32) -> Option<&mut u32> {
        let ahead = tick.checked_sub(self.tick)?;
        (ahead < TICKS).then(|| &mut self.ending[(tick % TICKS) as usize])
    }
}

/// What is under way at the backends, by number.
#[derive(Debug, Clone)]
pub struct Loads {
    tick_seconds: u32,
    loads: Vec<Load>,
}

impl Loads {
    /// Of nobody yet. What is added counts for at most `seconds_max`.
    #[must_use]
    pub const fn new(seconds_max: u32) -> Self {
        // One tick for the one that has begun, one because the last is not whole.
        Self { tick_seconds: seconds_max.div_ceil(TICKS - 2), loads: Vec::new() }
    }

    /// Makes room for the numbers below `count`. Allocates: when a table is installed.
    pub fn grow(&mut self, count: usize) {
        if self.loads.len() < count {
            self.loads.resize(count, IDLE);
        }
    }

    /// Forgets all; the room stays.
    pub fn clear(&mut self) {
        self.loads.fill(IDLE);
    }

    /// How much is under way at this moment.
    #[must_use]
    pub fn count(&mut self, number: usize, now: u32) -> u32 {
        self.counts(now)(number)
    }

    /// As [`Loads::count`], for many numbers at one moment.
    pub fn counts(&mut self, now: u32) -> impl FnMut(usize) -> u32 + '_ {
        let tick = now / self.tick_seconds;
        move |number| {
            self.loads.get_mut(number).map_or(0, |load| {
                load.settle(tick);
                load.count
            })
        }
    }

    /// One more, until it is taken off or that second has passed.
    pub fn add(&mut self, number: usize, until: u32, now: u32) {
        self.change(number, until, now, 1);
    }

    /// One that was added with this `until` is over. One that has ended by itself is not taken off again.
    pub fn remove(&mut self, number: usize, until: u32, now: u32) {
        self.change(number, until, now, -1);
    }

    fn change(&mut self, number: usize, until: u32, now: u32, by: i32) {
        let Some(load) = self.loads.get_mut(number) else { return };
        load.settle(now / self.tick_seconds);
        let Some(ending) = load.ending(until / self.tick_seconds) else { return };
        if let Some(changed) = ending.checked_add_signed(by) {
            *ending = changed;
            load.count = load.count.saturating_add_signed(by);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_is_counted_until_it_is_taken_off() {
        let mut loads = Loads::new(220);
        loads.add(0, 240, 20);
        assert_eq!(loads.count(0, 20), 0, "no room was made");
        loads.grow(2);
        loads.add(0, 240, 20);
        loads.add(0, 60, 20);
        loads.add(1, 60, 20);
        assert_eq!((loads.count(0, 21), loads.count(1, 21)), (2, 1));
        loads.remove(0, 240, 22);
        assert_eq!((loads.count(0, 22), loads.count(1, 22)), (1, 1));
        loads.grow(1);
        assert_eq!(loads.count(1, 22), 1, "growing takes nobody's room");
        loads.clear();
        assert_eq!((loads.count(0, 22), loads.count(1, 22)), (0, 0));
    }

    #[test]
    fn what_is_never_taken_off_ends_by_itself() {
        for (seconds_max, for_seconds) in [(220, 220), (220, 40), (7_200, 7_200), (1, 1)] {
            for start in [1, 2, 3, 57, 1_000_003] {
                let mut loads = Loads::new(seconds_max);
                loads.grow(1);
                let tick = loads.tick_seconds;
                loads.add(0, start + for_seconds, start);
                assert_eq!(loads.count(0, start + for_seconds), 1, "{for_seconds} from {start}");
                assert_eq!(loads.count(0, start + for_seconds + tick), 0);
                loads.remove(0, start + for_seconds, start + for_seconds + tick);
                assert_eq!(loads.count(0, start + for_seconds + tick), 0, "not taken off twice");
            }
        }
    }

    #[test]
    fn a_long_silence_forgets_all_and_nothing_else() {
        let mut loads = Loads::new(220);
        loads.grow(1);
        for second in 1..=220 {
            loads.add(0, second + 220, second);
        }
        assert_eq!(loads.count(0, 220), 220);
        loads.add(0, 900_220, 900_000);
        assert_eq!(loads.count(0, 900_000), 1);
        // A clock that went back counts as standing still.
        assert_eq!(loads.count(0, 10), 1);
    }
}
