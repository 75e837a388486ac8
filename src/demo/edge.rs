//! The edge of the demo: configured by the same text that an operator would write, run in this process.
//!
//! Owns: that text, the start, and the edit of the pool. Knows nothing of calls.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use super::promises::MovedKeys;
use super::{bind_loopback, name_of};
use crate::config::{self, Config};
use crate::control::compile;
use crate::datapath::counters::Counters;
use crate::datapath::{Options, Shards, Snapshot};
use crate::sip::DropReason;
use crate::sip::balance::{Rotation, hash_key};
use crate::sip::route::table::Table;

/// How many keys are asked before and after the edit.
const KEYS_SAMPLED: u64 = 10_000;
/// Shards: two show that a dialog finds its own.
const SHARDS: u8 = 2;

/// A running edge.
#[derive(Debug)]
pub(super) struct DemoEdge {
    /// Where it listens.
    pub(super) address: SocketAddr,
    backends: Vec<SocketAddr>,
    text: String,
    table: Arc<Table>,
    shards: Shards,
}

impl DemoEdge {
    /// Starts it on a free port in front of `backends`.
    pub(super) fn start(backends: &[SocketAddr]) -> Result<Self, String> {
        // The port is free again once this socket is gone; the edge binds it right after.
        let address = bind_loopback()
            .and_then(|socket| socket.local_addr())
            .map_err(|error| format!("no free port on 127.0.0.1: {error}"))?;
        let text = configuration(address, backends);
        let table = table(&text)?;
        let options = Options { shards: usize::from(SHARDS), ..Options::default() };
        let shards = Shards::start(&options, &table, 1).map_err(|error| error.to_string())?;
        Ok(Self { address, backends: backends.to_vec(), text, table, shards })
    }

    /// What was started, in plain words.
    pub(super) fn introduction(&self, caller: SocketAddr) -> String {
        let mut text = String::from("sipedge demo: real SIP over UDP on loopback\n\n");
        let _ = writeln!(text, "  caller    {caller}");
        let _ = writeln!(text, "  edge      {}", self.address);
        for (index, address) in self.backends.iter().enumerate() {
            let _ = writeln!(text, "  backend {} {address}", name_of(index));
        }
        let _ = writeln!(text, "\nthe edge's configuration:\n");
        for line in self.text.lines() {
            let _ = writeln!(text, "  {line}");
        }
        let _ = writeln!(text, "\nwhat it runs on:\n");
        for line in self.shards.report().lines() {
            let _ = writeln!(text, "  {line}");
        }
        text
    }

    /// Takes a backend out of the pool, as a reload would; returns when every shard has the new table.
    pub(super) fn remove(&mut self, backend: usize) -> Result<MovedKeys, String> {
        let mut rest = self.backends.clone();
        let removed = rest.remove(backend);
        let table = table(&configuration(self.address, &rest))?;
        let moved = moved_keys(&self.table, &table, removed);
        self.shards.install(&table).map_err(|error| error.to_string())?;
        // Mail is read in order: who answers this has installed the table.
        self.shards.snapshot().map_err(|error| error.to_string())?;
        self.table = table;
        Ok(moved)
    }

    /// Ends it and returns what it counted.
    pub(super) fn stop(self) -> Counters {
        let snapshot: Snapshot = self.shards.stop();
        snapshot.merged()
    }
}

/// Every drop reason and its count.
pub(super) fn drops(counted: &Counters) -> Vec<(&'static str, u64)> {
    DropReason::ALL.iter().map(|&reason| (reason.label(), counted.dropped(reason))).collect()
}

fn configuration(address: SocketAddr, backends: &[SocketAddr]) -> String {
    let list: String =
        backends.iter().map(|backend| format!("  {{ uri = \"sip:{backend}\" }},\n")).collect();
    format!(
        "[node]\nname = \"demo\"\nkeys = [{{ id = 1, secret = \"known to all, for the demo only\" }}]\n\n\
         [[listen]]\nname = \"public\"\naddress = \"udp:{address}\"\n\n\
         [[pool]]\nname = \"servers\"\nkey = \"call-id\"\nbalance = \"rendezvous\"\nbackends = [\n{list}]\n\n\
         [[route]]\npool = \"servers\"\n"
    )
}

fn table(text: &str) -> Result<Arc<Table>, String> {
    let (config, _warnings): (Config, _) =
        config::parse(Path::new("demo.toml"), text).map_err(|problems| problems.to_string())?;
    Ok(Arc::new(Table::new(compile::table(&config, SHARDS)?)))
}

/// Asks both tables for the same keys.
fn moved_keys(before: &Table, after: &Table, removed: SocketAddr) -> MovedKeys {
    let mut found = MovedKeys::default();
    for number in 0..KEYS_SAMPLED {
        let key = hash_key(&[format!("sample-{number}@demo.invalid").as_bytes()]);
        let (was, is) = (holder(before, key), holder(after, key));
        let was_removed = was == Some(removed);
        found.sampled += 1;
        found.of_removed += u64::from(was_removed);
        found.moved += u64::from(was != is);
        found.moved_of_others += u64::from(was != is && !was_removed);
    }
    found
}

fn holder(table: &Table, key: u64) -> Option<SocketAddr> {
    let pool = table.pools.first()?;
    let backend = pool.pick(Some(key), &mut Rotation::new(0))?;
    pool.backends.get(usize::from(backend)).map(|backend| backend.address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_keys_of_the_removed_backend_move() {
        let backends: Vec<SocketAddr> =
            (1..=3).map(|port| SocketAddr::from(([127, 0, 0, 1], 40_000 + port))).collect();
        let address = SocketAddr::from(([127, 0, 0, 1], 40_000));
        let before = table(&configuration(address, &backends)).expect("it is valid");
        let after = table(&configuration(address, &[backends[0], backends[2]])).expect("valid");
        let moved = moved_keys(&before, &after, backends[1]);
        assert_eq!((moved.sampled, moved.moved_of_others), (KEYS_SAMPLED, 0));
        assert_eq!(moved.moved, moved.of_removed);
        assert!((3_000..3_700).contains(&moved.moved), "{moved:?}");
        // The count can fail: as if another one had been removed.
        assert!(moved_keys(&before, &after, backends[0]).moved_of_others > 0);
    }
}
