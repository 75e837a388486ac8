//! A message on the bench: each stage of its way alone, and the whole core.
//!
//! Owns: what a stage does, and what must be done before. The same stages are timed, counted and checked for allocations.

use std::hint::black_box;
use std::sync::Arc;

use sipedge::sip::core::Core;
use sipedge::sip::edit::Edits;
use sipedge::sip::message::{self, Index, Method, StartLine};
use sipedge::sip::outbox::Outbox;
use sipedge::sip::route::dialog::RouteSet;
use sipedge::sip::route::table::Table;
use sipedge::sip::route::{request, response};
use sipedge::sip::{ListenerId, MESSAGE_BYTES_MAX, Now, Received, Verdict, admit, steer};

use crate::messages::{self, Message};

pub(crate) mod token;

/// Shards that the steering stage chooses from.
const SHARDS: u8 = 4;
/// Digits of the number that makes a message a transaction of its own.
const DIGITS: usize = 6;

/// A stage of a message's way.
pub(crate) struct Stage {
    pub(crate) name: &'static str,
    /// Whether messages with this verdict get there.
    pub(crate) meets: fn(Verdict) -> bool,
    /// What must be done before.
    pub(crate) prepare: fn(&mut Rig),
    pub(crate) run: fn(&mut Rig),
}

/// In their order; the last is the whole core.
pub(crate) const STAGES: [Stage; 5] = [
    Stage { name: "steer", meets: is_forwarded, prepare: nothing, run: Rig::steer },
    Stage { name: "parse", meets: is_forwarded, prepare: nothing, run: Rig::parse },
    Stage { name: "route", meets: is_forwarded, prepare: Rig::parse, run: Rig::route },
    Stage { name: "edit", meets: is_sent, prepare: Rig::decide, run: Rig::edit },
    Stage { name: "core", meets: |_| true, prepare: nothing, run: Rig::decide },
];

fn is_forwarded(verdict: Verdict) -> bool {
    verdict == Verdict::Forward
}

fn is_sent(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Forward | Verdict::Respond)
}

fn nothing(_rig: &mut Rig) {}

/// One message and all that works on it.
pub(crate) struct Rig {
    message: Message,
    /// Where a number makes the message a transaction of its own.
    places: Vec<usize>,
    table: Arc<Table>,
    core: Core,
    index: Index,
    edits: Edits,
    outbox: Outbox,
    out: Vec<u8>,
}

impl Rig {
    pub(crate) fn new(message: Message) -> Self {
        let table = Arc::new(messages::table());
        Self {
            places: places(&message.bytes),
            core: Core::new(Arc::clone(&table), 1, 0),
            message,
            table,
            index: Index::default(),
            edits: Edits::default(),
            outbox: Outbox::new(),
            out: vec![0; MESSAGE_BYTES_MAX],
        }
    }

    /// Makes the message a transaction of its own, as on a real edge: writes a number into its branch and Call-ID.
    /// Without it, all but the first are retransmissions. Responses stay as they are: they are sealed.
    pub(crate) fn vary(&mut self, number: usize) {
        for &place in &self.places {
            for (digit, byte) in self.message.bytes[place..][..DIGITS].iter_mut().enumerate() {
                *byte = b'a' + u8::try_from(number >> (4 * digit) & 15).expect("four bits");
            }
        }
    }

    /// Whose message is it.
    pub(crate) fn steer(&mut self) {
        black_box(steer::shard(black_box(&self.message.bytes), SHARDS));
    }

    /// Where the fields stand.
    pub(crate) fn parse(&mut self) {
        self.index.fill(black_box(&self.message.bytes)).expect("forwarded, so it is SIP");
    }

    /// Where does it go: the values of the fields, our tokens, the rules. Not the balance: see `benches/balance.rs`.
    pub(crate) fn route(&mut self) {
        let Message { bytes, source, .. } = &self.message;
        let received = Received::datagram(bytes, *source, ListenerId(0));
        let message = message::Message { bytes, index: &self.index };
        let StartLine::Request { method, .. } = message.start_line() else {
            self.edits.clear();
            black_box(
                response::way(&self.table, &message, received.unit, &mut self.edits)
                    .expect("forwarded"),
            );
            return;
        };
        let head = admit::head(&message, received.unit, Method::from_bytes(method.of(bytes)));
        let head = head.expect("forwarded, so it was let in");
        let peer = self.table.peer(received.flow);
        let routes = RouteSet::read(&self.table, &message, head.uri, &peer);
        let routes = routes.expect("forwarded, so the Routes are good");
        black_box(request::way(&self.table, &message, &head, &routes, &peer));
    }

    /// The whole core, without the copy.
    pub(crate) fn decide(&mut self) {
        let Message { bytes, source, verdict, name } = &self.message;
        let (source, listener) = (*source, ListenerId(0));
        let received = Received::datagram(bytes, source, listener);
        let found = self.core.handle(Now(1_000_000), black_box(&received), &mut self.outbox);
        assert_eq!(found, *verdict, "{name}");
    }

    /// The edited copy.
    pub(crate) fn edit(&mut self) {
        let size = self.outbox.write_to(black_box(&self.message.bytes), &mut self.out);
        assert!(black_box(size).is_some(), "{}", self.message.name);
    }
}

fn places(bytes: &[u8]) -> Vec<usize> {
    let text = std::str::from_utf8(bytes).expect("ASCII");
    if text.starts_with("SIP/2.0") {
        return vec![];
    }
    let behind = |what: &str| {
        let value = text.find(what)? + what.len();
        Some(value + text[value..].find(|c: char| !c.is_ascii_whitespace())?)
    };
    ["branch=z9hG4bK", "Call-ID:"].into_iter().filter_map(behind).collect()
}
