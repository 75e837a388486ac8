//! From the backends of a configuration, and what is known of their names, to the members of a pool.
//!
//! Owns: the identity of a member, its weight and its priority; which addresses cannot be members. Pure: the same
//! configuration and the same outcomes give the same members in the same order on every node.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::{Known, Resolved, SHARE_ONE};
use crate::config::{Backend, Pool, Target};
use crate::sip::balance::{BACKENDS_MAX, Spec};

#[cfg(test)]
mod tests;

/// Weights of a pool with uneven SRV shares are this many times finer. What scales them all moves no key.
const FINER: u64 = 1_024;
const _: () = assert!((SHARE_ONE as u64).is_multiple_of(FINER));

/// A member of a pool: one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// What names it on every node, in metrics and to the operator: the URI as written for an address; for an address that
    /// a name stands for, `sip:ADDRESS:PORT`. So it keeps its keys, its health and its counters when records are reordered, when
    /// others come and go, and when the name in the configuration is another.
    pub identity: String,
    /// Where it is reached.
    pub address: SocketAddr,
    /// Its share against the others.
    pub weight: u32,
    /// Its relative weight, for `kamailio:11`.
    pub rweight: u32,
    /// Higher comes first: the priority of its backend, then that of its SRV record.
    pub priority: i32,
    /// Whether new keys may go to it: a dispatcher list can say no.
    pub is_listed_usable: bool,
    /// Its backend: the place in the pool of the configuration.
    pub backend: usize,
    /// How its address was found; empty when it was written.
    pub via: String,
}

/// The members of a pool.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Members {
    /// In the order of the configuration, and within a name by SRV priority and address.
    pub members: Vec<Member>,
    /// Addresses that a name stands for and that cannot be members here, and why.
    pub left_out: Vec<String>,
}

/// The members of `pool`. A name without an outcome contributes none. `is_ours` says which addresses are our own
/// listeners: a name must not lead back to us.
pub fn of_pool(pool: &Pool, known: &Known, is_ours: impl Fn(SocketAddr) -> bool) -> Members {
    let mut made = Members::default();
    let mut shares = Vec::new();
    let written = pool.backends.iter().filter_map(|backend| match backend.target {
        Target::Address(address) => Some(address),
        Target::Name(_) => None,
    });
    // What is written by hand counts before what a name says.
    let mut seen: BTreeSet<SocketAddr> = written.collect();
    for (place, backend) in pool.backends.iter().enumerate() {
        let name = match &backend.target {
            Target::Address(address) => {
                made.members.push(of_address(backend, place, *address));
                shares.push(SHARE_ONE);
                continue;
            }
            Target::Name(name) => name,
        };
        let found = known.outcome(name).map_or(&[][..], |outcome| &outcome.found);
        for one in found {
            let refused = if is_ours(one.address) {
                Some("is our own listener")
            } else if made.members.len() >= BACKENDS_MAX {
                Some("is beyond the most backends of a pool")
            } else if !seen.insert(one.address) {
                Some("is in this pool already")
            } else {
                None
            };
            if let Some(why) = refused {
                made.left_out.push(format!("{name}: {} {why}", one.address));
                continue;
            }
            made.members.push(of_record(backend, place, one));
            shares.push(one.share);
        }
    }
    // Kamailio's weights are percents of a set, and know no SRV.
    if !matches!(pool.balance, Spec::Kamailio { .. })
        && shares.iter().any(|share| *share != SHARE_ONE)
    {
        for (member, share) in made.members.iter_mut().zip(shares) {
            member.weight = weighed(member.weight, share);
        }
    }
    made
}

fn of_address(backend: &Backend, place: usize, address: SocketAddr) -> Member {
    Member {
        identity: backend.uri.clone(),
        address,
        weight: backend.weight,
        rweight: backend.rweight,
        priority: priority(backend.priority, 0),
        is_listed_usable: backend.usable,
        backend: place,
        via: String::new(),
    }
}

fn of_record(backend: &Backend, place: usize, one: &Resolved) -> Member {
    Member {
        identity: format!("sip:{}", one.address),
        priority: priority(backend.priority, one.priority),
        via: one.via.clone(),
        ..of_address(backend, place, one.address)
    }
}

/// Ours first, then the DNS's, where lower comes first. Without either it is 0; with an SRV priority alone its negative.
fn priority(ours: i32, srv: u16) -> i32 {
    ours.saturating_mul(1 << 16).saturating_sub(i32::from(srv))
}

fn weighed(weight: u32, share: u32) -> u32 {
    let weight = u64::from(weight) * u64::from(share) / (u64::from(SHARE_ONE) / FINER);
    u32::try_from(weight).unwrap_or(u32::MAX).max(1)
}
