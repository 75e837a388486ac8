//! What is to be probed and how: the wish that a configuration hands over.
//!
//! Owns: the settings of a pool with their defaults and bounds, and what identifies a backend. Knows nothing of states.
//! Times are microseconds, unless a name says otherwise.

use std::net::SocketAddr;

use super::profile::Alive;
use crate::sip::ListenerId;

/// How a pool is probed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// From one probe of a backend to the next, at most. Microseconds.
    pub interval_us: u64,
    /// How long an answer may take. Microseconds.
    pub timeout_us: u64,
    /// Good probes in a row that make an inactive backend active.
    pub rise: u32,
    /// Failures in a row that make a backend inactive.
    pub fall: u32,
    /// The method of the probe.
    pub method: String,
    /// The URI in its From; none: `sip:sipedge@` and the listener's host.
    pub from: Option<String>,
    /// Which answers say that it is alive.
    pub alive: Alive,
    /// The listener that probes leave from, when the operator says so.
    pub send_from: Option<ListenerId>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            interval_us: 10_000_000,
            timeout_us: 2_000_000,
            rise: 2,
            fall: 2,
            method: "OPTIONS".to_owned(),
            from: None,
            alive: Alive::Default,
            send_from: None,
        }
    }
}

/// What a configuration says about the state that a backend starts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Declared {
    /// It takes new keys.
    #[default]
    Active,
    /// It takes new keys, and a probe soon tells whether it should.
    Trying,
    /// It takes none until good probes say that it may.
    Inactive,
    /// It takes none until somebody says so.
    Disabled,
}

/// A backend of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendSpec {
    /// Tells it from the others of its pool, now and after a reload: usually its URI.
    pub identity: String,
    /// The Request-URI and To of its probes.
    pub uri: String,
    /// Where it is reached.
    pub address: SocketAddr,
    /// A From of its own (`ping_from` of a dispatcher list).
    pub from: Option<String>,
    /// Whether it may be probed at all (flag 32 of a dispatcher list says no).
    pub probed: bool,
    /// The state that it starts in. A reload that changes this changes the state; one that does not, does not.
    pub declared: Declared,
}

/// A pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolSpec {
    /// Its name.
    pub name: String,
    /// How it is probed; none: not at all.
    pub probe: Option<Settings>,
    /// How long a backend that came back takes less than its share. Microseconds; 0: no time at all.
    pub slow_start_us: u64,
    /// A backend may answer from any port of its address.
    pub match_source_ip: bool,
    /// Its backends.
    pub backends: Vec<BackendSpec>,
}
