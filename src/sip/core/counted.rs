//! Pools that look at what is under way: what a shard counts for them.
//!
//! Owns: when a request begins to count at its backend and when it ends. The recent-transaction table says which
//! transactions count; what it loses ends by itself. Other pools only pay for asking whether there is such a pool.

use super::{
    AddressNumber, BackendRef, INVITE_SECONDS, Method, Pool, REQUEST_SECONDS, Rotation, Turn,
};
use crate::sip::Now;
use crate::sip::balance::Counts;
use crate::sip::balance::load::Loads;
use crate::sip::route::table::Table;
use crate::sip::transaction::seconds;

const _: () = assert!(INVITE_SECONDS >= REQUEST_SECONDS);

/// What one shard counts, by the numbers of the backends' addresses: what an address has to do in several pools is added.
#[derive(Debug)]
pub(super) struct Counted {
    /// Requests without a final response.
    requests: Loads,
}

impl Counted {
    pub(super) const fn new() -> Self {
        Self { requests: Loads::new(INVITE_SECONDS) }
    }

    /// Makes room for `addresses`, when this table needs it.
    pub(super) fn adopt(&mut self, table: &Table, addresses: usize) {
        if table.counts_requests {
            self.requests.grow(addresses);
        }
    }

    /// The numbers mean other addresses from now on.
    pub(super) fn clear(&mut self) {
        self.requests.clear();
    }

    /// Requests under way at a backend.
    pub(super) fn requests_at(&mut self, number: AddressNumber, now: Now) -> u32 {
        self.requests.count(number.index(), seconds(now))
    }
}

impl Turn<'_> {
    /// The choice of a pool that counts.
    #[cold]
    pub(super) fn pick_counted(
        counted: &mut Counted,
        pool: &Pool,
        numbers: &[AddressNumber],
        number: Option<u64>,
        rotation: &mut Rotation,
        now: Now,
    ) -> Option<u16> {
        let mut load = |backend: u16| {
            numbers.get(usize::from(backend)).map_or(0, |number| counted.requests_at(*number, now))
        };
        pool.pick_counted(number, rotation, &mut load)
    }

    /// A request was sent to a backend of a pool that counts.
    #[cold]
    pub(super) fn begin(&mut self, pool: &Pool, method: Method, transaction: u64) {
        if pool.counts() != Counts::Requests || matches!(method, Method::Ack | Method::Cancel) {
            return;
        }
        if let Some((number, until)) = self.transactions.count(transaction, self.now) {
            self.counted.requests.add(number.index(), until, seconds(self.now));
        }
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
    /// Requests under way at a backend, as far as pools count them.
    #[must_use]
    pub fn requests_under_way(&mut self, backend: BackendRef, now: Now) -> u32 {
        let pool = self.numbers.get(usize::from(backend.pool));
        let number = pool.and_then(|pool| pool.get(usize::from(backend.backend)));
        number.map_or(0, |number| self.counted.requests_at(*number, now))
    }
}
