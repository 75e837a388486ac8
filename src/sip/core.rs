//! Stub: echoes every message to its sender. Replaced by the real core.

use std::sync::Arc;

use crate::sip::outbox::{Outbox, Transmit};
use crate::sip::route::table::Table;
use crate::sip::{Now, Received, Verdict};

/// Why a timeout exists (stub).
#[derive(Debug, Clone, Copy)]
pub enum TimeoutReason {}

/// Stub core.
#[derive(Debug)]
pub struct Core {}

impl Core {
    /// New.
    #[must_use]
    pub fn new(_seed: u64, _shard: u8) -> Self {
        Self {}
    }

    /// Replaces the table.
    pub fn install(&mut self, _table: Arc<Table>) {}

    /// Echo.
    pub fn handle(&mut self, _now: Now, received: &Received<'_>, outbox: &mut Outbox) -> Verdict {
        outbox.decision.status = 200;
        outbox.transmit = Transmit { destination: received.source, listener: received.listener };
        if received.bytes == b"\r\n\r\n" { Verdict::Absorb } else { Verdict::Respond }
    }

    /// Nothing.
    pub fn handle_timeout(&mut self, _now: Now) {}

    /// Nothing.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Now, TimeoutReason)> {
        None
    }
}
