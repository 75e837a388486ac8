//! The choices of Kamailio's dispatcher, so that an edge and a Kamailio with the same list pick the same backend.
//!
//! Owns: its 32-bit hash, the start value of each algorithm and the step over members that are not usable. Indices
//! are places in its memory order, which the list reader gives. Facts of Kamailio 5.6.3 on x86-64. Where it orders
//! at random (the slots of 9 and 11) the seed decides here, so that all nodes with one seed agree.

use super::latency::Ranking;
use super::{BackendSet, CompileError, Detail, KeyUse, Member, Part, Rotation, Spec};

/// Slots of the algorithms 9 and 11.
const SLOTS: u16 = 100;

/// What a dispatcher algorithm hashes; each part is one string for [`hash`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyFrom {
    /// The Call-ID without blanks around it.
    CallId,
    /// User and host of the From URI (host:port where a port is written that is not the default).
    FromUri,
    /// The same of the To URI.
    ToUri,
    /// The same of the Request-URI.
    RequestUri,
    /// The user of the digest credentials, before any `@`; Proxy-Authorization before Authorization.
    AuthUser,
    /// What the pool's own key names (Kamailio's `hash_pvar`), without blanks around it; empty counts as missing.
    Configured,
}

/// Kamailio's hash of some strings. Each string starts a new group of four bytes. Bytes are signed, as `char` is on
/// x86-64: a byte of 0x80 and above counts as negative. Never 0: the dispatcher takes 1 for that (a URI without a
/// user, hashed by user only, shows it).
#[must_use]
pub fn hash(parts: &[&[u8]]) -> u32 {
    // A group of fewer than four bytes, and of none, ends each string.
    let group = |bytes: &[u8]| {
        let value = bytes.iter().fold(0u32, |value, byte| {
            (value << 8).wrapping_add_signed(i32::from(byte.cast_signed()))
        });
        value ^ (value >> 3)
    };
    let sum = parts.iter().flat_map(|part| part.chunks(4)).map(group).fold(0, u32::wrapping_add);
    let hash = [11, 13, 23].iter().fold(sum, |hash, shift| hash.wrapping_add(sum >> shift));
    hash.max(1)
}

/// One compiled algorithm over one set of destinations.
#[derive(Debug, Clone)]
pub(super) struct Dispatcher {
    choice: Choice,
    count: u16,
    use_default: bool,
}

#[derive(Debug, Clone)]
enum Choice {
    /// 0 to 3, 5 and 7.
    Hash(KeyFrom),
    /// 4.
    RoundRobin,
    /// 6.
    Random,
    /// 8.
    First,
    /// 9: the member of each slot.
    Weight(Box<[u16]>),
    /// 10: most calls of each member (0: any number), and whether they are counted.
    Calls(Box<[(u32, bool)]>),
    /// 11: relative weights, and the place in the unshuffled slots that each turn takes.
    RelativeWeight { rweights: Box<[u32]>, turns: Box<[u16]> },
    /// 13.
    Latency(Ranking),
}

impl Dispatcher {
    pub(super) fn compile(
        algorithm: u8,
        use_default: bool,
        members: &[Member<'_>],
        details: &[Detail],
        seed: u64,
    ) -> Result<Self, CompileError> {
        let choice = match algorithm {
            0 => Choice::Hash(KeyFrom::CallId),
            1 => Choice::Hash(KeyFrom::FromUri),
            2 => Choice::Hash(KeyFrom::ToUri),
            3 => Choice::Hash(KeyFrom::RequestUri),
            4 => Choice::RoundRobin,
            5 => Choice::Hash(KeyFrom::AuthUser),
            6 => Choice::Random,
            7 => Choice::Hash(KeyFrom::Configured),
            8 => Choice::First,
            9 => Choice::Weight(weight_slots(members, seed)),
            10 => {
                let calls = |detail: &Detail| (detail.max_load, detail.is_counted);
                Choice::Calls(details.iter().map(calls).collect())
            }
            13 => Choice::Latency(Ranking::compile(details)),
            11 => Choice::RelativeWeight {
                rweights: members.iter().map(|member| member.rweight).collect(),
                turns: shuffled((0..SLOTS).collect(), seed),
            },
            _ => return Err(CompileError::Algorithm(algorithm)),
        };
        debug_assert!(Spec::is_algorithm(algorithm));
        let count = u16::try_from(members.len())
            .map_err(|_| CompileError::TooMany { count: members.len() })?;
        Ok(Self { choice, count, use_default: use_default && count > 1 })
    }

    pub(super) const fn counts_calls(&self) -> bool {
        matches!(self.choice, Choice::Calls(_))
    }

    pub(super) fn is_counted(&self, member: u16) -> bool {
        match &self.choice {
            Choice::Calls(calls) => calls.get(usize::from(member)).is_some_and(|(_, is)| *is),
            _ => false,
        }
    }

    /// The usable member with the fewest calls, of those that may have more; the lowest index of the equally loaded.
    pub(super) fn pick_counted(
        &self,
        usable: &BackendSet,
        part: Part,
        load: &mut dyn FnMut(u16) -> u32,
    ) -> Option<u16> {
        let Choice::Calls(calls) = &self.choice else { return None };
        let mut least: Option<(u32, u16)> = None;
        for member in usable.ring(0, self.choosable()) {
            let (max_load, is_counted) = calls[usize::from(member)];
            let load = if is_counted { load(member) } else { 0 };
            let may_have_more = max_load == 0 || load < part.of(max_load);
            if may_have_more && least.is_none_or(|(best, _)| load < best) {
                least = Some((load, member));
            }
        }
        least.map(|(_, member)| member).or_else(|| self.default_member(usable))
    }

    pub(super) const fn key_use(&self) -> KeyUse {
        match self.choice {
            Choice::Hash(from) => KeyUse::Kamailio(from),
            _ => KeyUse::None,
        }
    }

    pub(super) fn pick(
        &self,
        key: Option<u64>,
        usable: &BackendSet,
        rotation: &mut Rotation,
    ) -> Option<u16> {
        let choosable = self.choosable();
        if let Choice::Latency(ranking) = &self.choice {
            let picked = ranking.pick(usable, choosable, rotation);
            return picked.or_else(|| self.default_member(usable));
        }
        let start = self.start(key, usable, rotation)?;
        let picked = usable.next_in_ring(start, choosable);
        if let Some(picked) = picked
            && self.rotates(key)
        {
            rotation.set_position(picked + 1);
        }
        picked.or_else(|| self.default_member(usable))
    }

    /// What goes to whom when each key, chance or turn comes as often as any other. `add` is given a member and its part;
    /// none where calls or latencies decide.
    pub(super) fn deal(
        &self,
        usable: &BackendSet,
        add: &mut dyn FnMut(Option<u16>, u32),
    ) -> Option<()> {
        let choosable = self.choosable();
        if choosable == 0 {
            return Some(());
        }
        let picked = |start: u16| {
            let picked = usable.next_in_ring(start % choosable, choosable);
            picked.or_else(|| self.default_member(usable))
        };
        match &self.choice {
            // A digest user decides; who has none takes a turn.
            Choice::Hash(_) | Choice::Random => {
                (0..choosable).for_each(|start| add(picked(start), 1));
            }
            Choice::RoundRobin if usable.ring(0, choosable).next().is_some() => {
                usable.ring(0, choosable).for_each(|member| add(Some(member), 1));
            }
            Choice::RoundRobin | Choice::First => add(picked(0), 1),
            Choice::Weight(slots) => slots.iter().for_each(|start| add(picked(*start), 1)),
            Choice::RelativeWeight { rweights, .. } => {
                (0..SLOTS).for_each(|slot| add(picked(relative_slot(rweights, usable, slot)), 1));
            }
            Choice::Calls(_) | Choice::Latency(_) => return None,
        }
        Some(())
    }

    /// The fail-over list that starts with `picked`: those behind it, then those before it, and the one kept as the
    /// default at the end.
    pub(super) fn failover(&self, picked: u16, usable: &BackendSet) -> Vec<u16> {
        let default = self.default_member(usable);
        if let Choice::Latency(ranking) = &self.choice {
            let mut order = ranking.failover(picked, usable, self.choosable());
            order.extend(default.filter(|default| *default != picked));
            return order;
        }
        usable.ring(picked, self.choosable()).chain(default).collect()
    }

    /// How many members are chosen from: without the default.
    const fn choosable(&self) -> u16 {
        self.count - self.use_default as u16
    }

    fn default_member(&self, usable: &BackendSet) -> Option<u16> {
        let last = self.use_default.then(|| self.count - 1)?;
        usable.contains(last).then_some(last)
    }

    /// Digest users without credentials rotate; so does 4.
    const fn rotates(&self, key: Option<u64>) -> bool {
        match self.choice {
            Choice::RoundRobin => true,
            Choice::Hash(KeyFrom::AuthUser) => key.is_none(),
            _ => false,
        }
    }

    fn start(&self, key: Option<u64>, usable: &BackendSet, rotation: &mut Rotation) -> Option<u16> {
        let choosable = self.choosable();
        if choosable == 0 {
            return None;
        }
        let value = match &self.choice {
            Choice::Hash(from) => match (key, from) {
                (Some(key), _) => key,
                (None, KeyFrom::AuthUser) => u64::from(rotation.position(choosable)),
                (None, _) => return None,
            },
            Choice::RoundRobin => u64::from(rotation.position(choosable)),
            Choice::Random => rotation.random(),
            // For what is no INVITE, too, 10 takes the first; 13 has no start.
            Choice::First | Choice::Calls(_) | Choice::Latency(_) => 0,
            Choice::Weight(slots) => u64::from(slots[usize::from(turn(rotation))]),
            Choice::RelativeWeight { rweights, turns } => {
                let slot = turns[usize::from(turn(rotation))];
                u64::from(relative_slot(rweights, usable, slot))
            }
        };
        u16::try_from(value % u64::from(choosable)).ok()
    }
}

/// The next of [`SLOTS`] turns.
const fn turn(rotation: &mut Rotation) -> u16 {
    let turn = rotation.position(SLOTS);
    rotation.set_position(turn + 1);
    turn
}

/// Each member as often as its weight says, in order, until the slots are used up; the last member takes the rest.
/// Without a weight of the first member there are no weights at all, and index 0 has every slot.
fn weight_slots(members: &[Member<'_>], seed: u64) -> Box<[u16]> {
    let count = usize::from(SLOTS);
    if members.first().is_none_or(|first| first.weight == 0) {
        return vec![0; count].into();
    }
    let mut slots: Vec<u16> = (0u16..)
        .zip(members)
        .flat_map(|(index, member)| std::iter::repeat_n(index, (member.weight as usize).min(count)))
        .take(count)
        .collect();
    let last = u16::try_from(members.len() - 1).unwrap_or(0);
    slots.resize(count, last);
    shuffled(slots, seed)
}

/// Who has a slot when the slots are dealt out anew by the relative weights of the usable members: each gets its part of
/// 100, cut down; what is left over goes to the last that got one (to the last member when nobody did).
fn relative_slot(rweights: &[u32], usable: &BackendSet, slot: u16) -> u16 {
    let members = || (0u16..).zip(rweights).filter(|(index, _)| usable.contains(*index));
    let sum: u64 = members().map(|(_, rweight)| u64::from(*rweight)).sum();
    if sum == 0 {
        return 0;
    }
    let mut dealt = 0;
    let mut last = u16::try_from(rweights.len() - 1).unwrap_or(0);
    for (index, rweight) in members() {
        let part = u64::from(*rweight) * u64::from(SLOTS) / sum;
        dealt += part;
        if part > 0 {
            last = index;
        }
        if u64::from(slot) < dealt {
            return index;
        }
    }
    last
}

/// The same slots in an order that the seed decides (Fisher and Yates).
fn shuffled(mut slots: Vec<u16>, seed: u64) -> Box<[u16]> {
    let mut chance = Rotation::new(seed);
    for place in (1..slots.len()).rev() {
        let other = (u128::from(chance.random()) * (place as u128 + 1)) >> 64;
        slots.swap(place, usize::try_from(other).unwrap_or(place));
    }
    slots.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_as_kamailio() {
        assert_eq!(hash(&[b"1"]), 55);
        assert_eq!(hash(&[b"ab"]), 27_998);
        assert_eq!(hash(&[b"alice"]), 1_834_153_949);
        assert_eq!(hash(&[b"alice", b""]), 1_834_153_949);
        assert_eq!(hash(&[b"alice", b"example.com"]), 1_442_294_598);
        assert_eq!((hash(&[]), hash(&[b""])), (1, 1));
        assert_ne!(hash(&[b"alice", b"example.com"]), hash(&[b"aliceexample.com"]));
    }

    #[test]
    fn relative_slots_add_up_and_skip_the_unusable() {
        let rweights = [50, 30, 20];
        let count = |usable: &BackendSet, wanted: u16| {
            (0..SLOTS).filter(|slot| relative_slot(&rweights, usable, *slot) == wanted).count()
        };
        let all = BackendSet::full(3);
        assert_eq!([0, 1, 2].map(|index| count(&all, index)), [50, 30, 20]);
        let two: BackendSet = [0u16, 2].into_iter().collect();
        assert_eq!([0, 1, 2].map(|index| count(&two, index)), [71, 0, 29]);
        assert_eq!(count(&BackendSet::empty(), 0), 100);
    }

    #[test]
    fn a_shuffle_keeps_the_slots() {
        let plain: Vec<u16> = (0..SLOTS).collect();
        let mut first = shuffled(plain.clone(), 1);
        assert_ne!(*first, *plain);
        assert_ne!(first, shuffled(plain.clone(), 2));
        first.sort_unstable();
        assert_eq!(*first, *plain);
    }
}
