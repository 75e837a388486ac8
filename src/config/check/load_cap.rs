//! `load_cap` of a `[[pool]]`: how far above the mean a backend may be loaded.
//!
//! Owns: its bounds, and what it does not go with. What a load is, is the core's affair.

use super::super::file::{At, Pool as FilePool};
use super::super::problem::Problems;
use crate::sip::balance::{LoadCap, Spec};

/// `balance` is none when what is written there is none.
pub(super) fn check(
    section: &FilePool,
    balance: Option<Spec>,
    problems: &mut Problems,
) -> Option<LoadCap> {
    let at = section.load_cap.as_ref()?;
    match balance {
        Some(balance) => goes_with(at, balance, problems),
        None if section.balance.is_none() => {}
        None => return None,
    }
    cap(at, problems)
}

/// Only a key can be moved on to the next backend of its own.
fn goes_with(at: &At<f64>, balance: Spec, problems: &mut Problems) {
    let why = match balance {
        Spec::Rendezvous => return,
        Spec::Kamailio { algorithm: 0..=3 | 5 | 7, .. } => {
            "picks as a Kamailio does, which knows no cap"
        }
        Spec::LeastLoad | Spec::Kamailio { algorithm: 10, .. } => "looks at the load already",
        _ => "has no key that a cap could move",
    };
    let message = format!("load_cap with balance = \"{balance}\": that {why}");
    problems.error(&at.span, message, "leave load_cap out, or write balance = \"rendezvous\"");
}

fn cap(at: &At<f64>, problems: &mut Problems) -> Option<LoadCap> {
    let (min, max) = (LoadCap::MIN.times(), LoadCap::MAX.times());
    if (min..=max).contains(&at.value) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "positive, and at most 100,000"
        )]
        let thousandths = (at.value * 1_000.0).round() as u32;
        return Some(LoadCap::of_thousandths(thousandths));
    }
    let help = format!("write a number from {min} to {max}: 1.25 is a quarter above the mean");
    problems.error(&at.span, format!("load_cap cannot be {}", at.value), help);
    None
}
