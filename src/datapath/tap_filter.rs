//! Which messages are copied for control.
//!
//! Owns: the conditions and how a shard asks them. Knows nothing of what becomes of a copy. Times are [`Now`].

use crate::sip::Now;

/// Most filters at a time: each is one bit of [`super::tap::Taken::wanted`].
pub const FILTERS_MAX: usize = 8;

/// What somebody wants copies of. All conditions must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TapFilter {
    /// One call of so many, whole, chosen by its Call-ID; up to 1: every message.
    pub one_in: u32,
    /// The meters of pools that a message goes to or comes from; empty: all messages.
    pub pools: Vec<u32>,
    /// The calls whose Call-ID has this hash ([`crate::sip::steer::call`]).
    pub call: Option<u64>,
    /// At most so many received messages in a second, of each shard; 0: all.
    pub per_second_max: u32,
    /// What is sent, too.
    pub is_both_ways: bool,
}

/// A filter at work.
#[derive(Debug)]
pub(super) struct Running {
    filter: TapFilter,
    /// The second that `used` is about.
    second: u64,
    used: u32,
}

impl Running {
    pub(super) fn new(filter: TapFilter) -> Self {
        Self { filter, second: 0, used: 0 }
    }

    pub(super) fn is_both_ways(&self) -> bool {
        self.filter.is_both_ways
    }

    /// Whether it depends on the call; else nobody need look for the Call-ID.
    pub(super) fn asks_for_the_call(&self) -> bool {
        self.filter.one_in > 1 || self.filter.call.is_some()
    }

    /// Whether this message is wanted; `call` is the hash of its Call-ID, if it has one in reach.
    pub(super) fn wants(&mut self, now: Now, call: Option<u64>, pool: u32) -> bool {
        let TapFilter { one_in, ref pools, call: only, per_second_max, .. } = self.filter;
        let is_sampled =
            one_in <= 1 || call.is_some_and(|call| call.is_multiple_of(u64::from(one_in)));
        let is_wanted = is_sampled
            && (only.is_none() || only == call)
            && (pools.is_empty() || pools.contains(&pool));
        is_wanted && (per_second_max == 0 || self.has_budget(now, per_second_max))
    }

    fn has_budget(&mut self, now: Now, per_second_max: u32) -> bool {
        let second = now.0 / 1_000_000;
        if second != self.second {
            (self.second, self.used) = (second, 0);
        }
        self.used += u32::from(self.used < per_second_max + 1);
        self.used <= per_second_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(filter: TapFilter, message: (Option<u64>, u32), expected: bool) {
        let mut running = Running::new(filter.clone());
        if !running.asks_for_the_call() {
            assert_eq!(running.wants(Now(0), None, message.1), expected, "{filter:?} {message:?}");
        }
        assert_eq!(running.wants(Now(0), message.0, message.1), expected, "{filter:?} {message:?}");
    }

    #[test]
    fn all_conditions_must_hold() {
        let none = TapFilter::default();
        check(none.clone(), (None, 1), true);
        let sampled = TapFilter { one_in: 10, ..none.clone() };
        check(sampled.clone(), (Some(20), 1), true);
        check(sampled.clone(), (Some(21), 1), false);
        check(sampled, (None, 1), false);
        let pool = TapFilter { pools: vec![3, 4], ..none.clone() };
        check(pool.clone(), (None, 4), true);
        check(pool.clone(), (None, 5), false);
        check(TapFilter { call: Some(7), ..pool.clone() }, (Some(7), 3), true);
        check(TapFilter { call: Some(7), ..pool }, (Some(8), 3), false);
        check(TapFilter { call: Some(7), ..none }, (None, 3), false);
    }

    #[test]
    fn the_budget_is_that_of_a_second() {
        let mut running = Running::new(TapFilter { per_second_max: 2, ..TapFilter::default() });
        let mut wants = |at| running.wants(Now(at), None, 0);
        assert_eq!([1, 2, 3, 999_999].map(&mut wants), [true, true, false, false]);
        assert_eq!([1_000_000, 1_000_001, 1_000_002].map(&mut wants), [true, true, false]);
    }
}
