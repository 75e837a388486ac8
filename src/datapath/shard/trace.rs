//! Copies for whoever wants some: only when somebody does.

use std::net::SocketAddr;

use super::Path;
use crate::datapath::mailbox::Outgoing;
use crate::datapath::send_queue::SendQueue;
use crate::datapath::tap::{Taken, Tap};
use crate::datapath::traffic::{NO_POOL, meters};
use crate::sip::outbox::Extra;
use crate::sip::route::table::{Action, Table};
use crate::sip::{Decision, ListenerId, Now, Received, Target, Verdict};

impl Path {
    /// Copies what was received and what was sent for it, if anything was: then it is what `queue` took last.
    #[cold]
    pub(super) fn trace(
        &mut self,
        now: Now,
        received: &Received<'_>,
        (verdict, sent): (Verdict, Option<Target>),
        queue: &SendQueue,
    ) {
        let (table, decision) = (self.core.table(), *self.outbox.decision());
        let (backend, pool) = subject(table, &decision);
        let wanted = self.tap.wanted(now, received.bytes, pool.unwrap_or(NO_POOL));
        let taken = Taken {
            is_sent: false,
            source: received.flow.remote(),
            destination: bound(table, received.flow.listener()),
            at: now,
            verdict,
            decision,
            pool,
            backend,
            shard: self.index,
            wanted,
        };
        self.tap.push(taken, received.bytes);
        if let Some(transmit) = sent {
            let source = bound(self.core.table(), transmit.listener());
            let destination = transmit.address();
            let wanted = self.tap.wanted_sent(wanted);
            self.tap
                .push(Taken { is_sent: true, source, destination, wanted, ..taken }, queue.last());
        }
    }

    /// Copies what control has made, for those who want what is sent.
    #[cold]
    pub(super) fn trace_made(&mut self, now: Now, outgoing: &Outgoing) {
        let Outgoing { listener, destination, decision, ref bytes } = *outgoing;
        let table = self.core.table();
        let decision = Decision { backend: table.backend_reached_at(destination), ..decision };
        let (backend, pool) = subject(table, &decision);
        let source = bound(table, listener);
        let wanted = self.tap.wanted_made(now, bytes, pool.unwrap_or(NO_POOL));
        let taken = Taken {
            is_sent: true,
            source,
            destination,
            at: now,
            verdict: Verdict::Forward,
            decision,
            pool,
            backend,
            shard: self.index,
            wanted,
        };
        self.tap.push(taken, bytes);
    }
}

/// Copies what is sent besides: whoever wants the call's messages wants it, too.
#[cold]
pub(super) fn trace_extra(
    tap: &mut Tap,
    table: &Table,
    (now, shard): (Now, u8),
    extra: &Extra<'_>,
) {
    let (backend, pool) = subject(table, extra.decision);
    let wanted = tap.wanted(now, extra.bytes, pool.unwrap_or(NO_POOL));
    let taken = Taken {
        is_sent: true,
        source: bound(table, extra.transmit.listener()),
        destination: extra.transmit.address(),
        at: now,
        verdict: extra.verdict(),
        decision: *extra.decision,
        pool,
        backend,
        shard,
        wanted,
    };
    tap.push(taken, extra.bytes);
}

/// The meters of the backend and the pool that a message is about.
fn subject(table: &Table, decision: &Decision) -> (Option<u32>, Option<u32>) {
    // A request is about whom it goes to, a response about whom it comes from.
    let pair = [decision.backend, decision.origin];
    let mut pair =
        if decision.status == 0 { pair } else { [pair[1], pair[0]] }.into_iter().flatten();
    if let Some((backend, pool)) = pair.next().and_then(|there| meters(table, there)) {
        return (Some(backend), Some(pool));
    }
    let rule = decision.rule.and_then(|rule| table.rules.get(usize::from(rule)));
    let Some(Action::Pool(pool)) = rule.map(|rule| &rule.action) else { return (None, None) };
    (None, table.pools.get(usize::from(*pool)).map(|pool| pool.meter))
}

/// The address of a listener, as it is configured.
fn bound(table: &Table, listener: ListenerId) -> SocketAddr {
    table
        .listener(listener)
        .map_or(SocketAddr::from(([0, 0, 0, 0], 0)), |listener| listener.address)
}
