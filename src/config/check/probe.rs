//! `probe` and `slow_start_s` of a pool: how its backends are probed, and from where.
//!
//! Owns: the bounds of each setting, and the rule that a probe leaves from an address of this node alone.

use std::net::SocketAddr;

use super::super::alive::{Alive, Codes};
use super::super::file::{At, Count, File, Listen, Pool as FilePool, Probe, ProbeTable};
use super::super::problem::Problems;
use super::super::{EASED_MAX_PERCENT, Settings};
use super::super::{Target, address};
use super::found::{Found, Place};
use super::{find_name, within};
use crate::sip::ListenerId;
use crate::sip::route::table::Listener;

const INTERVALS_MS: std::ops::Range<i64> = 100..3_600_001;
const TIMEOUTS_MS: std::ops::Range<i64> = 50..60_001;
const TURNS: std::ops::Range<i64> = 1..101;
const SLOW_STARTS_S: std::ops::Range<i64> = 0..3_601;
const PERCENTS: std::ops::Range<i64> = 0..101;
/// Requests that want more than one answer: nobody probes with these.
const NO_PROBES: [&str; 4] = ["INVITE", "ACK", "CANCEL", "BYE"];

/// What could send to a pool.
pub(super) struct Senders<'a> {
    pub(super) file: &'a File,
    pub(super) listeners: &'a [Option<Listener>],
}

/// The settings of a pool's probes; none when they are off.
pub(super) fn check(
    section: &FilePool,
    senders: &Senders<'_>,
    found: &[Found],
    problems: &mut Problems,
) -> Option<Settings> {
    let mut settings = Settings::default();
    let table = match &section.probe {
        Some(Probe::Word(word)) => {
            if word.value != "off" {
                let message = format!("probe cannot be \"{}\"", word.value);
                let help =
                    "write \"off\", or a table like { interval_ms = 10000 }; without it, it is on";
                problems.error(&word.span, message, help);
            }
            return None;
        }
        Some(Probe::Table(table)) => Some(table.as_ref()),
        None => None,
    };
    if let Some(table) = table {
        read(table, senders, &mut settings, problems);
    }
    leaves_from(section, table, senders, &settings, found, problems);
    Some(settings)
}

/// `slow_start_s`.
pub(super) fn slow_start_s(section: &FilePool, problems: &mut Problems) -> u32 {
    let at = section.slow_start_s.as_ref();
    let seconds = at.and_then(|at| within(at, "slow_start_s", SLOW_STARTS_S, problems));
    seconds.and_then(|seconds| u32::try_from(seconds).ok()).unwrap_or(0)
}

/// `eased_max_percent`.
pub(super) fn eased_max_percent(section: &FilePool, problems: &mut Problems) -> u8 {
    let at = section.eased_max_percent.as_ref();
    let percent = at.and_then(|at| within(at, "eased_max_percent", PERCENTS, problems));
    percent.and_then(|percent| u8::try_from(percent).ok()).unwrap_or(EASED_MAX_PERCENT)
}

/// The listeners whose address several nodes share.
pub(super) fn anycast(listen: &[Listen]) -> impl Iterator<Item = ListenerId> + '_ {
    let marked = |listen: &Listen| listen.anycast.as_ref().is_some_and(|at| at.value);
    let all = (0..).map(ListenerId).zip(listen);
    all.filter(move |(_, listen)| marked(listen)).map(|(id, _)| id)
}

/// The listener for probes to an address of this family: the first wish that can, else the first of the unicast ones.
pub(in super::super) fn listener(
    unicast: impl Iterator<Item = (ListenerId, SocketAddr)>,
    wishes: [Option<ListenerId>; 2],
    is_ipv4: bool,
) -> Option<ListenerId> {
    let fit = unicast.filter(|(_, address)| address.is_ipv4() == is_ipv4).map(|(id, _)| id);
    let fit: Vec<ListenerId> = fit.collect();
    let wished = wishes.into_iter().flatten().find(|wish| fit.contains(wish));
    wished.or_else(|| fit.first().copied())
}

fn read(
    table: &ProbeTable,
    senders: &Senders<'_>,
    settings: &mut Settings,
    problems: &mut Problems,
) {
    let mut number = |at: &Option<At<i64>>, what: &str, bounds: std::ops::Range<i64>| {
        let value = within(at.as_ref()?, what, bounds, problems)?;
        u32::try_from(value).ok()
    };
    if let Some(ms) = number(&table.interval_ms, "interval_ms", INTERVALS_MS) {
        settings.interval_us = u64::from(ms) * 1_000;
    }
    if let Some(ms) = number(&table.timeout_ms, "timeout_ms", TIMEOUTS_MS) {
        settings.timeout_us = u64::from(ms) * 1_000;
    }
    settings.rise = number(&table.rise, "rise", TURNS).unwrap_or(settings.rise);
    settings.fall = number(&table.fall, "fall", TURNS).unwrap_or(settings.fall);
    if let Some(at) = table.timeout_ms.as_ref().or(table.interval_ms.as_ref())
        && settings.timeout_us > settings.interval_us
    {
        let (timeout, interval) = (settings.timeout_us / 1_000, settings.interval_us / 1_000);
        let message = format!("timeout_ms is {timeout}, more than interval_ms, {interval}");
        problems.error(&at.span, message, "a probe must be over when the next is due");
    }
    if let Some(at) = &table.method {
        method(at, settings, problems);
    }
    if let Some(at) = &table.from {
        if !address::is_sip_uri(&at.value) {
            let message = format!("\"{}\" is no SIP URI", at.value);
            problems.error(&at.span, message, "write from = \"sip:probe@example.com\"");
        }
        settings.from = Some(at.value.clone());
    }
    if let Some(at) = &table.alive {
        settings.alive = alive(at, problems);
    }
    settings.send_from = table.send_from.as_ref().and_then(|at| {
        let names = senders.file.listen.iter().map(|listen| listen.name.as_ref());
        let index = find_name(at, "listener", names, problems)?;
        u8::try_from(index).ok().map(ListenerId)
    });
}

fn method(at: &At<String>, settings: &mut Settings, problems: &mut Problems) {
    let name = at.value.as_str();
    // RFC 3261 25.1: a method is a token, and case-sensitive; none that is known has a small letter.
    let token = |c: char| c.is_ascii_alphanumeric() || "-.!%*_+`'~".contains(c);
    if name.is_empty() || !name.chars().all(token) || name.contains(char::is_lowercase) {
        let message = format!("\"{name}\" is no method");
        problems.error(&at.span, message, "write \"OPTIONS\"");
    } else if NO_PROBES.contains(&name) {
        let message = format!("{name} is no probe: one answer does not end it");
        problems.error(&at.span, message, "write \"OPTIONS\"");
    }
    settings.method = name.to_owned();
}

fn alive(at: &At<Vec<At<Count>>>, problems: &mut Problems) -> Alive {
    const HELP: &str = "write \"default\", \"freeswitch\", or codes like [\"2xx\", 404]";
    let mut codes = Vec::new();
    for entry in &at.value {
        let code = match &entry.value {
            Count::Word(word) if at.value.len() == 1 && word == "default" => return Alive::Default,
            Count::Word(word) if at.value.len() == 1 && word == "freeswitch" => {
                return Alive::FreeSwitch;
            }
            Count::Word(word) => class(word).ok_or_else(|| format!("\"{word}\"")),
            Count::Number(number) => u16::try_from(*number)
                .ok()
                .filter(|code| (200..700).contains(code))
                .map(Codes::One)
                .ok_or_else(|| number.to_string()),
        };
        match code {
            Ok(code) => codes.push(code),
            Err(shown) => {
                let message = format!("{shown} is no final status, nor a class of them");
                problems.error(&entry.span, message, HELP);
            }
        }
    }
    if at.value.is_empty() {
        problems.missing(&at.span, "no answer would be good", HELP);
    }
    Alive::Listed(codes)
}

/// `2xx` to `6xx`, or a code as text.
fn class(word: &str) -> Option<Codes> {
    match word.as_bytes() {
        [digit @ b'2'..=b'6', x, y] if x | 0x20 == b'x' && y | 0x20 == b'x' => {
            Some(Codes::Class(digit - b'0'))
        }
        [b'2'..=b'6', b'0'..=b'9', b'0'..=b'9'] => word.parse().ok().map(Codes::One),
        _ => None,
    }
}

/// Each backend can be probed from an address that this node has alone.
fn leaves_from(
    section: &FilePool,
    table: Option<&ProbeTable>,
    senders: &Senders<'_>,
    settings: &Settings,
    found: &[Found],
    problems: &mut Problems,
) {
    let shared: Vec<ListenerId> = anycast(&senders.file.listen).collect();
    let known = (0..).map(ListenerId).zip(senders.listeners);
    let known: Vec<(ListenerId, &Listener)> =
        known.filter_map(|(id, listener)| Some((id, listener.as_ref()?))).collect();
    if known.len() < senders.listeners.len() {
        return;
    }
    let wish = settings.send_from.and_then(|id| known.iter().find(|(known, _)| *known == id));
    if let (Some((id, listener)), Some(at)) = (wish, table.and_then(|t| t.send_from.as_ref())) {
        if shared.contains(id) {
            let message = format!(
                "\"{}\" is an anycast address: answers to probes may arrive at another node",
                at.value
            );
            problems.error(&at.span, message, "name a listener of this node alone");
            return;
        }
        let other = found
            .iter()
            .find(|found| is_ipv4(found).is_some_and(|is| is != listener.address.is_ipv4()));
        if let Some(other) = other {
            let message =
                format!("{} cannot be reached from \"{}\"", other.backend.uri, listener.name);
            let help = "send_from must name a listener of the same IP family";
            problems.error(&at.span, message, help);
            return;
        }
    }
    for family in [true, false] {
        let Some(first) = found.iter().find(|found| is_ipv4(found) == Some(family)) else {
            continue;
        };
        let is_reached = known.iter().any(|(_, listener)| listener.address.is_ipv4() == family);
        let unicast = known.iter().filter(|(id, _)| !shared.contains(id));
        let unicast = unicast.map(|(id, listener)| (*id, listener.address));
        if is_reached && listener(unicast, [None, None], family).is_none() {
            let message = format!(
                "no probe can reach {}: every {} listener is an anycast address, and answers to that may arrive at \
                 another node",
                first.backend.uri,
                if family { "IPv4" } else { "IPv6" }
            );
            let help =
                "add a [[listen]] with an address of this node alone, or write probe = \"off\"";
            let place = table.map_or(&section.span, |table| &table.span).clone();
            Place::Span(place).error(problems, message, help);
        }
    }
}

/// The IP family that a backend is reached by; none when it is not probed.
fn is_ipv4(found: &Found) -> Option<bool> {
    found.backend.probed.then(|| match &found.backend.target {
        Target::Address(address) => address.is_ipv4(),
        Target::Name(name) => name.families.ipv4,
    })
}

#[cfg(test)]
mod tests;
