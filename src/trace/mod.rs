//! Traces: copies of messages to a HEP sink, to capture files, and as decision records.
//!
//! Owns: the thread that takes the copies from the shards. It looks every few milliseconds rather than being woken, so that
//! a trace costs a shard no system call. Nothing here slows a shard: a sink that stalls loses packets, which are counted.

pub mod hep;
pub mod pcapng;

mod choose;
mod decisions;
mod files;
mod writer;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use tracing::warn;

use crate::config::trace::Trace;
use crate::datapath;
use crate::datapath::tap::Taps;
use crate::datapath::tap_filter::TapFilter;
use crate::sip::route::table::Table;
use decisions::Recent;
pub use writer::TraceCounts;
use writer::{Order, Shared, Writer};

/// The traces of a node. Dropping them ends their thread, when what waits is written.
#[derive(Debug)]
pub struct Traces {
    config: Trace,
    shared: Arc<Shared>,
    orders: Sender<Order>,
    thread: Option<JoinHandle<()>>,
}

/// What pools and backends are called, by meter.
#[derive(Debug, Default)]
struct Names {
    pools: HashMap<u32, String>,
    backends: HashMap<u32, String>,
}

impl Traces {
    /// Opens sinks and files, and starts the thread; with everything off there is none. What is traced is nothing until the
    /// shards have the filters of [`Traces::adopt`]. A thread that shares the shards' cores gives way to them.
    pub fn start(
        config: &Trace,
        node: &str,
        taps: Taps,
        shares_cores: bool,
    ) -> Result<Self, String> {
        let (orders, inbox) = channel();
        let shared = Arc::new(Shared::default());
        let mut traces = Self { config: config.clone(), shared, orders, thread: None };
        if *config == Trace::default() {
            return Ok(traces);
        }
        let writer = Writer::open(config, node, taps, Arc::clone(&traces.shared))?;
        let thread = std::thread::Builder::new().name("traces".to_owned());
        let write = move || {
            if shares_cores && let Err(error) = datapath::give_way() {
                warn!("traces compete with the shards: {error}");
            }
            writer.run(&inbox);
        };
        let thread = thread.spawn(write);
        traces.thread = Some(thread.map_err(|error| format!("no thread for traces: {error}"))?);
        Ok(traces)
    }

    /// What to give to [`crate::datapath::Shards::trace`], now and after each new table: its pools may be others.
    #[must_use]
    pub fn adopt(&self, table: &Table) -> Vec<TapFilter> {
        let backends = table.pools.iter().flat_map(|pool| &pool.backends);
        let names = Names {
            pools: table.pools.iter().map(|pool| (pool.meter, pool.name.clone())).collect(),
            backends: backends.map(|backend| (backend.hop.0, backend.uri.clone())).collect(),
        };
        // Without a thread nobody wants names.
        let _ = self.orders.send(Order::Names(names));
        let Trace { hep, pcap, decisions } = &self.config;
        let choices = [hep.as_ref().map(|hep| &hep.choice), pcap.as_ref().map(|pcap| &pcap.choice)];
        let mut filters: Vec<_> =
            choices.into_iter().flatten().map(|choice| choose::filter(choice, table)).collect();
        filters.extend(decisions.as_ref().map(|decisions| TapFilter {
            per_second_max: decisions.per_second_max,
            ..TapFilter::default()
        }));
        filters
    }

    /// The last decision records, the oldest first, each a JSON object.
    #[must_use]
    pub fn recent(&self) -> Vec<String> {
        self.shared.recent()
    }

    /// What was written and what was lost.
    #[must_use]
    pub fn counts(&self) -> TraceCounts {
        self.shared.counts()
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        let _ = self.orders.send(Order::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
