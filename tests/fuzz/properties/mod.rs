//! What must hold for any bytes, beyond that nothing panics: one function for each fuzz target.
//!
//! Owns: the list of targets. The fuzzer (`libfuzzer.rs`) and the replay under stable Rust (`replay.rs`) both run these
//! functions, so that what one finds the other keeps found. A property that does not hold panics.

mod changes;
#[cfg(feature = "linux")]
mod config;
pub(crate) mod core;
mod framing;
mod message;
mod naive;
pub(crate) mod samples;
mod second_opinion;
mod token;
mod uri;
mod via;

// The world of the abuse tests: its tables, peers, strokes and promises serve a fuzzer too.
#[path = "../../robust/mutate.rs"]
pub(crate) mod mutate;
#[path = "../../robust/promises.rs"]
mod promises;
#[path = "../../robust/random.rs"]
pub(crate) mod random;
#[path = "../../robust/seeds.rs"]
pub(crate) mod seeds;
#[path = "../../robust/world.rs"]
#[expect(dead_code, reason = "here the input chooses, and need not have seen everything")]
mod world;

/// One target.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    /// Its name on the command line and of its corpus.
    pub(crate) name: &'static str,
    /// Judges our own code.
    pub(crate) check: fn(&[u8]),
    /// Judges it against other software, where there is some: its time is not bounded.
    pub(crate) compare: fn(&[u8]),
    /// The input has lines of SIP.
    pub(crate) has_lines: bool,
}

const COUNT: usize = if cfg!(feature = "linux") { 7 } else { 6 };

/// All targets.
pub(crate) const TARGETS: [Target; COUNT] = [
    target("uri", uri::check).compared(second_opinion::uri),
    target("via", via::check).compared(second_opinion::via),
    target("token", token::check),
    target("framing", framing::check).with_lines(),
    target("message", message::check).compared(second_opinion::message).with_lines(),
    target("core", core::check).with_lines(),
    #[cfg(feature = "linux")]
    target("config", config::check),
];

const fn target(name: &'static str, check: fn(&[u8])) -> Target {
    Target { name, check, compare: |_| {}, has_lines: false }
}

impl Target {
    const fn compared(self, compare: fn(&[u8])) -> Self {
        Self { compare, ..self }
    }

    const fn with_lines(self) -> Self {
        Self { has_lines: true, ..self }
    }
}

/// The target of this name.
pub(crate) fn find(name: &str) -> Option<Target> {
    TARGETS.into_iter().find(|target| target.name == name)
}

/// As much of the input as a datagram holds.
fn datagram(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(sipedge::sip::MESSAGE_BYTES_MAX)]
}
