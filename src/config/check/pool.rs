//! `[[pool]]`: keys, ways to balance, backends.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::path::Path;

use super::super::dns::Name;
use super::super::file::{At, File, Pool as FilePool};
use super::super::problem::{Problems, did_you_mean};
use super::super::{Backend, Pool, Target, address};
use super::found::Found;
use super::probe::{self, Senders};
use super::{accept, find_name, unique_name, word};
use super::{backends, failover, load_cap, shares};
use crate::sip::ListenerId;
use crate::sip::balance::spec::SpecError;
use crate::sip::balance::{BACKENDS_MAX, Spec};
use crate::sip::message::{WATCHED_MAX, Watched};
use crate::sip::route::table::{KeySource, Listener};

const POOLS_MAX: usize = u16::MAX as usize;

/// One entry for each section, none where it has an error: the index stays the pool's number.
pub(super) fn check(
    file: &File,
    listeners: &[Option<Listener>],
    folder: &Path,
    problems: &mut Problems,
) -> Vec<Option<Pool>> {
    if let Some(extra) = file.pool.get(POOLS_MAX) {
        problems.error(&extra.span, format!("more than {POOLS_MAX} pools"), "use fewer");
    }
    let mut names = HashMap::new();
    let mut pools = Vec::new();
    let mut watched = Watched::default();
    for section in &file.pool {
        let name = unique_name(section.name.as_ref(), &section.span, "pool", &mut names, problems);
        let key = section.key.as_ref().and_then(|at| accept(at, key_source(&at.value), problems));
        if let (Some(at), Some(KeySource::Header(name))) = (&section.key, &key)
            && watched.add(name).is_err()
        {
            let message = format!("the pools look at more than {WATCHED_MAX} fields by name");
            let help = "take keys from fields that other pools look at, too, or another key";
            problems.error(&at.span, message, help);
        }
        let balance = section.balance.as_ref().and_then(|at| balance(at, problems));
        key_is_used(section, balance, problems);
        let send_from = send_from(section, file, problems);
        let words = [("address-and-port", false), ("address", true)];
        let match_source = section.match_source.as_ref();
        let match_source = match_source.and_then(|at| word(at, "match_source", &words, problems));
        let spec = balance.unwrap_or_default();
        let socket = socket(send_from, listeners);
        let mut found = backends::check(section, spec, folder, socket, problems);
        set_families(&mut found, send_from, listeners);
        reachable(&found, send_from, listeners, problems);
        let senders = Senders { file, listeners };
        let probe = probe::check(section, &senders, &found, problems);
        let slow_start_s = probe::slow_start_s(section, problems);
        let eased_max_percent = probe::eased_max_percent(section, problems);
        shares::check(spec, &found, problems);
        let failover = section.failover.as_ref().and_then(|failover| {
            failover::has_candidates(failover, &found, problems);
            failover::check(failover, problems)
        });
        let load_cap = load_cap::check(section, balance, problems);
        let backends: Vec<Backend> = found.into_iter().map(|found| found.backend).collect();
        pools.push(name.map(|name| Pool {
            name,
            key: key.unwrap_or(KeySource::CallId),
            balance: spec,
            backends,
            send_from,
            match_source_ip: match_source.unwrap_or(false),
            probe,
            slow_start_s,
            eased_max_percent,
            failover,
            load_cap,
        }));
    }
    pools
}

const KEYS: [&str; 9] = [
    "call-id",
    "from",
    "to",
    "request-uri",
    "aor",
    "presentity",
    "auth-user",
    "source",
    "header:NAME",
];

fn key_source(text: &str) -> Result<KeySource, address::Complaint> {
    if let Some(name) = text.strip_prefix("header:") {
        let token = |c: char| c.is_ascii_alphanumeric() || "-.!%*_+`'~".contains(c);
        if name.is_empty() || !name.chars().all(token) {
            let message = format!("\"{name}\" is no name of a header field");
            return Err(address::Complaint::new(message, "write \"header:X-Tenant\""));
        }
        return Ok(KeySource::Header(name.to_owned()));
    }
    Ok(match text {
        "call-id" => KeySource::CallId,
        "from" => KeySource::From,
        "to" => KeySource::To,
        "request-uri" => KeySource::RequestUri,
        "aor" => KeySource::Aor,
        "presentity" => KeySource::Presentity,
        "auth-user" => KeySource::AuthUser,
        "source" => KeySource::Source,
        _ => {
            let help = match did_you_mean(text, &KEYS) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("write one of: {}", KEYS.join(", ")),
            };
            return Err(address::Complaint::new(format!("no key is called \"{text}\""), help));
        }
    })
}

fn balance(at: &At<String>, problems: &mut Problems) -> Option<Spec> {
    let (message, help) = match Spec::parse(&at.value) {
        Ok(spec) => return Some(spec),
        Err(SpecError::Later { name, instead }) => {
            (format!("balance = \"{name}\" comes later"), instead.to_owned())
        }
        Err(SpecError::NotHere { name, instead }) => {
            (format!("balance = \"{name}\" is not done by the edge"), instead.to_owned())
        }
        Err(SpecError::Unknown(name)) => {
            let plain =
                ["rendezvous", "round-robin", "random", "first", "weight", "least-load", "latency"];
            let help = match did_you_mean(&name, &plain) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("write one of: {}", Spec::NAMES),
            };
            (format!("no balance is called \"{name}\""), help)
        }
    };
    problems.error(&at.span, message, help);
    None
}

/// A `key` that the balance does not look at, or cannot.
fn key_is_used(section: &FilePool, balance: Option<Spec>, problems: &mut Problems) {
    let (Some(at), Some(balance)) = (&section.key, balance) else { return };
    let uses_key = matches!(balance, Spec::Rendezvous | Spec::Kamailio { algorithm: 7, .. });
    if let Spec::Kamailio { algorithm: 7, .. } = balance
        && !(at.value == "call-id" || at.value.starts_with("header:"))
    {
        let message =
            format!("balance = \"{balance}\" hashes a header field, not \"{}\"", at.value);
        problems.error(&at.span, message, "write key = \"header:NAME\" or \"call-id\"");
    }
    if !uses_key {
        let message = format!("balance = \"{balance}\" does not look at `key`");
        problems.warning(&at.span, message, "leave `key` out, or write balance = \"rendezvous\"");
    }
}

fn send_from(section: &FilePool, file: &File, problems: &mut Problems) -> Option<ListenerId> {
    let at = section.send_from.as_ref()?;
    let names = file.listen.iter().map(|listen| listen.name.as_ref());
    let index = find_name(at, "listener", names, problems)?;
    u8::try_from(index).ok().map(ListenerId)
}

/// The one socket that a pool sends from, when there is no choice.
fn socket(send_from: Option<ListenerId>, listeners: &[Option<Listener>]) -> Option<SocketAddr> {
    let listener = match (send_from, listeners) {
        (Some(id), _) => listeners.get(usize::from(id.0))?.as_ref(),
        (None, [only]) => only.as_ref(),
        (None, _) => None,
    };
    listener.map(|listener| listener.address)
}

/// A name is looked up for the IP families that can be sent to.
fn set_families(
    found: &mut [Found],
    send_from: Option<ListenerId>,
    listeners: &[Option<Listener>],
) {
    let only = send_from.map(|id| usize::from(id.0));
    let senders =
        listeners.iter().enumerate().filter(|(place, _)| only.is_none_or(|only| only == *place));
    let senders: Vec<SocketAddr> =
        senders.filter_map(|(_, listener)| Some(listener.as_ref()?.address)).collect();
    for Found { backend, .. } in found {
        if let Target::Name(name) = &mut backend.target {
            name.families.ipv4 = senders.iter().any(SocketAddr::is_ipv4);
            name.families.ipv6 = senders.iter().any(SocketAddr::is_ipv6);
        }
    }
}

/// Each backend once, reachable from a listener, and no listener of our own.
fn reachable(
    found: &[Found],
    send_from: Option<ListenerId>,
    listeners: &[Option<Listener>],
    problems: &mut Problems,
) {
    if found.len() > BACKENDS_MAX {
        let help = "split the pool";
        found[BACKENDS_MAX].place.error(
            problems,
            format!("more than {BACKENDS_MAX} backends"),
            help,
        );
    }
    let mut seen: HashMap<SocketAddr, &str> = HashMap::new();
    let mut seen_names: HashSet<&Name> = HashSet::new();
    let send_from = send_from.and_then(|id| listeners.get(usize::from(id.0))?.as_ref());
    let all_known = !listeners.is_empty() && listeners.iter().all(Option::is_some);
    for Found { backend, place } in found {
        let address = match &backend.target {
            Target::Address(address) => *address,
            Target::Name(name) => {
                if !seen_names.insert(name) {
                    let message = format!("{name} is in this pool already");
                    place.error(problems, message, "name each backend once");
                }
                continue;
            }
        };
        if let Some(other) = seen.insert(address, &backend.uri) {
            let message = format!("{address} is in this pool already, as {other}");
            place.error(problems, message, "name each backend once; use weight for a larger share");
        }
        let ours = listeners.iter().flatten().find(|listener| is_ours(listener, address));
        if let Some(listener) = ours {
            let message = format!("{address} is our own listener \"{}\": a loop", listener.name);
            place.error(problems, message, "name the address of the SIP server behind the edge");
        }
        let fits = |listener: &Listener| listener.address.is_ipv4() == address.is_ipv4();
        let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
        if let Some(listener) = send_from.filter(|listener| !fits(listener)) {
            let message = format!("{address} cannot be reached from \"{}\"", listener.name);
            place.error(problems, message, "send_from must name a listener of the same IP family");
        } else if send_from.is_none() && all_known && !listeners.iter().flatten().any(fits) {
            let message = format!("no listener reaches {address}: none is {family}");
            place.error(problems, message, "add a [[listen]] of the same IP family");
        }
    }
}

/// Whether what is sent to `address` comes back to `listener`.
pub(crate) fn is_ours(listener: &Listener, address: SocketAddr) -> bool {
    let bound = listener.address;
    let advertised = address::literal(&listener.host).map(|ip| SocketAddr::new(ip, listener.port));
    let wildcard = bound.ip().is_unspecified()
        && bound.is_ipv4() == address.is_ipv4()
        && bound.port() == address.port()
        && address.ip().is_loopback();
    bound == address || advertised == Some(address) || wildcard
}
