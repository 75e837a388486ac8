//! What is to be probed and how: the wish that a configuration hands over.
//!
//! Owns: what identifies a backend, and what is to be known of a pool. Knows nothing of states.
//! Times are microseconds, unless a name says otherwise.

use std::net::SocketAddr;

use crate::config::{Declared, Settings};

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
    /// What real requests were answered with lowers the shares of at most this part of the usable backends; when it would be
    /// more, it is not believed, and nobody's is lowered. Percent.
    pub eased_max_percent: u8,
    /// Its backends.
    pub backends: Vec<BackendSpec>,
}
