//! What requests that are held for failover send besides: by a message, and by the time.
//!
//! Owns: the call into the core when something is due, and that a turn does no more of it than it can send.

use super::Path;
use super::trace::trace_extra;
use crate::datapath::send_queue::{Refused, SendQueue};
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
            let sent = self.send_extras(now, now, queue);
            self.trace_extras(now, sent);
        }
    }

    /// Queues what the outbox has besides the message itself, with the moment that its latency is counted from. Says which were
    /// taken: a bit for each place.
    pub(super) fn send_extras(&mut self, now: Now, since: Now, queue: &mut SendQueue) -> u8 {
        let table = self.core.table();
        let mut sent = 0;
        for (place, extra) in self.outbox.extras().enumerate() {
            let pool = self.counters.on_extra(now, &extra, table);
            let pushed = queue.push((since, pool), extra.transmit, |buffer| {
                buffer.get_mut(..extra.bytes.len())?.copy_from_slice(extra.bytes);
                Some(extra.bytes.len())
            });
            match pushed {
                Ok(()) => sent |= 1 << place,
                Err(Refused::Full) => self.counters.on_drop(DropReason::SendQueueFull),
                Err(Refused::TooLarge) => self.counters.on_drop(DropReason::Oversized),
            }
        }
        sent
    }

    /// Copies those that were sent, for whoever wants some.
    pub(super) fn trace_extras(&mut self, now: Now, sent: u8) {
        if sent == 0 || !self.tap.is_on() {
            return;
        }
        let is_sent = |place: &usize| sent & 1 << place != 0;
        for (_, extra) in self.outbox.extras().enumerate().filter(|(place, _)| is_sent(place)) {
            trace_extra(&mut self.tap, self.core.table(), (now, self.index), &extra);
        }
    }
}
