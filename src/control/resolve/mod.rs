//! Backends by name: from a host name to the addresses that stand for it, by RFC 3263, kept fresh.
//!
//! Owns: what is asked of the DNS, in which order (`plan`), how long an answer holds (`cache`), what is told of a name
//! (`book`), and how its addresses become members of a pool (`members`). These four are pure: answers and moments come in.
//! `resolver` asks, `names` is the thread that keeps asking, `look` asks once. Moments are `Duration`s from an origin of the
//! caller's. Only UDP is sent by this build: what the DNS says of other transports is told, not used.
//! It knows no health: an address that does not answer is the probes' concern, and never speaks for its name.

use std::collections::BTreeMap;
use std::net::SocketAddr;

pub mod book;
pub mod cache;
pub mod look;
pub mod members;
pub mod names;
pub mod plan;
pub mod resolver;

pub use crate::config::dns::{Families, Name, Settings};
pub use members::Member;
pub use names::Names;

/// Most addresses that one name stands for; the others are left out, by a rule that is the same on every node.
pub const ADDRESSES_MAX: usize = 128;

/// One address that a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// Where to send.
    pub address: SocketAddr,
    /// The priority of the SRV record: lower comes first. 0 without one.
    pub priority: u16,
    /// What it gets against its like, in parts of [`SHARE_ONE`].
    pub share: u32,
    /// How it was found: `A pool.example.com`, `SRV _sip._udp.example.com, A node1.example.com`.
    pub via: String,
}

/// The share of a host that has no SRV weight, or the average one.
pub const SHARE_ONE: u32 = 1 << 16;

/// What is known of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Its addresses: by priority, then by address. The same answers give the same list on every node.
    pub found: Vec<Resolved>,
    /// What an operator should know: what was left out, and why.
    pub notes: Vec<String>,
    /// How good it is.
    pub state: State,
}

/// How good an outcome is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// All of it is from answers that still hold.
    Fresh,
    /// The DNS does not answer, or no longer knows the name: these are the addresses of before.
    Stale(String),
    /// Nothing is known.
    Failed(String),
}

/// Something changed for a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    /// The name.
    pub name: Name,
    /// What is known of it now.
    pub outcome: Outcome,
}

impl std::fmt::Display for Resolution {
    /// A line for the log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, outcome } = self;
        match &outcome.state {
            State::Failed(why) => write!(f, "{name} does not resolve: {why}")?,
            State::Stale(why) => write!(f, "{name} keeps its last addresses: {why}")?,
            State::Fresh => {
                let addresses = outcome.found.iter().map(|found| found.address.to_string());
                write!(f, "{name} is {}", addresses.collect::<Vec<_>>().join(", "))?;
            }
        }
        outcome.notes.iter().try_for_each(|note| write!(f, "; {note}"))
    }
}

/// The newest outcomes, by name.
#[derive(Debug, Clone, Default)]
pub struct Known(BTreeMap<Name, Outcome>);

impl Known {
    /// Takes in what changed.
    pub fn insert(&mut self, resolution: Resolution) {
        self.0.insert(resolution.name, resolution.outcome);
    }

    /// Forgets the names that nobody uses any more.
    pub fn retain(&mut self, is_used: impl Fn(&Name) -> bool) {
        self.0.retain(|name, _| is_used(name));
    }

    /// What is known of a name; nothing before its first outcome.
    #[must_use]
    pub fn outcome(&self, name: &Name) -> Option<&Outcome> {
        self.0.get(name)
    }

    /// All names with what is known of them.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &Outcome)> {
        self.0.iter()
    }
}

impl FromIterator<Resolution> for Known {
    fn from_iter<I: IntoIterator<Item = Resolution>>(resolutions: I) -> Self {
        Self(resolutions.into_iter().map(|r| (r.name, r.outcome)).collect())
    }
}
