//! Requests that are held: with real bytes, from the caller to two backends and back.

use super::*;
use crate::sip::DropReason;
use crate::sip::hold::HoldCounts;
use crate::sip::outbox::Extra;
use crate::sip::route::failover::{Failover, StatusSet};

mod counted;
mod own_answer;
mod terse;

const SECOND: u64 = 1_000_000;
const BOB: &str = "sip:bob@example.com";

fn policy(tries: u8) -> Failover {
    Failover { statuses: StatusSet::of(&[500, 503]), timeout_us: 2 * SECOND, tries }
}

fn held_parts(balance: &str, tries: u8) -> Parts {
    let mut parts = parts(balance);
    parts.pools[0].failover = Some(policy(tries));
    parts
}

fn world(tries: u8) -> World {
    World::new(held_parts("rendezvous", tries))
}

impl World {
    /// What went out besides.
    fn extras(&self) -> Vec<Sent> {
        let sent = |extra: Extra<'_>| Sent {
            text: String::from_utf8(extra.bytes.to_vec()).expect("the tests use UTF-8"),
            to: extra.transmit.address().to_string(),
            listener: extra.transmit.listener().0,
        };
        self.outbox.extras().map(sent).collect()
    }

    /// What a message that is absorbed leads to.
    fn absorbed(&mut self, text: &str, from: &str) -> Vec<Sent> {
        assert_eq!(self.verdict(text, from, 0), Verdict::Absorb, "{text}");
        assert_eq!(self.outbox.transmit(), None);
        assert_eq!(self.outbox.decision().cause, Cause::Held);
        self.extras()
    }

    /// What is sent until `seconds` have passed since the start.
    fn until(&mut self, seconds: u64) -> Vec<Sent> {
        let end = Now((seconds + 1) * SECOND);
        let mut sent = Vec::new();
        while let Some((due, _)) = self.core.poll_timeout().filter(|(due, _)| *due <= end) {
            assert!(due >= self.now, "time does not go back");
            self.now = due;
            let mut outbox = std::mem::take(&mut self.outbox);
            self.core.handle_timeout(due, &mut outbox);
            self.outbox = outbox;
            sent.extend(self.extras());
        }
        self.now = end;
        sent
    }

    fn counts(&self) -> HoldCounts {
        self.core.held().expect("a pool fails over").counts
    }

    fn held(&self) -> usize {
        self.core.held().expect("a pool fails over").len()
    }

    fn invite(&mut self) -> Sent {
        self.send(&request("INVITE", BOB, ""), PHONE, 0)
    }

    /// The caller acknowledges an answer of ours.
    fn acknowledges(&mut self, answer: &Sent) {
        let to = line(&answer.text, "To");
        let ack =
            request("ACK", BOB, "").replace("To: <sip:bob@example.com>", &format!("To: {to}"));
        assert_eq!(self.verdict(&ack, PHONE, 0), Verdict::Absorb);
        assert_eq!(self.outbox.decision().cause, Cause::Own);
    }

    /// A response that goes to the caller.
    fn reaches_caller(&mut self, to: &Sent, code: &str) {
        let answer = respond(&to.text, code, "b1");
        let got = self.send(&answer, &to.to, 0);
        assert_eq!(got.to, PHONE);
        assert!(got.text.starts_with(&format!("SIP/2.0 {code}")), "{}", got.text);
        assert_eq!(values(&got.text, "Via").len(), 1, "{}", got.text);
    }
}

fn one<T: std::fmt::Debug>(mut list: Vec<T>) -> T {
    assert_eq!(list.len(), 1, "{list:?}");
    list.remove(0)
}

fn line<'t>(text: &'t str, name: &str) -> &'t str {
    one(values(text, name))
}

fn start(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// Acknowledged as RFC 3261 17.1.1.3 says, with the To of the answer.
fn is_ack_of(ack: &Sent, invite: &Sent) {
    assert_eq!((start(&ack.text), &ack.to), ("ACK sip:bob@example.com SIP/2.0", &invite.to));
    assert_eq!(line(&ack.text, "Via"), values(&invite.text, "Via")[0], "the same branch");
    assert_eq!(line(&ack.text, "CSeq"), "1 ACK");
    assert!(line(&ack.text, "To").contains("tag=b1"), "{}", ack.text);
    for name in ["From", "Call-ID"] {
        assert_eq!(line(&ack.text, name), line(&invite.text, name));
    }
}

fn is_cancel_of(cancel: &Sent, invite: &Sent) {
    let start_line = "CANCEL sip:bob@example.com SIP/2.0";
    assert_eq!((start(&cancel.text), &cancel.to), (start_line, &invite.to));
    assert_eq!(line(&cancel.text, "Via"), values(&invite.text, "Via")[0], "the same branch");
    assert_eq!(line(&cancel.text, "CSeq"), "1 CANCEL");
    assert_eq!(line(&cancel.text, "To"), line(&invite.text, "To"));
}

/// What only an attempt of its own may change: the branch, and who is named as the backend.
fn is_next_of(next: &Sent, first: &Sent) {
    let kept = |text: &str| -> Vec<String> {
        let own = |line: &&str| !line.contains("~e~");
        text.split("\r\n").filter(own).map(str::to_owned).collect()
    };
    assert_eq!(kept(&next.text), kept(&first.text));
    assert_ne!(values(&next.text, "Via")[0], values(&first.text, "Via")[0]);
    assert_eq!(values(&next.text, "Via")[1..], values(&first.text, "Via")[1..]);
    assert_ne!(next.to, first.to);
}

#[test]
fn a_failed_invite_goes_on_and_the_caller_sees_one_answer() {
    let mut world = world(2);
    let first = world.invite();
    world.reaches_caller(&first, "180 Ringing");
    let failure = respond(&first.text, "503 Service Unavailable", "b1");
    let sent = world.absorbed(&failure, &first.to);
    let (next, ack) = (&sent[0], &sent[1]);
    is_next_of(next, &first);
    is_ack_of(ack, &first);
    assert_eq!(world.extras().len(), 2);

    // Its ACK was lost: acknowledged again, and nothing else.
    is_ack_of(&one(world.absorbed(&failure, &first.to)), &first);
    // Copies go to where the request is now, and so does the CANCEL.
    for method in ["INVITE", "CANCEL"] {
        let copy = world.send(&request(method, BOB, ""), PHONE, 0);
        assert_eq!(
            (&copy.to, values(&copy.text, "Via")[0]),
            (&next.to, values(&next.text, "Via")[0])
        );
    }
    world.reaches_caller(next, "487 Request Terminated");
    let ack = world.send(&request("ACK", BOB, ""), PHONE, 0);
    assert_eq!((&ack.to, values(&ack.text, "Via")[0]), (&next.to, values(&next.text, "Via")[0]));
    is_ack_of(&one(world.absorbed(&failure, &first.to)), &first);
    assert_eq!(world.until(60), []);
    assert_eq!(world.held(), 0);
    // The memory knows the attempt when nothing is held any more.
    let ack = world.send(&request("ACK", BOB, ""), PHONE, 0);
    assert_eq!((&ack.to, values(&ack.text, "Via")[0]), (&next.to, values(&next.text, "Via")[0]));
    assert_eq!(world.counts(), HoldCounts { held: 1, failed_over: 1, ..HoldCounts::default() });
}

#[test]
fn an_attempt_is_proved_on_any_node_and_cannot_be_taken_for_another() {
    let mut world = world(2);
    let first = world.invite();
    let failure = respond(&first.text, "503 Service Unavailable", "b1");
    let next = world.absorbed(&failure, &first.to).remove(0);
    let mut other = World::new(parts("rendezvous"));
    other.reaches_caller(&next, "200 OK");
    let branch_of = |sent: &Sent| {
        let via = values(&sent.text, "Via")[0];
        via.split(";").find_map(|part| part.strip_prefix("branch=")).expect("ours").to_owned()
    };
    let swapped = next.text.replace(&branch_of(&next), &branch_of(&first));
    let forged = respond(&swapped, "200 OK", "b1");
    let verdict = other.verdict(&forged, &next.to, 0);
    assert_eq!(verdict, Verdict::Drop(DropReason::ResponseViaForged));
}

#[test]
fn the_last_failure_is_the_callers() {
    for (tries, backends) in [(2, 2), (3, 3), (4, 3)] {
        let mut world = world(tries);
        let mut at = world.invite();
        let mut seen = vec![at.to.clone()];
        for _ in 1..backends {
            let failure = respond(&at.text, "500 Server Internal Error", "b1");
            at = world.absorbed(&failure, &at.to).remove(0);
            assert!(!seen.contains(&at.to), "each gets it once");
            seen.push(at.to.clone());
        }
        world.reaches_caller(&at, "500 Server Internal Error");
    }
}

#[test]
fn other_answers_are_the_callers() {
    for code in [
        "200 OK",
        "302 Moved Temporarily",
        "401 Unauthorized",
        "486 Busy Here",
        "504 Server Time-out",
    ] {
        let mut world = world(3);
        let invite = world.invite();
        world.reaches_caller(&invite, code);
        assert_eq!((world.extras(), world.held()), (vec![], 0));
    }
}

#[test]
fn a_silent_backend_is_given_up_and_cancelled_when_it_is_late() {
    let mut world = world(2);
    let first = world.invite();
    assert_eq!(world.until(1), []);
    let next = one(world.until(2));
    is_next_of(&next, &first);
    let late = respond(&first.text, "180 Ringing", "b1");
    is_cancel_of(&one(world.absorbed(&late, &first.to)), &first);
    assert_eq!(world.absorbed(&late, &first.to), []);
    is_cancel_of(&one(world.until(3)), &first);
    let cancel = world.until(4).remove(0);
    let answer = respond(&cancel.text, "200 OK", "b1");
    assert_eq!(world.absorbed(&answer, &first.to), []);
    let strange = answer.replace("CSeq: 1 CANCEL", "CSeq: 1 INVITE");
    let drop = Verdict::Drop(DropReason::ResponseViaLast);
    assert_eq!(world.verdict(&strange, &first.to, 0), drop);
    assert_eq!(world.until(9), []);
    let end = respond(&first.text, "487 Request Terminated", "b1");
    is_ack_of(&one(world.absorbed(&end, &first.to)), &first);
    world.reaches_caller(&next, "200 OK");
    assert_eq!(world.until(60), []);
    assert_eq!(world.held(), 0);
    let expected =
        HoldCounts { held: 1, failed_over: 1, given_up: 1, cancelled: 1, ..HoldCounts::default() };
    assert_eq!(world.counts(), expected);
}

#[test]
fn a_late_success_wins() {
    let mut world = world(2);
    let first = world.invite();
    let next = one(world.until(2));
    world.reaches_caller(&next, "180 Ringing");
    world.reaches_caller(&first, "200 OK");
    is_cancel_of(&one(world.extras()), &next);
    let copy = world.invite();
    assert_eq!(values(&copy.text, "Via")[0], values(&first.text, "Via")[0]);
    // They crossed: RFC 3261 16.7 step 10.
    world.reaches_caller(&next, "200 OK");
    world.reaches_caller(&first, "200 OK");
    assert_eq!(world.extras(), []);
}

#[test]
fn a_provisional_answer_ends_the_clock() {
    let mut world = world(2);
    let invite = world.invite();
    world.reaches_caller(&invite, "100 Trying");
    assert_eq!(world.until(199), []);
    world.reaches_caller(&invite, "200 OK");
    assert_eq!(world.held(), 0);
}

#[test]
fn what_the_caller_cancelled_goes_no_further() {
    let mut world = world(2);
    let invite = world.invite();
    world.reaches_caller(&invite, "180 Ringing");
    let cancel = world.send(&request("CANCEL", BOB, ""), PHONE, 0);
    world.reaches_caller(&cancel, "200 OK");
    world.reaches_caller(&invite, "503 Service Unavailable");
    assert_eq!((world.until(60), world.held()), (vec![], 0));
}

#[test]
fn a_caller_who_waits_gets_an_answer() {
    let mut world = world(2);
    let first = world.invite();
    world.reaches_caller(&first, "100 Trying");
    let failure = respond(&first.text, "503 Service Unavailable", "b1");
    let next = world.absorbed(&failure, &first.to).remove(0);
    let sent = world.until(32);
    let (answer, repeats) = sent.split_last().expect("something was sent");
    assert_eq!(repeats.len(), 6);
    assert!(repeats.iter().all(|repeat| *repeat == next), "byte for byte");
    assert_eq!((start(&answer.text), answer.to.as_str()), ("SIP/2.0 408 Request Timeout", PHONE));
    world.acknowledges(answer);
    // Late, and nobody waits for it.
    let late = respond(&next.text, "180 Ringing", "b1");
    is_cancel_of(&one(world.absorbed(&late, &next.to)), &next);
    world.until(120);
    assert_eq!(world.held(), 0);
    let expected =
        HoldCounts { held: 1, failed_over: 1, cancelled: 1, answered: 1, ..HoldCounts::default() };
    assert_eq!(world.counts(), expected);
}

#[test]
fn what_goes_out_besides_says_what_it_is() {
    let mut world = world(2);
    let first = world.invite();
    let failure = respond(&first.text, "503 Service Unavailable", "b1");
    world.absorbed(&failure.replace("Content", "Retry-After: 7\r\nContent"), &first.to);
    assert_eq!(world.outbox.decision().retry_after_seconds, 7, "it says how the backend is");
    let found: Vec<_> =
        world.outbox.extras().map(|extra| (*extra.decision, extra.verdict())).collect();
    for ((decision, verdict), method) in found.into_iter().zip([Method::Invite, Method::Ack]) {
        assert_eq!((decision.method, decision.status, verdict), (method, 0, Verdict::Forward));
        assert_eq!((decision.cause, decision.origin), (Cause::Held, None));
        let backend = decision.backend.expect("to a backend");
        let to = world.core.table().pools[0].backends[usize::from(backend.backend)].address;
        assert_eq!(to.to_string() == first.to, method == Method::Ack);
    }
}

#[test]
fn a_request_that_is_no_invite_needs_no_ack() {
    for method in ["REGISTER", "OPTIONS", "MESSAGE", "SUBSCRIBE", "FROBNICATE"] {
        let mut world = world(2);
        let first = world.send(&request(method, BOB, ""), PHONE, 0);
        let failure = respond(&first.text, "503 Service Unavailable", "b1");
        let next = one(world.absorbed(&failure, &first.to));
        is_next_of(&next, &first);
        assert_eq!(world.absorbed(&failure, &first.to), []);
        world.reaches_caller(&next, "200 OK");
        assert_eq!((world.until(20), world.held()), (vec![], 0));

        let mut late = self::world(2);
        let first = late.send(&request(method, BOB, ""), PHONE, 0);
        let next = one(late.until(2));
        assert_eq!(late.absorbed(&respond(&first.text, "100 Trying", "b1"), &first.to), []);
        late.reaches_caller(&first, "200 OK");
        assert_eq!(late.absorbed(&respond(&next.text, "200 OK", "b1"), &next.to), []);
        assert_eq!((late.until(20), late.held()), (vec![], 0));
    }
}

#[test]
fn what_finds_no_room_goes_as_without_failover() {
    let mut parts = held_parts("rendezvous", 2);
    parts.limits.held_max = 1;
    parts.limits.held_bytes_max = 1_000;
    let mut world = World::new(parts);
    let large = request("INVITE", BOB, &format!("X-Large: {}\r\n", "x".repeat(1_000)));
    let sent = world.send(&large, PHONE, 0);
    world.reaches_caller(&sent, "503 Service Unavailable");
    world.send(&request("INVITE", BOB, "").replace("call-1", "call-2"), PHONE, 0);
    let sent = world.send(&request("INVITE", BOB, "").replace("call-1", "call-3"), PHONE, 0);
    world.reaches_caller(&sent, "503 Service Unavailable");
    assert_eq!(world.counts(), HoldCounts { held: 1, refused: 2, ..HoldCounts::default() });
}

#[test]
fn a_request_in_a_dialog_is_not_held() {
    let mut world = world(2);
    let within = request("INVITE", BOB, "")
        .replace("To: <sip:bob@example.com>", "To: <sip:bob@example.com>;tag=b1");
    let sent = world.send(&within, PHONE, 0);
    world.reaches_caller(&sent, "503 Service Unavailable");
    assert_eq!(world.counts(), HoldCounts::default());
}

#[test]
fn the_hop_by_hop_route_is_the_one_that_was_sent() {
    let mut world = world(2);
    let route = "Route: <sip:192.0.2.1:5060;lr>\r\nRoute: <sip:far.example.com;lr>\r\n";
    let first = world.send(&request("INVITE", BOB, route), PHONE, 0);
    let failure = respond(&first.text, "503 Service Unavailable", "b1");
    let ack = world.absorbed(&failure, &first.to).remove(1);
    assert_eq!(values(&ack.text, "Route"), values(&first.text, "Route"));
    assert_eq!(line(&ack.text, "Route"), "<sip:far.example.com;lr>");
}

#[test]
fn a_table_in_between_changes_the_candidates_and_not_the_attempts() {
    let mut world = World::new(held_parts("round-robin", 3));
    let first = world.invite();
    let mut next = held_parts("round-robin", 3);
    next.pools[0] = world.core.table().pools[0].clone();
    // Only one is left besides.
    let others = ["10.0.0.1:5060", "10.0.0.2:5060", "10.0.0.3:5060"];
    let gone = (0..).zip(others).find(|(_, other)| *other != first.to).expect("of three").0;
    next.pools[0].usable.remove(gone);
    world.core.install(Arc::new(Table::new(next)));
    let failure = respond(&first.text, "503 Service Unavailable", "b1");
    let sent = world.absorbed(&failure, &first.to);
    assert_ne!(sent[0].to, others[usize::from(gone)]);
    is_ack_of(&sent[1], &first);
    world.reaches_caller(&sent[0], "503 Service Unavailable");
}

#[test]
fn a_dead_backend_is_left_at_once() {
    let mut world = world(2);
    let first = world.invite();
    let mut parts = held_parts("rendezvous", 2);
    parts.pools[0] = world.core.table().pools[0].clone();
    let others = ["10.0.0.1:5060", "10.0.0.2:5060", "10.0.0.3:5060"];
    let dead = (0..).zip(others).find(|(_, other)| *other == first.to).expect("of three").0;
    parts.pools[0].usable.remove(dead);
    parts.pools[0].down.insert(dead);
    world.core.install(Arc::new(Table::new(parts)));
    let next = one(world.absorbed(&request("INVITE", BOB, ""), PHONE));
    is_next_of(&next, &first);
    world.reaches_caller(&next, "200 OK");
}

#[test]
fn an_answer_through_another_node_ends_it() {
    let mut world = world(2);
    let first = world.invite();
    let ack = world.send(&request("ACK", BOB, ""), PHONE, 0);
    assert_eq!(ack.to, first.to);
    assert_eq!((world.until(60), world.held()), (vec![], 0));
}
