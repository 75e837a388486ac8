//! The immutable routing snapshot: listeners, pools, rules and keys, compiled for the hot path.
//!
//! Owns: the shape of what the control side hands to the shards, and look-ups by address. A table is replaced,
//! never changed. It must not know of files, names (DNS) or time. Everything here is allocated once, at build.

use std::net::{IpAddr, SocketAddr};

use crate::sip::balance::{BackendSet, Balance};
use crate::sip::message::Method;
use crate::sip::{BackendRef, ListenerId};

/// Most listeners in a table: one base64 digit names a listener in our Via.
pub const LISTENERS_MAX: usize = 64;
/// Most shards of a node: one base64 digit names a shard in branches and tokens.
pub const SHARDS_MAX: usize = 64;
/// Most backends of one pool.
pub const BACKENDS_MAX: usize = 1024;

/// A UDP listener (streams come later).
#[derive(Debug, Clone)]
pub struct Listener {
    /// Its name in the configuration.
    pub name: String,
    /// The address that its sockets are bound to.
    pub address: SocketAddr,
    /// The host that we write into Via, Record-Route and Path: an address (IPv6 in brackets) or a name.
    pub host: String,
    /// The port that we write, always.
    pub port: u16,
}

/// What the key of a pool is computed from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// The Call-ID.
    CallId,
    /// User and host of the From URI.
    From,
    /// User and host of the To URI.
    To,
    /// User and host of the Request-URI.
    RequestUri,
    /// The address-of-record: To of a REGISTER, else the Request-URI; host in lower case, no port, no parameters.
    Aor,
    /// The presentity of SUBSCRIBE and PUBLISH: the Request-URI, in a dialog the To URI.
    Presentity,
    /// The user of the digest credentials, Proxy-Authorization before Authorization.
    AuthUser,
    /// The source address (not the port).
    Source,
    /// The value of a field, by name (any case).
    Header(String),
}

/// A SIP server behind us.
#[derive(Debug, Clone)]
pub struct Backend {
    /// Its URI as configured: its identity in metrics.
    pub uri: String,
    /// Where it is reached and, unless `match_source` says otherwise, sends from.
    pub address: SocketAddr,
}

/// Backends that share a key space.
#[derive(Debug, Clone)]
pub struct Pool {
    /// Its name in the configuration.
    pub name: String,
    /// What a request is keyed by.
    pub key: KeySource,
    /// Key to backend, compiled.
    pub balance: Balance,
    /// The backends; [`BackendRef::backend`] is an index into this.
    pub backends: Vec<Backend>,
    /// Which of them may be given new keys. Dialogs along tokens do not ask.
    pub usable: BackendSet,
    /// The listener to send from; without one, the listener that the request came in by when its family
    /// fits, else the first that fits.
    pub send_from: Option<ListenerId>,
    /// Requests from a backend's address with another port count as coming from it too.
    pub match_source_ip: bool,
}

/// What a rule does with a request that it matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send it to a backend of this pool: an index into [`Table::pools`].
    Pool(u16),
    /// Answer it with this status.
    Reply(u16),
    /// Say nothing; counted as [`crate::sip::DropReason::Rule`].
    Drop,
}

/// One rule: all conditions must hold, an empty one always holds. The first rule that matches wins.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Methods that it is for. [`Method::Other`] is compared by name in `other_methods`.
    pub methods: Vec<Method>,
    /// Names of extension methods that it is for (case-sensitive, RFC 3261 7.1).
    pub other_methods: Vec<String>,
    /// Listeners that it is for.
    pub listeners: Vec<ListenerId>,
    /// Hosts of the Request-URI that it is for, in lower case.
    pub domains: Vec<String>,
    /// What to do.
    pub action: Action,
    /// Stay in the path of dialogs that start here (RFC 3261 16.6 step 4).
    pub record_route: bool,
    /// Put a Path into REGISTER (RFC 3327).
    pub path: bool,
}

/// One secret of the key ring.
#[derive(Clone)]
pub struct Key {
    /// Named in clear in every token: 0 to 63.
    pub id: u8,
    /// The secret; all nodes of a cluster share it.
    pub secret: [u8; 32],
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Bounds that the core keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Larger requests are answered with 513, larger responses dropped. Bytes.
    pub message_bytes_max: usize,
    /// Entries of the recent-transaction table of each shard; a power of two.
    pub transactions_max: usize,
    /// What `Retry-After` says in a 503, in seconds.
    pub retry_after_seconds: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { message_bytes_max: 65_535, transactions_max: 1 << 16, retry_after_seconds: 5 }
    }
}

/// What the control side compiles from the configuration; see [`Table::new`].
#[derive(Debug, Clone, Default)]
pub struct Parts {
    /// How many shards the node runs: 1 to [`SHARDS_MAX`].
    pub shards: u8,
    /// At most [`LISTENERS_MAX`].
    pub listeners: Vec<Listener>,
    /// Pools, by [`BackendRef::pool`].
    pub pools: Vec<Pool>,
    /// Rules in order.
    pub rules: Vec<Rule>,
    /// The key ring: the first seals, all open. Not empty.
    pub keys: Vec<Key>,
    /// Bounds.
    pub limits: Limits,
    /// Further host names (lower case) that mean this edge in Request-URI and Route.
    pub aliases: Vec<String>,
}
