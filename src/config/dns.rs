//! Names of backends, and how they are looked up, as the configuration says.
//!
//! Owns: what makes two names one, and the settings of the resolver with their defaults. Asks nobody.

use std::net::SocketAddr;
use std::time::Duration;

/// What is looked up for a backend.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// The host of its URI: lower case, no dot at the end. It is a whole name: no search list is applied.
    pub host: String,
    /// The port of its URI. With one only addresses are asked for (RFC 3263 4.2).
    pub port: Option<u16>,
    /// The URI says `;transport=udp`: NAPTR is not asked (RFC 3263 4.1).
    pub transport_written: bool,
    /// Which addresses can be sent to.
    pub families: Families,
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// The IP families that a pool can send to. A host that has both is used by IPv4 alone: it is one backend, not two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Families {
    /// A listener sends IPv4.
    pub ipv4: bool,
    /// A listener sends IPv6.
    pub ipv6: bool,
}

/// Who is asked, and how long answers hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The DNS servers; empty: those of `/etc/resolv.conf`.
    pub servers: Vec<SocketAddr>,
    /// An answer holds at least this long, whatever its TTL says.
    pub ttl_min: Duration,
    /// And at most this long.
    pub ttl_max: Duration,
    /// How long beyond its time an answer is used while no better one comes.
    pub stale_max: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            ttl_min: Duration::from_secs(5),
            ttl_max: Duration::from_secs(3_600),
            stale_max: Duration::from_secs(86_400),
        }
    }
}
