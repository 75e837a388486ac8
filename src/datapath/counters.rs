//! What a shard counts: plain integers that only it writes.
//!
//! Owns: the shape of the counters and how two sets are added. A shard copies them into a box that control
//! sends and gets back; nothing is shared. Latencies are microseconds.
//!
//! Latency is measured from the clock reading of the turn (taken when the kernel had handed over that at least
//! one datagram waits, before the batch is read) to a clock reading right after the system call that handed the
//! turn's sends to the kernel. The time in the socket's receive queue before the turn is not part of it; the time
//! in the mailbox of a message that hopped is.

use hdrhistogram::Histogram;

use super::traffic::{OF_CONTROL, Traffic};
use crate::sip::hold::HoldCounts;
use crate::sip::message::Method;
use crate::sip::outbox::Extra;
use crate::sip::route::table::Table;
use crate::sip::{Decision, DropReason, Now, Verdict};

/// Verdicts in the order of [`Counters::messages`].
pub const VERDICTS: [&str; 4] = ["absorb", "drop", "forward", "respond"];
/// Latencies above this are counted as this, in microseconds.
pub const LATENCY_US_MAX: u64 = 10_000_000;
/// Statuses are 100 to 699.
const STATUSES: usize = 600;

/// What one shard counted since it started; or the sum over shards.
#[derive(Debug, Clone)]
pub struct Counters {
    /// Datagrams read from sockets.
    pub received: u64,
    /// Bytes of them.
    pub received_bytes: u64,
    /// Messages handed to the kernel to send.
    pub sent: u64,
    /// Datagrams that control made (probes), handed to the kernel to send; not among [`Counters::sent`].
    pub control_sent: u64,
    /// Messages by method (order of [`Method::ALL`]) and verdict (order of [`VERDICTS`]).
    pub messages: [[u64; VERDICTS.len()]; Method::ALL.len()],
    /// Drops by [`DropReason::index`].
    pub drops: [u64; DropReason::ALL.len()],
    /// By backend and by pool.
    pub traffic: Traffic,
    /// Requests that matched a rule, by its place; all verdicts.
    pub rules: Vec<u64>,
    /// Recent transactions that gave way to others because their table was full.
    pub transactions_evicted: u64,
    /// Requests that were held for failover, and what became of them.
    pub hold: HoldCounts,
    /// How many are held at this moment.
    pub held_now: u64,
    /// Messages that went out besides those that came in: for what is held, to further backends or once more.
    pub extras: u64,
    /// Calls that could not be counted for `kamailio:10`, because too many were.
    pub calls_uncounted: u64,
    /// Answers to INVITEs that could not be remembered while somebody asks for them.
    pub answers_lost: u64,
    /// Forwarded responses by class: 1xx is at 1.
    pub response_classes: [u64; 7],
    /// Our own responses by status minus 100.
    own_statuses: Box<[u64; STATUSES]>,
    /// Messages that another shard owns, sent over to it.
    pub hops_out: u64,
    /// Messages that came over from another shard.
    pub hops_in: u64,
    /// Times that the ring had no receive buffer left.
    pub buffers_exhausted: u64,
    /// Receive calls that failed.
    pub receive_errors: u64,
    /// ICMP errors that our datagrams brought back.
    pub icmp_errors: u64,
    /// Those about addresses that are no backend's: nobody is told of them.
    pub icmp_strangers: u64,
    /// Reports to control that did not fit into their ring.
    pub reports_lost: u64,
    /// Messages that were to be traced and were not, for want of room.
    pub traces_lost: u64,
    /// Datagrams that the kernel dropped because a socket's receive buffer was full (`SO_MEMINFO`).
    pub socket_drops: u64,
    /// Turns of the loop.
    pub turns: u64,
    /// Receive to send, in microseconds.
    pub latency_us: Histogram<u64>,
}

impl Default for Counters {
    fn default() -> Self {
        Self::new()
    }
}

impl Counters {
    /// All zero.
    #[must_use]
    pub fn new() -> Self {
        Self {
            received: 0,
            received_bytes: 0,
            sent: 0,
            control_sent: 0,
            messages: [[0; VERDICTS.len()]; Method::ALL.len()],
            drops: [0; DropReason::ALL.len()],
            traffic: Traffic::default(),
            rules: Vec::new(),
            transactions_evicted: 0,
            hold: HoldCounts::default(),
            held_now: 0,
            extras: 0,
            calls_uncounted: 0,
            answers_lost: 0,
            response_classes: [0; 7],
            own_statuses: Box::new([0; STATUSES]),
            hops_out: 0,
            hops_in: 0,
            buffers_exhausted: 0,
            receive_errors: 0,
            icmp_errors: 0,
            icmp_strangers: 0,
            reports_lost: 0,
            traces_lost: 0,
            socket_drops: 0,
            turns: 0,
            latency_us: Histogram::new_with_bounds(1, LATENCY_US_MAX, 3)
                .expect("1 to 10 s with three digits is a valid histogram"),
        }
    }

    /// Makes room for the rules, backends and pools of a table, so that counting allocates nothing.
    pub(crate) fn fit(&mut self, table: &Table) {
        self.fit_rules(table.rules.len());
        self.traffic.fit(table);
    }

    /// Makes room for as much as `other` has.
    pub(crate) fn fit_as(&mut self, other: &Self) {
        self.fit_rules(other.rules.len());
        self.traffic.fit_counts(other.traffic.backends.len(), other.traffic.pools.len());
    }

    fn fit_rules(&mut self, rules: usize) {
        if self.rules.len() < rules {
            self.rules.resize(rules, 0);
        }
    }

    /// Counts what became of a message.
    pub(crate) fn on_verdict(&mut self, verdict: Verdict, decision: &Decision) {
        let place = match verdict {
            Verdict::Absorb => 0,
            Verdict::Drop(reason) => {
                self.on_drop(reason);
                1
            }
            Verdict::Forward => {
                if decision.status != 0 {
                    self.response_classes[usize::from(decision.status / 100).min(6)] += 1;
                }
                2
            }
            Verdict::Respond => {
                self.on_own_status(decision.status);
                3
            }
        };
        self.messages[decision.method as usize][place] += 1;
        if let Some(count) = decision.rule.and_then(|rule| self.rules.get_mut(usize::from(rule))) {
            *count += 1;
        }
    }

    fn on_own_status(&mut self, status: u16) {
        if let Some(count) = self.own_statuses.get_mut(status_place(status)) {
            *count += 1;
        }
    }

    /// Counts what goes out besides, and answers the meter of its pool. No message came for it, so no verdict is counted.
    pub(crate) fn on_extra(&mut self, now: Now, extra: &Extra<'_>, table: &Table) -> u32 {
        self.extras += 1;
        let verdict = extra.verdict();
        if verdict == Verdict::Respond {
            self.on_own_status(extra.decision.status);
        }
        self.traffic.on_verdict(now, verdict, extra.decision, table)
    }

    /// Counts a drop after the verdict, or instead of one.
    pub(crate) fn on_drop(&mut self, reason: DropReason) {
        self.drops[reason.index()] += 1;
    }

    /// Counts the latency of `count` messages of a pool.
    pub(crate) fn on_sent(&mut self, pool: u32, latency_us: u64, count: u64) {
        if pool == OF_CONTROL {
            self.control_sent += count;
            return;
        }
        self.sent += count;
        self.latency_us.saturating_record_n(latency_us.max(1), count);
        self.traffic.on_sent(pool, latency_us, count);
    }

    /// Our own responses that were not zero: status and count.
    pub fn own_statuses(&self) -> impl Iterator<Item = (u16, u64)> + '_ {
        let counted = (100_u16..).zip(self.own_statuses.iter().copied());
        counted.filter(|&(_, count)| count != 0)
    }

    /// Drops for one reason.
    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops[reason.index()]
    }

    /// Adds another shard's counters to these.
    pub fn add(&mut self, other: &Self) {
        self.fit_rules(other.rules.len());
        add_all(&mut self.rules, &other.rules);
        self.transactions_evicted += other.transactions_evicted;
        self.hold += other.hold;
        self.held_now += other.held_now;
        self.extras += other.extras;
        self.calls_uncounted += other.calls_uncounted;
        self.answers_lost += other.answers_lost;
        self.traffic.add(&other.traffic);
        for (sum, verdicts) in self.messages.iter_mut().zip(&other.messages) {
            add_all(sum, verdicts);
        }
        add_all(&mut self.drops, &other.drops);
        add_all(&mut self.response_classes, &other.response_classes);
        add_all(&mut self.own_statuses[..], &other.own_statuses[..]);
        self.received += other.received;
        self.received_bytes += other.received_bytes;
        self.sent += other.sent;
        self.control_sent += other.control_sent;
        self.hops_out += other.hops_out;
        self.hops_in += other.hops_in;
        self.buffers_exhausted += other.buffers_exhausted;
        self.receive_errors += other.receive_errors;
        self.icmp_errors += other.icmp_errors;
        self.icmp_strangers += other.icmp_strangers;
        self.reports_lost += other.reports_lost;
        self.traces_lost += other.traces_lost;
        self.socket_drops += other.socket_drops;
        self.turns += other.turns;
        self.latency_us.add(&other.latency_us).expect("all are made by new, with the same bounds");
    }

    /// Becomes a copy of `other`, without allocating when both have the same shape.
    pub(crate) fn copy_from(&mut self, other: &Self) {
        self.traffic.copy_from(&other.traffic);
        self.rules.clone_from(&other.rules);
        self.transactions_evicted = other.transactions_evicted;
        self.hold = other.hold;
        self.held_now = other.held_now;
        self.extras = other.extras;
        self.calls_uncounted = other.calls_uncounted;
        self.answers_lost = other.answers_lost;
        self.messages = other.messages;
        self.drops = other.drops;
        self.response_classes = other.response_classes;
        self.own_statuses.copy_from_slice(&other.own_statuses[..]);
        self.received = other.received;
        self.received_bytes = other.received_bytes;
        self.sent = other.sent;
        self.control_sent = other.control_sent;
        self.hops_out = other.hops_out;
        self.hops_in = other.hops_in;
        self.buffers_exhausted = other.buffers_exhausted;
        self.receive_errors = other.receive_errors;
        self.icmp_errors = other.icmp_errors;
        self.icmp_strangers = other.icmp_strangers;
        self.reports_lost = other.reports_lost;
        self.traces_lost = other.traces_lost;
        self.socket_drops = other.socket_drops;
        self.turns = other.turns;
        self.latency_us
            .set_to(&other.latency_us)
            .expect("all are made by new, with the same bounds");
    }
}

fn status_place(status: u16) -> usize {
    usize::from(status).wrapping_sub(100)
}

fn add_all(sums: &mut [u64], others: &[u64]) {
    for (sum, other) in sums.iter_mut().zip(others) {
        *sum += other;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted() -> Counters {
        let mut counters = Counters::new();
        counters.fit_rules(3);
        counters.traffic.fit_counts(2, 2);
        let request = Decision { method: Method::Invite, ..Decision::default() };
        counters.on_verdict(Verdict::Forward, &request);
        counters.on_verdict(Verdict::Forward, &request);
        counters.on_verdict(Verdict::Forward, &Decision { status: 183, ..request });
        let by_rule = Decision { status: 404, rule: Some(2), ..request };
        counters.on_verdict(Verdict::Respond, &by_rule);
        counters.on_verdict(Verdict::Respond, &Decision { status: 0, ..request });
        counters.on_verdict(Verdict::Drop(DropReason::NotSip), &Decision::default());
        counters.on_sent(1, 40, 3);
        counters.on_sent(OF_CONTROL, 40, 2);
        (counters.held_now, counters.extras) = (1, 2);
        (counters.calls_uncounted, counters.answers_lost) = (3, 4);
        counters
    }

    fn check(counters: &Counters, times: u64) {
        assert_eq!(counters.traffic.pools[1].latency_us.count(), 3 * times);
        assert_eq!(counters.traffic.pools[0].latency_us.count(), 0);
        assert_eq!(counters.rules, [0, 0, times]);
        assert_eq!(counters.response_classes[1], times);
        assert_eq!(counters.own_statuses().collect::<Vec<_>>(), [(404, times)]);
        assert_eq!(counters.messages[Method::Invite as usize], [0, 0, 3 * times, 2 * times]);
        assert_eq!(counters.messages[Method::Other as usize], [0, times, 0, 0]);
        assert_eq!(counters.dropped(DropReason::NotSip), times);
        assert_eq!((counters.sent, counters.control_sent), (3 * times, 2 * times));
        assert_eq!(counters.latency_us.len(), 3 * times);
        assert_eq!((counters.held_now, counters.extras), (times, 2 * times));
        assert_eq!((counters.calls_uncounted, counters.answers_lost), (3 * times, 4 * times));
    }

    #[test]
    fn each_verdict_has_its_place() {
        check(&counted(), 1);
    }

    #[test]
    fn sets_add_up_and_copies_are_equal() {
        let mut sum = Counters::new();
        sum.add(&counted());
        sum.add(&counted());
        check(&sum, 2);
        let mut copy = Counters::new();
        copy.copy_from(&sum);
        check(&copy, 2);
    }
}
