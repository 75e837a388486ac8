//! What callers and backends say to each other, and what they think of what they hear.
//!
//! Owns: the templates, the records of flows and the counters. Knows no time but the moments that come in
//! (nanoseconds), and of sockets only that bursts leave through them.

use std::collections::VecDeque;
use std::net::SocketAddr;

use sipedge::sip::message::Index;

use super::port::Port;
use crate::compare;
use crate::dialog::{self, Route};
use crate::flows::{Flows, Identity, NO_BACKEND, Record, Step};
use crate::pattern::{Values, from_hex16, hex16};
use crate::random::{mix, pick};
use crate::scenario::{Flow, Kind, Scenario};
use crate::tally::Tally;
use crate::template::{self, Template};

/// Calls whose backend is remembered, to see that a Call-ID stays where it is.
const AFFINITIES_MAX: usize = 1 << 20;
/// One first request of so many has its head read too.
const HEADS_EVERY: u64 = 16;
/// Room for what was sent, to compare with what came.
const SCRATCH_BYTES: usize = 16 << 10;

/// Where requests go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// To the server that is measured.
    Address(SocketAddr),
    /// Straight to the backends: what the generator carries alone.
    Direct,
}

/// A call between ACK and BYE.
#[derive(Debug)]
struct Held {
    due_ns: u64,
    flow: u64,
    route: Route,
}

/// What the numbers of a flow stand for.
#[derive(Debug, Clone, Copy)]
struct Plan {
    /// All flows of a group have the same template and source.
    group: u64,
    template: usize,
    source: usize,
    /// Flows of one call have the same Call-ID.
    call: u64,
    cseq: u8,
}

/// Both sides of the target.
pub(super) struct Parties {
    flow: Flow,
    run_length: u64,
    per_call_id: u64,
    hold_ns: u64,
    seed: u64,
    templates: Vec<Template>,
    bounds: Vec<u64>,
    target: Target,
    pub(super) callers: Vec<Port>,
    pub(super) backends: Vec<Port>,
    /// The Contact line of each backend.
    contacts: Vec<Vec<u8>>,
    pub(super) flows: Flows,
    affinities: Vec<(u64, u8)>,
    held: VecDeque<Held>,
    pub(super) tally: Tally,
    index: Index,
    scratch: Vec<u8>,
}

impl Parties {
    pub(super) fn new(
        scenario: &Scenario,
        seed: u64,
        target: Target,
        callers: Vec<Port>,
        backends: Vec<Port>,
    ) -> Self {
        let ip = callers[0].address.ip();
        let (templates, bounds) = template::make(scenario, ip, seed);
        let contact = |port: &Port| format!("Contact: <sip:b@{}>\r\n", port.address).into_bytes();
        Self {
            flow: scenario.flow,
            run_length: u64::from(scenario.run_length),
            per_call_id: u64::from(scenario.messages_per_call_id),
            hold_ns: u64::from(scenario.hold_ms) * 1_000_000,
            seed,
            templates,
            bounds,
            target,
            contacts: backends.iter().map(contact).collect(),
            tally: Tally::new(backends.len()),
            callers,
            backends,
            flows: Flows::new(),
            affinities: vec![(u64::MAX, NO_BACKEND); AFFINITIES_MAX],
            held: VecDeque::new(),
            index: Index::default(),
            scratch: Vec::with_capacity(SCRATCH_BYTES),
        }
    }

    /// Writes the first request of the next flow.
    pub(super) fn begin(&mut self, intended_ns: u64, measured: bool) {
        let flow = self.flows.begin(intended_ns, measured);
        let plan = self.plan(flow);
        let values = self.values(plan, Identity { flow, step: Step::Request });
        let destination = match self.target {
            Target::Address(address) => address,
            Target::Direct => {
                let count = self.backends.len() as u64;
                self.backends[place(pick(mix(plan.group), count))].address
            }
        };
        let caller = &mut self.callers[plan.source];
        self.templates[plan.template].request.render(&values, caller.burst.writer());
        caller.commit(destination);
        self.tally.sent += u64::from(measured);
    }

    /// Sends the BYEs that are due.
    pub(super) fn hang_up(&mut self, now_ns: u64) {
        while let Some(held) = self.held.pop_front_if(|held| held.due_ns <= now_ns) {
            self.send_in_dialog(held.flow, Step::Bye, &held.route);
        }
    }

    /// Calls between ACK and BYE.
    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    /// A datagram came to a backend.
    pub(super) fn at_backend(&mut self, backend: usize, bytes: &[u8], now_ns: u64) {
        self.tally.by_backend[backend] += 1;
        let Some((identity, plan, head)) = self.recognise(bytes) else { return };
        let Identity { flow, step } = identity;
        let number = u8::try_from(backend).expect("at most 255 backends");
        let known = self.known_backend(plan, step, number);
        let Some(record) = self.flows.find(flow) else { return };
        if !step.is_request() {
            self.tally.unexpected += 1;
            return;
        }
        self.tally.forwarded += 1;
        let expected = if step == Step::Request { known } else { record.backend };
        self.tally.wrong_backend += u64::from(expected != number);
        if !record.mark_arrived(step) {
            self.tally.duplicated += 1;
            return;
        }
        let (measured, intended_ns) = (record.measured, record.intended_ns);
        self.tally.arrived += u64::from(measured);
        if step == Step::Request {
            record.backend = number;
            if measured {
                let latency_ns = now_ns.saturating_sub(intended_ns);
                self.tally.latency.record(latency_ns);
                self.tally.latency_slices.record(now_ns, latency_ns);
            }
        }
        match (self.flow, step) {
            (Flow::Requests, _) => self.complete(flow, measured),
            (Flow::Respond, Step::Request) => self.answer(backend, plan, identity, head, Step::Ok),
            (Flow::Calls, Step::Request) => {
                self.answer(backend, plan, identity, head, Step::Ringing);
                self.answer(backend, plan, identity, head, Step::Ok);
            }
            (Flow::Calls, Step::Bye) => self.answer(backend, plan, identity, head, Step::ByeOk),
            _ => {}
        }
    }

    /// A datagram came to a caller.
    pub(super) fn at_caller(&mut self, caller: usize, bytes: &[u8], now_ns: u64) {
        let status = dialog::status(bytes);
        *self.tally.by_status.entry(status.unwrap_or(0)).or_default() += 1;
        if status == Some(100) {
            // RFC 3261 16.2: a stateful proxy may say so; it is no part of the flow.
            self.tally.forwarded += 1;
            return;
        }
        if status.is_none_or(|status| status >= 300) {
            self.tally.unexpected += 1;
            return;
        }
        let Some((identity, plan, _)) = self.recognise(bytes) else { return };
        let Identity { flow, step } = identity;
        let Some(record) = self.flows.find(flow) else { return };
        if step.is_request() || !record.was_sent(step) {
            self.tally.unexpected += 1;
            return;
        }
        self.tally.forwarded += 1;
        self.tally.wrong_caller += u64::from(plan.source != caller);
        if !record.mark_arrived(step) {
            self.tally.duplicated += 1;
            return;
        }
        let (measured, intended_ns) = (record.measured, record.intended_ns);
        self.tally.responses_arrived += u64::from(measured);
        if step == Step::Ok && measured {
            self.tally.response_latency.record(now_ns.saturating_sub(intended_ns));
        }
        match (self.flow, step) {
            (Flow::Respond, Step::Ok) | (Flow::Calls, Step::ByeOk) => self.complete(flow, measured),
            (Flow::Calls, Step::Ok) => self.acknowledge(flow, bytes, now_ns),
            _ => {}
        }
    }

    fn complete(&mut self, flow: u64, measured: bool) {
        self.tally.completed += u64::from(measured);
        self.flows.close(flow);
    }

    /// The caller got its 200: it sends the ACK, and the BYE when it has talked enough.
    fn acknowledge(&mut self, flow: u64, response: &[u8], now_ns: u64) {
        let Some(route) = Route::of_response(response, &mut self.index) else {
            self.tally.wrong_bytes += 1;
            return;
        };
        self.send_in_dialog(flow, Step::Ack, &route);
        self.held.push_back(Held { due_ns: now_ns + self.hold_ns, flow, route });
    }

    fn send_in_dialog(&mut self, flow: u64, step: Step, route: &Route) {
        let plan = self.plan(flow);
        let values = self.values(plan, Identity { flow, step });
        let Some(record) = self.flows.find(flow) else { return };
        record.mark_sent(step);
        self.tally.sent += u64::from(record.measured);
        if let Target::Address(target) = self.target {
            self.tally.bypassed += u64::from(route.destination != target);
        }
        let template = &self.templates[plan.template];
        let (method, tail) = match step {
            Step::Ack => ("ACK ", &template.ack),
            _ => ("BYE ", &template.bye),
        };
        let caller = &mut self.callers[plan.source];
        let out = caller.burst.writer();
        out.extend_from_slice(method.as_bytes());
        out.extend_from_slice(&route.uri);
        out.extend_from_slice(b" SIP/2.0\r\n");
        template.via.render(&values, out);
        out.extend_from_slice(&route.fields);
        tail.render(&values, out);
        caller.commit(route.destination);
    }

    /// A backend answers a request, along its Via fields.
    fn answer(&mut self, backend: usize, plan: Plan, to: Identity, head: &[u8], step: Step) {
        let Some(destination) = dialog::answer_address(head) else {
            self.tally.wrong_bytes += 1;
            return;
        };
        let Some(record) = self.flows.find(to.flow) else { return };
        record.mark_sent(step);
        self.tally.responses_sent += u64::from(record.measured);
        let values = self.values(plan, Identity { flow: to.flow, step });
        let template = &self.templates[plan.template];
        let makes_dialog = template.kind == Kind::Invite && step != Step::ByeOk;
        let (line, tail) = match step {
            Step::Ringing => ("SIP/2.0 180 Ringing\r\n", &template.ringing),
            Step::ByeOk => ("SIP/2.0 200 OK\r\n", &template.bye_ok),
            _ => ("SIP/2.0 200 OK\r\n", &template.ok),
        };
        let port = &mut self.backends[backend];
        let is_early = step == Step::Ringing;
        let out = if is_early { port.early.writer() } else { port.burst.writer() };
        out.extend_from_slice(line.as_bytes());
        dialog::copy_to_answer(head, makes_dialog, out);
        if step != Step::ByeOk {
            out.extend_from_slice(&self.contacts[backend]);
        }
        tail.render(&values, out);
        if is_early { port.commit_early(destination) } else { port.commit(destination) }
    }

    /// Which message this is, whether it says what was sent, and its head: the part that a target may change. What
    /// cannot be recognised is counted.
    fn recognise<'b>(&mut self, bytes: &'b [u8]) -> Option<(Identity, Plan, &'b [u8])> {
        let found = identity(bytes).or_else(|| {
            // Padding behind the body, or fields behind ours: the product's parser finds where the body ends.
            identity_within(bytes, &mut self.index)
        });
        let Some(identity) = found else {
            self.tally.wrong_bytes += 1;
            return None;
        };
        let Some(record) = self.flows.find(identity.flow).copied() else {
            self.tally.unexpected += 1;
            return None;
        };
        let plan = self.plan(identity.flow);
        let (mut tail, mut whole) = (std::mem::take(&mut self.scratch), 0);
        tail.clear();
        self.expected(plan, identity, &record, &mut tail, &mut whole);
        let verdict = self.judge(bytes, identity, &tail, whole);
        self.scratch = tail;
        Some((identity, plan, verdict?))
    }

    /// The head of a message whose tail is as it was sent, or says the same.
    fn judge<'b>(
        &mut self,
        bytes: &'b [u8],
        identity: Identity,
        sent: &[u8],
        tail_start: usize,
    ) -> Option<&'b [u8]> {
        let tail = &sent[tail_start..];
        let head = if bytes.ends_with(tail) {
            &bytes[..bytes.len() - tail.len()]
        } else {
            self.tally.compared_slowly += 1;
            if !compare::says_the_same(bytes, tail, &mut self.index) {
                self.tally.wrong_bytes += 1;
            }
            bytes
        };
        let is_sample =
            identity.step == Step::Request && mix(identity.flow).is_multiple_of(HEADS_EVERY);
        if is_sample && !compare::head_is_right(bytes, sent, &mut self.index) {
            self.tally.wrong_bytes += 1;
        }
        Some(head)
    }

    /// What was sent: the whole first request, or the tail of another message; and where its tail starts.
    fn expected(
        &self,
        plan: Plan,
        identity: Identity,
        record: &Record,
        out: &mut Vec<u8>,
        tail_start: &mut usize,
    ) {
        let template = &self.templates[plan.template];
        let values = self.values(plan, identity);
        let contact = || self.contacts.get(usize::from(record.backend)).map_or(&[][..], |c| c);
        let pattern = match identity.step {
            Step::Request => &template.request,
            Step::Ack => &template.ack,
            Step::Bye => &template.bye,
            Step::Ringing => &template.ringing,
            Step::Ok => &template.ok,
            Step::ByeOk => &template.bye_ok,
        };
        if matches!(identity.step, Step::Ringing | Step::Ok) {
            out.extend_from_slice(contact());
        }
        pattern.render(&values, out);
        *tail_start = pattern.tail_start();
    }

    /// The backend that this Call-ID belongs to: where its first request went.
    fn known_backend(&mut self, plan: Plan, step: Step, backend: u8) -> u8 {
        let slot = &mut self.affinities[place(plan.call % AFFINITIES_MAX as u64)];
        if slot.0 != plan.call && step == Step::Request {
            *slot = (plan.call, backend);
        }
        slot.1
    }

    fn plan(&self, flow: u64) -> Plan {
        let group_size = self.run_length * self.per_call_id;
        let group = flow / group_size;
        let hash = mix(self.seed ^ group);
        let drawn = pick(hash, *self.bounds.last().expect("a scenario has a mix"));
        let source = pick(mix(hash), self.callers.len() as u64);
        let repeat = flow / self.run_length % self.per_call_id;
        Plan {
            group,
            template: self.bounds.partition_point(|bound| *bound <= drawn),
            source: place(source),
            call: group * self.run_length + flow % self.run_length,
            cseq: b'1' + u8::try_from(repeat).expect("one digit"),
        }
    }

    fn values(&self, plan: Plan, identity: Identity) -> Values {
        let call = hex16(mix(self.seed.wrapping_add(plan.call)));
        let port = self.callers[plan.source].address.port();
        let digit = |divisor: u16| b'0' + u8::try_from(port / divisor % 10).expect("a digit");
        Values {
            id: hex16(identity.to_number()),
            branch: hex16(mix(self.seed.rotate_left(32) ^ identity.to_number())),
            tag: std::array::from_fn(|at| call[15 - at]),
            call,
            cseq: plan.cseq,
            port: [digit(10_000), digit(1_000), digit(100), digit(10), digit(1)],
        }
    }
}

/// A number that is below the length of something that is in memory.
fn place(number: u64) -> usize {
    usize::try_from(number).expect("an index")
}

/// The identity that a message ends with: in its last SDP line, or in its last field.
fn identity(bytes: &[u8]) -> Option<Identity> {
    let text = bytes.strip_suffix(b"\r\n")?;
    let text = text.strip_suffix(b"\r\n").unwrap_or(text);
    let (_, digits) = text.split_at_checked(text.len().checked_sub(16)?)?;
    Identity::from_number(from_hex16(digits)?)
}

/// The identity of a message that something stands behind.
fn identity_within(bytes: &[u8], index: &mut Index) -> Option<Identity> {
    use sipedge::sip::message::{FieldName, Message};
    let message = Message::parse(bytes, index).ok()?;
    if let Some(digits) = message.slow_value(b"X-Load") {
        return Identity::from_number(from_hex16(digits)?);
    }
    let length = message.number(FieldName::ContentLength)?.ok()? as usize;
    identity(message.body().get(..length)?)
}
