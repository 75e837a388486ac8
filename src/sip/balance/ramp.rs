//! Slow start: a member that has just come back takes only a part of its keys, and the next candidate the others.
//!
//! Owns: which keys that are. Knows nothing of time: who makes the tables lets the shares grow, and a key that came to a
//! member stays with it while its share does.

use super::rotation::mix;
use super::{BackendSet, Balance, Candidate, Rotation};

/// Makes the bits that a share is compared with independent of those that choose the member.
const SALT: u64 = 0x9d61_7261_6d70_2e2e;

/// A member that takes only a part of its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ramp {
    /// Its index.
    pub backend: u16,
    /// Of 65,536 keys, how many it takes.
    pub share: u16,
}

impl Balance {
    /// As [`Balance::pick`], with members that take only a part of their keys. When nobody takes the key, the first choice
    /// gets it: a ramp refuses no request.
    #[must_use]
    #[inline]
    pub fn pick_ramped(
        &self,
        key: Option<u64>,
        usable: &BackendSet,
        ramp: &[Ramp],
        rotation: &mut Rotation,
    ) -> Option<u16> {
        if ramp.is_empty() {
            return self.pick(key, usable, rotation);
        }
        let taking = taking(key, usable, ramp, rotation);
        self.pick(key, &taking, rotation).or_else(|| self.pick(key, usable, rotation))
    }

    /// As [`Balance::candidates`]; those that do not take the key stand at the end.
    #[must_use]
    pub fn candidates_ramped(
        &self,
        key: Option<u64>,
        usable: &BackendSet,
        ramp: &[Ramp],
        rotation: &Rotation,
    ) -> Vec<Candidate> {
        if ramp.is_empty() {
            return self.candidates(key, usable, rotation);
        }
        let mut ahead = rotation.clone();
        let taking = taking(key, usable, ramp, &mut ahead);
        let refusing = usable.iter().filter(|member| !taking.contains(*member)).collect();
        let mut order = self.candidates(key, &taking, &ahead);
        order.extend(self.candidates(key, &refusing, &ahead));
        order
    }
}

/// The usable members that take this key. One number for all members: what a member refuses does not load another that
/// has just come back as well.
fn taking(
    key: Option<u64>,
    usable: &BackendSet,
    ramp: &[Ramp],
    rotation: &mut Rotation,
) -> BackendSet {
    let number = key.map_or_else(|| rotation.random(), |key| mix(key ^ SALT)) >> 48;
    let mut taking = usable.clone();
    for refusing in ramp.iter().filter(|ramp| number >= u64::from(ramp.share)) {
        taking.remove(refusing.backend);
    }
    taking
}
