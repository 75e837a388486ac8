//! What is sealed and opened for a message: flow tokens of both address families.
//!
//! Owns: a key ring and one token of each family.

use std::hint::black_box;
use std::net::SocketAddr;

use sipedge::sip::route::table::Key;
use sipedge::sip::token::{FlowToken, KeyRing, TokenKind};

/// A flow, its backend, and their token.
pub(crate) struct TokenRig {
    pub(crate) name: &'static str,
    ring: KeyRing,
    flow: FlowToken,
    sealed: Vec<u8>,
}

impl TokenRig {
    /// One for each address family.
    pub(crate) fn all() -> [Self; 2] {
        [
            Self::new("IPv4", ["192.0.2.1:5060", "203.0.113.7:40001", "10.0.0.7:5060"]),
            Self::new("IPv6", ["[2001:db8::1]:5060", "[2001:db8::77]:6000", "[fd00::7]:5060"]),
        ]
    }

    fn new(name: &'static str, addresses: [&str; 3]) -> Self {
        let [local, remote, backend] =
            addresses.map(|text| text.parse::<SocketAddr>().expect("an address"));
        let flow = FlowToken { kind: TokenKind::Dialog, local, remote, backend: Some(backend) };
        let ring = KeyRing::new(&[Key { id: 1, secret: [7; 32] }]);
        let sealed = flow.seal(&ring, 0).as_bytes().to_vec();
        Self { name, ring, flow, sealed }
    }

    /// As for a Record-Route that we write.
    pub(crate) fn seal(&mut self) {
        black_box(black_box(&self.flow).seal(&self.ring, 0));
    }

    /// As for a Route that names us.
    pub(crate) fn open(&mut self) {
        let opened = FlowToken::open(black_box(&self.sealed), &self.ring);
        black_box(opened.expect("sealed with the same ring"));
    }
}
