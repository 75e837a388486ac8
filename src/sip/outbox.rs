//! What comes out of the core for one message: edits or an answer, and where it goes.
//!
//! Owns: the buffers that are filled again for each message. Knows nothing of why.

use std::ops::Range;

use arrayvec::ArrayVec;

use super::edit::{Edits, TEXT_BYTES_MAX};
use super::hold::HELD_BYTES_MAX;
use super::{Decision, MESSAGE_BYTES_MAX, Target, Verdict};

/// Most bytes that an answer is longer than its request; one that is too long to be sent is written all the same. Four for
/// each Via that it repeats (`v:` and LF become `Via: ` and CRLF), of 256 fields at most, and a few hundred for the status
/// line, `received`, `rport`, the tag, Retry-After and Content-Length.
const ANSWER_GROWTH_BYTES_MAX: usize = 2048;

/// Most messages besides the one that came in: its failure is acknowledged, and its request goes to another backend.
pub const EXTRAS_MAX: usize = 2;

/// A whole message that goes out besides the one that came in.
#[derive(Debug, Clone, Copy)]
pub struct Extra<'a> {
    /// Where it goes.
    pub transmit: Target,
    /// All of it.
    pub bytes: &'a [u8],
    /// Its method, the backend that it goes to, and its status when it is an answer of ours: then its origin is the
    /// backend that said nothing.
    pub decision: &'a Decision,
}

impl Extra<'_> {
    /// What it would be called if a message had led to it.
    pub fn verdict(&self) -> Verdict {
        if self.decision.status == 0 { Verdict::Forward } else { Verdict::Respond }
    }
}

/// Those of one call into the core.
#[derive(Debug, Clone)]
pub(super) struct Extras {
    list: ArrayVec<(Target, Range<usize>, Decision), EXTRAS_MAX>,
    bytes: Vec<u8>,
}

impl Extras {
    fn new() -> Self {
        let bytes = Vec::with_capacity(EXTRAS_MAX * (HELD_BYTES_MAX + TEXT_BYTES_MAX));
        Self { list: ArrayVec::new(), bytes }
    }

    fn clear(&mut self) {
        self.list.clear();
        self.bytes.clear();
    }

    /// Adds what `write` adds to the buffer; nothing when it says so, or when there is no room without allocating.
    pub(super) fn push(
        &mut self,
        (transmit, decision): (Target, Decision),
        size_max: usize,
        write: impl FnOnce(&mut Vec<u8>) -> Option<()>,
    ) -> Option<()> {
        let start = self.bytes.len();
        if self.list.is_full() || self.bytes.capacity() - start < size_max {
            return None;
        }
        if write(&mut self.bytes).is_none() {
            self.bytes.truncate(start);
            return None;
        }
        self.list.push((transmit, start..self.bytes.len(), decision));
        Some(())
    }
}

/// The result of [`super::core::Core::handle`] and [`super::core::Core::handle_timeout`], valid until the next call.
#[derive(Debug, Clone)]
pub struct Outbox {
    pub(super) edits: Edits,
    pub(super) answer: Vec<u8>,
    pub(super) is_answer: bool,
    pub(super) transmit: Option<Target>,
    pub(super) decision: Decision,
    pub(super) extras: Extras,
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
            extras: Extras::new(),
        }
    }

    pub(super) fn clear(&mut self) {
        self.edits.clear();
        self.answer.clear();
        self.is_answer = false;
        self.transmit = None;
        self.decision = Decision::default();
        self.extras.clear();
    }

    /// What was decided.
    #[must_use]
    pub fn decision(&self) -> &Decision {
        &self.decision
    }

    /// Where it goes, after `Forward` and `Respond`.
    #[must_use]
    pub fn transmit(&self) -> Option<Target> {
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

    /// What goes out besides: whole messages, at most [`EXTRAS_MAX`].
    pub fn extras(&self) -> impl Iterator<Item = Extra<'_>> {
        let Extras { list, bytes } = &self.extras;
        list.iter().map(|(transmit, place, decision)| Extra {
            transmit: *transmit,
            bytes: &bytes[place.clone()],
            decision,
        })
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
