//! The slow side: reads the configuration, starts the shards, answers the operator.
//!
//! Owns: everything that may allocate, block or wait. It reaches shards by mailbox only, and what it gives them
//! is a finished `sip::route::table::Table`. It must never touch what a shard uses while it handles a message.

pub mod compile;
pub mod event;
pub mod explain;
pub mod fleet;
pub mod health;
pub mod networks;
pub mod node;
pub mod notify;
pub mod reload;
pub mod resolve;
pub mod summary;
pub mod view;
