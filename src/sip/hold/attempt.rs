//! One attempt: a request as it was sent to one backend, and how far that is.
//!
//! Owns: the clocks of an attempt (RFC 3261 17.1.1.2, 17.1.2.2, 9.1). Knows nothing of the other attempts.

use std::net::SocketAddr;

use crate::sip::{ListenerId, Now};

/// RFC 3261 17.1.1.1, in microseconds.
pub(super) const T1_US: u64 = 500_000;
/// RFC 3261 17.1.2.2, in microseconds.
pub(super) const T2_US: u64 = 4_000_000;
/// 64 * T1: how long a transaction waits for an answer (RFC 3261 17.1.1.2, timer B).
pub(super) const SILENCE_SECONDS: u64 = 32;
/// T4: how long a copy may stay in the network (RFC 3261 17.1.2.2).
const COPY_SECONDS: u64 = 5;
/// How long a call may ring: more than three minutes (RFC 3261 16.6 step 11, timer C).
pub(super) const RINGING_SECONDS: u64 = 200;

/// Never.
pub(super) const NEVER: Now = Now(u64::MAX);

/// How far a backend is with its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// No answer yet.
    Silent,
    /// A provisional answer came.
    Answered,
    /// A final answer came that the caller did not see: while copies of it may come, they must not go to him.
    Failed,
    /// Its final answer went to the caller, or nobody waits for one any more.
    Ended,
}

/// A CANCEL of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cancel {
    /// None was sent.
    None,
    /// It is under way.
    Sent,
    /// Its answer came.
    Answered,
}

/// A request as it was sent to one backend.
#[derive(Debug, Clone, Copy)]
pub struct Attempt {
    /// Where it went.
    pub destination: SocketAddr,
    /// From where.
    pub listener: ListenerId,
    /// How far it is.
    pub phase: Phase,
    /// Another attempt took its place: its failure concerns nobody.
    pub is_given_up: bool,
    pub(super) cancel: Cancel,
    /// When it is taken for ended.
    pub(super) ends_at: Now,
    /// When the request, or the CANCEL, is sent again, and how long to wait then.
    pub(super) again_at: Now,
    again_us: u64,
}

impl Attempt {
    pub(super) fn new(destination: SocketAddr, listener: ListenerId, now: Now) -> Self {
        Self {
            destination,
            listener,
            phase: Phase::Silent,
            is_given_up: false,
            cancel: Cancel::None,
            ends_at: now.plus_seconds(SILENCE_SECONDS),
            again_at: NEVER,
            again_us: 0,
        }
    }

    /// When something is to be done.
    pub(super) fn due(&self) -> Now {
        match self.phase {
            Phase::Ended => NEVER,
            _ => self.ends_at.min(self.again_at),
        }
    }

    /// Its final answer was absorbed. That to an INVITE comes again for as long as its ACK does not arrive (timer H).
    pub(super) fn fail(&mut self, is_invite: bool, now: Now) {
        self.phase = Phase::Failed;
        self.again_at = NEVER;
        self.ends_at = now.plus_seconds(if is_invite { SILENCE_SECONDS } else { COPY_SECONDS });
    }

    /// It has a final answer, or nobody waits for one.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.phase, Phase::Failed | Phase::Ended)
    }

    /// Sends again from now on: the request of a silent one, the CANCEL of one that was cancelled.
    pub(super) fn repeat(&mut self, now: Now) {
        self.again_us = T1_US;
        self.again_at = Now(now.0.saturating_add(T1_US));
    }

    /// It was sent again. A CANCEL slows down as timer E does, an INVITE as timer A.
    pub(super) fn repeated(&mut self, now: Now) {
        self.again_us = match self.cancel {
            Cancel::None => self.again_us * 2,
            _ => (self.again_us * 2).min(T2_US),
        };
        self.again_at = Now(now.0.saturating_add(self.again_us));
    }

    /// It is to be cancelled: now, because it has answered (RFC 3261 9.1), and once.
    pub(super) fn cancel(&mut self, now: Now) -> bool {
        if self.phase != Phase::Answered || self.cancel != Cancel::None {
            return false;
        }
        self.cancel = Cancel::Sent;
        self.ends_at = now.plus_seconds(SILENCE_SECONDS);
        self.repeat(now);
        true
    }

    /// Nothing is sent again.
    pub(super) fn be_quiet(&mut self) {
        self.again_at = NEVER;
    }
}
