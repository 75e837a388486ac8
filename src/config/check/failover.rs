//! `failover` of a `[[pool]]`: on which answers, how often, after how long.
//!
//! Owns: its meaning and its defaults. What it does to a request is the core's affair.

use super::super::Target;
use super::super::file::{At, Count, Failover as Section};
use super::super::problem::Problems;
use super::found::Found;
use super::within;
use crate::sip::route::failover::{Failover, StatusSet, TRIES_MAX};

const TRIES: i64 = 2;
const TIMEOUT_MS: i64 = 2000;
/// A caller gives up after 32 seconds (RFC 3261 17.1.1.2, timer B).
const TIMEOUT_MS_MAX: i64 = 30_000;

pub(super) fn check(section: &Section, problems: &mut Problems) -> Option<Failover> {
    let on = section.on.as_ref().filter(|at| !at.value.is_empty());
    let Some(on) = on else {
        let place = section.on.as_ref().map_or(&section.span, |at| &at.span);
        let help = "write on = [\"timeout\", 500, 503], or leave `failover` out";
        problems.error(place, "failover has nothing that it happens on", help);
        return None;
    };
    let mut statuses = Vec::new();
    let mut on_timeout = false;
    for entry in &on.value {
        match &entry.value {
            Count::Word(word) if word == "timeout" => on_timeout = true,
            Count::Number(status @ 300..=699) => {
                statuses.push(u16::try_from(*status).expect("below 700"));
            }
            Count::Word(word) => {
                let message = format!("failover does not know \"{word}\"");
                problems.error(
                    &entry.span,
                    message,
                    "write \"timeout\", or a status without quotes",
                );
            }
            Count::Number(number) => {
                let message = format!("{number} is no answer that fails");
                problems.error(&entry.span, message, "write a status from 300 to 699");
            }
        }
    }
    let number = |at: &Option<At<i64>>, name, bounds, default, problems: &mut Problems| match at {
        Some(at) => within(at, name, bounds, problems),
        None => Some(default),
    };
    let tries_end = i64::from(TRIES_MAX) + 1;
    let tries = number(&section.tries, "tries", 2..tries_end, TRIES, problems);
    let bounds = 100..TIMEOUT_MS_MAX + 1;
    let timeout_ms = number(&section.timeout_ms, "timeout_ms", bounds, TIMEOUT_MS, problems);
    if let Some(at) = section.timeout_ms.as_ref().filter(|_| !on_timeout) {
        let help = "add \"timeout\" to `on`, or leave timeout_ms out";
        problems.warning(&at.span, "timeout_ms says nothing without \"timeout\"", help);
    }
    let timeout_us = u64::try_from(timeout_ms?).ok()? * 1_000;
    Some(Failover {
        statuses: StatusSet::of(&statuses),
        timeout_us: if on_timeout { timeout_us } else { 0 },
        tries: u8::try_from(tries?).ok()?,
    })
}

/// With one backend there is no other; a name may stand for several.
pub(super) fn has_candidates(section: &Section, backends: &[Found], problems: &mut Problems) {
    if let [only] = backends
        && matches!(only.backend.target, Target::Address(..))
    {
        let help = "name a second backend, or leave `failover` out";
        problems.warning(&section.span, "failover needs more than one backend", help);
    }
}
