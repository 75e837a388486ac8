//! Which addresses are backends', and on which sides they are believed.
//!
//! Owns: the look-ups by address. Knows nothing of messages. Everything here is allocated once, when a table is built.

use std::net::{IpAddr, SocketAddr};

use super::super::sides::{SideId, SideSet};
use super::{BACKENDS_MAX, Parts, Pool, listener_towards};
use crate::sip::{BackendRef, ListenerId};

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

/// A backend at its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Known {
    rank: Rank,
    place: BackendRef,
    /// Where it is reached: what comes by a listener of another side is not believed to be its.
    sides: SideSet,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Backends {
    /// Which sources may be backends: nearly all requests come from phones, and are told apart here.
    sources: SourceFilter,
    /// Sorted, for requests that come from a backend.
    by_socket: Vec<Known>,
    /// Sorted, with port 0; only pools with `match_source_ip`.
    by_address: Vec<Known>,
    /// Where any of them is reached.
    sides: SideSet,
}

impl Backends {
    /// # Panics
    /// When a pool has more than [`BACKENDS_MAX`].
    pub(super) fn new(parts: &Parts) -> Self {
        let mut by_socket = Vec::new();
        let mut by_address = Vec::new();
        let mut sources = SourceFilter::default();
        for (pool_index, pool) in (0_u16..).zip(&parts.pools) {
            assert!(pool.backends.len() <= BACKENDS_MAX, "at most 1,024 backends in a pool");
            for (backend_index, backend) in (0_u16..).zip(&pool.backends) {
                let place = BackendRef { pool: pool_index, backend: backend_index };
                let (ip, port) = (backend.address.ip(), backend.address.port());
                let sides = reach(parts, pool, ip);
                let rank = Rank::new(ip, port);
                by_socket.push(Known { rank, place, sides });
                sources.add(rank);
                if pool.match_source_ip {
                    by_address.push(Known { rank: Rank::new(ip, 0), place, sides });
                }
            }
        }
        by_socket.sort_unstable();
        by_address.sort_unstable();
        let sides = by_socket.iter().fold(SideSet::default(), |all, known| all.and(known.sides));
        Self { sources, by_socket, by_address, sides }
    }

    /// The backend that sends from this address on this side.
    pub(super) fn sending_from(&self, source: SocketAddr, side: SideId) -> Option<BackendRef> {
        let rank = Rank::new(source.ip(), source.port());
        if !self.sources.may_have(rank) && self.by_address.is_empty() {
            return None;
        }
        let by_address = || equals(&self.by_address, Rank::new(source.ip(), 0));
        let mut found = equals(&self.by_socket, rank).iter().chain(by_address());
        found.find(|known| known.sides.has(side)).map(|known| known.place)
    }

    /// The backends that are reached at exactly this address.
    pub(super) fn reached_at(&self, address: SocketAddr) -> impl Iterator<Item = BackendRef> + '_ {
        let rank = Rank::new(address.ip(), address.port());
        equals(&self.by_socket, rank).iter().map(|known| known.place)
    }

    /// Where any of them is reached.
    pub(super) const fn sides(&self) -> SideSet {
        self.sides
    }
}

/// The sides that a pool reaches an address from: that of its listener, or, where any listener may send, all of the IP family.
fn reach(parts: &Parts, pool: &Pool, ip: IpAddr) -> SideSet {
    let side = |id: ListenerId| SideSet::of(parts.sides.side(id));
    if let Some(wish) = pool.send_from {
        let sender = listener_towards(&parts.listeners, &parts.sides, ip, wish);
        return sender.map(side).unwrap_or_default();
    }
    let fits = (0..).map(ListenerId).zip(&parts.listeners);
    fits.filter(|(_, listener)| listener.address.is_ipv4() == ip.is_ipv4())
        .fold(SideSet::default(), |all, (id, _)| all.and(side(id)))
}

fn equals(sorted: &[Known], rank: Rank) -> &[Known] {
    let place = sorted.partition_point(|known| known.rank < rank);
    let count = sorted[place..].iter().take_while(|known| known.rank == rank).count();
    &sorted[place..place + count]
}
