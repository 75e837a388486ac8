//! How a pool is probed, and the state that a backend starts in, as the configuration says.
//!
//! Owns: the settings with their defaults. Knows nothing of states or times. Times are microseconds.

use super::alive::Alive;
use crate::sip::ListenerId;

/// At most this part of the usable backends of a pool is eased unless somebody says otherwise: a third keeps its share. Percent.
pub const EASED_MAX_PERCENT: u8 = 67;

/// How a pool is probed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// From one probe of a backend to the next, at most. Microseconds.
    pub interval_us: u64,
    /// How long an answer may take. Microseconds.
    pub timeout_us: u64,
    /// Good probes in a row that make an inactive backend active.
    pub rise: u32,
    /// Failures in a row that make a backend inactive.
    pub fall: u32,
    /// The method of the probe.
    pub method: String,
    /// The URI in its From; none: `sip:sipedge@` and the listener's host.
    pub from: Option<String>,
    /// Which answers say that it is alive.
    pub alive: Alive,
    /// The listener that probes leave from, when the operator says so.
    pub send_from: Option<ListenerId>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            interval_us: 10_000_000,
            timeout_us: 2_000_000,
            rise: 2,
            fall: 2,
            method: "OPTIONS".to_owned(),
            from: None,
            alive: Alive::Default,
            send_from: None,
        }
    }
}

/// What a configuration says about the state that a backend starts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Declared {
    /// It takes new keys.
    #[default]
    Active,
    /// It takes new keys, and a probe soon tells whether it should.
    Trying,
    /// It takes none until good probes say that it may.
    Inactive,
    /// It takes none until somebody says so.
    Disabled,
}

impl std::fmt::Display for Declared {
    /// As the state that follows is called.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Active => "active",
            Self::Trying => "trying",
            Self::Inactive => "inactive",
            Self::Disabled => "disabled",
        })
    }
}
