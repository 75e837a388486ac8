//! A request that a rule gives to a pool: the backend that its transaction went to before, else the one that the key picks.
//!
//! Owns: the use of the recent-transaction table and of rotations, and what leaves a dead backend. The next hop that it finds
//! is followed elsewhere.

use std::net::SocketAddr;

use super::capped::cap_on;
use super::{
    BackendRef, Cause, Counts, Hop, INVITE_SECONDS, Keyed, Method, Pass, Pool, REQUEST_SECONDS,
    Recent, Refusal, SealKey, TransactionFields, Turn, Verdict, phrase,
};

impl<'a> Turn<'a> {
    /// To the backend that the transaction went to before, else to the one that the key picks.
    pub(super) fn balance(&mut self, pool_index: u16, pass: &Pass<'a, '_>) -> Verdict {
        let Some(pool) = self.table.pools.get(usize::from(pool_index)) else {
            return self.refuse(Refusal::new(404, phrase(404)));
        };
        let newest = self.table.ring.newest();
        let newest_id = pass.fields.hash(newest);
        let keyed = Keyed {
            message: self.message,
            method: pass.head.method,
            uri: pass.routes.uri,
            from: pass.head.from,
            to: pass.head.to,
            source: self.peer.address,
        };
        let number = keyed.number(pool);
        if let Some(policy) = pool.failover {
            return self.balance_held((pool_index, pool, policy), number, newest_id, pass);
        }
        let counts = pool.counts() != Counts::Nothing;
        // Without a key, chance chose, and under a cap the load; a key alone gives the same backend while the table stands, if
        // the CANCEL and the ACK have it, too.
        let by_key = number.is_some() && !counts && pool.is_key_carried_by_cancel();
        let is_looked_up = self.transactions.is_watching(self.now) || !by_key;
        if is_looked_up
            && let Some((key, id, recent)) = self.recent(pass.fields, newest_id)
            && let Ok(backend) = self.recent_backend(pool_index, recent.backend)
            && !self.leaves(pool, backend, pass)
        {
            // One that has left all pools is still reached from where its pool is.
            let local = pool.send_from.filter(|_| backend.is_none());
            let destination = recent.backend;
            let hop = Hop { destination, local, backend, cause: Cause::Transaction };
            return self.forward(pass, hop, key, id);
        }
        self.outbox.decision.key = number;
        if number.is_none() && matches!(pass.head.method, Method::Cancel | Method::Ack) {
            // Chance chose for its INVITE, and nobody remembers what.
            return self.refuse(Refusal::new(481, phrase(481)));
        }
        let picked = match counts.then(|| cap_on(pool, pass)).flatten() {
            Some(cap) => self.pick_capped((pool_index, pool), cap, number),
            None => self.pick(pool_index, pool, number, pass.head.method),
        };
        let Some((backend, destination)) = picked else {
            return self.unavailable();
        };
        if counts && seconds_of(pass.head.method).is_some() {
            self.end(newest_id);
        }
        self.remember(pass.head.method, newest_id, backend, by_key);
        let hop = Hop { destination, local: None, backend: Some(backend), cause: Cause::Balanced };
        let verdict = self.forward(pass, hop, newest, newest_id);
        if counts && verdict == Verdict::Forward {
            self.begin(pool, backend, pass.head.method, newest_id);
        }
        verdict
    }

    pub(super) fn pick(
        &mut self,
        pool_index: u16,
        pool: &Pool,
        number: Option<u64>,
        method: Method,
    ) -> Option<(BackendRef, SocketAddr)> {
        // Of a pool with a cap this is where the key belongs, whatever the load.
        let backend = if pool.balance.counts() == Counts::Nothing {
            let rotation = self.rotations.get_mut(usize::from(pool_index))?;
            pool.pick(number, rotation)?
        } else {
            self.pick_counted((pool_index, pool), number, method, &pool.usable)?
        };
        let address = pool.backends.get(usize::from(backend))?.address;
        Some((BackendRef { pool: pool_index, backend }, address))
    }

    /// ACK and CANCEL start nothing. `by_key`: the key alone decided.
    fn remember(&mut self, method: Method, transaction: u64, backend: BackendRef, by_key: bool) {
        let Some(seconds) = seconds_of(method) else { return };
        let pool = self.numbers.get(usize::from(backend.pool));
        if let Some(&number) = pool.and_then(|pool| pool.get(usize::from(backend.backend))) {
            if by_key {
                self.transactions.note(transaction, number, self.now, seconds);
            } else {
                self.transactions.remember(transaction, number, self.now, seconds);
            }
        }
    }

    /// A transaction that is under way, and the key that its branch was made with. `newest_id` is its hash under the
    /// newest key; those under older keys are only computed while the ring has some.
    pub(super) fn recent(
        &self,
        fields: &TransactionFields<'_>,
        newest_id: u64,
    ) -> Option<(&'a SealKey, u64, Recent)> {
        self.table.ring.iter().enumerate().find_map(|(place, key)| {
            let id = if place == 0 { newest_id } else { fields.hash(key) };
            Some((key, id, self.transactions.recent(id, self.now)?))
        })
    }

    /// Its backend is dead, and another may get the request. Not a CANCEL or an ACK: they belong where their INVITE is. Not
    /// when there is no other: a final response of ours would contradict one that still comes. Not when it was answered:
    /// then its backend may have rung, and no other must. That may be an answer to a copy of this INVITE which another edge
    /// sent on with another key.
    pub(super) fn leaves(
        &self,
        pool: &Pool,
        backend: Option<BackendRef>,
        pass: &Pass<'a, '_>,
    ) -> bool {
        let is_answered = |key| self.transactions.is_answered(pass.fields.hash(key), self.now);
        backend.is_some_and(|backend| pool.down.contains(backend.backend))
            && !matches!(pass.head.method, Method::Ack | Method::Cancel)
            && pool.has_choice()
            && !self.table.ring.iter().any(is_answered)
    }

    /// The remembered backend as a member of this pool, `None` when it left all pools. An error when it is one of
    /// other pools only: whoever repeats the identifiers of a transaction must not get past the rules with them.
    pub(super) fn recent_backend(
        &self,
        pool: u16,
        destination: SocketAddr,
    ) -> Result<Option<BackendRef>, OtherPool> {
        let mut found = self.table.backends_reached_at(destination).peekable();
        if found.peek().is_none() {
            return Ok(None);
        }
        found.find(|backend| backend.pool == pool).map(Some).ok_or(OtherPool)
    }
}

/// A remembered backend belongs to other pools only.
pub(super) struct OtherPool;

/// How long a transaction of this method is remembered; ACK and CANCEL start none.
pub(super) const fn seconds_of(method: Method) -> Option<u32> {
    match method {
        Method::Ack | Method::Cancel => None,
        Method::Invite => Some(INVITE_SECONDS),
        _ => Some(REQUEST_SECONDS),
    }
}
