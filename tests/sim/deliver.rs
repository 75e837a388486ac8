//! A datagram arrives: at an edge, a party, or nowhere.
//!
//! Owns: the order of the checks around each arrival.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::backend::{BOUNCE, LOOP_USER};
use super::checks::Pass;
use super::effects::Effects;
use super::forger::{FORGED_BRANCH, FORGER};
use super::invariants::{Invariant, Judged, must};
use super::network::Datagram;
use super::plan::{PUBLIC, Plan, address};
use super::text::{Text, address_of, branch, sent_by, user_of};
use super::trace::Trace;
use super::world::World;

/// One message in so many is given to a twin of the edge too.
const TWIN_EVERY: u64 = 4;
/// Counting live entries reads the whole table.
const BOUNDS_EVERY: u64 = 64;

impl World {
    pub(crate) fn deliver(&mut self, datagram: Datagram) -> Judged {
        self.trace.absorb(&datagram.bytes);
        self.trace.absorb(&self.now.to_le_bytes());
        let to = datagram.to;
        self.count_arrival();
        let is_edge = to == address(PUBLIC) || to == self.plan.private();
        if is_edge {
            return self.at_edge(&datagram);
        }
        if let Some(backend) = self.backends.iter().position(|b| b.agent.address == to) {
            return self.at_backend(backend, &datagram);
        }
        if to == address(BOUNCE) {
            self.at_bounce(&datagram);
            return Ok(());
        }
        if to == address(FORGER) {
            self.ledger.count("answer to the forger");
            return Ok(());
        }
        let home = match self.nats.iter().find(|nat| nat.ip == to.ip()) {
            Some(nat) => nat.inbound(self.now, to.port(), datagram.from),
            None => Some(to),
        };
        let phone = home.and_then(|home| self.phones.iter().position(|p| p.agent.address == home));
        match phone {
            Some(phone) => self.at_phone(phone, &datagram),
            None => {
                self.undelivered(&datagram, "NAT port closed");
                Ok(())
            }
        }
    }

    fn at_edge(&mut self, datagram: &Datagram) -> Judged {
        let up = self.edges_up();
        let edge = self.network.edge_for(datagram.from.ip(), &up);
        let Some(edge) = edge.filter(|&edge| self.edges[edge].is_up) else {
            self.undelivered(datagram, "edge was dead");
            return Ok(());
        };
        self.count_at_edge();
        let arrived = u8::try_from(self.random.below(u64::from(self.plan.shards))).unwrap_or(0);
        let (from, to, now) = (datagram.from, datagram.to, self.now);
        let outcome = self.edges[edge].handle(now, &datagram.bytes, from, to, arrived);
        self.trace.absorb(format!("{edge}{:?}", outcome.verdict).as_bytes());
        let names = (self.name(from), outcome.sent.as_ref().map(|sent| self.name(sent.to)));
        self.trace.line(now, || {
            let (verdict, shard) = (format!("{:?}", outcome.verdict), outcome.shard);
            let next =
                names.1.map_or(String::new(), |next| format!(" -> {next}, {:?}", outcome.cause));
            format!(
                "{} -> edge{edge}.{shard}  {}  {verdict}{next}",
                names.0,
                Trace::title(&datagram.bytes)
            )
        });
        let text = Text::read(&datagram.bytes);
        let node = &self.edges[edge];
        let version = node.setup.pool;
        let is_first_pool = |text: &Text| {
            !self.plan.is_split || matches!(text.method(), "INVITE" | "ACK" | "CANCEL")
        };
        let is_second = text.as_ref().is_some_and(|text| !is_first_pool(text));
        let usable = self.usable_at(version, is_second);
        let usable: BTreeSet<SocketAddr> = usable.into_iter().map(Plan::backend).collect();
        let down = self.down_at(version);
        let pass = Pass {
            plan: &self.plan,
            bytes: &datagram.bytes,
            text: text.as_ref(),
            from,
            outcome: &outcome,
            edge,
            epoch: node.epoch,
            setup: (version, node.setup.keys[0]),
            at_local: node.now(now).0,
            keeps: !node.has_evicted(),
            usable: &usable,
            down: &down,
            backends: &self.backend_addresses,
        };
        let lives_at = |to: SocketAddr| {
            self.backend_addresses.contains(&to)
                || to == address(BOUNCE)
                || self.nats.iter().any(|nat| nat.ip == to.ip() && nat.has_had(to.port()))
                || self.phones.iter().any(|p| p.nat.is_none() && p.agent.address == to)
        };
        pass.check(&mut self.ledger, &lives_at)?;
        if self.serial.is_multiple_of(BOUNDS_EVERY) {
            let (live, room) = node.fullest(now);
            must(live <= room, Invariant::Bounds, || format!("{live} entries, room for {room}"))?;
        }
        self.agrees(edge, datagram, &outcome)?;
        if let Some(sent) = outcome.sent {
            self.send(sent.from, sent.to, sent.bytes);
        }
        match outcome.retry_after_seconds {
            0 => Ok(()),
            seconds => self.soft_evidence(from, seconds),
        }
    }

    /// Another node with the same table gives the same bytes, unless memory, load or turns decided.
    fn agrees(
        &mut self,
        edge: usize,
        datagram: &Datagram,
        outcome: &super::edge::Outcome,
    ) -> Judged {
        use sipedge::sip::Cause;
        self.serial += 1;
        let by_turns = self.plan.balance == "round-robin" && outcome.cause != Cause::Via;
        if !self.serial.is_multiple_of(TWIN_EVERY)
            || outcome.cause == Cause::Transaction
            || outcome.is_capped
            || by_turns
        {
            return Ok(());
        }
        let (from, to, shard) = (datagram.from, datagram.to, outcome.shard);
        let twin = self.edges[edge].twin(self.now, &datagram.bytes, from, to, shard);
        self.ledger.count("asked a twin node");
        must(twin == *outcome, Invariant::NodesAgree, || {
            format!(
                "{}\nedge: {outcome:?}\ntwin: {twin:?}",
                String::from_utf8_lossy(&datagram.bytes)
            )
        })
    }

    fn at_backend(&mut self, place: usize, datagram: &Datagram) -> Judged {
        if !self.backends[place].is_up {
            self.undelivered(datagram, "backend was dead");
            return Ok(());
        }
        let Some(text) = Text::read(&datagram.bytes) else { return Ok(()) };
        if !text.is_request() && text.branch().contains(FORGED_BRANCH) {
            // The address was the backend's, the request was not.
            self.ledger.count("answer to the forger");
            return Ok(());
        }
        let mut fx = Effects::default();
        let (now, from) = (self.now, datagram.from);
        if text.is_request() {
            let own = self.backends[place].agent.address;
            let is_hop = text.all("Route").first().and_then(|r| address_of(r)) == Some(own);
            self.is_for(&text, place, is_hop, datagram)?;
            self.backends[place].on_request(now, text, from, &mut self.locations, &mut fx);
        } else {
            self.backends[place].on_response(now, text, &mut fx);
        }
        self.apply(place, fx)
    }

    fn at_phone(&mut self, place: usize, datagram: &Datagram) -> Judged {
        let Some(text) = Text::read(&datagram.bytes) else { return Ok(()) };
        let node = self.plan.backends + place;
        let mut fx = Effects::default();
        let (now, from) = (self.now, datagram.from);
        if text.is_request() {
            let user = user_of(text.uri()).to_owned();
            let is_his = user == self.phones[place].agent.user;
            must(is_his, Invariant::NotHis, || {
                format!("phone{place} got {}", String::from_utf8_lossy(&datagram.bytes))
            })?;
            self.is_for(&text, node, false, datagram)?;
            self.seen.request(&text);
            self.phones[place].on_request(now, text, from, &mut fx);
        } else {
            if text.method() == "REGISTER" {
                let user = &self.phones[place].agent.user;
                let path = self.locations.get(user).map(|binding| binding.path.clone());
                self.seen.paths.extend(path.filter(|_| self.seen.paths.len() < 20));
            }
            self.phones[place].agent.on_response(now, &text, &mut fx);
        }
        self.apply(node, fx)
    }

    /// Ground truth: this node, or a proxy on the way to it.
    fn is_for(&mut self, text: &Text, node: usize, is_hop: bool, datagram: &Datagram) -> Judged {
        let wanted = text.one("X-To-Node");
        let holds = wanted.is_empty() || wanted == node.to_string() || is_hop;
        if !wanted.is_empty() {
            self.ledger.count("request in a dialog arrived");
        }
        must(holds, Invariant::DialogAffinity, || {
            format!("node {node} got {}", String::from_utf8_lossy(&datagram.bytes))
        })
    }

    /// A proxy that sends what it gets back to the edge (and responses the way that they came).
    fn at_bounce(&mut self, datagram: &Datagram) {
        let Some(mut text) = Text::read(&datagram.bytes) else { return };
        let mut vias = text.all("Via");
        if text.is_request() {
            let hops: u32 = text.one("Max-Forwards").parse().unwrap_or(70);
            if hops == 0 {
                return;
            }
            self.ledger.count("request sent back in a loop");
            text.replace("Max-Forwards", &[(hops - 1).to_string()]);
            let method = text.method().to_owned();
            text.start = format!("{method} sip:{LOOP_USER}@example.com SIP/2.0");
            let own = format!("z9hG4bKn901b{}", branch(&vias[0]));
            vias.insert(0, format!("SIP/2.0/UDP {BOUNCE};branch={own}"));
            text.replace("Via", &vias);
            return self.send(address(BOUNCE), address(PUBLIC), text.write(Default::default()));
        }
        if let Some(next) = vias.get(1).and_then(|via| sent_by(via).parse().ok()) {
            text.replace("Via", &vias[1..]);
            self.send(address(BOUNCE), next, text.write(Default::default()));
        }
    }
}
