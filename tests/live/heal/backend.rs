//! A backend of a scene: a SIPp that answers calls, or a Kamailio that passes them on to such a SIPp behind it.
//!
//! Owns: which process is the backend, and what counts as received and sent by it. A Kamailio does not log what it relays: what
//! the SIPp behind it sent is what it must send on, and its own 100 and answers to REGISTER stand in its log.

use std::net::SocketAddr;

use super::party;
use crate::harness::kamailio::Kamailio;
use crate::harness::ledger::{Event, Side, Way};
use crate::harness::need::Need;
use crate::harness::party::Party;
use crate::harness::sipp::{Sipp, Station};
use crate::harness::{free_address, loopback};
use crate::runner::Place;

/// What the backends of a scene are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Sipp,
    Kamailio,
}

impl Kind {
    pub(super) fn needs(self) -> Vec<Need> {
        match self {
            Self::Sipp => vec![Need::Sipp, Need::RealEdge],
            Self::Kamailio => vec![Need::Sipp, Need::Kamailio, Need::RealEdge],
        }
    }
}

pub(super) struct Backend {
    index: usize,
    address: SocketAddr,
    edge: SocketAddr,
    proxy: Option<Kamailio>,
    /// Answers the calls: itself the backend, or behind it.
    callee: Sipp,
}

impl Backend {
    /// Starts one at `address`, which hears from `edge`.
    pub(super) fn start(
        place: &Place,
        kind: Kind,
        index: usize,
        address: SocketAddr,
        edge: SocketAddr,
    ) -> Self {
        let (name, at) = match kind {
            Kind::Sipp => (party(index), address),
            Kind::Kamailio => (format!("behind-{}", index + 1), free_address(loopback(9))),
        };
        let callee = Sipp::callee(place, Station::new(&name, Side::Backend, at), "heal", "");
        let mut backend = Self { index, address, edge, proxy: None, callee };
        if kind == Kind::Kamailio {
            backend.proxy = Some(backend.start_proxy(place));
        }
        backend
    }

    /// Starts it again after it was killed.
    pub(super) fn restart(&mut self, place: &Place) {
        if self.proxy.is_some() {
            self.proxy = Some(self.start_proxy(place));
        } else {
            self.callee = Sipp::callee(place, self.callee.station().clone(), "heal", "");
        }
    }

    /// The process that is killed, stopped and started again.
    pub(super) fn party(&mut self) -> &mut Party {
        self.proxy.as_mut().map_or_else(|| self.callee.party(), Kamailio::party)
    }

    /// Where the Contact of an answered call points to.
    pub(super) fn contact(&self) -> SocketAddr {
        self.callee.station().local
    }

    /// What it logged itself; what that process knew dies with it.
    pub(super) fn own_events(&self) -> Vec<Event> {
        match &self.proxy {
            Some(proxy) => proxy.events_with(self.edge),
            None => self.callee.events(),
        }
    }

    /// What it received from the edge, and sent there.
    pub(super) fn events(&self) -> Vec<Event> {
        let mut events = self.own_events();
        if self.proxy.is_some() {
            let relayed = self.callee.events().into_iter().filter(|event| event.way == Way::Sent);
            events.extend(relayed.map(|event| Event { party: party(self.index), ..event }));
        }
        events
    }

    fn start_proxy(&self, place: &Place) -> Kamailio {
        Kamailio::proxy(place, &party(self.index), self.address, self.contact())
    }
}
