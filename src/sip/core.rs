//! The order of the steps, nothing else: bytes in, verdict and edits out.
//!
//! Owns: one shard's state (the table, recent transactions, rotations) and the sequence in which the rooms are asked.
//! Reads no clock and allocates nothing in [`Core::handle`].

use std::sync::Arc;

use super::admit::{self, Head, Refusal};
use super::balance::{Counts, Rotation};
use super::hold::Hold;
use super::message::{FieldName, Index, Message, Method, ParseError, Scheme, StartLine, Uri, Via};
use super::outbox::Outbox;
use super::response::{Answer, is_own_tag, phrase, target};
use super::route::dialog::{RouteError, RouteSet};
use super::route::key::Keyed;
use super::route::request::{self, Hop, Way};
use super::route::response;
use super::route::table::{Backend, Pool, Table};
use super::token::SealKey;
use super::token::via::{BranchHash, EdgeParameter, TransactionFields, is_marked, loop_value};
use super::transaction::{AddressNumber, INVITE_SECONDS, REQUEST_SECONDS, Recent, Transactions};
use super::{BackendRef, Cause, DropReason, Now, Peer, Received, Target, Verdict, probe};
use counted::Counted;

mod addressed;
mod again;
mod balanced;
mod capped;
mod counted;
mod forward;
mod held;
mod refuse;
#[cfg(test)]
mod tests;

use again::{Again, Holding};

/// One shard's decisions.
#[derive(Debug)]
pub struct Core {
    table: Arc<Table>,
    shard: u8,
    index: Index,
    transactions: Transactions,
    /// By pool.
    rotations: Vec<Rotation>,
    /// By pool and backend: what the transaction table calls their addresses.
    numbers: Vec<Vec<AddressNumber>>,
    /// Made when a table comes with a pool that fails over.
    holding: Option<Box<Holding>>,
    counted: Counted,
    seed: u64,
}

/// Why [`Core::handle_timeout`] wants to be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimeoutReason {
    /// A held request: its backend is silent, something is sent again, or nobody waits for it any more.
    Held,
}

impl Core {
    /// For shard `shard`; `seed` decides what chance decides (random and weight pools).
    #[must_use]
    pub fn new(table: Arc<Table>, seed: u64, shard: u8) -> Self {
        let mut core = Self {
            transactions: Transactions::new(table.limits.transactions_max),
            table: Arc::clone(&table),
            shard,
            index: Index::default(),
            rotations: Vec::new(),
            numbers: Vec::new(),
            holding: None,
            counted: Counted::new(),
            seed,
        };
        core.adopt(table);
        core
    }

    /// Replaces the table. Recent transactions stay; the room for them is that of the first table. They are looked up
    /// from now on when the new table may give a key to another backend.
    pub fn install(&mut self, table: Arc<Table>) {
        if !table.picks_as(&self.table) {
            self.transactions.watch();
        }
        self.adopt(table);
    }

    fn adopt(&mut self, table: Arc<Table>) {
        let fresh = |pool: u64| Rotation::new(self.seed ^ u64::from(self.shard) << 32 ^ pool);
        // A pool goes on with its round: states change often.
        let before = |of: &Pool| {
            let place = self.table.pools.iter().position(|pool| pool.name == of.name)?;
            self.rotations.get(place).cloned()
        };
        let rotation = |(place, pool)| before(pool).unwrap_or_else(|| fresh(place));
        self.rotations = (0..).zip(&table.pools).map(rotation).collect();
        let addresses = table.pools.iter().flat_map(|pool| &pool.backends).map(|b| b.address);
        if self.transactions.learn(addresses) {
            self.counted.clear();
        }
        self.counted.adopt(&table, self.transactions.addresses());
        let number = |backend: &Backend| self.transactions.number(backend.address);
        let numbers = |pool: &Pool| pool.backends.iter().filter_map(number).collect();
        self.numbers = table.pools.iter().map(numbers).collect();
        if self.holding.is_none() && table.pools.iter().any(|pool| pool.failover.is_some()) {
            self.holding = Some(Box::new(Holding::new(&table.limits)));
        }
        self.index.watch(Arc::clone(&table.watched));
        if let Some(holding) = &mut self.holding {
            holding.watch(&table.watched);
        }
        self.table = table;
    }

    /// The table in use.
    #[must_use]
    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// Recent transactions, for gauges.
    #[must_use]
    pub fn transactions(&self) -> &Transactions {
        &self.transactions
    }

    /// How far the rotation of a pool is, for `explain`.
    #[must_use]
    pub fn rotation(&self, pool: u16) -> Option<&Rotation> {
        self.rotations.get(usize::from(pool))
    }

    /// Held requests, for gauges; none before a table came with a pool that fails over.
    #[must_use]
    pub fn held(&self) -> Option<&Hold> {
        self.holding.as_ref().map(|holding| &holding.hold)
    }

    /// When [`Core::handle_timeout`] wants to be called next, and why.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Now, TimeoutReason)> {
        let (due, _) = self.holding.as_ref()?.hold.first()?;
        Some((due, TimeoutReason::Held))
    }

    /// Does the one thing that is due first. [`Outbox::extras`] says what is to be sent; ask [`Core::poll_timeout`] again.
    pub fn handle_timeout(&mut self, now: Now, outbox: &mut Outbox) {
        outbox.clear();
        let Some(holding) = self.holding.as_deref_mut() else { return };
        let again = Again {
            table: &self.table,
            shard: self.shard,
            transactions: &mut self.transactions,
            rotations: &mut self.rotations,
            numbers: &self.numbers,
            counted: &mut self.counted,
            now,
            holding,
            extras: &mut outbox.extras,
        };
        again.on_time();
    }

    /// Decides on one message. The outbox holds the result until the next call.
    pub fn handle(&mut self, now: Now, received: &Received<'_>, outbox: &mut Outbox) -> Verdict {
        outbox.clear();
        let bytes = received.bytes;
        if bytes.iter().all(|&b| b == b'\r' || b == b'\n') {
            outbox.decision.cause = Cause::KeepAlive;
            return Verdict::Absorb;
        }
        let parsed = self.index.fill(bytes);
        let message = Message { bytes, index: &self.index };
        let mut turn = Turn {
            table: &self.table,
            shard: self.shard,
            transactions: &mut self.transactions,
            rotations: &mut self.rotations,
            numbers: &self.numbers,
            counted: &mut self.counted,
            now,
            received,
            peer: self.table.peer(received.flow),
            message,
            outbox,
            holding: self.holding.as_deref_mut(),
        };
        match (parsed, message.start_line()) {
            (Err(ParseError::NotSip), _) => Verdict::Drop(DropReason::NotSip),
            (Err(ParseError::BadStatusLine(_)), _) | (Err(_), StartLine::Status { .. }) => {
                Verdict::Drop(DropReason::ResponseMalformed)
            }
            (Err(error), StartLine::Request { .. }) => turn.broken_request(error),
            (Ok(()), StartLine::Status { code }) => turn.response(code),
            (Ok(()), StartLine::Request { method, .. }) => {
                turn.outbox.decision.method = Method::from_bytes(method.of(bytes));
                turn.request()
            }
        }
    }
}

/// One message on its way through the core.
struct Turn<'a> {
    table: &'a Table,
    shard: u8,
    transactions: &'a mut Transactions,
    rotations: &'a mut [Rotation],
    numbers: &'a [Vec<AddressNumber>],
    counted: &'a mut Counted,
    now: Now,
    received: &'a Received<'a>,
    peer: Peer,
    message: Message<'a>,
    outbox: &'a mut Outbox,
    holding: Option<&'a mut Holding>,
}

impl<'a> Turn<'a> {
    fn response(&mut self, code: u16) -> Verdict {
        self.outbox.decision.status = code;
        if self.received.is_cut() {
            return Verdict::Drop(DropReason::ReceiveTruncated);
        }
        let unit = self.received.unit;
        match response::way(self.table, &self.message, unit, &mut self.outbox.edits) {
            Err(DropReason::ResponseViaLast) => self.response_to_us(code),
            Err(reason) => Verdict::Drop(reason),
            Ok(response::Way { transmit, method, branch }) => {
                let decision = &mut self.outbox.decision;
                decision.method = method;
                decision.origin = self.peer.backend;
                decision.backend = self.table.backend_reached_at(transmit.address());
                decision.cause = Cause::Via;
                let is_for_backend = decision.backend.is_some();
                // Of what is absorbed, too: it says how the backend is.
                if code == 503 && decision.origin.is_some() {
                    decision.retry_after_seconds = probe::retry_after_seconds(&self.message);
                }
                if self.holds_any()
                    && let Some(verdict) = self.held_response(code, method, branch)
                {
                    return verdict;
                }
                // Towards a backend: its request was never a pool's to balance.
                if method == Method::Invite && !is_for_backend {
                    self.transactions.answered(branch.transaction, self.now);
                }
                if code >= 200 && self.table.counts_requests {
                    self.request_answered(branch.transaction, code);
                }
                if code >= 200 && self.table.counts_calls && method == Method::Invite {
                    self.call_answered(code);
                }
                self.send(transmit)
            }
        }
    }

    fn request(&mut self) -> Verdict {
        if self.received.is_cut() || self.received.bytes.len() > self.table.limits.message_bytes_max
        {
            return self.refuse(Refusal::new(513, "Message Too Large"));
        }
        let head = match admit::head(&self.message, self.received.unit, self.outbox.decision.method)
        {
            Ok(head) => head,
            Err(refusal) => return self.refuse(refusal),
        };
        let fields = TransactionFields::new(&self.message, &head.via, head.cseq, head.from.tag);
        if head.method == Method::Ack && self.acknowledges_us(&head, &fields) {
            self.outbox.decision.cause = Cause::Own;
            if self.holds_any() {
                self.own_answer_acknowledged(&fields);
            }
            return Verdict::Absorb;
        }
        let origin = self.peer.backend;
        self.outbox.decision.origin = origin;
        let routes = RouteSet::read(self.table, &self.message, head.uri, &self.peer);
        let routes = match routes {
            Ok(routes) => routes,
            Err(RouteError::Refused(refusal)) => return self.refuse(refusal),
            Err(RouteError::BadToken) => return self.bad_token(&head),
        };
        if origin.is_none() && routes.along.is_some() && head.to.tag.is_empty() {
            // A Record-Route of ours is for its dialog: in front of a new request it would go around the rules.
            return self.bad_token(&head);
        }
        let way = request::way(self.table, &self.message, &head, &routes, &self.peer);
        if let Some(refusal) = self.refusal(&head, &routes, way) {
            return self.refuse(refusal);
        }
        let pass = Pass { head: &head, routes: &routes, fields: &fields, origin, rule: None };
        let method = head.method;
        let verdict = self.follow(way, pass);
        if self.table.counts_calls
            && verdict == Verdict::Forward
            && matches!(method, Method::Bye | Method::Cancel)
        {
            self.call_over(method);
        }
        verdict
    }

    /// What a request cannot have, once it is known to be no OPTIONS for us (RFC 3261 16.3 steps 3 and 5; RFC 5393).
    fn refusal(&self, head: &Head<'_>, routes: &RouteSet, way: Way) -> Option<Refusal> {
        if way == Way::Own {
            return None;
        }
        if head.max_forwards == Some(0) {
            return Some(Refusal::new(483, "Too Many Hops"));
        }
        if self.message.number(FieldName::MaxBreadth).is_some_and(|breadth| breadth == Ok(0)) {
            return Some(Refusal::new(440, "Max-Breadth Exceeded"));
        }
        if self.message.index.present().has(FieldName::ProxyRequire) {
            return Some(Refusal::new(420, "Bad Extension"));
        }
        // RFC 3261 26.2.2, RFC 5630 5.3: to a SIPS target over TLS or not at all, and all that we have is UDP. Not 416, which
        // makes its sender try again without TLS (RFC 3261 8.1.3.5).
        let is_sips = |uri: &Uri| uri.scheme == Scheme::Sips;
        let goes_on = matches!(way, Way::Known(_) | Way::Pool { .. });
        if goes_on && (is_sips(&routes.uri) || routes.next.as_ref().is_some_and(is_sips)) {
            return Some(Refusal::new(480, "SIPS Not Allowed"));
        }
        None
    }

    fn follow(&mut self, way: Way, mut pass: Pass<'a, '_>) -> Verdict {
        let key = self.table.ring.newest();
        match way {
            Way::Own => self.own_options(),
            Way::Refuse(refusal, rule) => {
                self.outbox.decision.rule = rule;
                self.refuse(refusal)
            }
            Way::Drop(rule) => {
                self.outbox.decision.rule = Some(rule);
                Verdict::Drop(DropReason::Rule)
            }
            Way::Known(hop) => self.forward(&pass, hop, key, pass.fields.hash(key)),
            Way::Pool { rule, pool } => {
                pass.rule = Some(rule);
                self.outbox.decision.rule = Some(rule);
                self.balance(pool, &pass)
            }
        }
    }

    fn acknowledges_us(&self, head: &Head<'_>, fields: &TransactionFields<'_>) -> bool {
        let tag = head.to.tag.of(self.message.bytes);
        is_own_tag(tag, &self.table.ring, |key| fields.hash(key))
    }

    /// RFC 3261 16.3 step 4, RFC 5393 4.2: we sent it on before, and nothing that we route by has changed.
    fn has_looped(&self, head: &Head<'_>, value: u64) -> Result<bool, Refusal> {
        if self.wrote_in_loop(&head.via, value) {
            return Ok(true);
        }
        for via in head.vias_below.clone() {
            let via = via.map_err(|_| Refusal::bad(FieldName::Via))?;
            if self.wrote_in_loop(&via, value) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn wrote_in_loop(&self, via: &Via, value: u64) -> bool {
        let bytes = self.message.bytes;
        is_marked(via.branch.of(bytes))
            && self.table.is_own(via.host.of(bytes), via.port)
            && EdgeParameter::read(via.edge.of(bytes)).is_some_and(|e| e.loop_value == value)
    }

    fn send(&mut self, transmit: Target) -> Verdict {
        self.outbox.transmit = Some(transmit);
        match self.outbox.edits.size(self.received.bytes.len()) {
            Ok(size) if size <= transmit.bytes_max() => Verdict::Forward,
            _ => Verdict::Drop(DropReason::Oversized),
        }
    }
}

/// A request that is let in, and what is known of it.
struct Pass<'a, 'p> {
    head: &'p Head<'a>,
    routes: &'p RouteSet,
    fields: &'p TransactionFields<'a>,
    /// The backend that it came from.
    origin: Option<BackendRef>,
    /// The rule that matched.
    rule: Option<u16>,
}
