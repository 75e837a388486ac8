//! From a configuration to the parts of a routing table.
//!
//! Owns: the one way from `Config` to `Parts`. Reads nothing but its arguments, so that `run`, `check` and
//! `explain` route by the same table.

use std::sync::Arc;

use super::config::{Config, Pool};
use crate::sip::balance::spec::Spec;
use crate::sip::balance::{BackendSet, Balance, CompileError, Member};
use crate::sip::route::table::{Backend, Parts, Pool as TablePool};

/// Orders the slots of `kamailio:9` and `kamailio:11`: the same on every node.
const SLOT_SEED: u64 = 0x5349_5045_4447_4531;

/// Compiles `config` for `shards` shards.
pub fn table(config: &Config, shards: u8) -> Result<Parts, String> {
    let mut meters = 0..;
    let pools: Result<Vec<_>, _> =
        (0..).zip(&config.pools).map(|(meter, of)| pool(of, meter, &mut meters)).collect();
    Ok(Parts {
        shards,
        listeners: config.listeners.clone(),
        pools: pools?,
        rules: config.rules.clone(),
        keys: config.node.keys.clone(),
        limits: config.limits.clone(),
        aliases: config.node.aliases.clone(),
    })
}

fn pool(
    pool: &Pool,
    meter: u32,
    meters: &mut impl Iterator<Item = u32>,
) -> Result<TablePool, String> {
    let members: Vec<Member<'_>> = pool
        .backends
        .iter()
        .map(|backend| Member {
            identity: backend.uri.as_bytes(),
            weight: backend.weight,
            rweight: backend.rweight,
        })
        .collect();
    let balance = Balance::compile(&pool.balance, &members, SLOT_SEED)
        .map_err(|error: CompileError| format!("pool \"{}\": {error}", pool.name))?;
    let mut usable = BackendSet::full(members.len());
    for (index, backend) in pool.backends.iter().enumerate() {
        if !backend.usable
            && let Ok(index) = u16::try_from(index)
        {
            usable.remove(index);
        }
    }
    Ok(TablePool {
        name: pool.name.clone(),
        key: pool.key.clone(),
        balance: Arc::new(balance),
        backends: pool
            .backends
            .iter()
            .zip(meters)
            .map(|(backend, meter)| Backend {
                uri: backend.uri.clone(),
                address: backend.address,
                meter,
            })
            .collect(),
        usable,
        down: BackendSet::empty(),
        ramp: Vec::new(),
        send_from: pool.send_from,
        match_source_ip: pool.match_source_ip,
        meter,
        failover: pool.failover,
    })
}

/// Whether the balance of a pool looks at weights: what `check` prints depends on it.
#[must_use]
pub const fn uses_weights(spec: Spec) -> bool {
    matches!(spec, Spec::Rendezvous | Spec::Weight | Spec::Kamailio { algorithm: 9 | 11, .. })
}
