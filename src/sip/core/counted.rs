//! Pools that look at what is under way: what a shard counts for them.
//!
//! Owns: when a request or a call begins to count at its backend and when it ends. The recent-transaction table says which
//! transactions count; what it loses ends by itself. Other pools only pay for asking whether there is such a pool. A call
//! is counted by its Call-ID, so all of it has to come to one shard: steering sees to that.

use super::{
    AddressNumber, BackendRef, FieldName, INVITE_SECONDS, Message, Method, Pool, REQUEST_SECONDS,
    Transactions, Turn,
};
use crate::sip::Now;
use crate::sip::balance::calls::Calls;
use crate::sip::balance::load::Loads;
use crate::sip::balance::{BackendSet, Counts, Part, hash_key};
use crate::sip::route::table::Table;
use crate::sip::transaction::seconds;

const _: () = assert!(INVITE_SECONDS >= REQUEST_SECONDS);

/// How long a request counts on that its backend has failed: who fails everything at once would have the least to do
/// otherwise, and get all that comes.
pub(super) const FAILED_SECONDS: u32 = 8;
/// What stands for silence.
pub(super) const FAILED: u16 = 408;

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

    /// A remembered request begins to count at its backend.
    pub(super) fn begin_request(&mut self, transactions: &mut Transactions, id: u64, now: Now) {
        if let Some((number, until)) = transactions.count(id, now) {
            self.requests.add(number.index(), until, seconds(now));
        }
    }

    /// It leaves a backend that is dead, or its caller has our own answer.
    pub(super) fn end_request(&mut self, transactions: &mut Transactions, id: u64, now: Now) {
        if let Some((number, until)) = transactions.uncount(id, now) {
            self.requests.remove(number.index(), until, seconds(now));
        }
    }

    /// It has this final response. When that says that its backend has failed it, it counts on for a while.
    pub(super) fn request_answered(
        &mut self,
        transactions: &mut Transactions,
        (id, code): (u64, u16),
        now: Now,
    ) {
        let Some((number, until)) = transactions.uncount(id, now) else { return };
        let (number, second) = (number.index(), seconds(now));
        self.requests.remove(number, until, second);
        if code == FAILED || (500..600).contains(&code) {
            self.requests.add(number, second.saturating_add(FAILED_SECONDS), second);
        }
    }

    /// A call leaves its backend, for another if that is counted.
    pub(super) fn move_call(&mut self, call: u64, to: Option<AddressNumber>, now: Now) {
        self.calls.fail(call, seconds(now));
        if let Some(number) = to {
            self.calls.begin(call, number.index(), seconds(now));
        }
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
    /// The choice of a pool that counts, among those that are `usable`.
    #[cold]
    pub(super) fn pick_counted(
        &mut self,
        (pool_index, pool): (u16, &Pool),
        number: Option<u64>,
        method: Method,
        usable: &BackendSet,
    ) -> Option<u16> {
        let numbers = self.numbers.get(usize::from(pool_index))?;
        let rotation = self.rotations.get_mut(usize::from(pool_index))?;
        let counts = pool.counts();
        if counts == Counts::Calls && method != Method::Invite {
            return pool.pick_among(number, usable, rotation);
        }
        let (counted, now) = (&mut *self.counted, self.now);
        let mut load = |backend: u16| {
            numbers.get(usize::from(backend)).map_or(0, |number| counted.at(counts, *number, now))
        };
        let part = Part { shard: self.shard, shards: self.table.shards };
        pool.pick_counted(number, usable, rotation, part, &mut load)
    }

    /// A request was sent to a backend of a pool that counts.
    #[cold]
    pub(super) fn begin(&mut self, pool: &Pool, backend: BackendRef, method: Method, id: u64) {
        match pool.counts() {
            Counts::Requests if !matches!(method, Method::Ack | Method::Cancel) => {
                self.counted.begin_request(self.transactions, id, self.now);
            }
            Counts::Calls if method == Method::Invite => {
                if let Some(number) = number_of_calls(self.table, self.numbers, backend) {
                    let call = call(&self.message);
                    self.counted.calls.begin(call, number.index(), seconds(self.now));
                }
            }
            _ => {}
        }
    }

    /// An INVITE has its final response.
    #[cold]
    pub(super) fn call_answered(&mut self, code: u16) {
        let (call, now) = (call(&self.message), seconds(self.now));
        if code < 300 {
            self.counted.calls.confirm(call, now);
        } else {
            self.counted.calls.fail(call, now);
        }
    }

    /// A BYE or a CANCEL was sent on.
    #[cold]
    pub(super) fn call_over(&mut self, method: Method) {
        let (call, now) = (call(&self.message), seconds(self.now));
        if method == Method::Bye {
            self.counted.calls.end(call, now);
        } else {
            self.counted.calls.fail(call, now);
        }
    }

    /// A transaction has its final response.
    #[cold]
    pub(super) fn request_answered(&mut self, transaction: u64, code: u16) {
        self.counted.request_answered(self.transactions, (transaction, code), self.now);
    }

    /// A transaction leaves its backend.
    #[cold]
    pub(super) fn end(&mut self, transaction: u64) {
        self.counted.end_request(self.transactions, transaction, self.now);
    }
}

/// What a call is known by.
pub(super) fn call(message: &Message<'_>) -> u64 {
    hash_key(&[message.value(FieldName::CallId)])
}

/// Where calls of this backend are counted, if they are.
pub(super) fn number_of_calls(
    table: &Table,
    numbers: &[Vec<AddressNumber>],
    BackendRef { pool, backend }: BackendRef,
) -> Option<AddressNumber> {
    let is_counted = table.pools.get(usize::from(pool))?.balance.is_counted(backend);
    numbers.get(usize::from(pool))?.get(usize::from(backend)).copied().filter(|_| is_counted)
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
