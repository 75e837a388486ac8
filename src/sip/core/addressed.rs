//! Responses that are addressed to us: the only Via in them is ours.
//!
//! Owns: which of them are answers, and to what: a probe, a CANCEL of ours, or a request that we sent on and whose 100 Trying was
//! cut short. The others are dropped.

use super::{Cause, DropReason, Method, Turn, Verdict, probe};
use crate::sip::token::via::{BranchHash, EdgeParameter, read_branch};

impl Turn<'_> {
    /// A response that only we are left to read.
    #[cold]
    pub(super) fn response_to_us(&mut self, code: u16) -> Verdict {
        let of_cancel = if self.holds_any() { self.cancel_answer(code) } else { None };
        if let Some(verdict) = of_cancel {
            return verdict;
        }
        if code == 100
            && let Some(verdict) = self.short_trying()
        {
            return verdict;
        }
        self.probe_answer()
    }

    /// The answer to a probe, or nothing that we asked for.
    fn probe_answer(&mut self) -> Verdict {
        let Some((transaction, method)) = probe::answered(self.table, &self.message) else {
            return Verdict::Drop(DropReason::ResponseViaLast);
        };
        let decision = &mut self.outbox.decision;
        decision.method = method;
        decision.origin = self.peer.backend;
        decision.cause = Cause::Probe;
        decision.transaction = transaction;
        decision.retry_after_seconds = probe::retry_after_seconds(&self.message);
        Verdict::Absorb
    }

    /// FreeSWITCH answers each INVITE at once by a 100 that carries the top Via only. RFC 3261 8.2.6.2 wants all of them, but a
    /// 100 goes no further than to the next hop anyway (16.7 step 5), and its branch says which request has arrived. The
    /// caller does not get it: the Vias that would lead there are gone. What is noted of it needs a backend as its source: the
    /// hash in the branch cannot be computed again without the Via below, and a stranger may invent one.
    fn short_trying(&mut self) -> Option<Verdict> {
        let (top, _) = self.message.top_via().ok()?;
        let bytes = self.message.bytes;
        let (_, branch) = read_branch(top.branch.of(bytes), &self.table.ring)?;
        let edge = EdgeParameter::read(top.edge.of(bytes))?;
        let method = Method::from_bytes(self.message.cseq().ok()?.method.of(bytes));
        if edge.target == probe::NO_TARGET {
            return None;
        }
        let decision = &mut self.outbox.decision;
        decision.method = method;
        decision.origin = self.peer.backend;
        decision.cause = Cause::Via;
        if decision.origin.is_some() {
            if method == Method::Invite {
                self.transactions.answered(branch.transaction, self.now);
            }
            if self.holds_any() {
                self.held_is_taken(method, branch);
            }
        }
        Some(Verdict::Absorb)
    }

    /// The backend has the request that we hold: no other gets it.
    fn held_is_taken(&mut self, method: Method, branch: BranchHash) -> Option<()> {
        let (now, attempt) = (self.now, branch.attempt);
        let mut again = self.again()?;
        let slot = again.holding.hold.find(branch.transaction)?;
        let entry = again.holding.hold.entry_mut(slot).filter(|entry| entry.method == method)?;
        let reaction = entry.on_short_trying(attempt, now)?;
        if let Some(cancelled) = reaction.cancels {
            again.holding.hold.counts.cancelled += 1;
            again.hop_by_hop(slot, cancelled, Method::Cancel, None);
        }
        again.holding.hold.tidy(slot);
        Some(())
    }
}
