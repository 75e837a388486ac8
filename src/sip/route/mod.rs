//! Where to: from a parsed message and the table to a next hop.
//!
//! Owns: the ways in order: `dialog` (our own Route), `request` (backend, rule), `response` (top Via); hosts by value
//! (`domain`). Knows nothing of sockets or of how a table was made.

pub mod dialog;
pub mod domain;
pub mod failover;
pub mod key;
pub mod request;
pub mod response;
pub mod sides;
pub mod table;
