//! sipedge: a SIP edge and load balancer.
//!
//! The way of a packet, top to bottom:
//! 1. `ebpf/reuseport.bpf.c` picks the shard's socket (kernel).
//! 2. `datapath::shard` receives a batch through `datapath::packet_io`.
//! 3. `sip::steer` says whose message it is; a wrong pick goes over the mailbox.
//! 4. `sip::core` parses (`sip::message`), checks, finds the way (`sip::route`, `sip::token`),
//! 5. picks a backend (`sip::balance`), and records what changes (`sip::edit`).
//! 6. The shard applies the edits into a send buffer and sends the batch.
//! 7. `control` builds the `sip::route::table::Table`, hands it over by mailbox, and reads counters.
#![deny(unsafe_op_in_unsafe_fn)]

#[cfg(feature = "linux")]
pub mod admin;
#[cfg(feature = "linux")]
pub mod bpf;
#[cfg(feature = "linux")]
pub mod cli;
#[cfg(feature = "linux")]
pub mod config;
#[cfg(feature = "linux")]
pub mod control;
#[cfg(feature = "linux")]
pub mod ctl;
#[cfg(feature = "linux")]
pub mod datapath;
#[cfg(feature = "linux")]
pub mod demo;
#[cfg(feature = "linux")]
pub mod run;
#[cfg(feature = "linux")]
pub mod secret;
pub mod sip;
#[cfg(feature = "linux")]
pub mod trace;
