//! The configuration: from a file to meaning, with every problem found at once.
//!
//! Owns: [`Config`], whose values cannot be wrong, and the way to it: `read` (shape), `check` (meaning).
//! Knows nothing of shards or of the compiled table; `control::compile` makes that.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

pub use crate::datapath::{Io, Steering};
use crate::sip::ListenerId;
use crate::sip::balance::{Detail, Spec};
use crate::sip::route::domain::Domain;
use crate::sip::route::sides::Sides;
use crate::sip::route::table;

pub mod address;
pub mod alive;
mod check;
pub mod dns;
pub mod file;
pub mod list;
mod mask;
pub mod probing;
pub mod problem;
mod read;
pub mod secret;
mod section;
mod source;
pub mod trace;

use dns::Name;
pub use probing::{Declared, EASED_MAX_PERCENT, Settings};
use problem::Problems;
use secret::Token;

/// A whole configuration that can run.
#[derive(Debug, Clone)]
pub struct Config {
    /// `[node]`.
    pub node: Node,
    /// `[[listen]]`, in the order of the file: the index is the `ListenerId`.
    pub listeners: Vec<table::Listener>,
    /// Those of them whose address several nodes share: no probe leaves from them.
    pub anycast: Vec<ListenerId>,
    /// The sides that they stand on.
    pub sides: Sides,
    /// `[[pool]]`, in the order of the file.
    pub pools: Vec<Pool>,
    /// `[[route]]`, in the order of the file.
    pub rules: Vec<table::Rule>,
    /// `[limits]`, what the core keeps.
    pub limits: table::Limits,
    /// `[limits]`, what the shards keep.
    pub shard_limits: ShardLimits,
    /// `[admin]`.
    pub admin: Admin,
    /// `[trace]`.
    pub trace: trace::Trace,
}

impl Config {
    /// Whether what is sent to `address` comes back to a listener of ours.
    #[must_use]
    pub fn is_ours(&self, address: SocketAddr) -> bool {
        self.listeners.iter().any(|listener| check::is_ours(listener, address))
    }

    /// All names that backends have.
    #[must_use]
    pub fn names(&self) -> BTreeSet<Name> {
        let targets = self.pools.iter().flat_map(|pool| &pool.backends).map(|b| &b.target);
        let names = targets.filter_map(|target| match target {
            Target::Name(name) => Some(name),
            Target::Address(_) => None,
        });
        names.cloned().collect()
    }
}

/// `[admin]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Where the page and the API are served; none: nowhere.
    pub listen: Option<SocketAddr>,
    /// The unix socket: who may open it may change things.
    pub socket: Option<PathBuf>,
    /// What must be shown over TCP to change things; none: nobody may.
    pub token: Option<Token>,
    /// Further names that requests may ask for.
    pub hosts: Vec<String>,
    /// What `/healthz` wants to see.
    pub ready_needs: ReadyNeeds,
}

/// When the node is ready: what `/healthz` wants to see of the pools that a route names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReadyNeeds {
    /// Nothing: it is enough that the node runs and does not drain.
    Nothing,
    /// One of them has a usable backend.
    #[default]
    APool,
    /// Each of them has one.
    EveryPool,
}

/// `[node]`.
#[derive(Debug, Clone)]
pub struct Node {
    /// In metrics and logs.
    pub name: String,
    /// How many shards; none: one for each core that we may run on, less one for all else from four cores on.
    pub shards: Option<u8>,
    /// Cores that the shards are pinned to, in order; empty: not chosen by the operator.
    pub cores: Vec<usize>,
    /// The key ring: the first seals, all open.
    pub keys: Vec<table::Key>,
    /// No key was configured: the ring holds one made by chance.
    pub keys_by_chance: bool,
    /// How messages are received and sent.
    pub io: Io,
    /// How a datagram finds its shard.
    pub steering: Steering,
    /// Further host names of this edge, in lower case.
    pub aliases: Vec<Domain>,
    /// Where names of backends are looked up, and how long answers hold.
    pub dns: dns::Settings,
    /// How the node ends.
    pub drain: Drain,
    /// An edited file is read again by itself.
    pub watch_config: bool,
}

/// How a node that is told to end does it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drain {
    /// Longest time from the signal to the end; it ends earlier when nothing arrives any more.
    pub seconds: u32,
    /// A program and its arguments, started when the drain begins: to withdraw a route, for example. May be empty.
    pub hook: Vec<String>,
}

/// `[[pool]]`.
#[derive(Debug, Clone)]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// What a request is keyed by.
    pub key: table::KeySource,
    /// How a key finds its backend.
    pub balance: Spec,
    /// The backends, in the order that the balance counts them.
    pub backends: Vec<Backend>,
    /// Which listener sends to them, when the operator says so.
    pub send_from: Option<ListenerId>,
    /// A backend is known by its address alone, whatever port it sends from.
    pub match_source_ip: bool,
    /// How its backends are probed; none: not at all.
    pub probe: Option<Settings>,
    /// How long a backend that came back takes less than its share. Seconds; 0: no time at all.
    pub slow_start_s: u32,
    /// What real requests were answered with lowers the shares of at most this part of the usable backends. Percent.
    pub eased_max_percent: u8,
    /// Requests are held and go on to another backend when one fails; none: they are not.
    pub failover: Option<crate::sip::route::failover::Failover>,
    /// No backend is given more than so many times the mean of what is under way; none: whatever the load.
    pub load_cap: Option<crate::sip::balance::LoadCap>,
}

/// A backend of a pool.
#[derive(Debug, Clone)]
pub struct Backend {
    /// Its URI as written: its identity.
    pub uri: String,
    /// Where it is reached.
    pub target: Target,
    /// Its share of the keys against the others.
    pub weight: u32,
    /// Its relative weight, for `kamailio:11`.
    pub rweight: u32,
    /// Backends of a lower one get new keys only when none of a higher one can.
    pub priority: i32,
    /// Whether new keys may go to it: a dispatcher list can say no.
    pub usable: bool,
    /// The state that it starts in, as a dispatcher list can say.
    pub declared: Declared,
    /// Whether it may be probed: a dispatcher list can say no.
    pub probed: bool,
    /// The From of its probes, as a dispatcher list can say.
    pub ping_from: Option<String>,
    /// What only some balances look at. Its priority and its latency are what was written.
    pub detail: Detail,
}

impl Config {
    /// The listener that probes of `address`, a backend of `pool`, leave from: the one that the probe's settings name, else
    /// the one that the pool sends from, else the first. It is of the same IP family, and no anycast address: an answer to
    /// that may arrive at another node.
    #[must_use]
    pub fn probe_listener(&self, pool: &Pool, address: SocketAddr) -> Option<ListenerId> {
        let wishes = [pool.probe.as_ref().and_then(|probe| probe.send_from), pool.send_from];
        let unicast = (0..)
            .map(ListenerId)
            .zip(self.listeners.iter().map(|listener| listener.address))
            .filter(|(id, _)| !self.anycast.contains(id));
        check::probe::listener(unicast, wishes, address.is_ipv4())
    }
}

/// Where a backend is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// An address that was written.
    Address(SocketAddr),
    /// A name, which stands for any number of addresses.
    Name(Name),
}

/// Bounds of a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardLimits {
    /// Messages that may wait for the kernel to send them.
    pub send_queue_max: usize,
    /// Receive buffers; a power of two.
    pub receive_buffers: usize,
    /// What the kernel may hold for each socket, in each direction. Bytes.
    pub socket_buffer_bytes: usize,
}

impl Default for ShardLimits {
    fn default() -> Self {
        Self { send_queue_max: 1024, receive_buffers: 1024, socket_buffer_bytes: 4 << 20 }
    }
}

/// Where the admin page listens when the file does not say.
pub const ADMIN_DEFAULT: &str = "127.0.0.1:9060";

/// Reads the file at `path`: a configuration with its warnings, or all that is wrong with it.
pub fn load(path: &Path) -> Result<(Config, Problems), Problems> {
    match std::fs::read_to_string(path) {
        Ok(text) => parse(path, &text),
        Err(error) => {
            let mut problems = Problems::new(path, "");
            problems.missing_in_file(
                format!("the configuration cannot be read: {error}"),
                "name a file: sipedge run -c /etc/sipedge/sipedge.toml",
            );
            Err(problems)
        }
    }
}

/// Reads a configuration from `text`; `path` is for messages and for the files that it names.
pub fn parse(path: &Path, text: &str) -> Result<(Config, Problems), Problems> {
    // Some editors begin a file with it.
    let text = text.strip_prefix(list::BYTE_ORDER_MARK).unwrap_or(text);
    let mut problems = Problems::new(path, text);
    let file = read::read(text, &mut problems);
    let config = check::check(&file, path, &mut problems);
    match config {
        Some(config) if !problems.has_errors() => Ok((config, problems)),
        _ => Err(problems),
    }
}

#[cfg(test)]
mod robust;
#[cfg(test)]
mod tests;
