//! From a configuration to the parts of a routing table, for who has no node that runs.
//!
//! Owns: the one way for `check`, `explain` and the demo: the table that `run` starts with, when nothing is known of health.

use super::fleet::{Fleet, Standing};
use super::resolve::Known;
use crate::config::Config;
use crate::sip::balance::spec::Spec;
use crate::sip::route::table::Parts;

/// Compiles `config` for `shards` shards, when no name of a backend was looked up yet.
///
/// # Errors
/// When the members of a pool cannot be balanced the way that it says.
pub fn table(config: &Config, shards: u8) -> Result<Parts, String> {
    table_with_names(config, &Known::default(), shards)
}

/// Compiles `config` for `shards` shards. A backend whose name is not in `names` contributes no member.
///
/// # Errors
/// As [`table`].
pub fn table_with_names(config: &Config, names: &Known, shards: u8) -> Result<Parts, String> {
    let fleet = Fleet::new(config, names)?;
    Ok(fleet.parts(config, shards, &|_, member| Standing::declared(member)))
}

/// Whether the balance of a pool looks at weights: what `check` prints depends on it.
#[must_use]
pub const fn uses_weights(spec: Spec) -> bool {
    matches!(
        spec,
        Spec::Rendezvous
            | Spec::Weight
            | Spec::LeastLoad
            | Spec::Latency
            | Spec::Kamailio { algorithm: 9 | 11, .. }
    )
}
