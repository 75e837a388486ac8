//! The kernel's side of the data path, with a real kernel: steering by eBPF, and whole shards on loopback.
//!
//! What this process may not do is skipped, and says so on a line that starts with `skipped:`.

mod fragments;
mod group;
mod measure;
mod shards;
mod steering;
