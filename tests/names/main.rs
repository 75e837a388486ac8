//! Names of backends against a real DNS server on loopback: Knot, with zones that the tests write.
//!
//! Owns: the cases. `server` starts Knot and changes its zones, `asker` keeps a name fresh and waits for what is told of it.
//! Nothing waits for time alone: a case waits for an event, with a deadline.
#![cfg(feature = "linux")]

mod asker;
mod broken;
mod changes;
mod check;
mod records;
mod server;
