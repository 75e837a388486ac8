//! What control knows of the pools while the node runs: who is in them, who is leaving, and who may get new keys.
//!
//! Owns: the way from a configuration, through edits of it, to the pools of a routing table. A member is named by its pool
//! and its URI, whatever its place in the file. It knows no socket and no clock: moments come in as [`Now`]; what health and
//! the operator think of a member comes in as [`Standing`].
//!
//! A member that a reload takes away is not cut: its dialogs have its address in their tokens, and it goes on sending
//! requests of its own. It stays as a leaving member, known and never picked, for [`LEAVING_SECONDS`].

use std::net::SocketAddr;
use std::sync::Arc;

use super::resolve::{Known, members};
use crate::config::{self, Config};
use crate::sip::balance::{
    BACKENDS_MAX, BackendSet, Balance, Detail, Member as BalanceMember, Ramp, Spec,
};
use crate::sip::route::table::{Backend, Parts, Pool as TablePool};
use crate::sip::{HopId, Now};

mod latency;
mod meters;
#[cfg(test)]
mod tests;

use meters::Meters;

/// How long a backend that has left its pool is still known: a call rarely lasts longer.
pub const LEAVING_SECONDS: u64 = 7_200;
/// Most leaving members of a pool; beyond it the one that left first is forgotten.
pub const LEAVING_MAX: usize = 256;
/// Orders the slots of `kamailio:9` and `kamailio:11`: the same on every node.
const SLOT_SEED: u64 = 0x5349_5045_4447_4531;
/// The share of a member that takes all its keys.
pub const SHARE_ALL: u16 = u16::MAX;

/// What a member may be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// New keys may go to it.
    pub takes_new: bool,
    /// It is dead by hard evidence: what it has not answered may go elsewhere.
    pub is_down: bool,
    /// Of 65,536 of its keys it takes this many; less than all while it starts slowly.
    pub share: u16,
}

impl Standing {
    /// Nothing is held against it.
    pub const GOOD: Self = Self { takes_new: true, is_down: false, share: SHARE_ALL };

    /// What the configuration alone says of a member.
    #[must_use]
    pub const fn declared(member: &Member) -> Self {
        Self { takes_new: member.of.is_listed_usable, ..Self::GOOD }
    }
}

/// A member of a pool.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its identity, address, weights and priority: what is written, or what the DNS makes of it.
    pub of: members::Member,
    /// The backend that it is, or is one of.
    pub config: config::Backend,
    /// The number of its counters.
    pub meter: u32,
}

impl Member {
    /// Its name within the pool.
    #[must_use]
    pub fn uri(&self) -> &str {
        &self.of.identity
    }
}

/// A member that has left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaving {
    /// Its name within the pool.
    pub uri: String,
    /// Where it is reached.
    pub address: SocketAddr,
    /// When it left.
    pub since: Now,
    /// The number of its counters.
    pub meter: u32,
}

/// A pool.
#[derive(Debug)]
pub struct Pool {
    /// As configured.
    pub config: config::Pool,
    /// Who is in it, in the order that the balance counts them.
    pub members: Vec<Member>,
    /// Who was.
    pub leaving: Vec<Leaving>,
    /// The number of its counters.
    pub meter: u32,
    balance: Arc<Balance>,
    /// Of each member, the latency that the balance was made with. Microseconds; none when it was not measured.
    latencies_us: Vec<Option<u32>>,
}

/// All pools.
#[derive(Debug, Default)]
pub struct Fleet {
    pools: Vec<Pool>,
    meters: Meters,
    /// When latencies are looked at again.
    latencies_due: Now,
}

impl Fleet {
    /// The pools of `config`.
    ///
    /// # Errors
    /// When members cannot be balanced the way that the configuration says.
    pub fn new(config: &Config, names: &Known) -> Result<Self, String> {
        Self::default().edited(config, names, Now(0))
    }

    /// The fleet under an edited configuration, or with other addresses for its names; who leaves stays known for a while.
    /// This one stays as it is.
    ///
    /// # Errors
    /// As [`Fleet::new`].
    pub fn edited(&self, config: &Config, names: &Known, now: Now) -> Result<Self, String> {
        let mut meters = self.meters.clone();
        let mut pools = Vec::with_capacity(config.pools.len());
        for pool in &config.pools {
            let found = members::of_pool(pool, names, |address| config.is_ours(address)).members;
            pools.push(Pool::new(pool, found, self.pool(&pool.name), &mut meters, now)?);
        }
        Ok(Self { pools, meters, latencies_due: self.latencies_due })
    }

    /// Somebody of this fleet is counted by this number.
    #[must_use]
    pub fn has_meter(&self, meter: u32) -> bool {
        self.pools.iter().any(|pool| pool.members.iter().any(|member| member.meter == meter))
    }

    /// The pools, in the order of the configuration.
    #[must_use]
    pub fn pools(&self) -> &[Pool] {
        &self.pools
    }

    /// The pool of this name.
    #[must_use]
    pub fn pool(&self, name: &str) -> Option<&Pool> {
        self.pools.iter().find(|pool| pool.config.name == name)
    }

    /// Forgets members that left long ago. Says whether there were any.
    pub fn forget_leavers(&mut self, now: Now) -> bool {
        let mut forgot = false;
        for pool in &mut self.pools {
            let before = pool.leaving.len();
            pool.leaving.retain(|leaver| leaver.since.plus_seconds(LEAVING_SECONDS) > now);
            forgot |= pool.leaving.len() < before;
        }
        forgot
    }

    /// What a routing table is made of. `standing` is asked for each member of each pool.
    #[must_use]
    pub fn parts(
        &self,
        config: &Config,
        shards: u8,
        standing: &dyn Fn(&Pool, &Member) -> Standing,
    ) -> Parts {
        Parts {
            shards,
            listeners: config.listeners.clone(),
            pools: self.pools.iter().map(|pool| pool.compiled(standing)).collect(),
            rules: config.rules.clone(),
            keys: config.node.keys.clone(),
            limits: config.limits.clone(),
            aliases: config.node.aliases.clone(),
            sides: config.sides.clone(),
            ..Parts::default()
        }
    }
}

impl Pool {
    fn new(
        config: &config::Pool,
        found: Vec<members::Member>,
        old: Option<&Self>,
        meters: &mut Meters,
        now: Now,
    ) -> Result<Self, String> {
        let member = |of: members::Member| {
            let backend = config.backends.get(of.backend)?;
            let meter = meters.of_backend(&config.name, &of.identity);
            Some(Member { config: backend.clone(), meter, of })
        };
        let members: Vec<Member> = found.into_iter().filter_map(member).collect();
        let leaving = old.map_or_else(Vec::new, |old| old.leavers(&members, now));
        let is_same = |old: &&Self| {
            let balance = &config.balance;
            old.config.balance == *balance
                && weighed(balance, &old.members).eq(weighed(balance, &members))
        };
        let latencies_us = latency::carried(old, &members);
        let balance = match old.filter(is_same) {
            Some(old) => Arc::clone(&old.balance),
            None => Arc::new(compile(config, &members, &latencies_us)?),
        };
        let meter = meters.of_pool(&config.name);
        Ok(Self { config: config.clone(), members, leaving, meter, balance, latencies_us })
    }

    /// Who leaves, or left before, when `members` stay.
    fn leavers(&self, members: &[Member], now: Now) -> Vec<Leaving> {
        let is_gone =
            |address: SocketAddr| members.iter().all(|member| member.of.address != address);
        let mut leaving = self.leaving.clone();
        leaving.extend(self.members.iter().map(|member| Leaving {
            uri: member.uri().to_owned(),
            address: member.of.address,
            since: now,
            meter: member.meter,
        }));
        leaving.retain(|leaver| is_gone(leaver.address));
        // One that came and left again counts from the last time.
        let addresses: Vec<SocketAddr> = leaving.iter().map(|leaver| leaver.address).collect();
        let mut place = 0;
        leaving.retain(|leaver| {
            place += 1;
            !addresses[place..].contains(&leaver.address)
        });
        let room = LEAVING_MAX.min(BACKENDS_MAX.saturating_sub(members.len()));
        leaving.drain(..leaving.len().saturating_sub(room));
        leaving
    }

    /// The pool as shards route by it.
    fn compiled(&self, standing: &dyn Fn(&Self, &Member) -> Standing) -> TablePool {
        let standings: Vec<Standing> =
            self.members.iter().map(|member| standing(self, member)).collect();
        let (mut usable, mut down) = (BackendSet::empty(), BackendSet::empty());
        let mut ramp = Vec::new();
        let tier = self.tier(&standings);
        for ((index, member), standing) in (0_u16..).zip(&self.members).zip(&standings) {
            if standing.takes_new && tier.is_none_or(|tier| member.of.priority == tier) {
                usable.insert(index);
            }
            if standing.is_down {
                down.insert(index);
            }
            if standing.share < SHARE_ALL {
                ramp.push(Ramp { backend: index, share: standing.share });
            }
        }
        let member = |member: &Member| Backend {
            uri: member.uri().to_owned(),
            address: member.of.address,
            hop: HopId(member.meter),
        };
        let leaver = |leaver: &Leaving| Backend {
            uri: leaver.uri.clone(),
            address: leaver.address,
            hop: HopId(leaver.meter),
        };
        TablePool {
            name: self.config.name.clone(),
            key: self.config.key.clone(),
            balance: Arc::clone(&self.balance),
            backends: self
                .members
                .iter()
                .map(member)
                .chain(self.leaving.iter().map(leaver))
                .collect(),
            usable,
            down,
            ramp,
            send_from: self.config.send_from,
            match_source_ip: self.config.match_source_ip,
            meter: self.meter,
            failover: self.config.failover,
            load_cap: self.config.load_cap,
        }
    }

    /// The priority that gets new keys: the highest with a member that takes some. Kamailio's algorithms have an order of
    /// their own for priorities, and look at them all.
    fn tier(&self, standings: &[Standing]) -> Option<i32> {
        if matches!(self.config.balance, Spec::Kamailio { .. }) {
            return None;
        }
        let able = self.members.iter().zip(standings).filter(|(_, standing)| standing.takes_new);
        able.map(|(member, _)| member.of.priority).max()
    }

    /// Key to member, for whoever wants to compare two pools.
    #[must_use]
    pub fn balance(&self) -> &Balance {
        &self.balance
    }
}

/// What a balance is compiled from, besides latencies that were measured.
fn weighed<'a>(
    balance: &Spec,
    members: &'a [Member],
) -> impl Iterator<Item = (&'a str, u32, u32, Detail)> + use<'a> {
    let looks_at_detail =
        matches!(balance, Spec::Latency | Spec::Kamailio { algorithm: 10 | 13, .. });
    members.iter().map(move |member| {
        let detail = if looks_at_detail { member.config.detail } else { Detail::default() };
        (member.uri(), member.of.weight, member.of.rweight, detail)
    })
}

/// A latency that was measured counts before one that is written.
fn compile(
    config: &config::Pool,
    members: &[Member],
    latencies_us: &[Option<u32>],
) -> Result<Balance, String> {
    let details: Vec<Detail> = members
        .iter()
        .zip(latencies_us)
        .map(|(member, latency_us)| {
            let detail = member.config.detail;
            Detail { latency_us: latency_us.or(detail.latency_us), ..detail }
        })
        .collect();
    let members: Vec<BalanceMember<'_>> = weighed(&config.balance, members)
        .map(|(uri, weight, rweight, _)| BalanceMember {
            identity: uri.as_bytes(),
            weight,
            rweight,
        })
        .collect();
    Balance::compile_detailed(&config.balance, &members, &details, SLOT_SEED)
        .map_err(|error| format!("pool \"{}\": {error}", config.name))
}
