//! The immutable routing snapshot: listeners, pools, rules and keys, compiled for the hot path.
//!
//! Owns: the shape of what the control side hands to the shards, and look-ups by address. A table is replaced,
//! never changed. It must not know of files, names (DNS) or time. Everything here is allocated once, at build.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::domain::{Domain, Host};
use crate::sip::balance::Counts;
use crate::sip::message::{Method, Watched};
use crate::sip::token::KeyRing;
use crate::sip::token::via::VIA_TAIL;
use crate::sip::{BackendRef, Flow, ListenerId, Peer, Trust};

mod pool;

pub use pool::{Backend, KeySource, Pool};

/// Most listeners in a table: one base64 digit names a listener in our Via.
pub const LISTENERS_MAX: usize = 64;
/// Most shards of a node: one base64 digit names a shard in branches and tokens.
pub const SHARDS_MAX: usize = 64;
/// Most backends of one pool.
pub const BACKENDS_MAX: usize = 1024;

/// A UDP listener (streams come later).
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// Which REGISTER gets a Path (RFC 3327).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PathPolicy {
    /// None.
    Never,
    /// That of a phone that says `Supported: path` (RFC 3327 5.2): a registrar may refuse a Path of another (420).
    #[default]
    Supported,
    /// Every one; what does not say so gets `Supported: path` beside the Path, so that the registrar takes it.
    Always,
}

/// One rule: all conditions must hold, an empty one always holds. The first rule that matches wins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Methods that it is for. [`Method::Other`] is compared by name in `other_methods`.
    pub methods: Vec<Method>,
    /// Names of extension methods that it is for (case-sensitive, RFC 3261 7.1).
    pub other_methods: Vec<String>,
    /// Listeners that it is for.
    pub listeners: Vec<ListenerId>,
    /// Hosts of the Request-URI that it is for.
    pub domains: Vec<Domain>,
    /// What to do.
    pub action: Action,
    /// Stay in the path of dialogs that start here (RFC 3261 16.6 step 4).
    pub record_route: bool,
    /// Put a Path into REGISTER (RFC 3327).
    pub path: PathPolicy,
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
    /// Larger requests are answered with 513; responses pass, because their transaction is under way. Bytes.
    pub message_bytes_max: usize,
    /// Entries of the recent-transaction table of each shard; a power of two.
    pub transactions_max: usize,
    /// What `Retry-After` says in a 503, in seconds.
    pub retry_after_seconds: u32,
    /// Requests that each shard can hold for pools with failover.
    pub held_max: usize,
    /// The largest of them, in bytes.
    pub held_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes_max: 65_535,
            transactions_max: 1 << 16,
            retry_after_seconds: 5,
            held_max: 4_096,
            held_bytes_max: 4_096,
        }
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
    /// Further hosts that mean this edge in Request-URI and Route, with any port.
    pub aliases: Vec<Domain>,
    /// The node ends its work: OPTIONS to it are answered 503.
    pub is_draining: bool,
}

/// The snapshot.
#[derive(Debug)]
pub struct Table {
    /// How many shards the node runs.
    pub shards: u8,
    /// By [`ListenerId`].
    pub listeners: Vec<Listener>,
    /// By [`BackendRef::pool`].
    pub pools: Vec<Pool>,
    /// In order; the first that matches wins.
    pub rules: Vec<Rule>,
    /// Seals and opens tokens.
    pub ring: KeyRing,
    /// Bounds.
    pub limits: Limits,
    /// The node ends its work: OPTIONS to it are answered 503.
    pub is_draining: bool,
    /// A pool looks at the requests that are under way.
    pub counts_requests: bool,
    /// A pool looks at the calls that are under way.
    pub counts_calls: bool,
    /// The fields that keys are made from and that nobody else looks at.
    pub watched: Arc<Watched>,
    /// By [`ListenerId`], a bit each: a rule for it leads to a pool that can take a call, or none leads to a pool at all.
    serving: u64,
    aliases: Vec<Domain>,
    /// By [`ListenerId`]: what is compared and written for every message.
    own: Vec<Own>,
    /// Which sources may be backends: nearly all requests come from phones, and are told apart here.
    sources: SourceFilter,
    /// Sorted, for requests that come from a backend.
    by_socket: Vec<(Rank, BackendRef)>,
    /// Sorted, with port 0; only pools with `match_source_ip`.
    by_address: Vec<(Rank, BackendRef)>,
}

/// What a listener is called on the wire.
#[derive(Debug)]
struct Own {
    /// `@host:port`, as we write it.
    written: String,
    /// Our Via with room for what is sealed into it.
    via_template: Vec<u8>,
    /// The written host.
    host: Domain,
}

/// An address as a number: comparing these takes a few instructions, comparing `SocketAddr`s a hundred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank(u128, u16);

impl Rank {
    fn new(ip: IpAddr, port: u16) -> Self {
        let number = match ip {
            IpAddr::V4(ip) => u128::from(u32::from(ip)) | 0xffff_0000_0000,
            IpAddr::V6(ip) => u128::from(ip),
        };
        Self(number, port)
    }
}

/// Says of most sources that they are no backend without a search: 120 instructions of a typical INVITE
/// (`make instructions`).
#[derive(Debug, Default)]
struct SourceFilter {
    bits: [u64; 16],
}

impl SourceFilter {
    fn add(&mut self, rank: Rank) {
        let (word, bit) = Self::place(rank);
        self.bits[word] |= bit;
    }

    fn may_have(&self, rank: Rank) -> bool {
        let (word, bit) = Self::place(rank);
        self.bits[word] & bit != 0
    }

    /// One of 1,024 bits.
    fn place(Rank(ip, port): Rank) -> (usize, u64) {
        #[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
        let folded = (ip >> 64) as u64 ^ ip as u64 ^ u64::from(port) << 32;
        let spread = folded.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54;
        ((spread >> 6) as usize, 1 << (spread & 63))
    }
}

impl Table {
    /// Compiles the look-ups.
    ///
    /// # Panics
    /// When a bound of this module is broken or there is no key: the configuration check names these first.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        assert!((1..=SHARDS_MAX).contains(&usize::from(parts.shards)), "1 to 64 shards");
        assert!(parts.listeners.len() <= LISTENERS_MAX, "at most 64 listeners");
        let mut by_socket = Vec::new();
        let mut by_address = Vec::new();
        let mut sources = SourceFilter::default();
        let mut watched = Watched::default();
        for (pool_index, pool) in (0_u16..).zip(&parts.pools) {
            assert!(pool.backends.len() <= BACKENDS_MAX, "at most 1,024 backends in a pool");
            if let KeySource::Header(name) = &pool.key {
                watched.add(name).expect("at most 8 names of fields");
            }
            for (backend_index, backend) in (0_u16..).zip(&pool.backends) {
                let place = BackendRef { pool: pool_index, backend: backend_index };
                let (ip, port) = (backend.address.ip(), backend.address.port());
                by_socket.push((Rank::new(ip, port), place));
                sources.add(Rank::new(ip, port));
                if pool.match_source_ip {
                    by_address.push((Rank::new(ip, 0), place));
                }
            }
        }
        by_socket.sort_unstable();
        by_address.sort_unstable();
        let own = |listener: &Listener| Own {
            written: format!("@{}:{}", listener.host, listener.port),
            via_template: [
                format!("Via: SIP/2.0/UDP {}:{};branch=", listener.host, listener.port).as_bytes(),
                &VIA_TAIL,
            ]
            .concat(),
            host: Domain::from(listener.host.as_str()),
        };
        Self {
            serving: serving(&parts),
            counts_requests: parts.pools.iter().any(|pool| pool.counts() == Counts::Requests),
            counts_calls: parts.pools.iter().any(|pool| pool.counts() == Counts::Calls),
            own: parts.listeners.iter().map(own).collect(),
            shards: parts.shards,
            listeners: parts.listeners,
            pools: parts.pools,
            rules: parts.rules,
            ring: KeyRing::new(&parts.keys),
            limits: parts.limits,
            is_draining: parts.is_draining,
            watched: Arc::new(watched),
            aliases: parts.aliases,
            sources,
            by_socket,
            by_address,
        }
    }

    /// A request finds the same pool, key and backend in this table and in `other`, and has the same branch: what is
    /// remembered of transactions need not be looked up when one replaces the other.
    #[must_use]
    pub fn picks_as(&self, other: &Self) -> bool {
        self.pools.len() == other.pools.len()
            && self.pools.iter().zip(&other.pools).all(|(new, old)| new.picks_as(old))
            && self.rules == other.rules
            && self.listeners == other.listeners
            && self.aliases == other.aliases
            && self.ring == other.ring
    }

    /// An INVITE that comes in by this listener can find a backend. A listener whose rules name no pool is not there for
    /// calls, and counts as one that can.
    #[must_use]
    pub fn can_serve(&self, id: ListenerId) -> bool {
        self.serving >> (id.0 & 63) & 1 == 1
    }

    /// The listener.
    #[must_use]
    pub fn listener(&self, id: ListenerId) -> Option<&Listener> {
        self.listeners.get(usize::from(id.0))
    }

    /// `@host:port` of the listener, as it stands in Record-Route and Path.
    #[must_use]
    pub fn written(&self, id: ListenerId) -> Option<&str> {
        self.own.get(usize::from(id.0)).map(|own| own.written.as_str())
    }

    /// Our Via field for the listener with its line end; [`crate::sip::token::via::write_via_tail`] fills in its last bytes.
    #[must_use]
    pub fn via_template(&self, id: ListenerId) -> Option<&[u8]> {
        self.own.get(usize::from(id.0)).map(|own| own.via_template.as_slice())
    }

    /// The listener that is bound to this address.
    #[must_use]
    pub fn listener_at(&self, address: SocketAddr) -> Option<ListenerId> {
        self.find_listener(|listener| listener.address == address)
    }

    /// The listener that we write as this host and port.
    #[must_use]
    pub fn listener_written(&self, host: &[u8], port: Option<u32>) -> Option<&Listener> {
        let has_port = |listener: &&Listener| u32::from(listener.port) == port.unwrap_or(5060);
        // Nearly everybody writes it as we do; other spellings are compared by value.
        let as_written = |listener: &&Listener| host == listener.host.as_bytes();
        self.listeners.iter().filter(has_port).find(as_written).or_else(|| {
            let host = Host::of(host);
            let found = self.listeners.iter().zip(&self.own);
            found.filter(|(_, own)| own.host.is(host)).map(|(listener, _)| listener).find(has_port)
        })
    }

    /// The listener to reach `destination` from: the wished one if its family fits, else the first that fits.
    #[must_use]
    pub fn listener_towards(&self, destination: IpAddr, wish: ListenerId) -> Option<ListenerId> {
        let fits = |listener: &Listener| listener.address.is_ipv4() == destination.is_ipv4();
        if self.listener(wish).is_some_and(fits) {
            return Some(wish);
        }
        self.find_listener(fits)
    }

    /// The sender of what came by this flow.
    #[must_use]
    pub fn peer(&self, flow: Flow) -> Peer {
        let backend = self.backend_at(flow.remote());
        let trust = if backend.is_some() { Trust::Address } else { Trust::Stranger };
        Peer { backend, trust, ..Peer::stranger(flow) }
    }

    /// The backend that sends from this address.
    #[must_use]
    pub fn backend_at(&self, source: SocketAddr) -> Option<BackendRef> {
        let (ip, port) = (source.ip(), source.port());
        let rank = Rank::new(ip, port);
        if !self.sources.may_have(rank) && self.by_address.is_empty() {
            return None;
        }
        lookup(&self.by_socket, rank).or_else(|| lookup(&self.by_address, Rank::new(ip, 0)))
    }

    /// The backend that is reached at exactly this address.
    #[must_use]
    pub fn backend_reached_at(&self, address: SocketAddr) -> Option<BackendRef> {
        lookup(&self.by_socket, Rank::new(address.ip(), address.port()))
    }

    /// All backends that are reached at this address: it may stand in several pools.
    pub fn backends_reached_at(
        &self,
        address: SocketAddr,
    ) -> impl Iterator<Item = BackendRef> + '_ {
        let key = Rank::new(address.ip(), address.port());
        let place = self.by_socket.partition_point(|(rank, _)| *rank < key);
        self.by_socket[place..].iter().take_while(move |(rank, _)| *rank == key).map(|&(_, b)| b)
    }

    /// Host and port (as a URI or a Via has them) mean this edge.
    #[must_use]
    pub fn is_own(&self, host: &[u8], port: Option<u32>) -> bool {
        if self.listener_written(host, port).is_some() {
            return true;
        }
        let host = Host::of(host);
        let is_bound = match host {
            Host::Address(ip) => self.is_own_address(ip, port.unwrap_or(5060)),
            Host::Name(_) => false,
        };
        is_bound || self.aliases.iter().any(|alias| alias.is(host))
    }

    /// Address and port are those of a listener, bound or written.
    #[must_use]
    pub fn is_own_address(&self, ip: IpAddr, port: u32) -> bool {
        let ip = ip.to_canonical();
        self.listeners.iter().zip(&self.own).any(|(listener, own)| {
            let bound = listener.address;
            (bound.ip().to_canonical() == ip && u32::from(bound.port()) == port)
                || (u32::from(listener.port) == port && own.host == Domain::Address(ip))
        })
    }

    fn find_listener(&self, wanted: impl Fn(&Listener) -> bool) -> Option<ListenerId> {
        let place = self.listeners.iter().position(wanted)?;
        u8::try_from(place).ok().map(ListenerId)
    }
}

fn serving(parts: &Parts) -> u64 {
    let can_serve = |id: &ListenerId| {
        let by = |rule: &&Rule| rule.listeners.is_empty() || rule.listeners.contains(id);
        let mut pools = parts.rules.iter().filter(by).filter_map(|rule| match rule.action {
            Action::Pool(pool) => parts.pools.get(usize::from(pool)),
            _ => None,
        });
        let Some(first) = pools.next() else { return true };
        first.has_choice() || pools.any(Pool::has_choice)
    };
    let ids = (0..).map(ListenerId).take(parts.listeners.len());
    ids.filter(can_serve).fold(0, |bits, id| bits | 1 << id.0)
}

fn lookup(sorted: &[(Rank, BackendRef)], key: Rank) -> Option<BackendRef> {
    let place = sorted.partition_point(|(rank, _)| *rank < key);
    sorted.get(place).filter(|(rank, _)| *rank == key).map(|(_, backend)| *backend)
}
