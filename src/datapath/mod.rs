//! Moves bytes: sockets, rings, threads and mailboxes.
//!
//! Owns: the shards (one thread, core, ring and set of sockets each), and their start and end. It never names
//! a SIP header and reads no configuration file: what it needs comes in as [`Options`] and a table.
//! Times are microseconds on one clock for all shards, sizes are bytes.

pub mod counters;

mod addr;
mod clock;
mod inherited;
mod mailbox;
mod mmsg;
mod options;
mod packet_io;
mod report;
mod send_queue;
mod shard;
mod shards;
mod sockets;
mod start;
pub(crate) mod sys;
mod uring;

pub use options::{Io, Options, Steering};
pub use report::{SocketBuffers, StartError, StartReport};
pub use shards::{InstallError, Shards, Snapshot, SnapshotError};
