//! The node as an operator is shown it.
//!
//! Owns: where each thing of the view comes from.

use super::Node;
use crate::control::fleet::{Leaving, Member, Pool};
use crate::control::health::PoolView;
use crate::control::summary::{key_text, rule_text};
use crate::control::view;
use crate::sip::Now;
use crate::sip::balance::{LoadCap, Rotation, Spec, hash_key};
use crate::sip::route::table::{Action, Pool as TablePool, Rule, Table};

/// Keys that are asked for the shares of a pool while some members take only a part of theirs: a share of a tenth is off by
/// less than a hundredth.
const KEYS_SAMPLED: u32 = 4_000;

impl Node {
    /// Everything that is known.
    pub(super) fn view(&self) -> view::Node {
        let now = self.shards.now();
        let health = self.health.view(now).pools;
        let pools = self.fleet.pools().iter().zip(&self.table.pools).zip(&self.shares).zip(health);
        view::Node {
            name: self.config.node.name.clone(),
            version: env!("CARGO_PKG_VERSION"),
            state: if self.is_draining { view::State::Draining } else { view::State::Running },
            at_ms: self.calendar_ms(now),
            uptime_ms: now.0 / 1_000,
            configuration: view::Configuration {
                file: self.file.display().to_string(),
                loaded_at_ms: self.calendar_ms(self.reloads.loaded_at),
                reloads: self.reloads.taken,
                reloads_refused: self.reloads.refused,
                last_reload: self.reloads.last.clone(),
            },
            runs_on: self.shards.report().lines(),
            listeners: self.config.listeners.iter().map(listener).collect(),
            pools: pools
                .zip(0_u16..)
                .map(|((((pool, table), shares), health), index)| view::Pool {
                    is_routed: names(&self.config.rules, index),
                    ..view_pool(pool, table, shares.as_deref(), health, now)
                })
                .collect(),
            routes: self.config.rules.iter().map(|rule| rule_text(&self.config, rule)).collect(),
        }
    }

    /// The state of everything in a line.
    pub(crate) fn status_line(&self) -> String {
        let members: usize = self.fleet.pools().iter().map(|pool| pool.members.len()).sum();
        let usable: usize = self.table.pools.iter().map(|pool| pool.usable.len()).sum();
        let state = if self.is_draining { "draining" } else { "running" };
        let refused = match &self.reloads.last {
            Some(last) if !last.taken => "; the last reload was refused",
            _ => "",
        };
        format!("{state}: {usable} of {members} backends take new calls{refused}")
    }

    /// A moment of the shards' clock in milliseconds since 1970.
    pub(super) const fn calendar_ms(&self, at: Now) -> u64 {
        self.origin_ms.saturating_add(at.0 / 1_000)
    }
}

/// A route names the pool.
fn names(rules: &[Rule], pool: u16) -> bool {
    rules.iter().any(|rule| rule.action == Action::Pool(pool))
}

fn view_pool(
    pool: &Pool,
    table: &TablePool,
    shares: Option<&[f64]>,
    health: PoolView,
    now: Now,
) -> view::Pool {
    let mut healths = health.backends.into_iter();
    let member = |(index, member): (usize, &Member)| view::Backend {
        uri: member.uri().to_owned(),
        address: member.of.address.to_string(),
        weight: match pool.config.balance {
            Spec::Kamailio { algorithm: 11, .. } => member.of.rweight,
            _ => member.of.weight,
        },
        priority: member.of.priority,
        meter: member.meter,
        takes_new: u16::try_from(index).is_ok_and(|index| table.usable.contains(index)),
        share: shares.and_then(|shares| shares.get(index).copied()),
        health: healths.next(),
        traffic: None,
    };
    let leaver = |leaver: &Leaving| view::Leaving {
        uri: leaver.uri.clone(),
        address: leaver.address.to_string(),
        meter: leaver.meter,
        left_ms: now.0.saturating_sub(leaver.since.0) / 1_000,
        traffic: None,
    };
    view::Pool {
        name: pool.config.name.clone(),
        key: key_text(&pool.config.key),
        balance: pool.config.balance.to_string(),
        load_cap: pool.config.load_cap.map(LoadCap::times),
        failover: pool.config.failover.map(|failover| failover.to_string()),
        probe: health.probe,
        believes_traffic: health.believes_traffic,
        is_routed: false,
        meter: pool.meter,
        backends: pool.members.iter().enumerate().map(member).collect(),
        leaving: pool.leaving.iter().map(leaver).collect(),
    }
}

fn listener(listener: &crate::sip::route::table::Listener) -> view::Listener {
    view::Listener {
        name: listener.name.clone(),
        address: format!("udp:{}", listener.address),
        advertise: format!("{}:{}", listener.host, listener.port),
    }
}

/// For each pool of a table how much of 1 each member gets of what is new; nothing where load or latency decide.
pub(super) fn shares(table: &Table) -> Vec<Option<Vec<f64>>> {
    table.pools.iter().map(shares_of).collect()
}

fn shares_of(pool: &TablePool) -> Option<Vec<f64>> {
    let shares = pool.balance.shares(&pool.usable)?;
    if pool.ramp.is_empty() {
        return Some(shares);
    }
    let mut rotation = Rotation::new(0);
    let mut counts = vec![0_u32; pool.backends.len()];
    for number in 0..KEYS_SAMPLED {
        let key = hash_key(&[&number.to_be_bytes()]);
        let picked = pool.pick(Some(key), &mut rotation);
        if let Some(count) = picked.and_then(|picked| counts.get_mut(usize::from(picked))) {
            *count += 1;
        }
    }
    Some(counts.iter().map(|&count| f64::from(count) / f64::from(KEYS_SAMPLED)).collect())
}
