//! Which keys a new table gives to other backends.
//!
//! Owns: the sampling. Tables come in whole; no configuration is looked at.

use crate::sip::balance::{KeyUse, Rotation, hash_key};
use crate::sip::route::table::{Pool as TablePool, Table};

/// How many keys are asked for the share that moves.
const KEYS_SAMPLED: u32 = 10_000;

/// For each pool that is in both tables and picks by key: its name and how much of 1 of its keys go elsewhere.
#[must_use]
pub fn moved_keys(old: &Table, new: &Table) -> Vec<(String, f64)> {
    let mut moved = Vec::new();
    for pool in &new.pools {
        let was = old.pools.iter().find(|was| was.name == pool.name);
        let Some(was) = was.filter(|was| was.key == pool.key) else { continue };
        let is_keyed = |pool: &TablePool| pool.balance.key_use() != KeyUse::None;
        if !is_keyed(was) || !is_keyed(pool) {
            continue;
        }
        let differs = |number: &u32| {
            let key = hash_key(&[&number.to_be_bytes()]);
            holder(was, key) != holder(pool, key)
        };
        let count =
            u32::try_from((0..KEYS_SAMPLED).filter(differs).count()).unwrap_or(KEYS_SAMPLED);
        moved.push((pool.name.clone(), f64::from(count) / f64::from(KEYS_SAMPLED)));
    }
    moved
}

fn holder(pool: &TablePool, key: u64) -> Option<std::net::SocketAddr> {
    let backend = pool.pick(Some(key), &mut Rotation::new(0))?;
    pool.backends.get(usize::from(backend)).map(|backend| backend.address)
}
