//! From a configuration to the parts of a routing table.
//!
//! Owns: the one way from `Config` to `Parts`. Reads nothing but its arguments, so that `run`, `check` and
//! `explain` route by the same table.

use super::config::{Config, Pool};
use super::resolve::{Known, members};
use crate::sip::balance::spec::Spec;
use crate::sip::balance::{BackendSet, Balance, CompileError, Member};
use crate::sip::route::table::{Backend, Parts, Pool as TablePool};

/// Orders the slots of `kamailio:9` and `kamailio:11`: the same on every node.
const SLOT_SEED: u64 = 0x5349_5045_4447_4531;

/// Compiles `config` for `shards` shards, when no name of a backend was looked up yet.
pub fn table(config: &Config, shards: u8) -> Result<Parts, String> {
    table_with_names(config, &Known::default(), shards)
}

/// Compiles `config` for `shards` shards. A backend whose name is not in `names` contributes no member.
pub fn table_with_names(config: &Config, names: &Known, shards: u8) -> Result<Parts, String> {
    let pools: Result<Vec<_>, _> =
        config.pools.iter().map(|one| pool(one, config, names)).collect();
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

fn pool(pool: &Pool, config: &Config, names: &Known) -> Result<TablePool, String> {
    let known = members::of_pool(pool, names, |address| config.is_ours(address)).members;
    let members: Vec<Member<'_>> = known
        .iter()
        .map(|member| Member {
            identity: member.identity.as_bytes(),
            weight: member.weight,
            rweight: member.rweight,
        })
        .collect();
    let balance = Balance::compile(&pool.balance, &members, SLOT_SEED)
        .map_err(|error: CompileError| format!("pool \"{}\": {error}", pool.name))?;
    let mut usable = BackendSet::full(members.len());
    for (index, member) in known.iter().enumerate() {
        if !member.is_listed_usable
            && let Ok(index) = u16::try_from(index)
        {
            usable.remove(index);
        }
    }
    Ok(TablePool {
        name: pool.name.clone(),
        key: pool.key.clone(),
        balance,
        backends: known
            .into_iter()
            .map(|member| Backend { uri: member.identity, address: member.address })
            .collect(),
        usable,
        send_from: pool.send_from,
        match_source_ip: pool.match_source_ip,
    })
}

/// Whether the balance of a pool looks at weights: what `check` prints depends on it.
#[must_use]
pub const fn uses_weights(spec: Spec) -> bool {
    matches!(spec, Spec::Rendezvous | Spec::Weight | Spec::Kamailio { algorithm: 9 | 11, .. })
}
