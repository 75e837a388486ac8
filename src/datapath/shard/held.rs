//! What requests that are held for failover send besides: by a message, and by the time.
//!
//! Owns: the call into the core when something is due, and that a turn does no more of it than it can send.

use super::Path;
use crate::datapath::send_queue::{Refused, SendQueue};
use crate::datapath::traffic::NO_POOL;
use crate::sip::{DropReason, Now};

/// Most that is done of what is due in one turn; the rest is due in the next.
const TIMEOUTS_MAX: usize = 256;

impl Path {
    /// Does what is due. Called in front of the turn's send.
    pub(super) fn handle_timeouts(&mut self, now: Now, queue: &mut SendQueue) {
        for _ in 0..TIMEOUTS_MAX {
            if self.core.poll_timeout().is_none_or(|(due, _)| due > now) {
                return;
            }
            self.core.handle_timeout(now, &mut self.outbox);
            self.send_extras((now, NO_POOL), queue);
        }
    }

    /// Queues what the outbox has besides the message itself, with the moment and the pool that it is counted for.
    pub(super) fn send_extras(&mut self, counted_for: (Now, u32), queue: &mut SendQueue) {
        for (transmit, bytes) in self.outbox.extras() {
            let pushed = queue.push(counted_for, transmit, |buffer| {
                buffer.get_mut(..bytes.len())?.copy_from_slice(bytes);
                Some(bytes.len())
            });
            match pushed {
                Ok(()) => {}
                Err(Refused::Full) => self.counters.on_drop(DropReason::SendQueueFull),
                Err(Refused::TooLarge) => self.counters.on_drop(DropReason::Oversized),
            }
        }
    }
}
