//! Where to: from a parsed message and the table to a next hop.
//!
//! Owns: the order in which routes are tried. Knows nothing of sockets or of how a table was made.

pub mod table;
