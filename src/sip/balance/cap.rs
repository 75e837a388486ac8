//! Consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam): no member far above the mean.
//!
//! Owns: which members have room for one more, and the choice among them. Who has none is passed over as if it were not
//! usable, so a key goes to the next in its own order, the same for every key and node that sees the same loads, and comes back
//! when there is room. What a load is, the caller knows.
//!
//! A member may have its part of the load of all usable ones, the new request included, times the cap, rounded up: a member
//! with nothing to do always has room. Its part is its weight among them; of a member that starts slowly, its share of that.
//! The parts add up to more than the load, so while the caller's counts stand somebody has room.
//!
//! Costs: a look at the load of each usable member, unless the first choice has nothing to do.

use super::rendezvous::Rendezvous;
use super::{BackendSet, Balance, Kind, Ramp, Rotation, ramp};

/// How much above the mean a member may be loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadCap {
    thousandths: u32,
}

impl LoadCap {
    /// The lowest: nearer to the mean, most keys would be moved all the time.
    pub const MIN: Self = Self { thousandths: 1_050 };
    /// The highest: further away, it would never act.
    pub const MAX: Self = Self { thousandths: 100_000 };

    /// So many thousandths of the mean, kept within [`LoadCap::MIN`] and [`LoadCap::MAX`].
    #[must_use]
    pub const fn of_thousandths(thousandths: u32) -> Self {
        if thousandths < Self::MIN.thousandths {
            Self::MIN
        } else if thousandths > Self::MAX.thousandths {
            Self::MAX
        } else {
            Self { thousandths }
        }
    }

    /// How many times the mean.
    #[must_use]
    pub fn times(self) -> f64 {
        f64::from(self.thousandths) / 1_000.0
    }
}

impl std::fmt::Display for LoadCap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.times().fmt(f)
    }
}

/// Who gets a key under a cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// The member.
    pub member: u16,
    /// The key's own member had no room.
    pub is_moved: bool,
}

/// The share of a member that takes all its keys: see [`Ramp::share`].
const SHARE_ALL: u32 = 1 << 16;

/// What all usable members have to do, and what they weigh together.
struct Whole {
    cap: LoadCap,
    /// The new request included.
    load: u64,
    /// Each with its share: a weight of 1 is [`SHARE_ALL`].
    weight: u64,
}

impl Whole {
    /// Whether a member with this load may have one more: it is below its part times the cap.
    fn has_room(&self, load: u32, weight: u32, share: u32) -> bool {
        let part = u128::from(weight) * u128::from(share) * u128::from(self.load);
        let bound = part * u128::from(self.cap.thousandths);
        u128::from(load) * u128::from(self.weight) * 1_000 < bound
    }
}

impl Balance {
    /// As [`Balance::pick_ramped`], but who is at the cap is passed over. `load` says how much is under way at a member, as
    /// far as this part of the node knows. Only `rendezvous` has an order of its own for each key: another balance picks as ever.
    #[must_use]
    pub fn pick_capped(
        &self,
        cap: LoadCap,
        key: Option<u64>,
        (usable, ramp): (&BackendSet, &[Ramp]),
        rotation: &mut Rotation,
        load: &mut dyn FnMut(u16) -> u32,
    ) -> Option<Placed> {
        let Kind::Rendezvous(rendezvous) = &self.kind else {
            let member = self.pick_ramped(key, usable, ramp, rotation)?;
            return Some(Placed { member, is_moved: false });
        };
        // Without a key, one number for all that is asked below.
        let key = key.unwrap_or_else(|| rotation.random());
        let first = self.pick_ramped(Some(key), usable, ramp, rotation)?;
        let own = Placed { member: first, is_moved: false };
        let has_now = load(first);
        if has_now == 0 {
            return Some(own);
        }
        let whole = whole(cap, rendezvous, usable, ramp, load);
        let slow = ramp.iter().find(|slow| slow.backend == first);
        let share = slow.map_or(SHARE_ALL, |slow| u32::from(slow.share));
        if whole.has_room(has_now, rendezvous.weight(first), share) {
            return Some(own);
        }
        let mut room = ramp::taking(Some(key), usable, ramp, rotation);
        for member in usable.ring(0, self.count) {
            if !whole.has_room(load(member), rendezvous.weight(member), SHARE_ALL) {
                room.remove(member);
            }
        }
        for slow in ramp.iter().filter(|slow| slow.backend < self.count) {
            let (member, share) = (slow.backend, u32::from(slow.share));
            if !whole.has_room(load(member), rendezvous.weight(member), share) {
                room.remove(member);
            }
        }
        let next = rendezvous.pick(key, &room);
        Some(next.map_or(own, |member| Placed { member, is_moved: member != first }))
    }
}

fn whole(
    cap: LoadCap,
    rendezvous: &Rendezvous,
    usable: &BackendSet,
    ramp: &[Ramp],
    load: &mut dyn FnMut(u16) -> u32,
) -> Whole {
    let mut whole = Whole { cap, load: 1, weight: 0 };
    let count = rendezvous.count();
    for member in usable.ring(0, count) {
        whole.load += u64::from(load(member));
        whole.weight += u64::from(rendezvous.weight(member)) * u64::from(SHARE_ALL);
    }
    for slow in ramp.iter().filter(|slow| slow.backend < count && usable.contains(slow.backend)) {
        let missing = SHARE_ALL - u32::from(slow.share);
        let missing = u64::from(rendezvous.weight(slow.backend)) * u64::from(missing);
        whole.weight = whole.weight.saturating_sub(missing);
    }
    whole
}

#[cfg(test)]
mod tests;
