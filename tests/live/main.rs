//! Calls through the real edge binary: SIPp phones in front of it, SIPp servers and Kamailio behind it.
//!
//! Owns: the list of cases. Each case starts its own edge, phones and backends as child processes on loopback (or in
//! network namespaces of its own), lets them talk, and then compares what every party logged. See `runner` for
//! how cases are chosen, skipped and counted, and `harness` for the parties.
//!
//! `cargo test --test live -- [NAME..]` runs the cases whose name contains one of NAME.

mod asterisk;
mod checks;
mod death;
mod family;
mod flows;
mod fragments;
mod harness;
mod heal;
mod load;
mod registrar;
mod runner;
mod stalls;
mod trace;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut cases = Vec::new();
    cases.extend(checks::cases());
    cases.extend(flows::cases());
    cases.extend(registrar::cases());
    cases.extend(family::cases());
    cases.extend(fragments::cases());
    cases.extend(death::cases());
    cases.extend(load::cases());
    cases.extend(trace::cases());
    cases.extend(heal::cases());
    cases.extend(asterisk::cases());
    runner::run(&cases)
}
