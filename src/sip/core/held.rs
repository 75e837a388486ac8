//! A request for a pool that fails over, and the responses to it.
//!
//! Owns: what is held, and the way of copies, CANCEL, ACK and responses of what is held. What a response means is decided in
//! [`crate::sip::hold`], the messages are made in `again.rs`.

use super::balanced::seconds_of;
use super::capped::cap_on;
use super::counted::{call, number_of_calls};
use super::{
    Again, BackendRef, BranchHash, Cause, Counts, FieldName, Hop, Method, Pass, Pool, Refusal,
    SealKey, TransactionFields, Turn, Verdict, phrase,
};
use crate::sip::hold::Slot;
use crate::sip::hold::attempt::Phase;
use crate::sip::hold::entry::{Held, Outcome};
use crate::sip::route::failover::Failover;
use crate::sip::token::via::read_branch;

impl<'a> Turn<'a> {
    /// As [`Turn::balance`], for a pool that fails over.
    #[inline(never)]
    pub(super) fn balance_held(
        &mut self,
        (pool_index, pool, policy): (u16, &Pool, Failover),
        number: Option<u64>,
        newest_id: u64,
        pass: &Pass<'a, '_>,
    ) -> Verdict {
        if let Some((key, id, slot)) = self.find_held(pass.fields, newest_id)
            && let Some(verdict) = self.copy_of_held((pool_index, pool), (key, id, slot), pass)
        {
            return verdict;
        }
        let method = pass.head.method;
        let mut attempt = 0;
        if let Some((key, id, recent)) = self.recent(pass.fields, newest_id)
            && let Ok(backend) = self.recent_backend(pool_index, recent.backend)
        {
            attempt = recent.attempt;
            if !self.leaves(pool, backend, pass) {
                let local = pool.send_from.filter(|_| backend.is_none());
                let destination = recent.backend;
                let hop = Hop { destination, local, backend, cause: Cause::Transaction };
                return self.forward(pass, hop, key, BranchHash { transaction: id, attempt });
            }
        }
        self.outbox.decision.key = number;
        if number.is_none() && matches!(method, Method::Cancel | Method::Ack) {
            return self.refuse(Refusal::new(481, phrase(481)));
        }
        // A cap is for the first attempt: what a backend has failed goes to the next of its key, loaded or not.
        let picked = match cap_on(pool, pass) {
            Some(cap) => self.pick_capped((pool_index, pool), cap, number),
            None => self.pick(pool_index, pool, number, method),
        };
        let Some((backend, destination)) = picked else {
            return self.unavailable();
        };
        let hop = Hop { destination, local: None, backend: Some(backend), cause: Cause::Balanced };
        let newest = self.table.ring.newest();
        let branch = BranchHash { transaction: newest_id, attempt };
        let counts = pool.counts() != Counts::Nothing;
        if counts {
            self.end(newest_id);
        }
        let verdict = self.forward(pass, hop, newest, branch);
        if verdict == Verdict::Forward && seconds_of(method).is_some() {
            self.remember_attempt(method, branch, backend);
            if counts {
                self.begin(pool, backend, method, newest_id);
            }
            // A request within a dialog has only one backend, and one that was seen before is not new.
            if pass.head.to.tag.is_empty() && attempt == 0 {
                self.hold(policy, method, (newest.id, newest_id));
            }
        }
        verdict
    }

    /// A copy, the CANCEL or the ACK of what is held.
    fn copy_of_held(
        &mut self,
        (pool_index, pool): (u16, &Pool),
        (key, id, slot): (&SealKey, u64, Slot),
        pass: &Pass<'a, '_>,
    ) -> Option<Verdict> {
        let method = pass.head.method;
        let entry = self.holding.as_deref()?.hold.entry(slot)?;
        let belongs = entry.is_invite() && matches!(method, Method::Cancel | Method::Ack);
        if entry.method != method && !belongs {
            return None;
        }
        if entry.outcome == Some(Outcome::Own) && method != Method::Ack {
            let is_acknowledged = entry.is_acknowledged();
            return Some(self.answer_as_before(method, is_acknowledged, key));
        }
        let attempt = entry.target();
        let sent = *entry.attempts.get(usize::from(attempt))?;
        let backend = self.recent_backend(pool_index, sent.destination).ok()?;
        let is_dead = backend.is_some_and(|backend| pool.down.contains(backend.backend));
        if !belongs && is_dead && sent.phase == Phase::Silent {
            let mut again = self.again()?;
            if again.go_on(slot).is_some() {
                again.holding.hold.counts.given_up += 1;
                again.holding.hold.tidy(slot);
                return Some(self.absorb());
            }
        }
        let hold = &mut self.holding.as_deref_mut()?.hold;
        let entry = hold.entry_mut(slot)?;
        match method {
            Method::Cancel => entry.on_cancel(),
            Method::Ack => entry.on_ack(),
            _ => {}
        }
        hold.tidy(slot);
        let local = Some(sent.listener);
        let hop = Hop { destination: sent.destination, local, backend, cause: Cause::Transaction };
        Some(self.forward(pass, hop, key, BranchHash { transaction: id, attempt }))
    }

    /// A copy, or the CANCEL, of an INVITE that ended with our own answer (RFC 3261 17.2.1, 9.2).
    #[cold]
    fn answer_as_before(
        &mut self,
        method: Method,
        is_acknowledged: bool,
        key: &SealKey,
    ) -> Verdict {
        match method {
            Method::Cancel => self.refuse_by(Refusal::new(200, phrase(200)), key),
            _ if is_acknowledged => self.absorb(),
            _ => self.refuse_by(Refusal::new(408, phrase(408)), key),
        }
    }

    /// The ACK of an answer of ours: if we hold its INVITE, the answer is not sent again.
    #[cold]
    pub(super) fn own_answer_acknowledged(&mut self, fields: &TransactionFields<'_>) {
        let newest_id = fields.hash(self.table.ring.newest());
        let Some((_, _, slot)) = self.find_held(fields, newest_id) else { return };
        let Some(holding) = self.holding.as_deref_mut() else { return };
        if let Some(entry) = holding.hold.entry_mut(slot) {
            entry.on_own_ack();
        }
        holding.hold.tidy(slot);
    }

    /// Holds the request that was just forwarded.
    fn hold(&mut self, policy: Failover, method: Method, (key_id, id): (u8, u64)) {
        let Some(transmit) = self.outbox.transmit else { return };
        let Some(holding) = self.holding.as_deref_mut() else { return };
        let (source, listener) = (self.peer.address, self.peer.listener);
        let held = Held { id, key_id, method, source, listener, policy };
        let first = (transmit.address(), transmit.listener());
        holding.hold.admit(held, self.received.bytes, first, self.now);
    }

    fn remember_attempt(&mut self, method: Method, branch: BranchHash, backend: BackendRef) {
        let pool = self.numbers.get(usize::from(backend.pool));
        let number = pool.and_then(|pool| pool.get(usize::from(backend.backend)));
        if let (Some(number), Some(seconds)) = (number, seconds_of(method)) {
            let number = number.at_attempt(branch.attempt);
            self.transactions.remember(branch.transaction, number, self.now, seconds);
        }
    }

    fn find_held(
        &self,
        fields: &TransactionFields<'_>,
        newest_id: u64,
    ) -> Option<(&'a SealKey, u64, Slot)> {
        let hold = &self.holding.as_deref()?.hold;
        self.table.ring.iter().enumerate().find_map(|(place, key)| {
            let id = if place == 0 { newest_id } else { fields.hash(key) };
            let slot = hold.find(id)?;
            (hold.entry(slot)?.key_id == key.id).then_some((key, id, slot))
        })
    }

    /// Some request is held: else no response is looked up.
    #[inline]
    pub(super) fn holds_any(&self) -> bool {
        self.holding.as_deref().is_some_and(|holding| !holding.hold.is_empty())
    }

    /// A response to what is held; `None` when it goes its way as any other.
    #[inline(never)]
    pub(super) fn held_response(
        &mut self,
        status: u16,
        method: Method,
        branch: BranchHash,
    ) -> Option<Verdict> {
        let now = self.now;
        let to = self.message.value(FieldName::To);
        let mut again = self.again()?;
        let slot = again.holding.hold.find(branch.transaction)?;
        let entry = again.holding.hold.entry_mut(slot)?;
        let attempt = branch.attempt;
        if method != entry.method {
            return None;
        }
        let is_unexpected = entry.is_unexpected(attempt, status);
        let mut reaction = entry.on_response(attempt, status, now)?;
        let mut next = None;
        if reaction.fails {
            next = again.go_on(slot);
            if next.is_none() {
                again.holding.hold.entry_mut(slot)?.settle(attempt);
                reaction.forwards = true;
            }
        }
        if reaction.acknowledges && !reaction.forwards {
            again.hop_by_hop(slot, attempt, Method::Ack, Some(to));
        }
        if let Some(cancelled) = reaction.cancels {
            again.holding.hold.counts.cancelled += 1;
            again.hop_by_hop(slot, cancelled, Method::Cancel, None);
        }
        if reaction.forwards && status >= 200 {
            again.remember(slot, attempt, status);
        }
        again.holding.hold.tidy(slot);
        if is_unexpected && self.table.counts_calls {
            self.call_is_here();
        }
        if reaction.forwards {
            return None;
        }
        self.outbox.decision.backend = next;
        Some(self.absorb())
    }

    /// A backend that was given up has the call after all.
    #[cold]
    fn call_is_here(&mut self) {
        let backend = self.peer.backend;
        let to = backend.and_then(|backend| number_of_calls(self.table, self.numbers, backend));
        self.counted.move_call(call(&self.message), to, self.now);
    }

    /// The answer to a CANCEL of ours: it has no Via but ours. What proves it is that we know its transaction.
    #[inline(never)]
    pub(super) fn cancel_answer(&mut self, status: u16) -> Option<Verdict> {
        let (top, _) = self.message.top_via().ok()?;
        let bytes = self.message.bytes;
        let (key, branch) = read_branch(top.branch.of(bytes), &self.table.ring)?;
        let method = Method::from_bytes(self.message.cseq().ok()?.method.of(bytes));
        let hold = &mut self.holding.as_deref_mut()?.hold;
        let slot = hold.find(branch.transaction)?;
        let entry = hold.entry_mut(slot)?;
        if method != Method::Cancel
            || entry.key_id != key.id
            || !entry.on_cancel_answer(branch.attempt, status)
        {
            return None;
        }
        hold.tidy(slot);
        self.outbox.decision.method = method;
        self.outbox.decision.origin = self.peer.backend;
        Some(self.absorb())
    }

    /// What came goes nowhere; what it led to is in the extras.
    fn absorb(&mut self) -> Verdict {
        self.outbox.edits.clear();
        self.outbox.transmit = None;
        self.outbox.decision.cause = Cause::Held;
        Verdict::Absorb
    }

    pub(super) fn again(&mut self) -> Option<Again<'_>> {
        Some(Again {
            table: self.table,
            shard: self.shard,
            transactions: self.transactions,
            rotations: self.rotations,
            numbers: self.numbers,
            counted: self.counted,
            now: self.now,
            holding: self.holding.as_deref_mut()?,
            extras: &mut self.outbox.extras,
        })
    }
}
