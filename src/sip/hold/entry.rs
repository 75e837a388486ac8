//! One held request: what a response, a CANCEL, an ACK or the time means for it.
//!
//! Owns: the transitions (RFC 3261 16.7, 9.1). Knows no bytes: what is to be sent is said, and made elsewhere.

use arrayvec::ArrayVec;

use super::attempt::{Attempt, Cancel, NEVER, Phase, RINGING_SECONDS, SILENCE_SECONDS};
use super::own_answer::OwnAnswer;
use crate::sip::message::Method;
use crate::sip::route::failover::{Failover, TRIES_MAX};
use crate::sip::{ListenerId, Now};
use std::net::SocketAddr;

/// What the caller got for a final answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// That of this attempt.
    Of(u8),
    /// One of ours, because nobody answered.
    Own,
}

/// What a response is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reaction {
    /// It goes to the caller; else it is absorbed.
    pub forwards: bool,
    /// It is to be acknowledged here, because the caller does not see it.
    pub acknowledges: bool,
    /// This attempt is to be cancelled.
    pub cancels: Option<u8>,
    /// A failure that another backend may heal: absorbed if one is found, else [`Entry::settle`] and forwarded.
    pub fails: bool,
}

impl Reaction {
    const ABSORB: Self = Self { forwards: false, acknowledges: false, cancels: None, fails: false };
    const FORWARD: Self = Self { forwards: true, ..Self::ABSORB };
}

/// What the time asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// The backend was silent for too long: the next candidate, if there is one.
    GiveUp,
    /// The INVITE of this attempt once more: the caller has stopped to repeat it.
    Repeat(u8),
    /// The CANCEL of this attempt once more.
    Cancel(u8),
    /// Nobody answered, and the caller waits: 408.
    Answer,
    /// The same once more: nobody has acknowledged it (RFC 3261 17.2.1, timer G).
    AnswerAgain,
    /// Nothing is to be sent.
    Nothing,
}

/// A held request.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its transaction, as in our branch.
    pub id: u64,
    /// The key that its branches are made with.
    pub key_id: u8,
    /// Its method.
    pub method: Method,
    /// Who sent it.
    pub source: SocketAddr,
    /// Where it came in.
    pub listener: ListenerId,
    /// The policy of its pool when it came.
    pub policy: Failover,
    /// Where it was sent, in order.
    pub attempts: ArrayVec<Attempt, { TRIES_MAX as usize }>,
    /// What the caller got.
    pub outcome: Option<Outcome>,
    /// The caller cancelled it.
    pub is_cancelled: bool,
    /// The caller has got a provisional answer, and repeats an INVITE no more.
    pub is_proceeding: bool,
    has_won: bool,
    timeout_at: Now,
    answer: OwnAnswer,
}

/// What is held, besides its bytes.
#[derive(Debug, Clone, Copy)]
pub struct Held {
    /// See [`Entry::id`].
    pub id: u64,
    /// See [`Entry::key_id`].
    pub key_id: u8,
    /// See [`Entry::method`].
    pub method: Method,
    /// See [`Entry::source`].
    pub source: SocketAddr,
    /// See [`Entry::listener`].
    pub listener: ListenerId,
    /// See [`Entry::policy`].
    pub policy: Failover,
}

impl Entry {
    /// A request that was sent to its first backend.
    pub(super) fn new(held: Held, first: (SocketAddr, ListenerId), now: Now) -> Self {
        let Held { id, key_id, method, source, listener, policy } = held;
        let mut entry = Self {
            id,
            key_id,
            method,
            source,
            listener,
            policy,
            attempts: ArrayVec::new(),
            outcome: None,
            is_cancelled: false,
            is_proceeding: false,
            has_won: false,
            timeout_at: NEVER,
            answer: OwnAnswer::NONE,
        };
        entry.start(first, now);
        entry
    }

    /// The attempt that it is at: what counts for the caller while nothing final does.
    #[must_use]
    pub fn current(&self) -> u8 {
        u8::try_from(self.attempts.len().saturating_sub(1)).expect("at most TRIES_MAX")
    }

    /// Where a copy of the request, its CANCEL and its ACK go.
    #[must_use]
    pub fn target(&self) -> u8 {
        match self.outcome {
            Some(Outcome::Of(attempt)) => attempt,
            _ => self.current(),
        }
    }

    /// It may go on to a further backend. Not while one rings for it: that may have been given up and cancelled, but it has
    /// not ended.
    #[must_use]
    pub fn may_go_on(&self) -> bool {
        let tries = self.policy.tries.min(TRIES_MAX);
        let has_tries = self.attempts.len() < usize::from(tries);
        let rings = |attempt: &Attempt| attempt.phase == Phase::Answered;
        let is_wanted = self.outcome.is_none() && !self.is_cancelled;
        is_wanted && has_tries && !(self.is_invite() && self.attempts.iter().any(rings))
    }

    /// It was sent to a further backend; the one before is given up, if it has not ended.
    pub fn start(&mut self, (destination, listener): (SocketAddr, ListenerId), now: Now) {
        if let Some(before) = self.attempts.last_mut() {
            before.is_given_up = true;
            before.be_quiet();
        }
        let mut attempt = Attempt::new(destination, listener, now);
        if self.is_invite() && self.is_proceeding {
            attempt.repeat(now);
        }
        if self.attempts.try_push(attempt).is_err() {
            return;
        }
        let waits = self.policy.timeout_us > 0 && self.may_go_on();
        self.timeout_at =
            if waits { Now(now.0.saturating_add(self.policy.timeout_us)) } else { NEVER };
    }

    /// The first 2xx to an INVITE, and it comes from a backend that was given up, or after our own answer: who counts calls
    /// has to count this one here.
    #[must_use]
    pub fn is_unexpected(&self, place: u8, status: u16) -> bool {
        let is_success = self.is_invite() && (200..300).contains(&status);
        let is_late = place != self.current() || self.outcome == Some(Outcome::Own);
        is_success && is_late && !self.has_won
    }

    /// A response to an attempt. `None` when this attempt was not made here.
    pub fn on_response(&mut self, place: u8, status: u16, now: Now) -> Option<Reaction> {
        self.attempts.get(usize::from(place))?;
        Some(match status {
            ..=199 => self.on_provisional(place, now),
            200..=299 => self.on_success(place, now),
            _ => self.on_failure(place, status, now),
        })
    }

    /// A 100 Trying that does not reach the caller, so that the caller goes on to repeat the request.
    pub fn on_short_trying(&mut self, place: u8, now: Now) -> Option<Reaction> {
        let is_proceeding = self.is_proceeding;
        let reaction = self.on_response(place, 100, now);
        self.is_proceeding = is_proceeding;
        reaction
    }

    fn on_provisional(&mut self, place: u8, now: Now) -> Reaction {
        let (is_invite, is_cancelled) = (self.is_invite(), self.is_cancelled);
        let is_outcome = self.outcome == Some(Outcome::Of(place));
        let attempt = &mut self.attempts[usize::from(place)];
        if attempt.has_ended() {
            return if is_outcome { Reaction::FORWARD } else { Reaction::ABSORB };
        }
        let was_silent = attempt.phase == Phase::Silent;
        attempt.phase = Phase::Answered;
        if was_silent {
            attempt.be_quiet();
        }
        let cancels = |attempt: &mut Attempt| attempt.cancel(now).then_some(place);
        if attempt.is_given_up {
            let cancels = if is_invite { cancels(attempt) } else { None };
            return Reaction { cancels, ..Reaction::ABSORB };
        }
        self.timeout_at = NEVER;
        if is_invite && attempt.cancel == Cancel::None {
            attempt.ends_at = now.plus_seconds(RINGING_SECONDS);
        }
        // The CANCEL of the caller came before the backend had answered, and may have met no transaction.
        let cancels = if was_silent && is_cancelled { cancels(attempt) } else { None };
        self.is_proceeding = true;
        Reaction { cancels, ..Reaction::FORWARD }
    }

    fn on_success(&mut self, place: u8, now: Now) -> Reaction {
        let is_invite = self.is_invite();
        let attempt = &mut self.attempts[usize::from(place)];
        attempt.phase = Phase::Ended;
        let is_first = match self.outcome {
            None => true,
            Some(Outcome::Of(of)) => of == place,
            Some(Outcome::Own) => false,
        };
        if !is_invite && !is_first {
            attempt.fail(is_invite, now);
            return Reaction::ABSORB;
        }
        if !is_invite {
            self.settle(place);
            return Reaction::FORWARD;
        }
        // RFC 3261 16.7 step 10: each 2xx to an INVITE is the caller's to end.
        if self.has_won {
            return Reaction::FORWARD;
        }
        self.has_won = true;
        self.settle(place);
        let current = self.current();
        let last = &mut self.attempts[usize::from(current)];
        let cancels = (current != place && last.cancel(now)).then_some(current);
        Reaction { cancels, ..Reaction::FORWARD }
    }

    fn on_failure(&mut self, place: u8, status: u16, now: Now) -> Reaction {
        let is_outcome = self.outcome == Some(Outcome::Of(place));
        let acknowledges = self.is_invite();
        let attempt = &mut self.attempts[usize::from(place)];
        if is_outcome {
            return Reaction::FORWARD;
        }
        let had_ended = attempt.has_ended();
        if attempt.phase != Phase::Failed {
            attempt.fail(acknowledges, now);
        }
        if had_ended || attempt.is_given_up {
            return Reaction { acknowledges, ..Reaction::ABSORB };
        }
        self.timeout_at = NEVER;
        if self.policy.statuses.contains(status) && self.may_go_on() {
            return Reaction { acknowledges, fails: true, ..Reaction::ABSORB };
        }
        self.settle(place);
        Reaction::FORWARD
    }

    /// The caller gets the final answer of this attempt: nobody waits for the others.
    pub fn settle(&mut self, place: u8) {
        self.end_with(Outcome::Of(place));
    }

    fn end_with(&mut self, outcome: Outcome) {
        self.outcome = Some(outcome);
        self.timeout_at = NEVER;
        self.answer = OwnAnswer::NONE;
        for attempt in (0..).zip(&mut self.attempts) {
            let (place, attempt) = attempt;
            if Outcome::Of(place) == outcome {
                attempt.phase = Phase::Ended;
            } else if !attempt.is_given_up {
                attempt.is_given_up = true;
                attempt.be_quiet();
            }
        }
    }

    /// The answer to a CANCEL of ours; false when there was none.
    pub fn on_cancel_answer(&mut self, place: u8, status: u16) -> bool {
        let Some(attempt) = self.attempts.get_mut(usize::from(place)) else { return false };
        if attempt.cancel == Cancel::None {
            return false;
        }
        if status >= 200 {
            attempt.cancel = Cancel::Answered;
            attempt.be_quiet();
        }
        true
    }

    /// The caller cancels: it goes to no further backend.
    pub fn on_cancel(&mut self) {
        if !self.is_invite() || self.outcome.is_some() {
            return;
        }
        self.is_cancelled = true;
        self.timeout_at = NEVER;
        let current = self.current();
        let attempt = &mut self.attempts[usize::from(current)];
        if attempt.cancel == Cancel::None {
            attempt.be_quiet();
        }
    }

    /// The caller acknowledges a failure. One that did not come through here came through another node, and is final.
    pub fn on_ack(&mut self) {
        if self.outcome.is_none() {
            self.settle(self.current());
        }
    }

    /// The caller acknowledges our own answer.
    pub fn on_own_ack(&mut self) {
        self.answer.acknowledge();
    }

    /// Our own answer has its ACK: a late copy of the request gets none any more.
    #[must_use]
    pub const fn is_acknowledged(&self) -> bool {
        self.answer.is_acknowledged
    }

    /// What is due at `now`; asked until it says nothing and [`Entry::due`] is later.
    pub fn on_time(&mut self, now: Now) -> Due {
        if self.timeout_at <= now {
            self.timeout_at = NEVER;
            return Due::GiveUp;
        }
        if self.answer.due() <= now {
            return if self.answer.repeat(now) { Due::AnswerAgain } else { Due::Nothing };
        }
        let Some(place) = self.attempts.iter().position(|attempt| attempt.due() <= now) else {
            return Due::Nothing;
        };
        let is_last = place + 1 == self.attempts.len();
        let waits_for_us = self.is_proceeding && self.is_invite();
        let attempt = &mut self.attempts[place];
        let place = u8::try_from(place).expect("at most TRIES_MAX");
        if attempt.ends_at > now {
            attempt.repeated(now);
            return if attempt.cancel == Cancel::None {
                Due::Repeat(place)
            } else {
                Due::Cancel(place)
            };
        }
        if !is_last || self.outcome.is_some() {
            attempt.phase = Phase::Ended;
            return Due::Nothing;
        }
        // Without a provisional answer the caller has given up himself (timers B and F); a call that rings is his to end.
        if attempt.phase == Phase::Silent && waits_for_us {
            attempt.ends_at = now.plus_seconds(SILENCE_SECONDS);
            self.end_with(Outcome::Own);
            self.answer = OwnAnswer::sent(now);
            return Due::Answer;
        }
        self.settle(place);
        Due::Nothing
    }

    /// When [`Entry::on_time`] wants to be asked.
    #[must_use]
    pub fn due(&self) -> Now {
        let attempts = self.attempts.iter().map(Attempt::due).min();
        attempts.unwrap_or(NEVER).min(self.timeout_at).min(self.answer.due())
    }

    /// The caller has his final answer, and nobody else is to be waited for.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let has_ended = |attempt: &Attempt| attempt.phase == Phase::Ended;
        self.outcome.is_some() && self.attempts.iter().all(has_ended)
    }

    /// An INVITE is acknowledged and cancelled.
    #[must_use]
    pub fn is_invite(&self) -> bool {
        self.method == Method::Invite
    }
}
