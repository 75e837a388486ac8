//! From a key (a number) to a backend of a pool.
//!
//! Owns: the ways to choose, compiled for the hot path. Knows nothing of messages, addresses or time: a member is
//! an index, its identity and its weights; a key is a number; who may be chosen is a [`BackendSet`]. The choice is a
//! pure function of members, key and usable set, except where an operator asks for a rotation or for chance: that
//! state is the caller's [`Rotation`]. Nothing allocates, locks or logs after [`Balance::compile`].
//! Limits: at most [`BACKENDS_MAX`] members.

use super::siphash::{SipHash13, SipKey};

pub mod backend_set;
pub mod calls;
mod cap;
pub mod kamailio;
mod latency;
mod least_load;
pub mod load;
mod logarithm;
mod ramp;
pub mod rendezvous;
pub mod rotation;
mod shares;
pub mod spec;
mod weighted;

#[cfg(test)]
mod tests;

pub use backend_set::{BACKENDS_MAX, BackendSet};
pub use cap::{LoadCap, Placed};
use kamailio::Dispatcher;
use latency::Swift;
use least_load::LeastLoad;
pub use ramp::Ramp;
use rendezvous::Rendezvous;
pub use rotation::Rotation;
pub use spec::{Spec, SpecError};
use weighted::Schedule;

/// What a balance has to know of a backend. Its index is its place in the slice given to [`Balance::compile`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member<'a> {
    /// What names it on every node and across edits of the pool: its URI as configured. Rendezvous hashes it, so a
    /// member that keeps its identity keeps its keys, whatever its place in the file.
    pub identity: &'a [u8],
    /// Its share against the others for `rendezvous` and `weight`; 1 to 100, or 0 for none, for `kamailio:9`.
    pub weight: u32,
    /// The relative weight of `kamailio:11`.
    pub rweight: u32,
}

/// What only some balances have to know of a backend besides its [`Member`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Detail {
    /// `kamailio:10`: most calls of it at a time; 0 for any number.
    pub max_load: u32,
    /// `kamailio:10`: its calls are counted.
    pub is_counted: bool,
    /// `kamailio:13`: who comes first, and how much latency it may have. Milliseconds.
    pub priority: i32,
    /// `latency` and `kamailio:13`: how long it takes to answer. Microseconds; none when nobody knows.
    pub latency_us: Option<u32>,
}

impl Default for Detail {
    fn default() -> Self {
        Self { max_load: 0, is_counted: true, priority: 0, latency_us: None }
    }
}

/// Which part of a node a shard is: what holds for the node is divided among its shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Which shard.
    pub shard: u8,
    /// How many there are.
    pub shards: u8,
}

impl Part {
    /// The only shard.
    pub const WHOLE: Self = Self { shard: 0, shards: 1 };

    /// This shard's part of a bound that is not 0: what all get adds up to the bound, but nobody gets nothing.
    #[must_use]
    pub fn of(self, bound: u32) -> u32 {
        let shards = u32::from(self.shards.max(1));
        (bound / shards + u32::from(u32::from(self.shard) < bound % shards)).max(1)
    }
}

/// Why members cannot be balanced the way that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CompileError {
    /// More than [`BACKENDS_MAX`] members.
    TooMany {
        /// How many were given.
        count: usize,
    },
    /// Two members with the same identity would want the same keys of `rendezvous`.
    SameIdentity {
        /// The earlier of the two.
        first: u16,
        /// The later of the two.
        second: u16,
    },
    /// No such Kamailio algorithm, or one that comes later: [`Spec::parse`] says which.
    Algorithm(u8),
}

impl std::fmt::Display for CompileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooMany { count } => {
                write!(f, "{count} backends in one pool; at most {BACKENDS_MAX} are possible")
            }
            Self::SameIdentity { first, second } => write!(
                f,
                "backends {} and {} are the same; rendezvous needs each once (use weight for a larger share)",
                first + 1,
                second + 1
            ),
            Self::Algorithm(number) => write!(f, "kamailio:{number} cannot be used"),
        }
    }
}

impl std::error::Error for CompileError {}

/// How the caller has to compute the key number for [`Balance::pick`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyUse {
    /// No key is looked at: do not compute one.
    None,
    /// [`hash_key`] over the parts of the pool's key.
    Sip,
    /// [`kamailio::hash`] over the parts that this algorithm takes.
    Kamailio(kamailio::KeyFrom),
}

/// What a shard has to count for a pool: see [`Balance::counts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counts {
    /// Nothing: key, chance and turns decide.
    Nothing,
    /// Requests that have no final response, by backend.
    Requests,
    /// Calls, by backend.
    Calls,
}

/// One member in the order of preference for a key.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// Its index.
    pub backend: u16,
    /// Higher is better. Rendezvous: weight / -ln(u) of the key's slot. The others: steps behind the pick, negated.
    pub score: f64,
}

/// A compiled balance.
#[derive(Debug, Clone)]
pub struct Balance {
    count: u16,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Rendezvous(Rendezvous),
    RoundRobin,
    Random,
    First,
    Weight(Schedule),
    LeastLoad(LeastLoad),
    Latency(Swift),
    Kamailio(Dispatcher),
}

impl Balance {
    /// Compiles what the configuration asks for. `seed` orders the weight slots of `kamailio:9` and `kamailio:11`
    /// (random there, repeatable here); nothing else depends on it. An empty pool is no error: nobody is picked.
    pub fn compile(spec: &Spec, members: &[Member<'_>], seed: u64) -> Result<Self, CompileError> {
        Self::compile_detailed(spec, members, &vec![Detail::default(); members.len()], seed)
    }

    /// As [`Balance::compile`], with a detail for each member.
    pub fn compile_detailed(
        spec: &Spec,
        members: &[Member<'_>],
        details: &[Detail],
        seed: u64,
    ) -> Result<Self, CompileError> {
        debug_assert_eq!(members.len(), details.len());
        let count = match u16::try_from(members.len()) {
            Ok(count) if members.len() <= BACKENDS_MAX => count,
            _ => return Err(CompileError::TooMany { count: members.len() }),
        };
        let kind = match *spec {
            Spec::Rendezvous => Kind::Rendezvous(Rendezvous::compile(members)?),
            Spec::RoundRobin => Kind::RoundRobin,
            Spec::Random => Kind::Random,
            Spec::First => Kind::First,
            Spec::Weight => Kind::Weight(Schedule::compile(members)),
            Spec::LeastLoad => Kind::LeastLoad(LeastLoad::compile(members)),
            Spec::Latency => Kind::Latency(Swift::compile(members, details)),
            Spec::Kamailio { algorithm, use_default } => {
                Kind::Kamailio(Dispatcher::compile(algorithm, use_default, members, details, seed)?)
            }
        };
        Ok(Self { count, kind })
    }

    /// How many members it was compiled for.
    #[must_use]
    pub const fn count(&self) -> u16 {
        self.count
    }

    /// How the key of [`Balance::pick`] is computed.
    #[must_use]
    pub const fn key_use(&self) -> KeyUse {
        match &self.kind {
            Kind::Rendezvous(_) => KeyUse::Sip,
            Kind::RoundRobin
            | Kind::Random
            | Kind::First
            | Kind::Weight(_)
            | Kind::LeastLoad(_)
            | Kind::Latency(_) => KeyUse::None,
            Kind::Kamailio(dispatcher) => dispatcher.key_use(),
        }
    }

    /// What has to be counted for [`Balance::pick_counted`]; for most there is nothing, and [`Balance::pick`] does.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        match &self.kind {
            Kind::LeastLoad(_) => Counts::Requests,
            Kind::Kamailio(dispatcher) if dispatcher.counts_calls() => Counts::Calls,
            _ => Counts::Nothing,
        }
    }

    /// The member for a key, or none when no member is usable. What would have to be counted counts as nothing.
    ///
    /// Without a key, `rendezvous` takes a slot by chance: weights still hold, and a flood of keyless requests
    /// cannot be aimed at one backend. `kamailio:5` then rotates, and the other hashes of Kamailio pick nobody.
    #[must_use]
    pub fn pick(
        &self,
        key: Option<u64>,
        usable: &BackendSet,
        rotation: &mut Rotation,
    ) -> Option<u16> {
        match &self.kind {
            Kind::Rendezvous(rendezvous) => {
                let key = key.unwrap_or_else(|| rotation.random());
                rendezvous.pick(key, usable)
            }
            Kind::RoundRobin => {
                let picked = usable.next_in_ring(rotation.position(self.count), self.count)?;
                rotation.set_position(picked + 1);
                Some(picked)
            }
            Kind::Random => usable.nth_below(rotation.random(), self.count),
            Kind::First => usable.next_in_ring(0, self.count),
            Kind::Weight(schedule) => schedule.pick(usable, rotation),
            Kind::LeastLoad(least) => least.pick(usable, rotation, &mut |_| 0),
            Kind::Latency(swift) => swift.pick(usable, rotation),
            Kind::Kamailio(dispatcher) => dispatcher.pick(key, usable, rotation),
        }
    }

    /// Whether what is given to this member is counted.
    #[must_use]
    pub fn is_counted(&self, member: u16) -> bool {
        match &self.kind {
            Kind::Kamailio(dispatcher) => dispatcher.is_counted(member),
            _ => true,
        }
    }

    /// As [`Balance::pick`], where `load` says how much is under way at a member, as far as this part of the node knows.
    #[must_use]
    pub fn pick_counted(
        &self,
        key: Option<u64>,
        usable: &BackendSet,
        rotation: &mut Rotation,
        part: Part,
        load: &mut dyn FnMut(u16) -> u32,
    ) -> Option<u16> {
        match &self.kind {
            Kind::LeastLoad(least) => least.pick(usable, rotation, load),
            Kind::Kamailio(dispatcher) if dispatcher.counts_calls() => {
                dispatcher.pick_counted(usable, part, load)
            }
            _ => self.pick(key, usable, rotation),
        }
    }

    /// The usable members in order of preference: the one that [`Balance::pick`] would give now, then who would be
    /// next without it. `rotation` is looked at, not moved. Allocates: for `explain` and fail-over, not for each message.
    #[must_use]
    pub fn candidates(
        &self,
        key: Option<u64>,
        usable: &BackendSet,
        rotation: &Rotation,
    ) -> Vec<Candidate> {
        let mut ahead = rotation.clone();
        if let Kind::Rendezvous(rendezvous) = &self.kind {
            let key = key.unwrap_or_else(|| ahead.random());
            return rendezvous.candidates(key, usable);
        }
        let Some(picked) = self.pick(key, usable, &mut ahead) else { return Vec::new() };
        let order = match &self.kind {
            Kind::Kamailio(dispatcher) => dispatcher.failover(picked, usable),
            _ => usable.ring(picked, self.count).collect(),
        };
        let scored = |(steps, backend): (usize, u16)| {
            let steps = u16::try_from(steps).unwrap_or(u16::MAX);
            Candidate { backend, score: -f64::from(steps) }
        };
        order.into_iter().enumerate().map(scored).collect()
    }
}

/// Public on purpose: it makes nodes agree, it does not keep a secret.
const HASH_KEY: SipKey = SipKey::new(b"1egdepishsah yek");

/// The key number of [`KeyUse::Sip`]: SipHash-1-3 of the parts, each with its length in front, so that ("ab", "c") and
/// ("a", "bc") differ. The same on every node, machine and CPU.
#[must_use]
pub fn hash_key(parts: &[&[u8]]) -> u64 {
    let mut hash = SipHash13::new(&HASH_KEY);
    for part in parts {
        hash.word(part.len() as u64);
        hash.text(part);
    }
    hash.finish()
}
