//! Moves bytes: sockets, rings, threads and mailboxes.
//!
//! Owns: the shards (one thread, core, ring and set of sockets each), and their start and end. It never names
//! a SIP header and reads no configuration file: what it needs comes in as [`Options`] and a table.
//! Times are microseconds on one clock for all shards, sizes are bytes.

pub mod counters;
pub mod small_histogram;
pub mod tap;
pub mod tap_filter;
pub mod traffic;

mod addr;
mod clock;
mod icmp;
mod inherited;
mod io_counts;
mod mailbox;
mod mmsg;
mod options;
mod packet_io;
mod process;
mod report;
mod reports;
mod send_queue;
mod shard;
mod shards;
mod sockets;
mod start;
mod steering;
pub(crate) mod sys;
mod uring;

pub use mailbox::Outgoing;
pub use options::{Io, Options, Steering};
pub use process::{give_way, keep_off, raise_open_files};
pub use report::{SocketBuffers, StartError, StartReport};
pub use reports::{Report, Reports};
pub use shards::{InstallError, SendError, Shards, Snapshot, SnapshotError};
pub use steering::steer;
