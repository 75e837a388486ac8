//! sipedge-load: an open-loop SIP load generator that plays callers and backends around a target.
//!
//! One thread, which never sleeps, turns in `engine`: it sends what is due, takes what arrived, answers, and counts.
//! When a message is due depends on the seed and the rate alone, never on what the target does; latency is measured
//! from that intended moment. Times are nanoseconds on one monotonic clock, sizes are bytes.
//!
//! Owns nothing of the product but uses its views (`sipedge::sip::message`) to judge what the target made of a message.

pub mod cli;
pub mod headroom;
pub mod picture;
pub mod report;
pub mod run;
pub mod scenario;
pub mod search;

mod clock;
mod compare;
mod dialog;
mod engine;
mod flows;
mod machine;
mod pattern;
mod random;
mod schedule;
mod sockets;
mod tally;
mod template;
