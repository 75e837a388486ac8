//! One shard: a thread on a core that receives, handles, sends, sweeps and reads its mail, in turns.
//!
//! Owns: the order of a turn, and what becomes of a verdict. Everything that it works on is its own; other shards and
//! control reach it by mail. It must not know what a message says. Nothing is allocated, locked or logged per
//! message, and the clock is read per turn.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::clock::Clock;
use super::counters::Counters;
use super::mailbox::{Answer, Mail, Mailbox, Outgoing};
use super::packet_io::PacketIo;
use super::reports::{Report, Reporter};
use super::send_queue::{Refused, SendQueue};
use super::start::Ends;
use super::tap::Tap;
use super::traffic::OF_CONTROL;
use crate::sip::core::Core;
use crate::sip::outbox::Outbox;
use crate::sip::route::table::Table;
use crate::sip::{BackendRef, Cause, Decision, DropReason, Now, Received, Target, Verdict, steer};

mod trace;

mod held;

/// The longest wait: nothing depends on waking earlier than its own reason.
const WAIT_MAX: Duration = Duration::from_secs(1);
/// The longest wait while draining: this long without a message, and the sockets are taken for empty.
const DRAIN_WAIT: Duration = Duration::from_millis(20);
/// Turns that a stopping shard waits for sends that the kernel still holds, 10 ms each.
const LAST_TURNS_MAX: usize = 20;
const LAST_WAIT: Duration = Duration::from_millis(10);

/// A shard, on its own thread.
pub(super) struct Shard {
    io: PacketIo,
    path: Path,
    mailbox: Mailbox,
    clock: Clock,
    /// The reading of this turn.
    now: Now,
    draining: bool,
    stopping: bool,
}

/// What a message meets between receipt and send.
struct Path {
    core: Core,
    outbox: Outbox,
    counters: Counters,
    reporter: Reporter,
    tap: Tap,
    index: u8,
    shards: u8,
}

impl Shard {
    pub(super) fn new(
        io: PacketIo,
        core: Core,
        ends: Ends,
        clock: Clock,
        (index, shards): (u8, u8),
    ) -> Self {
        let Ends { mailbox, reporter, tap } = ends;
        let (outbox, mut counters) = (Outbox::new(), Counters::new());
        counters.fit(core.table());
        let path = Path { core, outbox, counters, reporter, tap, index, shards };
        let now = clock.now();
        Self { io, path, mailbox, clock, now, draining: false, stopping: false }
    }

    /// Uses this table from now on.
    pub(super) fn install(&mut self, table: Arc<Table>) {
        self.path.counters.fit(&table);
        self.path.core.install(table);
    }

    /// Runs until [`Mail::Stop`] and answers what was counted.
    pub(super) fn run(mut self) -> io::Result<Box<Counters>> {
        while !self.stopping {
            self.io.wait(self.time_to_wait())?;
            self.now = self.clock.now();
            let received = self.receive();
            let hops = self.take_hops();
            self.path.handle_timeouts(self.now, self.io.queue());
            self.send()?;
            self.sweep();
            self.path.reporter.flush();
            self.read_mail(received == 0 && hops == 0);
            // What mail asked for waits for no other turn.
            self.send()?;
        }
        self.end()
    }

    fn time_to_wait(&self) -> Duration {
        if self.draining {
            return DRAIN_WAIT;
        }
        let timeout = self.path.core.poll_timeout();
        timeout.map_or(WAIT_MAX, |(due, _)| Clock::until(self.now, due).min(WAIT_MAX))
    }

    fn receive(&mut self) -> usize {
        let (path, mailbox, now) = (&mut self.path, &mut self.mailbox, self.now);
        self.io.receive(|received, queue| {
            path.counters.received += 1;
            path.counters.received_bytes += received.bytes.len() as u64;
            match path.owner(received.bytes) {
                Some(owner) if mailbox.post(owner, received, now) => path.counters.hops_out += 1,
                Some(_) => path.counters.on_drop(DropReason::MailboxFull),
                None => path.handle(now, now, received, queue),
            }
        })
    }

    /// Messages that hopped are handled here whatever steering says, so that none hops twice.
    fn take_hops(&mut self) -> u64 {
        let (path, queue, now) = (&mut self.path, self.io.queue(), self.now);
        let count = self.mailbox.take_hops(|hop| {
            path.handle(now, hop.received_at, &hop.received(), queue);
        });
        self.path.counters.hops_in += count;
        count
    }

    fn send(&mut self) -> io::Result<()> {
        self.mailbox.flush();
        if self.io.queue().queued().is_empty() {
            return Ok(());
        }
        self.io.send()?;
        let sent_at = self.clock.now();
        let counters = &mut self.path.counters;
        self.io.queue().take_runs(|run| {
            counters.on_sent(run.pool, sent_at.0.saturating_sub(run.received_at.0), run.count);
        });
        Ok(())
    }

    fn sweep(&mut self) {
        self.path.counters.turns += 1;
        let (path, now) = (&mut self.path, self.now);
        let mut told = None;
        self.io.sweep(|address| path.on_unreachable(now, address, &mut told));
    }

    fn read_mail(&mut self, idle: bool) {
        if self.draining && idle {
            self.draining = false;
            self.mailbox.answer(Answer::Drained);
        }
        while let Some(mail) = self.mailbox.take_letter() {
            match mail {
                Mail::Install(table) => self.install(table),
                Mail::Send(outgoing) => self.path.send(self.now, &outgoing, self.io.queue()),
                Mail::Trace(filters) => self.path.tap.set(filters),
                Mail::Snapshot(mut counters) => {
                    self.copy_counters(&mut counters);
                    self.mailbox.answer(Answer::Snapshot(counters));
                }
                Mail::Drain => self.draining = true,
                Mail::Stop => self.stopping = true,
            }
        }
    }

    fn copy_counters(&self, copy: &mut Counters) {
        copy.copy_from(&self.path.counters);
        let core = &self.path.core;
        copy.transactions_evicted = core.transactions().evicted();
        copy.answers_lost = core.transactions().answers_lost();
        copy.calls_uncounted = core.calls_uncounted();
        copy.hold = core.held().map(|hold| hold.counts).unwrap_or_default();
        copy.held_now = core.held().map_or(0, |hold| hold.len() as u64);
        let io = self.io.counts();
        copy.drops[DropReason::SendFailed.index()] += io.send_failed;
        copy.buffers_exhausted += io.buffers_exhausted;
        copy.receive_errors += io.receive_errors;
        copy.icmp_errors += io.icmp_errors;
        copy.reports_lost = self.path.reporter.lost();
        copy.traces_lost = self.path.tap.lost();
        copy.socket_drops += io.socket_drops;
    }

    /// Sends what is left, and waits a little for what the kernel still holds.
    fn end(mut self) -> io::Result<Box<Counters>> {
        self.now = self.clock.now();
        self.take_hops();
        self.send()?;
        for _ in 0..LAST_TURNS_MAX {
            if self.io.queue().in_flight() == 0 {
                break;
            }
            self.io.wait(LAST_WAIT)?;
        }
        let mut counters = Box::<Counters>::default();
        self.copy_counters(&mut counters);
        Ok(counters)
    }
}

impl Path {
    /// The other shard that owns the message, if another does.
    fn owner(&self, bytes: &[u8]) -> Option<usize> {
        if self.shards == 1 {
            return None;
        }
        steer::shard(bytes, self.shards).filter(|&owner| owner != self.index).map(usize::from)
    }

    fn handle(
        &mut self,
        now: Now,
        received_at: Now,
        received: &Received<'_>,
        queue: &mut SendQueue,
    ) {
        let verdict = self.core.handle(now, received, &mut self.outbox);
        let decision = self.outbox.decision();
        self.counters.on_verdict(verdict, decision);
        let pool = self.counters.traffic.on_verdict(now, verdict, decision, self.core.table());
        if let Some(report) = report(now, received.flow.remote(), decision, self.core.table()) {
            self.reporter.push(report);
        }
        let extras = self.send_extras(now, received_at, queue);
        let outbox = &self.outbox;
        let mut end = (verdict, None);
        if let (Verdict::Forward | Verdict::Respond, Some(transmit)) = (verdict, outbox.transmit())
        {
            let pushed = queue.push((received_at, pool), transmit, |buffer| {
                outbox.write_to(received.bytes, buffer)
            });
            end = match self.count(pushed) {
                Ok(()) => (verdict, Some(transmit)),
                Err(reason) => (Verdict::Drop(reason), None),
            };
        }
        if self.tap.is_on() && self.outbox.decision().cause != Cause::KeepAlive {
            self.trace(now, received, end, queue);
            self.trace_extras(now, extras);
        }
    }

    /// Sends what control has made.
    fn send(&mut self, now: Now, outgoing: &Outgoing, queue: &mut SendQueue) {
        let Outgoing { listener, destination, ref bytes, .. } = *outgoing;
        let pushed =
            queue.push((now, OF_CONTROL), Target::datagram(listener, destination), |buffer| {
                buffer.get_mut(..bytes.len())?.copy_from_slice(bytes);
                Some(bytes.len())
            });
        // Counted; control asks again by itself.
        if self.count(pushed).is_ok() && self.tap.is_on() {
            self.trace_made(now, outgoing);
        }
    }

    fn count(&mut self, pushed: Result<(), Refused>) -> Result<(), DropReason> {
        let reason = match pushed {
            Ok(()) => return Ok(()),
            Err(Refused::Full) => DropReason::SendQueueFull,
            Err(Refused::TooLarge) => DropReason::Oversized,
        };
        self.counters.on_drop(reason);
        Err(reason)
    }

    /// Tells control of an address that cannot be reached, if it is a backend's and was not `told` just before.
    fn on_unreachable(&mut self, now: Now, address: SocketAddr, told: &mut Option<SocketAddr>) {
        if self.core.table().backend_reached_at(address).is_none() {
            self.counters.icmp_strangers += 1;
            return;
        }
        if told.replace(address) != Some(address) {
            self.reporter.push(Report::Unreachable { address, at: now });
        }
    }
}

/// What a response tells control, if it is one of the few that do.
fn report(now: Now, source: SocketAddr, decision: &Decision, table: &Table) -> Option<Report> {
    let Decision { status, retry_after_seconds, transaction, .. } = *decision;
    if decision.cause == Cause::Probe {
        return Some(Report::Probe { transaction, status, retry_after_seconds, source, at: now });
    }
    if retry_after_seconds == 0 {
        return None;
    }
    // The backend as the table knows it: it may send from another port.
    let BackendRef { pool, backend } = decision.origin?;
    let pool = table.pools.get(usize::from(pool))?;
    let backend = pool.backends.get(usize::from(backend))?.address;
    Some(Report::Busy { backend, status, retry_after_seconds, at: now })
}
