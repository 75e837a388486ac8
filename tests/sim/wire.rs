//! The wire: the address that a party sends from, the dice for each datagram, and what is noted when one is lost.
//!
//! Owns: sending. What happens on arrival stands in `deliver.rs`.

use std::net::SocketAddr;

use super::backend::BOUNCE;
use super::forger::FORGER;
use super::network::{Datagram, Fate};
use super::plan::{PUBLIC, address};
use super::text::Text;
use super::trace::Trace;
use super::world::{Event, World};

/// Ids of those who are neither backend nor phone.
const BOUNCE_ID: usize = 901;
const FORGER_ID: usize = 900;

impl World {
    /// The address that others see a party send from.
    pub(super) fn source_of(&mut self, node: usize, to: SocketAddr) -> SocketAddr {
        match node {
            BOUNCE_ID => address(BOUNCE),
            FORGER_ID => address(FORGER),
            _ if node < self.plan.backends => self.backends[node].agent.address,
            _ => {
                let phone = &self.phones[node - self.plan.backends];
                let home = phone.agent.address;
                let Some(nat) = phone.nat else { return home };
                let (outer, is_new) = self.nats[nat].outbound(self.now, home, to);
                if is_new {
                    self.ledger.count("NAT port opened");
                    let name = format!("phone{}", node - self.plan.backends);
                    self.names.insert(outer, name);
                }
                outer
            }
        }
    }

    /// By whoever writes this source.
    pub(crate) fn forge(&mut self, from: SocketAddr, bytes: Vec<u8>) {
        self.send(from, address(PUBLIC), bytes);
    }

    pub(crate) fn send(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        self.flow[0] += 1;
        let fate = self.network.fate(self.now, to.ip(), &bytes);
        let datagram = Datagram { from, to, bytes };
        match fate {
            Fate::Lost => self.lose(&datagram, "datagram lost"),
            Fate::TooLarge => self.lose(&datagram, "datagram too large"),
            Fate::Arrives(when) => self.at(when, Event::Deliver(datagram)),
            Fate::Twice(first, second) => {
                self.flow[1] += 1;
                self.ledger.count("datagram doubled");
                self.at(first, Event::Deliver(datagram.clone()));
                self.at(second, Event::Deliver(datagram));
            }
        }
    }

    fn lose(&mut self, datagram: &Datagram, why: &'static str) {
        self.flow[2] += 1;
        self.undelivered(datagram, why);
    }

    /// It reached nobody: that may explain a time-out.
    pub(crate) fn undelivered(&mut self, datagram: &Datagram, why: &'static str) {
        self.ledger.count(why);
        if let Some(text) = Text::read(&datagram.bytes) {
            self.ledger.lose(&text.transaction(), text.call_id());
        }
        let (from, to) = (self.name(datagram.from), self.name(datagram.to));
        self.trace.line(self.now, || {
            format!("{from} -> {to}  {}  x {why}", Trace::title(&datagram.bytes))
        });
    }

    pub(crate) fn name(&self, at: SocketAddr) -> String {
        if self.trace.lines.is_none() {
            return String::new();
        }
        self.names.get(&at).map_or_else(|| at.to_string(), |name| format!("{name}({at})"))
    }
}
