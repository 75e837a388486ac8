//! Pools with a cap on the load of their backends.
//!
//! Owns: which requests a cap may move, and the choice for them. Such a pool counts as `least-load` does (`counted.rs`), and
//! since the load decides, its transactions are looked up like those of a pool without keys (`balanced.rs`).

use std::net::SocketAddr;

use super::{BackendRef, Method, Pass, Pool, Turn};
use crate::sip::balance::LoadCap;
use crate::sip::transaction::seconds;

/// The cap that a request is under: of its pool, when something begins with it. A CANCEL, an ACK and a request within a dialog
/// belong where something began, and their key is the best guess at that when nothing else is known.
pub(super) fn cap_on(pool: &Pool, pass: &Pass<'_, '_>) -> Option<LoadCap> {
    let begins =
        pass.head.to.tag.is_empty() && !matches!(pass.head.method, Method::Ack | Method::Cancel);
    pool.load_cap.filter(|_| begins)
}

impl Turn<'_> {
    /// The choice under a cap.
    #[cold]
    pub(super) fn pick_capped(
        &mut self,
        (pool_index, pool): (u16, &Pool),
        cap: LoadCap,
        number: Option<u64>,
    ) -> Option<(BackendRef, SocketAddr)> {
        let numbers = self.numbers.get(usize::from(pool_index))?;
        let rotation = self.rotations.get_mut(usize::from(pool_index))?;
        let mut count = self.counted.requests.counts(seconds(self.now));
        let mut load = |backend: u16| {
            let number = numbers.get(usize::from(backend));
            number.map_or(0, |number| count(number.index()))
        };
        let placed = pool.pick_capped(cap, number, rotation, &mut load)?;
        self.outbox.decision.is_capped = placed.is_moved;
        let backend = placed.member;
        let address = pool.backends.get(usize::from(backend))?.address;
        Some((BackendRef { pool: pool_index, backend }, address))
    }
}
