//! The slow side: configuration, health, admin. May allocate, block and lock; reaches shards by mailbox only.
pub mod config;
