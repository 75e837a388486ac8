//! What must hold for any bytes, beyond that nothing panics: one function for each fuzz target.
//!
//! Owns: the list of targets. The fuzzer (`libfuzzer.rs`) and the replay under stable Rust (`replay.rs`) both run these
//! functions, so that what one finds the other keeps found. A property that does not hold panics.

#[cfg(feature = "linux")]
mod config;
mod framing;
pub(crate) mod seeds;
mod token;
mod uri;
mod via;

/// One target.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    /// Its name on the command line and of its corpus.
    pub(crate) name: &'static str,
    /// Judges our own code.
    pub(crate) check: fn(&[u8]),
    /// Judges it against other software, where there is some: its time is not bounded.
    pub(crate) compare: fn(&[u8]),
    /// Bound on `check` in the fuzzer: about ten times what the slowest known input takes there.
    pub(crate) nanoseconds_per_byte: i64,
}

const COUNT: usize = if cfg!(feature = "linux") { 5 } else { 4 };

/// All targets.
pub(crate) const TARGETS: [Target; COUNT] = [
    Target { name: "uri", check: uri::check, compare: nothing, nanoseconds_per_byte: 2_000 },
    Target { name: "via", check: via::check, compare: nothing, nanoseconds_per_byte: 2_000 },
    Target { name: "token", check: token::check, compare: nothing, nanoseconds_per_byte: 2_000 },
    Target { name: "framing", check: framing::check, compare: nothing, nanoseconds_per_byte: 2_000 },
    #[cfg(feature = "linux")]
    Target { name: "config", check: config::check, compare: nothing, nanoseconds_per_byte: 20_000 },
];

/// The target of this name.
pub(crate) fn find(name: &str) -> Option<Target> {
    TARGETS.into_iter().find(|target| target.name == name)
}

/// No other software to compare with.
fn nothing(_bytes: &[u8]) {}

/// As much of the input as a datagram holds.
fn datagram(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(sipedge::sip::MESSAGE_BYTES_MAX)]
}
