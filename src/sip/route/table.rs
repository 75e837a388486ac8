//! The immutable routing snapshot: listeners, pools, rules and keys, compiled for the hot path.
//!
//! Owns: the shape of what the control side hands to the shards, and look-ups by address. A table is replaced,
//! never changed. It must not know of files, names (DNS) or time. Everything here is allocated once, at build.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::domain::{Domain, Host};
use super::sides::{SideId, Sides, is_special};
use crate::sip::balance::Counts;
use crate::sip::message::{Method, Watched};
use crate::sip::token::KeyRing;
use crate::sip::token::via::VIA_TAIL;
use crate::sip::{BackendRef, Flow, ListenerId, Peer, Trust};

mod backends;
mod pool;

use backends::Backends;
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
    /// A request that says it is of a dialog must hold a token of ours: without one it gets 481.
    pub needs_token: bool,
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
    /// Where the listeners stand.
    pub sides: Sides,
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
    backends: Backends,
    sides: Sides,
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

impl Table {
    /// Compiles the look-ups.
    ///
    /// # Panics
    /// When a bound of this module is broken or there is no key: the configuration check names these first.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        assert!((1..=SHARDS_MAX).contains(&usize::from(parts.shards)), "1 to 64 shards");
        assert!(parts.listeners.len() <= LISTENERS_MAX, "at most 64 listeners");
        let backends = Backends::new(&parts);
        let mut watched = Watched::default();
        for pool in &parts.pools {
            if let KeySource::Header(name) = &pool.key {
                watched.add(name).expect("at most 8 names of fields");
            }
        }
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
            backends,
            sides: parts.sides,
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
            && self.sides == other.sides
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
    pub fn listener_written(&self, host: &[u8], port: Option<u32>) -> Option<ListenerId> {
        let port = port.unwrap_or(5060);
        let has_port = |listener: &Listener| u32::from(listener.port) == port;
        // Nearly everybody writes it as we do; other spellings are compared by value.
        let as_written =
            |listener: &Listener| has_port(listener) && host == listener.host.as_bytes();
        self.find_listener(as_written).or_else(|| {
            let host = Host::of(host);
            let mut all = (0..).map(ListenerId).zip(self.listeners.iter().zip(&self.own));
            let is_it = |listener: &Listener, own: &Own| has_port(listener) && own.host.is(host);
            all.find(|(_, (listener, own))| is_it(listener, own)).map(|(id, _)| id)
        })
    }

    /// The listener to reach `destination` from: the wished one if its family fits, else one on the same side that does, else the
    /// first that fits.
    #[must_use]
    pub fn listener_towards(&self, destination: IpAddr, wish: ListenerId) -> Option<ListenerId> {
        listener_towards(&self.listeners, &self.sides, destination, wish)
    }

    /// The listener whose network leads to the address, as far as networks are known.
    #[must_use]
    pub fn listener_leading_to(&self, destination: IpAddr) -> Option<ListenerId> {
        self.sides.leads_to(destination)
    }

    /// The side of a listener.
    #[must_use]
    pub fn side(&self, listener: ListenerId) -> SideId {
        self.sides.side(listener)
    }

    /// Backends are reached on this side: what comes from elsewhere is not believed to come from one, nor from one that has
    /// left.
    #[must_use]
    pub fn has_backends_on(&self, side: SideId) -> bool {
        self.backends.sides().has(side)
    }

    /// Nothing is sent on to this address from `listener` unless it is a backend's or a flow's: loopback, multicast, broadcast,
    /// and what else is ours; a listener on loopback reaches its own host.
    #[must_use]
    pub fn is_special(&self, destination: IpAddr, listener: ListenerId) -> bool {
        let is_local = self.listener(listener).is_some_and(|l| l.address.ip().is_loopback());
        let ip = destination.to_canonical();
        let is_ours = self.listeners.iter().any(|l| l.address.ip().to_canonical() == ip)
            || self.own.iter().any(|own| own.host == Domain::Address(ip));
        if is_local && (is_ours || ip.is_loopback()) {
            return false;
        }
        is_ours || is_special(ip)
    }

    /// The sender of what came by this flow.
    #[must_use]
    pub fn peer(&self, flow: Flow) -> Peer {
        let side = self.side(flow.listener());
        let backend = self.backends.sending_from(flow.remote(), side);
        let trust = if backend.is_some() { Trust::Address } else { Trust::Stranger };
        Peer { side, backend, trust, ..Peer::stranger(flow) }
    }

    /// The backend that is reached at exactly this address.
    #[must_use]
    pub fn backend_reached_at(&self, address: SocketAddr) -> Option<BackendRef> {
        self.backends.reached_at(address).next()
    }

    /// All backends that are reached at this address: it may stand in several pools.
    pub fn backends_reached_at(
        &self,
        address: SocketAddr,
    ) -> impl Iterator<Item = BackendRef> + '_ {
        self.backends.reached_at(address)
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

fn listener_towards(
    listeners: &[Listener],
    sides: &Sides,
    destination: IpAddr,
    wish: ListenerId,
) -> Option<ListenerId> {
    let fits = |listener: &Listener| listener.address.is_ipv4() == destination.is_ipv4();
    if listeners.get(usize::from(wish.0)).is_some_and(fits) {
        return Some(wish);
    }
    let mut fitting = (0..).map(ListenerId).zip(listeners).filter(|(_, l)| fits(l));
    let first = fitting.clone().next().map(|(id, _)| id);
    let same_side = fitting.find(|&(id, _)| sides.side(id) == sides.side(wish));
    same_side.map(|(id, _)| id).or(first)
}
