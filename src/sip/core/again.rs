//! Messages that are made of a held request: for the next candidate, an ACK, a CANCEL, an answer of ours.
//!
//! Owns: the replay of a request that came earlier, and what the time asks of held requests. When something is to be made is
//! decided in [`crate::sip::hold`]. Allocates when it is made.

use std::net::SocketAddr;
use std::sync::Arc;

use super::balanced::seconds_of;
use super::counted::{Counted, FAILED, call, number_of_calls};
use super::{
    AddressNumber, BackendRef, BranchHash, Cause, Counts, FieldName, Hop, Index, Keyed, Message,
    Method, Now, Outbox, Pass, Peer, Pool, Received, Refusal, Rotation, RouteSet, SealKey,
    StartLine, Table, Target, TransactionFields, Transactions, Turn, Verdict, Way, admit, phrase,
    request,
};
use crate::sip::Decision;
use crate::sip::edit::{TEXT_BYTES_MAX, decimal};
use crate::sip::hold::entry::{Due, Entry};
use crate::sip::hold::{HELD_BYTES_MAX, Hold, Slot};
use crate::sip::message::Watched;
use crate::sip::outbox::Extras;
use crate::sip::route::table::Limits;

/// Held requests, and the room to make messages of them.
#[derive(Debug)]
pub(super) struct Holding {
    pub(super) hold: Hold,
    replay: Replay,
}

/// A held request as it came, and as it goes.
#[derive(Debug)]
struct Replay {
    came: Vec<u8>,
    index: Index,
    outbox: Outbox,
    went: Vec<u8>,
    went_index: Index,
}

impl Holding {
    pub(super) fn new(limits: &Limits) -> Self {
        let replay = Replay {
            came: Vec::with_capacity(HELD_BYTES_MAX),
            index: Index::default(),
            outbox: Outbox::new(),
            went: Vec::with_capacity(HELD_BYTES_MAX + TEXT_BYTES_MAX),
            went_index: Index::default(),
        };
        Self { hold: Hold::new(limits), replay }
    }

    /// What is watched in a request that came is watched in its replay.
    pub(super) fn watch(&mut self, watched: &Arc<Watched>) {
        self.replay.index.watch(Arc::clone(watched));
    }
}

impl Replay {
    /// What the call of the held request is known by.
    fn call(&self) -> u64 {
        call(&Message { bytes: &self.came, index: &self.index })
    }
}

/// What is made of a held request.
#[derive(Debug, Clone, Copy)]
enum Make {
    /// The request for a backend that has not had it.
    Next,
    /// The request as an attempt had it.
    Attempt(u8),
    /// Our answer.
    Answer(u16),
}

/// The state of a shard, as far as held requests need it.
pub(super) struct Again<'a> {
    pub(super) table: &'a Table,
    pub(super) shard: u8,
    pub(super) transactions: &'a mut Transactions,
    pub(super) rotations: &'a mut [Rotation],
    pub(super) numbers: &'a [Vec<AddressNumber>],
    pub(super) counted: &'a mut Counted,
    pub(super) now: Now,
    pub(super) holding: &'a mut Holding,
    pub(super) extras: &'a mut Extras,
}

impl Again<'_> {
    /// Does what is due for the held request that is due first.
    pub(super) fn on_time(mut self) {
        let Some((due, slot)) = self.holding.hold.first() else { return };
        if due > self.now {
            return;
        }
        let Some(entry) = self.holding.hold.entry_mut(slot) else { return };
        match entry.on_time(self.now) {
            Due::GiveUp => {
                if self.go_on(slot).is_some() {
                    self.holding.hold.counts.given_up += 1;
                }
            }
            Due::Repeat(attempt) => self.repeat(slot, attempt),
            Due::Cancel(attempt) => self.hop_by_hop(slot, attempt, Method::Cancel, None),
            Due::Answer => {
                self.holding.hold.counts.answered += 1;
                if self.answer(slot).is_some() {
                    self.count_end(slot);
                }
            }
            Due::AnswerAgain => {
                self.answer(slot);
            }
            Due::Nothing => {}
        }
        self.holding.hold.tidy(slot);
    }

    /// Sends the request to the next candidate, if there is one.
    pub(super) fn go_on(&mut self, slot: Slot) -> Option<BackendRef> {
        let entry = self.holding.hold.entry(slot).filter(|entry| entry.may_go_on())?;
        let attempt = u8::try_from(entry.attempts.len()).ok()?;
        let (transmit, backend) = self.make(slot, Make::Next)?;
        self.push_request(transmit)?;
        let now = self.now;
        let entry = self.holding.hold.entry_mut(slot)?;
        entry.start((transmit.address(), transmit.listener()), now);
        self.holding.hold.counts.failed_over += 1;
        // Whatever it said: it was not good enough.
        self.remember(slot, attempt, FAILED);
        self.count_at(slot, backend?);
        backend
    }

    /// What counts at the backend before counts at this one from now on.
    fn count_at(&mut self, slot: Slot, backend: BackendRef) {
        let Some(entry) = self.holding.hold.entry(slot) else { return };
        let counts = self.table.pools.get(usize::from(backend.pool)).map(Pool::counts);
        match counts {
            Some(Counts::Requests) => {
                self.counted.begin_request(self.transactions, entry.id, self.now);
            }
            Some(Counts::Calls) if entry.is_invite() => {
                let to = number_of_calls(self.table, self.numbers, backend);
                self.counted.move_call(self.holding.replay.call(), to, self.now);
            }
            _ => {}
        }
    }

    /// Nobody has answered, and the caller has his answer.
    fn count_end(&mut self, slot: Slot) {
        let Some(entry) = self.holding.hold.entry(slot) else { return };
        if self.table.counts_requests {
            self.counted.end_request(self.transactions, entry.id, self.now);
        }
        if self.table.counts_calls {
            self.counted.move_call(self.holding.replay.call(), None, self.now);
        }
    }

    /// The recent-transaction table names the backend of this attempt from now on. What counted ends as after a final
    /// response with this code.
    pub(super) fn remember(&mut self, slot: Slot, attempt: u8, code: u16) {
        let Some(entry) = self.holding.hold.entry(slot) else { return };
        let Some(at) = entry.attempts.get(usize::from(attempt)) else { return };
        let found = self.table.backend_reached_at(at.destination);
        let number = found.and_then(|backend| {
            self.numbers.get(usize::from(backend.pool))?.get(usize::from(backend.backend))
        });
        if self.table.counts_requests {
            self.counted.request_answered(self.transactions, (entry.id, code), self.now);
        }
        if let (Some(number), Some(seconds)) = (number, seconds_of(entry.method)) {
            self.transactions.remember(entry.id, number.at_attempt(attempt), self.now, seconds);
        }
    }

    fn repeat(&mut self, slot: Slot, attempt: u8) {
        if let Some((transmit, _)) = self.make(slot, Make::Attempt(attempt)) {
            self.push_request(transmit);
        }
    }

    /// To the caller: 408.
    fn answer(&mut self, slot: Slot) -> Option<()> {
        let (transmit, _) = self.make(slot, Make::Answer(408))?;
        let silent = self.holding.hold.entry(slot).and_then(|entry| entry.attempts.last());
        let origin = silent.and_then(|attempt| self.table.backend_reached_at(attempt.destination));
        let Decision { method, status, cause, .. } = self.holding.replay.outbox.decision;
        let decision = Decision { method, status, cause, origin, ..Decision::default() };
        let answer = self.holding.replay.outbox.answer();
        self.extras.push((transmit, decision), answer.len(), |out| {
            out.extend_from_slice(answer);
            Some(())
        })
    }

    fn push_request(&mut self, transmit: Target) -> Option<()> {
        let Replay { came, outbox, .. } = &self.holding.replay;
        let size = outbox.edits.size(came.len()).ok()?;
        let decision = sent_besides(self.table, transmit, outbox.decision.method);
        self.extras.push((transmit, decision), size, |out| {
            let start = out.len();
            out.resize(start + size, 0);
            outbox.write_to(came, &mut out[start..]).map(|_| ())
        })
    }

    /// The ACK of a failure or the CANCEL of an attempt: hop by hop, so with the branch and the Route of the INVITE as it was
    /// sent (RFC 3261 9.1, 17.1.1.3). `to` is the To of the response.
    pub(super) fn hop_by_hop(
        &mut self,
        slot: Slot,
        attempt: u8,
        method: Method,
        to: Option<&[u8]>,
    ) {
        let Some((transmit, _)) = self.make(slot, Make::Attempt(attempt)) else { return };
        let Replay { came, outbox, went, went_index, .. } = &mut self.holding.replay;
        let Ok(size) = outbox.edits.size(came.len()) else { return };
        went.clear();
        went.resize(size, 0);
        if outbox.write_to(came, went).is_none() || went_index.fill(went).is_err() {
            return;
        }
        let sent = Message { bytes: went, index: went_index };
        let name: &[u8] = if method == Method::Ack { b"ACK" } else { b"CANCEL" };
        let to = to.unwrap_or_else(|| sent.value(FieldName::To));
        let decision = sent_besides(self.table, transmit, method);
        self.extras.push((transmit, decision), size + to.len() + HOP_BY_HOP_BYTES, |out| {
            write_hop_by_hop(out, &sent, name, to)
        });
    }

    /// Puts the message into the outbox of the replay.
    fn make(&mut self, slot: Slot, what: Make) -> Option<(Target, Option<BackendRef>)> {
        let Holding { hold, replay } = &mut *self.holding;
        let entry = hold.entry(slot)?;
        let key = self.table.ring.by_id(entry.key_id)?;
        replay.came.clear();
        replay.came.extend_from_slice(hold.bytes(slot));
        replay.outbox.clear();
        replay.index.fill(&replay.came).ok()?;
        let received = Received::datagram(&replay.came, entry.source, entry.listener);
        let mut turn = Turn {
            table: self.table,
            shard: self.shard,
            transactions: self.transactions,
            rotations: self.rotations,
            numbers: self.numbers,
            counted: self.counted,
            now: self.now,
            received: &received,
            peer: Peer { side: self.table.side(entry.listener), ..Peer::stranger(received.flow) },
            message: Message { bytes: &replay.came, index: &replay.index },
            outbox: &mut replay.outbox,
            holding: None,
        };
        turn.outbox.decision.method = entry.method;
        let verdict = match what {
            Make::Answer(status) => turn.refuse_by(Refusal::new(status, phrase(status)), key),
            Make::Next => turn.replay(entry, key, None)?,
            Make::Attempt(attempt) => turn.replay(entry, key, Some(attempt))?,
        };
        let is_made = matches!(verdict, Verdict::Forward) != matches!(what, Make::Answer(_))
            && !matches!(verdict, Verdict::Drop(_));
        let transmit = replay.outbox.transmit.filter(|_| is_made)?;
        Some((transmit, replay.outbox.decision.backend))
    }
}

impl Turn<'_> {
    /// A held request once more, as `attempt` had it or for the next candidate.
    fn replay(&mut self, entry: &Entry, key: &SealKey, attempt: Option<u8>) -> Option<Verdict> {
        let head = admit::head(&self.message, self.received.unit, entry.method).ok()?;
        let fields = TransactionFields::new(&self.message, &head.via, head.cseq, head.from.tag);
        let routes = RouteSet::read(self.table, &self.message, head.uri, &self.peer).ok()?;
        let way = request::way(self.table, &self.message, &head, &routes, &self.peer);
        let rule = match way {
            Way::Pool { rule, .. } => Some(rule),
            _ => None,
        };
        let pass = Pass { head: &head, routes: &routes, fields: &fields, origin: None, rule };
        let hop = match (attempt, way) {
            (Some(attempt), _) => {
                let sent = entry.attempts.get(usize::from(attempt))?;
                let local = Some(sent.listener);
                let (destination, cause) = (sent.destination, Cause::Transaction);
                Hop { destination, local, backend: None, cause }
            }
            (None, Way::Pool { pool, .. }) => self.next_hop(pool, &pass, entry)?,
            (None, _) => return None,
        };
        let next = u8::try_from(entry.attempts.len()).ok()?;
        let branch = BranchHash { transaction: entry.id, attempt: attempt.unwrap_or(next) };
        Some(self.forward(&pass, hop, key, branch))
    }

    /// The next candidate that has not had the request.
    fn next_hop(&mut self, pool_index: u16, pass: &Pass<'_, '_>, entry: &Entry) -> Option<Hop> {
        let pool = self.table.pools.get(usize::from(pool_index))?;
        pool.failover?;
        let keyed = Keyed {
            message: self.message,
            method: entry.method,
            uri: pass.routes.uri,
            from: pass.head.from,
            to: pass.head.to,
            source: self.peer.address,
        };
        let number = keyed.number(pool);
        let untried = pool.untried(entry.attempts.iter().map(|attempt| attempt.destination));
        let backend = if pool.counts() == Counts::Nothing {
            let rotation = self.rotations.get_mut(usize::from(pool_index))?;
            pool.pick_among(number, &untried, rotation)?
        } else {
            self.pick_counted((pool_index, pool), number, entry.method, &untried)?
        };
        let destination: SocketAddr = pool.backends.get(usize::from(backend))?.address;
        let backend = Some(BackendRef { pool: pool_index, backend });
        Some(Hop { destination, local: None, backend, cause: Cause::Balanced })
    }
}

/// A request of this method that goes out besides.
fn sent_besides(table: &Table, transmit: Target, method: Method) -> Decision {
    let backend = table.backend_reached_at(transmit.address());
    Decision { method, backend, cause: Cause::Held, ..Decision::default() }
}

/// More than what an ACK or a CANCEL has besides what it copies.
const HOP_BY_HOP_BYTES: usize = 256;

/// RFC 3261 9.1, 17.1.1.3: Request-URI, top Via, Route, From, Call-ID and the CSeq number as sent.
fn write_hop_by_hop(out: &mut Vec<u8>, sent: &Message<'_>, name: &[u8], to: &[u8]) -> Option<()> {
    let StartLine::Request { uri, .. } = sent.start_line() else { return None };
    let cseq = sent.cseq().ok()?;
    let via = sent.field(FieldName::Via)?.value.of(sent.bytes);
    let mut put = |texts: &[&[u8]]| texts.iter().for_each(|text| out.extend_from_slice(text));
    put(&[name, b" ", uri.of(sent.bytes), b" SIP/2.0\r\nVia: ", via, b"\r\n"]);
    for route in sent.index.all(FieldName::Route) {
        put(&[b"Route: ", route.value.of(sent.bytes), b"\r\n"]);
    }
    put(&[b"Max-Forwards: 70\r\nFrom: ", sent.value(FieldName::From), b"\r\nTo: ", to]);
    put(&[b"\r\nCall-ID: ", sent.value(FieldName::CallId), b"\r\nCSeq: "]);
    put(&[decimal(cseq.number, &mut [0; 10]), b" ", name, b"\r\nContent-Length: 0\r\n\r\n"]);
    Some(())
}
