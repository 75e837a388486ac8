//! The edge as a service: the units are sound and closed, and a socket that systemd bound is used.
//!
//! Owns: what is promised in `systemd/`. Needs programs of systemd, never a running one. Words of sd_notify(3) are tested
//! beside their code.
#![cfg(feature = "linux")]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

mod activation;
mod rights;
mod units;

/// Whether the program is there.
fn has(program: &str) -> bool {
    let asked = Command::new(program).arg("--version").stdout(Stdio::null()).status();
    if asked.is_ok() {
        return true;
    }
    skip(&format!("needs {program} (apt install systemd util-linux)"));
    false
}

/// A skip that the summary counts, or a failure where none may be.
fn skip(why: &str) {
    assert!(std::env::var("SIPEDGE_REQUIRE_LIVE").as_deref() != Ok("1"), "{why}");
    // Not `eprintln!`: that is captured while the test passes.
    writeln!(std::io::stderr(), "skipped: {why}").expect("standard error is open");
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
