//! A pool: its backends, how they are balanced, and who of them may get what.
//!
//! Owns: the shape, and the pick among those that take a key. Must not know why a backend is usable, dead or back.

use std::net::SocketAddr;
use std::sync::Arc;

use super::super::failover::Failover;
use crate::sip::balance::kamailio::KeyFrom;
use crate::sip::balance::{
    BackendSet, Balance, Candidate, Counts, KeyUse, LoadCap, Part, Placed, Ramp, Rotation,
};
use crate::sip::{HopId, ListenerId};

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

impl KeySource {
    /// A CANCEL and the ACK of a failure give the key that their INVITE gave. They repeat its Request-URI, From, Call-ID, and To
    /// but for the tag, and need not repeat any other field (RFC 3261 9.1, 17.1.1.3). The presentity of an INVITE within a
    /// dialog is its To, and an ACK does not say whether its INVITE was one.
    #[must_use]
    pub const fn is_carried_by_cancel(&self) -> bool {
        match self {
            Self::CallId | Self::From | Self::To | Self::RequestUri | Self::Aor | Self::Source => {
                true
            }
            Self::Presentity | Self::AuthUser | Self::Header(_) => false,
        }
    }
}

/// A SIP server behind us.
#[derive(Debug, Clone)]
pub struct Backend {
    /// Its URI as configured: its identity in metrics.
    pub uri: String,
    /// Where it is reached and, unless `match_source` says otherwise, sends from.
    pub address: SocketAddr,
    /// Its place in counters and memory. Given by whoever makes the tables, so that it survives an edit that moves the backend.
    pub hop: HopId,
}

impl Backend {
    /// With place 0.
    #[must_use]
    pub const fn new(uri: String, address: SocketAddr) -> Self {
        Self { uri, address, hop: HopId(0) }
    }
}

/// Backends that share a key space.
#[derive(Debug, Clone)]
pub struct Pool {
    /// Its name in the configuration.
    pub name: String,
    /// What a request is keyed by.
    pub key: KeySource,
    /// Key to backend, compiled. Shared with the tables before and after: states change more often than members.
    pub balance: Arc<Balance>,
    /// The backends; [`crate::sip::BackendRef::backend`] is an index into this. Those beyond [`Balance::count`] are leaving:
    /// what they send and their dialogs are still known, and they are never picked.
    pub backends: Vec<Backend>,
    /// Which of them may be given new keys. Dialogs along tokens do not ask.
    pub usable: BackendSet,
    /// Which of them are known to be dead: what waits for their first answer goes to the next candidate. One that is only
    /// drained is not in here, and keeps its transactions.
    pub down: BackendSet,
    /// Which of them take only a part of their keys, because they have just come back.
    pub ramp: Vec<Ramp>,
    /// The listener to send from; without one, the listener that the request came in by when its family
    /// fits, else the first that fits.
    pub send_from: Option<ListenerId>,
    /// Requests from a backend's address with another port count as coming from it too.
    pub match_source_ip: bool,
    /// Its counters, of a numbering of their own.
    pub meter: u32,
    /// Requests are held until their final response, and go on to another backend when one fails.
    pub failover: Option<Failover>,
    /// No backend is given more than so many times the mean of what is under way; for pools that pick by key.
    pub load_cap: Option<LoadCap>,
}

impl Pool {
    /// All that the balance knows are usable, nobody is dead or has just come back; everything else by default.
    #[must_use]
    pub fn new(name: String, key: KeySource, balance: Balance, backends: Vec<Backend>) -> Self {
        Self {
            name,
            key,
            usable: BackendSet::full(usize::from(balance.count())),
            balance: Arc::new(balance),
            backends,
            down: BackendSet::empty(),
            ramp: Vec::new(),
            send_from: None,
            match_source_ip: false,
            meter: 0,
            failover: None,
            load_cap: None,
        }
    }

    /// The backend for a key, or for none when the balance looks at none: see [`Balance::pick`].
    #[must_use]
    pub fn pick(&self, key: Option<u64>, rotation: &mut Rotation) -> Option<u16> {
        self.pick_among(key, &self.usable, rotation)
    }

    /// Who may get what was given to those at `tried` and failed there.
    #[must_use]
    pub fn untried(&self, tried: impl Iterator<Item = SocketAddr> + Clone) -> BackendSet {
        let mut usable = self.usable.clone();
        for (index, backend) in (0..).zip(&self.backends) {
            if self.down.contains(index) || tried.clone().any(|tried| tried == backend.address) {
                usable.remove(index);
            }
        }
        usable
    }

    /// As [`Pool::pick`], among those that are `usable`.
    #[must_use]
    pub fn pick_among(
        &self,
        key: Option<u64>,
        usable: &BackendSet,
        rotation: &mut Rotation,
    ) -> Option<u16> {
        self.balance.pick_ramped(key, usable, &self.ramp, rotation)
    }

    /// What a shard has to count for this pool.
    #[must_use]
    pub fn counts(&self) -> Counts {
        if self.load_cap.is_some() { Counts::Requests } else { self.balance.counts() }
    }

    /// As [`Pool::pick_among`], where `load` says how much is under way at a backend: see [`Pool::counts`].
    #[must_use]
    pub fn pick_counted(
        &self,
        key: Option<u64>,
        usable: &BackendSet,
        rotation: &mut Rotation,
        part: Part,
        load: &mut dyn FnMut(u16) -> u32,
    ) -> Option<u16> {
        self.balance.pick_counted_ramped(key, usable, &self.ramp, rotation, part, load)
    }

    /// As [`Pool::pick`], under a cap: see [`Balance::pick_capped`].
    #[must_use]
    pub fn pick_capped(
        &self,
        cap: LoadCap,
        key: Option<u64>,
        rotation: &mut Rotation,
        load: &mut dyn FnMut(u16) -> u32,
    ) -> Option<Placed> {
        self.balance.pick_capped(cap, key, (&self.usable, &self.ramp), rotation, load)
    }

    /// A key decides, and under a cap the load: without one, and while the pool stays the same, a transaction finds its backend
    /// again.
    #[must_use]
    pub fn is_keyed(&self) -> bool {
        self.balance.key_use() != KeyUse::None
    }

    /// See [`KeySource::is_carried_by_cancel`]: where this is false, a CANCEL finds its INVITE's backend by memory only.
    #[must_use]
    pub fn is_key_carried_by_cancel(&self) -> bool {
        match self.balance.key_use() {
            KeyUse::None => false,
            KeyUse::Sip | KeyUse::Kamailio(KeyFrom::Configured) => self.key.is_carried_by_cancel(),
            KeyUse::Kamailio(KeyFrom::AuthUser) => false,
            KeyUse::Kamailio(
                KeyFrom::CallId | KeyFrom::FromUri | KeyFrom::ToUri | KeyFrom::RequestUri,
            ) => true,
        }
    }

    /// Somebody may be given new keys.
    #[must_use]
    pub fn has_choice(&self) -> bool {
        self.usable.iter().any(|backend| backend < self.balance.count())
    }

    /// A key finds the same backend here and in `other`, under the same cap, and nobody has died or come to life in between. Of
    /// balances that were compiled apart it says no, unless neither looks at a key: transactions of such pools are looked up
    /// anyway.
    #[must_use]
    pub fn picks_as(&self, other: &Self) -> bool {
        let (mine, theirs) = (self.backends.iter(), other.backends.iter());
        let is_looked_up = !self.is_keyed() && !other.is_keyed();
        (is_looked_up || self.keys_as(other))
            && self.down == other.down
            && self.match_source_ip == other.match_source_ip
            && mine.map(|backend| backend.address).eq(theirs.map(|backend| backend.address))
    }

    fn keys_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.balance, &other.balance)
            && self.usable == other.usable
            && self.ramp == other.ramp
            && self.key == other.key
            && self.load_cap == other.load_cap
    }

    /// The backends in order of preference: see [`Balance::candidates`].
    #[must_use]
    pub fn candidates(&self, key: Option<u64>, rotation: &Rotation) -> Vec<Candidate> {
        self.balance.candidates_ramped(key, &self.usable, &self.ramp, rotation)
    }
}
