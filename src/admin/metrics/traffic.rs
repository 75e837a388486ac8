//! What the metrics say of pools and backends.
//!
//! Owns: names and labels of these families. Counts are found by meter, names by [`PoolLabels`].

use std::fmt;

use super::{LATENCY_BUCKETS_US, Writer, seconds};
use crate::control::view;
use crate::datapath::traffic::{BackendTraffic, PoolTraffic, Traffic, WAYS};
use crate::sip::message::Method;

/// What the metrics say of a pool.
#[derive(Debug, Clone)]
pub struct PoolLabels {
    /// Its name.
    pub name: String,
    /// The number of its counters.
    pub meter: u32,
    /// Its backends.
    pub backends: Vec<BackendLabels>,
}

/// What the metrics say of a backend.
#[derive(Debug, Clone)]
pub struct BackendLabels {
    /// Its URI.
    pub uri: String,
    /// The number of its counters.
    pub meter: u32,
    /// Whether new keys may go to it.
    pub state: Use,
}

/// What new keys have of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// They may go to it.
    Usable,
    /// It is in the pool, and they may not.
    Out,
    /// It has left the pool, and is known for its dialogs.
    Leaving,
}

impl Use {
    const ALL: [(Self, &str); 3] =
        [(Self::Usable, "usable"), (Self::Out, "out"), (Self::Leaving, "leaving")];
}

impl PoolLabels {
    /// As the node is seen. Who leaves is counted as long as it is known.
    #[must_use]
    pub fn new(pool: &view::Pool) -> Self {
        let member = |backend: &view::Backend| BackendLabels {
            uri: backend.uri.clone(),
            meter: backend.meter,
            state: if backend.takes_new { Use::Usable } else { Use::Out },
        };
        let leaver = |leaver: &view::Leaving| BackendLabels {
            uri: leaver.uri.clone(),
            meter: leaver.meter,
            state: Use::Leaving,
        };
        let members = pool.backends.iter().map(member);
        Self {
            name: pool.name.clone(),
            meter: pool.meter,
            backends: members.chain(pool.leaving.iter().map(leaver)).collect(),
        }
    }

    /// Its counts; none before the shards have counted for it.
    fn of<'a>(&self, traffic: &'a Traffic) -> Option<&'a PoolTraffic> {
        traffic.pools.get(usize::try_from(self.meter).ok()?)
    }
}

impl BackendLabels {
    fn of(&self, traffic: &Traffic) -> BackendTraffic {
        let place = usize::try_from(self.meter).unwrap_or(usize::MAX);
        traffic.backends.get(place).copied().unwrap_or_default()
    }
}

/// All families of pools and backends.
pub(super) fn write(w: &mut Writer<'_>, pools: &[PoolLabels], traffic: &Traffic) -> fmt::Result {
    backends(w, pools, traffic)?;
    messages(w, pools, traffic)?;
    capped(w, pools, traffic)?;
    latency(w, pools, traffic)
}

fn backends(w: &mut Writer<'_>, pools: &[PoolLabels], traffic: &Traffic) -> fmt::Result {
    let name = "sipedge_backend_messages_total";
    w.family(
        name,
        "counter",
        "Requests sent to a backend, those that were held once more among them.",
    )?;
    for (pool, backend) in pools.iter().flat_map(|p| p.backends.iter().map(move |b| (p, b))) {
        let labels: [(&str, &dyn fmt::Display); 2] =
            [("pool", &pool.name), ("backend", &backend.uri)];
        w.sample(name, &labels, backend.of(traffic).requests)?;
    }
    let name = "sipedge_backend_responses_total";
    w.family(
        name,
        "counter",
        "Responses of a backend that were forwarded, or absorbed for failover, by class.",
    )?;
    for (pool, backend) in pools.iter().flat_map(|p| p.backends.iter().map(move |b| (p, b))) {
        let responses = backend.of(traffic).responses;
        for (class, count) in responses.iter().enumerate().skip(1) {
            let class = format!("{class}xx");
            let labels: [(&str, &dyn fmt::Display); 3] =
                [("pool", &pool.name), ("backend", &backend.uri), ("class", &class)];
            w.sample(name, &labels, count)?;
        }
    }
    let name = "sipedge_backends";
    w.family(name, "gauge", "Backends of a pool: usable for new keys, out of use, or leaving since an edit took them out.")?;
    for pool in pools {
        for (state, word) in Use::ALL {
            let count = pool.backends.iter().filter(|backend| backend.state == state).count();
            w.sample(name, &[("pool", &pool.name), ("state", &word)], count)?;
        }
    }
    Ok(())
}

fn messages(w: &mut Writer<'_>, pools: &[PoolLabels], traffic: &Traffic) -> fmt::Result {
    let name = "sipedge_pool_messages_total";
    w.family(name, "counter", "Messages forwarded to and from a pool's backends, by method.")?;
    let none = PoolTraffic::default();
    for pool in pools {
        let counts = pool.of(traffic).unwrap_or(&none);
        for (way, counts) in WAYS.iter().zip(&counts.messages) {
            for method in Method::ALL {
                let labels: [(&str, &dyn fmt::Display); 3] =
                    [("pool", &pool.name), ("method", &method.label()), ("way", way)];
                w.sample(name, &labels, counts[method.index()])?;
            }
        }
    }
    Ok(())
}

fn capped(w: &mut Writer<'_>, pools: &[PoolLabels], traffic: &Traffic) -> fmt::Result {
    let name = "sipedge_pool_capped_total";
    let help = "Requests that the load cap of a pool gave to another backend than their key's.";
    w.family(name, "counter", help)?;
    for pool in pools {
        let count = pool.of(traffic).map_or(0, |traffic| traffic.capped);
        w.sample(name, &[("pool", &pool.name)], count)?;
    }
    Ok(())
}

fn latency(w: &mut Writer<'_>, pools: &[PoolLabels], traffic: &Traffic) -> fmt::Result {
    let (name, bucket) = ("sipedge_pool_latency_seconds", "sipedge_pool_latency_seconds_bucket");
    w.family(name, "histogram", "As sipedge_latency_seconds, of messages to and from a pool.")?;
    let none = PoolTraffic::default();
    for pool in pools {
        let latency_us = &pool.of(traffic).unwrap_or(&none).latency_us;
        for bound_us in LATENCY_BUCKETS_US {
            let labels: [(&str, &dyn fmt::Display); 2] =
                [("pool", &pool.name), ("le", &seconds(bound_us))];
            w.sample(bucket, &labels, latency_us.count_up_to(bound_us))?;
        }
        let count = latency_us.count();
        w.sample(bucket, &[("pool", &pool.name), ("le", &"+Inf")], count)?;
        let sum = format!("{name}_sum");
        w.sample(&sum, &[("pool", &pool.name)], seconds(latency_us.sum()))?;
        w.sample(&format!("{name}_count"), &[("pool", &pool.name)], count)?;
    }
    Ok(())
}
