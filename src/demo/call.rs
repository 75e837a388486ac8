//! One call of the demo's caller: INVITE, 180, 200, ACK, hold, BYE, 200, and what is checked on the way.
//!
//! Owns: the caller's side of a dialog (RFC 3261 12, 13, 15) with the retransmissions of 17.1, and the record
//! of what became of it. Has no socket and no clock: responses and times in, requests out.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use super::message::{Message, Writer, address_of, parameter, session_description, uri_of};
use super::record::{Failure, Record};
use super::{T1, T2, index_of};

/// What all calls of a run share.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// Where the caller's socket is bound.
    pub(super) caller: SocketAddr,
    /// Where INVITEs go: the edge.
    pub(super) edge: SocketAddr,
    /// How long calls last, in milliseconds.
    pub(super) hold_ms: Range<u64>,
    /// A call without a final response fails after this long (RFC 3261 timer B and F).
    pub(super) gives_up_after: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// INVITE sent, no final response yet.
    Inviting,
    /// Answered; `due` is when it hangs up.
    Up,
    /// BYE sent.
    Ending,
    Over,
}

/// What the 200 taught us (RFC 3261 12.1.2).
#[derive(Debug, Clone)]
struct Dialog {
    to: String,
    target: String,
    routes: Vec<String>,
    next_hop: SocketAddr,
}

/// A request and where it goes.
pub(super) type Outgoing = (Vec<u8>, SocketAddr);

/// One call.
#[derive(Debug)]
pub(super) struct Call {
    number: u64,
    state: State,
    /// When something is to be done next.
    due: Duration,
    interval: Duration,
    gives_up: Duration,
    dialog: Option<Dialog>,
    record: Record,
}

/// The Call-ID of call `number`; it begins with the number.
pub(super) fn call_id(number: u64) -> String {
    format!("{number}.{:016x}@demo.invalid", mix(number))
}

/// The INVITE of call `number`.
pub(super) fn invite(plan: &Plan, number: u64) -> Vec<u8> {
    let callee = format!("sip:{:04}@{}", 1000 + mix(number) % 9000, plan.edge);
    head(plan, number, "INVITE", &callee, &format!("<{callee}>"))
        .field("Contact", format_args!("<sip:caller@{}>", plan.caller))
        .field("Allow", "INVITE, ACK, CANCEL, BYE, OPTIONS")
        .field("User-Agent", "sipedge-demo caller")
        .finish_with(&session_description(number))
}

/// The fields that every request of a call has.
fn head(plan: &Plan, number: u64, method: &str, uri: &str, to: &str) -> Writer {
    let sequence = if method == "BYE" { 2 } else { 1 };
    Writer::request(method, uri)
        .field(
            "Via",
            format_args!("SIP/2.0/UDP {};rport;branch=z9hG4bK{method}.{number}", plan.caller),
        )
        .field("Max-Forwards", 70)
        .field("From", format_args!("<sip:caller@{}>;tag={number:x}", plan.caller))
        .field("To", to)
        .field("Call-ID", call_id(number))
        .field("CSeq", format_args!("{sequence} {method}"))
}

/// Spreads numbers over 64 bits (the finisher of splitmix64).
fn mix(number: u64) -> u64 {
    let mut x = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

impl Call {
    /// Call `number`, whose INVITE is sent at `sent` and was to be sent at `intended`.
    pub(super) fn new(plan: &Plan, number: u64, intended: Duration, sent: Duration) -> Self {
        let record = Record::new(call_id(number), intended, sent);
        let (due, gives_up) = (sent + T1, sent + plan.gives_up_after);
        let state = State::Inviting;
        Self { number, state, due, interval: T1, gives_up, dialog: None, record }
    }

    /// Takes a response and returns the request that it calls for.
    pub(super) fn handle(
        &mut self,
        plan: &Plan,
        response: &Message<'_>,
        now: Duration,
    ) -> Option<Outgoing> {
        let (status, (_, method)) = (response.status()?, response.cseq()?);
        match (method, status) {
            ("INVITE", 100) => None,
            ("INVITE", 101..=199) => {
                self.record.ringings_seen += 1;
                None
            }
            ("INVITE", 200) => {
                self.record.answers_seen += 1;
                if self.state == State::Inviting {
                    self.on_answer(plan, response, now);
                }
                // RFC 3261 13.2.2.4: each 200 gets an ACK, repeated ones too.
                let ack = self.in_dialog(plan, "ACK")?;
                self.record.acks_sent += 1;
                Some(ack)
            }
            ("INVITE", _) if self.state == State::Inviting => {
                self.end(Some(Failure::InviteRefused(status)), now);
                None
            }
            ("BYE", 200..) => {
                self.on_bye_answer(plan, status, response, now);
                None
            }
            _ => None,
        }
    }

    fn on_answer(&mut self, plan: &Plan, response: &Message<'_>, now: Duration) {
        self.record.latency = Some(now.saturating_sub(self.record.intended));
        self.record.backend = backend_of(response);
        match dialog_of(plan, response) {
            Ok(dialog) => {
                self.dialog = Some(dialog);
                self.state = State::Up;
                let span = (plan.hold_ms.end - plan.hold_ms.start).max(1);
                let hold_ms = plan.hold_ms.start + mix(!self.number) % span;
                self.due = now + Duration::from_millis(hold_ms);
            }
            Err(what) => self.end(Some(Failure::ResponseIncomplete(what)), now),
        }
    }

    fn on_bye_answer(&mut self, plan: &Plan, status: u16, response: &Message<'_>, now: Duration) {
        self.record.bye_answers_seen += 1;
        if self.state != State::Ending {
            return;
        }
        self.record.ended_by = backend_of(response);
        let failure = match complete(plan, response) {
            _ if status != 200 => Some(Failure::ByeRefused(status)),
            Ok(_) => None,
            Err(what) => Some(Failure::ResponseIncomplete(what)),
        };
        self.end(failure, now);
    }

    /// When [`Call::handle_timeout`] is to be called next.
    pub(super) fn due(&self) -> Option<Duration> {
        (self.state != State::Over).then_some(self.due)
    }

    /// Does what is due: a retransmission, the BYE, or giving up.
    pub(super) fn handle_timeout(&mut self, plan: &Plan, now: Duration) -> Option<Outgoing> {
        if now < self.due {
            return None;
        }
        match self.state {
            State::Over => None,
            State::Inviting | State::Ending if now >= self.gives_up => {
                let inviting = self.state == State::Inviting;
                let failure =
                    if inviting { Failure::InviteUnanswered } else { Failure::ByeUnanswered };
                self.end(Some(failure), now);
                None
            }
            // RFC 3261 17.1.1.2 timer A: the interval doubles.
            State::Inviting => {
                self.interval *= 2;
                self.due = now + self.interval;
                self.record.invites_sent += 1;
                Some((invite(plan, self.number), plan.edge))
            }
            State::Up => {
                self.state = State::Ending;
                self.interval = T1;
                self.due = now + T1;
                self.gives_up = now + plan.gives_up_after;
                self.record.byes_sent += 1;
                self.in_dialog(plan, "BYE")
            }
            // RFC 3261 17.1.2.2 timer E: the interval doubles up to T2.
            State::Ending => {
                self.interval = (self.interval * 2).min(T2);
                self.due = now + self.interval;
                self.record.byes_sent += 1;
                self.in_dialog(plan, "BYE")
            }
        }
    }

    /// Its Call-ID.
    pub(super) fn id(&self) -> &str {
        &self.record.call_id
    }

    /// It is over.
    pub(super) fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// What is known of it.
    pub(super) fn record(&self) -> &Record {
        &self.record
    }

    fn end(&mut self, failure: Option<Failure>, now: Duration) {
        self.state = State::Over;
        self.record.failure = failure;
        self.record.ended = Some(now);
    }

    /// RFC 3261 12.2.1.1: a request to the remote target along the route set.
    fn in_dialog(&self, plan: &Plan, method: &str) -> Option<Outgoing> {
        let dialog = self.dialog.as_ref()?;
        let bytes = head(plan, self.number, method, &dialog.target, &dialog.to)
            .fields("Route", dialog.routes.iter().map(String::as_str))
            .finish();
        Some((bytes, dialog.next_hop))
    }
}

/// The backend that wrote a response.
fn backend_of(response: &Message<'_>) -> Option<usize> {
    response.field("Server")?.strip_prefix("sipedge-demo ").and_then(index_of)
}

/// Checks what a final response must have when it reaches the caller; returns its To.
fn complete<'a>(plan: &Plan, response: &Message<'a>) -> Result<&'a str, &'static str> {
    let vias = response.values("Via");
    let [via] = vias.as_slice() else { return Err("not exactly one Via") };
    if !via.starts_with(&format!("SIP/2.0/UDP {};", plan.caller)) {
        return Err("the Via is not the caller's");
    }
    if !response.body_is_whole() {
        return Err("the body is not as long as Content-Length says");
    }
    if backend_of(response).is_none() {
        return Err("no Server field of a backend");
    }
    response.field("To").filter(|to| parameter(to, "tag").is_some()).ok_or("no tag in To")
}

/// RFC 3261 12.1.2: the dialog that a 200 forms.
fn dialog_of(plan: &Plan, response: &Message<'_>) -> Result<Dialog, &'static str> {
    let to = complete(plan, response)?.to_owned();
    let target = response.field("Contact").and_then(uri_of).ok_or("no Contact")?.to_owned();
    let routes: Vec<String> =
        response.values("Record-Route").into_iter().rev().map(str::to_owned).collect();
    let first = routes.first().map_or(Some(target.as_str()), |route| uri_of(route));
    let next_hop = first.and_then(address_of).ok_or("a route that is no address")?;
    if next_hop != plan.edge {
        return Err("the route does not lead to the edge");
    }
    Ok(Dialog { to, target, routes, next_hop })
}

#[cfg(test)]
mod tests;
