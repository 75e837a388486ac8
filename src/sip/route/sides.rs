//! Sides: which listeners stand on one network, and which network leads to an address.
//!
//! Owns: names for sides, sets of them, the choice by the longest prefix, and the addresses that are no next hop. Knows nothing
//! of messages, pools or rules. Everything here is made when a table is built.

use std::net::IpAddr;

use crate::sip::ListenerId;

/// A network that some of our listeners stand on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SideId(pub u8);

/// A set of sides: there are at most as many as listeners, so 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct SideSet(u64);

impl SideSet {
    /// With one side.
    #[must_use]
    pub const fn of(side: SideId) -> Self {
        Self(1 << (side.0 & 63))
    }

    /// The sides of both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the side is in.
    #[must_use]
    pub const fn has(self, side: SideId) -> bool {
        self.0 & Self::of(side).0 != 0
    }
}

/// Addresses that a listener leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// Any address of it.
    pub address: IpAddr,
    /// How many leading bits all its addresses share.
    pub bits: u8,
    /// The listener.
    pub listener: ListenerId,
}

impl Network {
    /// Reads `192.0.2.0/24`, or an address alone.
    #[must_use]
    pub fn parse(text: &str, listener: ListenerId) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let most = bits_of(address);
        let bits = bits.map_or(Some(most), |bits| bits.parse().ok())?;
        (bits <= most).then_some(Self { address, bits, listener })
    }

    /// Whether the address is of it.
    #[must_use]
    pub fn has(&self, address: IpAddr) -> bool {
        let differ = match (self.address, address) {
            (IpAddr::V4(a), IpAddr::V4(b)) => u128::from(u32::from(a) ^ u32::from(b)) << 96,
            (IpAddr::V6(a), IpAddr::V6(b)) => u128::from(a) ^ u128::from(b),
            _ => return false,
        };
        differ.leading_zeros() >= u32::from(self.bits)
    }
}

const fn bits_of(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// Most networks: each is asked for requests of backends to strangers.
pub const NETWORKS_MAX: usize = 256;

/// Where our listeners stand.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sides {
    /// By listener. One that is beyond the end has a side of its own.
    of: Vec<SideId>,
    /// The longest prefix first.
    networks: Vec<Network>,
}

impl Sides {
    /// `of`: by listener. Of more than [`NETWORKS_MAX`] networks the longest prefixes are kept.
    #[must_use]
    pub fn new(of: Vec<SideId>, mut networks: Vec<Network>) -> Self {
        networks.sort_by_key(|network| std::cmp::Reverse(network.bits));
        networks.truncate(NETWORKS_MAX);
        Self { of, networks }
    }

    /// The same, with further networks for those listeners that have none.
    #[must_use]
    pub fn with_learned(&self, learned: impl IntoIterator<Item = Network>) -> Self {
        let is_told = |id| self.networks.iter().any(|network| network.listener == id);
        let learned = learned.into_iter().filter(|network| !is_told(network.listener));
        Self::new(self.of.clone(), self.networks.iter().copied().chain(learned).collect())
    }

    /// The side of a listener.
    #[must_use]
    pub fn side(&self, listener: ListenerId) -> SideId {
        self.of.get(usize::from(listener.0)).copied().unwrap_or(SideId(listener.0))
    }

    /// All networks, the longest prefix first.
    pub fn networks(&self) -> impl Iterator<Item = &Network> {
        self.networks.iter()
    }

    /// The listener whose network leads to the address.
    #[must_use]
    pub fn leads_to(&self, address: IpAddr) -> Option<ListenerId> {
        self.networks.iter().find(|network| network.has(address)).map(|network| network.listener)
    }
}

/// No next hop: loopback, multicast, broadcast, or no address at all.
#[must_use]
pub fn is_special(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(ip) => {
            ip.is_loopback() || ip.is_multicast() || ip.is_broadcast() || ip.octets()[0] == 0
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_multicast() || ip.is_unspecified(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn the_longest_prefix_leads() {
        let network =
            |text: &str, listener| Network::parse(text, ListenerId(listener)).expect("a network");
        let networks = ["0.0.0.0/0", "10.0.0.0/8", "10.7.0.0/16", "2001:db8::/32", "192.0.2.1"];
        let networks = (0..).zip(networks).map(|(id, text)| network(text, id)).collect();
        let sides = Sides::new(vec![], networks);
        for (address, listener) in [
            ("198.51.100.1", Some(0)),
            ("10.9.0.1", Some(1)),
            ("10.7.255.255", Some(2)),
            ("2001:db8:1::1", Some(3)),
            ("192.0.2.1", Some(4)),
            ("192.0.2.2", Some(0)),
            ("2001:db9::1", None),
        ] {
            assert_eq!(sides.leads_to(ip(address)), listener.map(ListenerId), "{address}");
        }
        for wrong in ["10.0.0.0/33", "::/129", "10.0.0/8", "a", "10.0.0.0/", "10.0.0.0/-1"] {
            assert_eq!(Network::parse(wrong, ListenerId(0)), None, "{wrong}");
        }
    }

    #[test]
    fn what_was_told_goes_before_what_was_learned() {
        let told = Network { address: ip("10.0.0.0"), bits: 8, listener: ListenerId(1) };
        let learned =
            |listener| Network { address: ip("0.0.0.0"), bits: 0, listener: ListenerId(listener) };
        let sides = Sides::new(vec![], vec![told]);
        assert_eq!(sides.with_learned([learned(1)]).leads_to(ip("198.51.100.1")), None);
        let sides = sides.with_learned([learned(0)]);
        assert_eq!(sides.leads_to(ip("198.51.100.1")), Some(ListenerId(0)));
        assert_eq!(sides.leads_to(ip("10.0.0.1")), Some(ListenerId(1)));
    }

    #[test]
    fn listener_that_nothing_is_said_of_has_a_side_of_its_own() {
        let sides = Sides::new(vec![SideId(0), SideId(0)], vec![]);
        assert_eq!(sides.side(ListenerId(1)), SideId(0));
        assert_eq!(sides.side(ListenerId(2)), SideId(2));
        let set = SideSet::of(SideId(2)).and(SideSet::of(SideId(63)));
        assert!(set.has(SideId(2)) && set.has(SideId(63)) && !set.has(SideId(0)));
    }

    #[test]
    fn special_addresses() {
        for special in [
            "127.0.0.1",
            "127.9.9.9",
            "224.0.0.1",
            "239.255.255.255",
            "255.255.255.255",
            "0.0.0.0",
            "0.1.2.3",
            "::1",
            "::",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:224.0.0.1",
        ] {
            assert!(is_special(ip(special)), "{special}");
        }
        for plain in ["10.0.0.1", "198.51.100.1", "223.255.255.255", "fe80::1", "2001:db8::1"] {
            assert!(!is_special(ip(plain)), "{plain}");
        }
    }
}
