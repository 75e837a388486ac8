//! What `/metrics` says of pools, backends and the node itself: states as operators know them, probes, reloads, streams.
//!
//! Owns: names and labels. Each backend has all its series from the start. Times are seconds.

use std::fmt::{self, Display};

use super::Writer;
use crate::control::health::{BackendView, State};
use crate::control::view::{self, Backend, Pool};

const STATES: [State; 4] = [State::Active, State::Trying, State::Inactive, State::Disabled];

/// One number of a backend.
struct Gauge {
    name: &'static str,
    help: &'static str,
    read: fn(&Backend) -> Option<f64>,
}

const GAUGES: [Gauge; 5] = [
    Gauge {
        name: "sipedge_backend_takes_new",
        help: "1 while new keys may go to the backend.",
        read: |backend| Some(f64::from(u8::from(backend.takes_new))),
    },
    Gauge {
        name: "sipedge_backend_draining",
        help: "1 while the backend is drained by hand.",
        read: |backend| backend.health.as_ref().map(|health| f64::from(u8::from(health.draining))),
    },
    Gauge {
        name: "sipedge_backend_share",
        help: "How much of 1 of what is new in the pool it gets now; not where load or latency decide.",
        read: |backend| backend.share,
    },
    Gauge {
        name: "sipedge_backend_state_seconds",
        help: "For how long the backend has been in its state.",
        read: |backend| backend.health.as_ref().map(|health| seconds(health.for_ms)),
    },
    Gauge {
        name: "sipedge_backend_failures",
        help: "Failures of the backend since the last good answer.",
        read: |backend| backend.health.as_ref().map(|health| f64::from(health.failures)),
    },
];

/// Reads a value of a backend's health.
type Reader<T> = fn(&BackendView) -> T;

/// What is counted about probes and other evidence, by its label.
const RESULTS: [(&str, Reader<u64>); 7] = [
    ("good", |health| health.counts.good),
    ("full", |health| health.counts.full),
    ("bad", |health| health.counts.bad),
    ("timeout", |health| health.counts.timeouts),
    ("unreachable", |health| health.counts.unreachable),
    ("silent", |health| health.counts.silent),
    ("busy", |health| health.counts.busy),
];

/// How long answers to probes take.
const LATENCIES: [(&str, Reader<f64>); 4] = [
    ("mean", |health| health.latency.mean_ms),
    ("deviation", |health| health.latency.deviation_ms),
    ("most", |health| health.latency.most_ms),
    ("estimate", |health| health.latency.estimate_ms),
];

pub(super) fn write(w: &mut Writer<'_>, node: &view::Node, streams: usize) -> fmt::Result {
    node_itself(w, node, streams)?;
    states(w, node)?;
    for gauge in GAUGES {
        w.family(gauge.name, "gauge", gauge.help)?;
        for (pool, backend) in backends(node) {
            if let Some(value) = (gauge.read)(backend) {
                w.sample(gauge.name, &labels(pool, backend), value)?;
            }
        }
    }
    probes(w, node)?;
    let name = "sipedge_pool_leaving";
    w.family(name, "gauge", "Backends that are configured no more, and known for their dialogs.")?;
    for pool in &node.pools {
        w.sample(name, &[("pool", &pool.name)], pool.leaving.len())?;
    }
    Ok(())
}

fn node_itself(w: &mut Writer<'_>, node: &view::Node, streams: usize) -> fmt::Result {
    let configuration = &node.configuration;
    let name = "sipedge_uptime_seconds";
    w.family(name, "gauge", "Since the start.")?;
    w.sample(name, &[], seconds(node.uptime_ms))?;
    let name = "sipedge_reloads_total";
    w.family(name, "counter", "Reloads of the configuration, by what became of them.")?;
    w.sample(name, &[("result", &"taken")], configuration.reloads)?;
    w.sample(name, &[("result", &"refused")], configuration.reloads_refused)?;
    let name = "sipedge_last_reload_taken";
    w.family(
        name,
        "gauge",
        "1 unless the last reload was refused: then the file is not what runs.",
    )?;
    let taken = configuration.last_reload.as_ref().is_none_or(|reload| reload.taken);
    w.sample(name, &[], u8::from(taken))?;
    let name = "sipedge_configuration_loaded_timestamp_seconds";
    w.family(name, "gauge", "When the configuration that runs was taken over.")?;
    w.sample(name, &[], seconds(configuration.loaded_at_ms))?;
    let name = "sipedge_event_streams";
    w.family(name, "gauge", "Listeners of /api/v1/events.")?;
    w.sample(name, &[], streams)
}

fn states(w: &mut Writer<'_>, node: &view::Node) -> fmt::Result {
    let name = "sipedge_backend_state";
    w.family(name, "gauge", "1 for the state that the backend is in.")?;
    for (pool, backend) in backends(node) {
        let Some(health) = &backend.health else { continue };
        for state in STATES {
            let [pool, backend] = labels(pool, backend);
            w.sample(name, &[pool, backend, ("state", &state)], u8::from(health.state == state))?;
        }
    }
    Ok(())
}

fn probes(w: &mut Writer<'_>, node: &view::Node) -> fmt::Result {
    let name = "sipedge_probes_total";
    w.family(name, "counter", "Probes that were sent.")?;
    for (pool, backend, health) in with_health(node) {
        w.sample(name, &labels(pool, backend), health.counts.probes)?;
    }
    let name = "sipedge_backend_evidence_total";
    w.family(
        name,
        "counter",
        "Results of probes, and what real traffic showed: unreachable, silent, busy.",
    )?;
    for (pool, backend, health) in with_health(node) {
        for (result, read) in RESULTS {
            let [pool, backend] = labels(pool, backend);
            w.sample(name, &[pool, backend, ("result", &result)], read(health))?;
        }
    }
    let name = "sipedge_probe_latency_seconds";
    w.family(
        name,
        "gauge",
        "How long the backend takes to answer a probe; `estimate` is the moving mean.",
    )?;
    for (pool, backend, health) in with_health(node) {
        for (kind, read) in LATENCIES {
            let [pool, backend] = labels(pool, backend);
            w.sample(name, &[pool, backend, ("kind", &kind)], read(health) / 1e3)?;
        }
    }
    Ok(())
}

fn backends(node: &view::Node) -> impl Iterator<Item = (&Pool, &Backend)> {
    node.pools.iter().flat_map(|pool| pool.backends.iter().map(move |backend| (pool, backend)))
}

fn with_health(node: &view::Node) -> impl Iterator<Item = (&Pool, &Backend, &BackendView)> {
    backends(node).filter_map(|(pool, backend)| Some((pool, backend, backend.health.as_ref()?)))
}

fn labels<'a>(pool: &'a Pool, backend: &'a Backend) -> [(&'static str, &'a dyn Display); 2] {
    [("pool", &pool.name), ("backend", &backend.uri)]
}

fn seconds(milliseconds: u64) -> f64 {
    milliseconds as f64 / 1e3
}
