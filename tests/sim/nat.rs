//! A NAT in front of phones: one public address, a port for each phone, and ports that close.
//!
//! Owns: the mapping. Only what comes from an address that the phone sent to is let in. A port is never given twice,
//! so what arrives on a closed one reaches nobody. Times are microseconds.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

#[derive(Debug, Clone)]
struct Mapping {
    port: u16,
    used: u64,
    /// Where the phone sent to.
    peer: SocketAddr,
}

/// One NAT.
#[derive(Debug)]
pub(crate) struct Nat {
    pub(crate) ip: IpAddr,
    timeout_us: u64,
    next_port: u16,
    mappings: BTreeMap<SocketAddr, Mapping>,
}

impl Nat {
    pub(crate) fn new(ip: IpAddr, timeout_us: u64) -> Self {
        Self { ip, timeout_us, next_port: 40_000, mappings: BTreeMap::new() }
    }

    /// The public address that a phone sends from now; true when it is a new one.
    pub(crate) fn outbound(
        &mut self,
        now: u64,
        phone: SocketAddr,
        peer: SocketAddr,
    ) -> (SocketAddr, bool) {
        let open = self.mappings.get_mut(&phone).filter(|m| m.used + self.timeout_us > now);
        if let Some(mapping) = open {
            mapping.used = now;
            return (SocketAddr::new(self.ip, mapping.port), false);
        }
        let port = self.next_port;
        self.next_port += 1;
        self.mappings.insert(phone, Mapping { port, used: now, peer });
        (SocketAddr::new(self.ip, port), true)
    }

    /// The phone behind a port, if it is open for this sender.
    pub(crate) fn inbound(&self, now: u64, port: u16, from: SocketAddr) -> Option<SocketAddr> {
        let is_open =
            |m: &Mapping| m.port == port && m.peer == from && m.used + self.timeout_us > now;
        self.mappings.iter().find(|(_, mapping)| is_open(mapping)).map(|(phone, _)| *phone)
    }

    /// A reboot: all ports are gone.
    pub(crate) fn close(&mut self) {
        self.mappings.clear();
    }

    /// The port was open at some time.
    pub(crate) fn has_had(&self, port: u16) -> bool {
        (40_000..self.next_port).contains(&port)
    }
}
