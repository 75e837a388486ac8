//! Forwarders that parse nothing: how little a message can cost on this machine with a given way to do I/O.
//!
//! Owns: the job that all floors do (`job`) and what they are told (`setup`); one binary for each way of I/O.
//! They ship nothing and check nothing: a product that comes near them spends its time in the kernel.

pub mod job;
pub mod setup;
