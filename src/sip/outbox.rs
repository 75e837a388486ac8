//! What comes out of the core for one message: edits or an answer, and where it goes.
//!
//! Owns: the buffers that are filled again for each message. Knows nothing of why.

use std::net::SocketAddr;

use super::edit::Edits;
use super::{Decision, ListenerId, MESSAGE_BYTES_MAX};

/// Most bytes that an answer is longer than its request; one that is too long to be sent is written all the same. Four for
/// each Via that it repeats (`v:` and LF become `Via: ` and CRLF), of 256 fields at most, and a few hundred for the status
/// line, `received`, `rport`, the tag, Retry-After and Content-Length.
const ANSWER_GROWTH_BYTES_MAX: usize = 2048;

/// Where a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transmit {
    /// The next hop.
    pub destination: SocketAddr,
    /// The listener whose socket sends it.
    pub listener: ListenerId,
}

/// The result of [`super::core::Core::handle`], valid until the next call.
#[derive(Debug, Clone)]
pub struct Outbox {
    pub(super) edits: Edits,
    pub(super) answer: Vec<u8>,
    pub(super) is_answer: bool,
    pub(super) transmit: Option<Transmit>,
    pub(super) decision: Decision,
}

impl Default for Outbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Outbox {
    /// With buffers for the largest message.
    #[must_use]
    pub fn new() -> Self {
        Self {
            edits: Edits::default(),
            answer: Vec::with_capacity(MESSAGE_BYTES_MAX + ANSWER_GROWTH_BYTES_MAX),
            is_answer: false,
            transmit: None,
            decision: Decision::default(),
        }
    }

    pub(super) fn clear(&mut self) {
        self.edits.clear();
        self.answer.clear();
        self.is_answer = false;
        self.transmit = None;
        self.decision = Decision::default();
    }

    /// What was decided.
    #[must_use]
    pub fn decision(&self) -> &Decision {
        &self.decision
    }

    /// Where it goes, after `Forward` and `Respond`.
    #[must_use]
    pub fn transmit(&self) -> Option<Transmit> {
        self.transmit
    }

    /// Writes what is to be sent; `None` when `out` is too small. `received` are the bytes that were handled.
    #[must_use]
    pub fn write_to(&self, received: &[u8], out: &mut [u8]) -> Option<usize> {
        if self.is_answer {
            out.get_mut(..self.answer.len())?.copy_from_slice(&self.answer);
            return Some(self.answer.len());
        }
        self.edits.apply(received, out)
    }

    /// The edits in order: offset, bytes deleted, bytes inserted. Empty for an answer.
    pub fn edits<'a>(
        &'a self,
        received: &'a [u8],
    ) -> impl Iterator<Item = (usize, usize, &'a [u8])> {
        self.edits.iter(received)
    }

    /// Our own response; empty when the message was forwarded.
    #[must_use]
    pub fn answer(&self) -> &[u8] {
        &self.answer
    }
}
