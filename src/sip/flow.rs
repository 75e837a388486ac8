//! What a message came by and what it goes out by: flows, the peer at the other end, units and targets.
//!
//! Owns: these words, and nothing else. No address stands for an identity on the way of a message: a flow does. Only
//! [`Table::peer`](super::route::table::Table::peer) and the queues of the datapath look into a flow, so that a connection is
//! a further variant here and one arm there. Sizes are bytes.

use std::net::SocketAddr;

use super::route::sides::SideId;
use super::{BackendRef, ListenerId};

/// The largest UDP payload over IPv4; IPv6 would carry 20 bytes more.
const DATAGRAM_BYTES_MAX: usize = 65_507;

/// What joins us and a peer (RFC 5626): two addresses; later also a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Datagrams between a listener and an address.
    Datagram {
        /// Ours.
        listener: ListenerId,
        /// The peer's.
        remote: SocketAddr,
    },
}

impl Flow {
    /// The listener on our side.
    #[must_use]
    pub const fn listener(self) -> ListenerId {
        let Self::Datagram { listener, .. } = self;
        listener
    }

    /// The peer's address.
    #[must_use]
    pub const fn remote(self) -> SocketAddr {
        let Self::Datagram { remote, .. } = self;
        remote
    }
}

/// How the end of a message is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// It came as a datagram: without a Content-Length the body ends with it (RFC 3261 18.3).
    Datagram {
        /// The kernel cut it: the buffer was too small.
        is_cut: bool,
    },
    /// It was framed in a stream, by a Content-Length that it must have.
    Framed,
}

/// One message as it came in.
#[derive(Debug, Clone, Copy)]
pub struct Received<'a> {
    /// The bytes, at most [`super::MESSAGE_BYTES_MAX`].
    pub bytes: &'a [u8],
    /// What it came by.
    pub flow: Flow,
    /// How its end is known.
    pub unit: Unit,
}

impl<'a> Received<'a> {
    /// A whole datagram from `remote`.
    #[must_use]
    pub const fn datagram(bytes: &'a [u8], remote: SocketAddr, listener: ListenerId) -> Self {
        let flow = Flow::Datagram { listener, remote };
        Self { bytes, flow, unit: Unit::Datagram { is_cut: false } }
    }

    /// The same, cut by the kernel if `is_cut`.
    #[must_use]
    pub const fn cut(self, is_cut: bool) -> Self {
        Self { unit: Unit::Datagram { is_cut }, ..self }
    }

    /// The kernel cut it.
    #[must_use]
    pub const fn is_cut(&self) -> bool {
        matches!(self.unit, Unit::Datagram { is_cut: true })
    }
}

/// Why a peer is believed to be a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Nothing is known of it.
    Stranger,
    /// A backend sends from its address, on a side where it is reached.
    Address,
}

/// The sender of a message, found once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its address: what RFC 3581 notes, and what tokens seal.
    pub address: SocketAddr,
    /// The listener that it came in by.
    pub listener: ListenerId,
    /// The network that the listener stands on.
    pub side: SideId,
    /// The backend that it is.
    pub backend: Option<BackendRef>,
    /// Why it is believed to be one.
    pub trust: Trust,
}

impl Peer {
    /// A peer that is no backend, on a side of its own.
    #[must_use]
    pub const fn stranger(flow: Flow) -> Self {
        Self {
            address: flow.remote(),
            listener: flow.listener(),
            side: SideId(flow.listener().0),
            backend: None,
            trust: Trust::Stranger,
        }
    }
}

/// Where a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Along a flow.
    Flow(Flow),
}

impl Target {
    /// A datagram to `remote`.
    #[must_use]
    pub const fn datagram(listener: ListenerId, remote: SocketAddr) -> Self {
        Self::Flow(Flow::Datagram { listener, remote })
    }

    /// The listener that sends.
    #[must_use]
    pub const fn listener(self) -> ListenerId {
        let Self::Flow(flow) = self;
        flow.listener()
    }

    /// The next hop.
    #[must_use]
    pub const fn address(self) -> SocketAddr {
        let Self::Flow(flow) = self;
        flow.remote()
    }

    /// The largest message that it takes.
    #[must_use]
    pub const fn bytes_max(self) -> usize {
        let Self::Flow(Flow::Datagram { .. }) = self;
        DATAGRAM_BYTES_MAX
    }
}

/// A backend's place in counters and memory: one numbering for control and shards, that survives an edit which moves the
/// backend to another place of its pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct HopId(pub u32);
