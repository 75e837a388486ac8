//! `[trace]`: what is copied to whom.
//!
//! Owns: the values of the section once they are checked. Everything is off by default.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::secret::Secret;

/// `[trace]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trace {
    /// `hep`.
    pub hep: Option<Hep>,
    /// `pcap`.
    pub pcap: Option<Pcap>,
    /// `decisions`.
    pub decisions: Option<Decisions>,
}

/// Which messages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choice {
    /// One call of so many, whole.
    pub sample: u32,
    /// Names of pools; empty: all.
    pub pools: Vec<String>,
    /// This call only.
    pub call_id: Option<String>,
    /// Only what has this text in its Request-URI, From or To.
    pub aor: Option<String>,
}

/// `hep`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hep {
    /// Where packets go, over UDP.
    pub sink: SocketAddr,
    /// The number of this node there.
    pub node_id: u32,
    /// What the sink wants to be told.
    pub password: Option<Secret>,
    /// Which messages.
    pub choice: Choice,
}

/// `pcap`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pcap {
    /// Where the files are.
    pub folder: PathBuf,
    /// The size of a file, in bytes.
    pub file_bytes_max: u64,
    /// How many files.
    pub files: usize,
    /// Which messages.
    pub choice: Choice,
}

/// `decisions`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decisions {
    /// Where they are written to; none: they are only kept in memory.
    pub file: Option<PathBuf>,
    /// At most so many in a second, of each shard.
    pub per_second_max: u32,
}
