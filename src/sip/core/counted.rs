//! Pools that look at what is under way: what a shard counts for them.
//!
//! Owns: when a request or a call begins to count at its backend and when it ends. The recent-transaction table says which
//! transactions count; what it loses ends by itself. Other pools only pay for asking whether there is such a pool. A call
//! is counted by its Call-ID, so all of it has to come to one shard: steering sees to that.

use super::{
    AddressNumber, BackendRef, FieldName, INVITE_SECONDS, Method, Pool, REQUEST_SECONDS, Turn,
};
use crate::sip::Now;
use crate::sip::balance::calls::Calls;
use crate::sip::balance::load::Loads;
use crate::sip::balance::{Counts, Part, hash_key};
use crate::sip::route::table::Table;
use crate::sip::transaction::seconds;

const _: () = assert!(INVITE_SECONDS >= REQUEST_SECONDS);

/// What one shard counts, by the numbers of the backends' addresses: what an address has to do in several pools is added.
#[derive(Debug)]
pub(super) struct Counted {
    /// Requests without a final response.
    pub(super) requests: Loads,
    calls: Calls,
}

impl Counted {
    pub(super) fn new() -> Self {
        Self { requests: Loads::new(INVITE_SECONDS), calls: Calls::new() }
    }

    /// Makes room for `addresses`, when this table needs it.
    pub(super) fn adopt(&mut self, table: &Table, addresses: usize) {
        if table.counts_requests {
            self.requests.grow(addresses);
        }
        if table.counts_calls {
            self.calls.grow(addresses);
        }
    }

    /// The numbers mean other addresses from now on.
    pub(super) fn clear(&mut self) {
        self.requests.clear();
        self.calls.clear();
    }

    fn at(&mut self, counts: Counts, number: AddressNumber, now: Now) -> u32 {
        match counts {
            Counts::Nothing => 0,
            Counts::Requests => self.requests.count(number.index(), seconds(now)),
            Counts::Calls => self.calls.count(number.index(), seconds(now)),
        }
    }
}

impl Turn<'_> {
    /// The choice of a pool that counts.
    #[cold]
    pub(super) fn pick_counted(
        &mut self,
        pool_index: u16,
        pool: &Pool,
        number: Option<u64>,
        method: Method,
    ) -> Option<u16> {
        let numbers = self.numbers.get(usize::from(pool_index))?;
        let rotation = self.rotations.get_mut(usize::from(pool_index))?;
        let counts = pool.counts();
        if counts == Counts::Calls && method != Method::Invite {
            return pool.pick(number, rotation);
        }
        let (counted, now) = (&mut *self.counted, self.now);
        let mut load = |backend: u16| {
            numbers.get(usize::from(backend)).map_or(0, |number| counted.at(counts, *number, now))
        };
        let part = Part { shard: self.shard, shards: self.table.shards };
        pool.pick_counted(number, rotation, part, &mut load)
    }

    /// A request was sent to a backend of a pool that counts.
    #[cold]
    pub(super) fn begin(&mut self, pool: &Pool, backend: BackendRef, method: Method, id: u64) {
        match pool.counts() {
            Counts::Requests if !matches!(method, Method::Ack | Method::Cancel) => {
                if let Some((number, until)) = self.transactions.count(id, self.now) {
                    self.counted.requests.add(number.index(), until, seconds(self.now));
                }
            }
            Counts::Calls if method == Method::Invite => {
                let numbers = self.numbers.get(usize::from(backend.pool));
                let number = numbers.and_then(|them| them.get(usize::from(backend.backend)));
                if let Some(number) = number.filter(|_| pool.balance.is_counted(backend.backend)) {
                    let call = self.call();
                    self.counted.calls.begin(call, number.index(), seconds(self.now));
                }
            }
            _ => {}
        }
    }

    /// An INVITE has its final response.
    #[cold]
    pub(super) fn call_answered(&mut self, code: u16) {
        let (call, now) = (self.call(), seconds(self.now));
        if code < 300 {
            self.counted.calls.confirm(call, now);
        } else {
            self.counted.calls.fail(call, now);
        }
    }

    /// A BYE or a CANCEL was sent on.
    #[cold]
    pub(super) fn call_over(&mut self, method: Method) {
        let (call, now) = (self.call(), seconds(self.now));
        if method == Method::Bye {
            self.counted.calls.end(call, now);
        } else {
            self.counted.calls.fail(call, now);
        }
    }

    /// What a call is known by.
    fn call(&self) -> u64 {
        hash_key(&[self.message.value(FieldName::CallId)])
    }

    /// A transaction has its final response, or leaves its backend.
    #[cold]
    pub(super) fn end(&mut self, transaction: u64) {
        if let Some((number, until)) = self.transactions.uncount(transaction, self.now) {
            self.counted.requests.remove(number.index(), until, seconds(self.now));
        }
    }
}

impl super::Core {
    /// What is under way at a backend, as far as its pool counts it: requests or calls.
    #[must_use]
    pub fn load(&mut self, backend: BackendRef, now: Now) -> u32 {
        let Some(pool) = self.table.pools.get(usize::from(backend.pool)) else { return 0 };
        let numbers = self.numbers.get(usize::from(backend.pool));
        let number = numbers.and_then(|numbers| numbers.get(usize::from(backend.backend)));
        number.map_or(0, |number| self.counted.at(pool.counts(), *number, now))
    }

    /// Calls that could not be counted, because there was no room.
    #[must_use]
    pub const fn calls_uncounted(&self) -> u64 {
        self.counted.calls.uncounted()
    }
}
