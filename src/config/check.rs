//! From what is written to what is meant: every value is judged, alone and against the others.
//!
//! Owns: the order of the checks. All of them run, whatever the earlier ones found, so that an operator sees
//! everything at once; a configuration comes out only when none found an error.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use super::file::{At, File};
use super::problem::{Problems, did_you_mean};
use super::{Config, address};

mod admin;
mod backends;
mod dispatcher;
mod dns;
mod failover;
mod found;
mod limits;
mod listen;
mod load_cap;
mod node;
mod pool;
pub(super) mod probe;
mod route;
mod shares;
mod sides;
mod trace;

pub(super) use pool::is_ours;

/// Judges `file`, which was read from `path`.
pub(super) fn check(file: &File, path: &Path, problems: &mut Problems) -> Option<Config> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let node = node::check(&file.node, folder, problems);
    let listeners = listen::check(&file.listen, problems);
    let (limits, shard_limits) = limits::check(&file.limits, problems);
    let pools = pool::check(file, &listeners, folder, problems);
    let rules = route::check(file, problems);
    let sides = sides::check(file, &listeners, &pools, problems);
    let admin = admin::check(&file.admin, folder, problems);
    let trace = trace::check(file, folder, problems);
    if problems.has_errors() {
        return None;
    }
    let listeners = listeners.into_iter().flatten().collect();
    let pools = pools.into_iter().flatten().collect();
    let anycast = probe::anycast(&file.listen).collect();
    Some(Config {
        node: node?,
        listeners,
        anycast,
        sides,
        pools,
        rules,
        limits,
        shard_limits,
        admin: admin?,
        trace,
    })
}

/// Turns a complaint about a value into a problem at its place.
fn accept<T, U>(
    at: &At<U>,
    result: Result<T, address::Complaint>,
    problems: &mut Problems,
) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(complaint) => {
            problems.error(&at.span, complaint.message, complaint.help);
            None
        }
    }
}

/// A name that must be there, not be empty, and be the only one of its kind.
fn unique_name<'a>(
    name: Option<&'a At<String>>,
    section: &Range<usize>,
    kind: &str,
    seen: &mut HashMap<&'a str, ()>,
    problems: &mut Problems,
) -> Option<String> {
    let Some(name) = name else {
        problems.missing(section, format!("this {kind} has no name"), "write name = \"..\"");
        return None;
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.value.is_empty() || !name.value.chars().all(plain) {
        let message = format!("\"{}\" cannot be the name of a {kind}", name.value);
        problems.error(&name.span, message, "use letters, digits, and - _ . only");
        return None;
    }
    if seen.insert(&name.value, ()).is_some() {
        let message = format!("another {kind} is called \"{}\" already", name.value);
        problems.error(&name.span, message, "give each its own name");
        return None;
    }
    Some(name.value.clone())
}

/// The place of a name among those of its kind; an unknown one is reported.
fn find_name<'a>(
    name: &At<String>,
    kind: &str,
    names: impl Iterator<Item = Option<&'a At<String>>>,
    problems: &mut Problems,
) -> Option<usize> {
    let names: Vec<&str> = names.map(|name| name.map_or("", |name| &name.value)).collect();
    let found = names.iter().position(|&known| known == name.value);
    if found.is_none() {
        let known: Vec<&str> = names.into_iter().filter(|known| !known.is_empty()).collect();
        let help = match did_you_mean(&name.value, &known) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None if known.is_empty() => format!("there is no {kind}; add a section for it"),
            None => format!("known: {}", known.join(", ")),
        };
        problems.missing(&name.span, format!("no {kind} is called \"{}\"", name.value), help);
    }
    found
}

/// A number within bounds, or nothing and a problem.
fn within(at: &At<i64>, what: &str, bounds: Range<i64>, problems: &mut Problems) -> Option<i64> {
    if bounds.contains(&at.value) {
        return Some(at.value);
    }
    let help = format!("write a number from {} to {}", bounds.start, bounds.end - 1);
    problems.error(&at.span, format!("{what} cannot be {}", at.value), help);
    None
}

/// One of a few words, or nothing and a problem.
fn word<T: Copy>(
    at: &At<String>,
    what: &str,
    words: &[(&str, T)],
    problems: &mut Problems,
) -> Option<T> {
    if let Some(&(_, value)) = words.iter().find(|(word, _)| *word == at.value) {
        return Some(value);
    }
    let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    let help = match did_you_mean(&at.value, &known) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("write one of: {}", known.join(", ")),
    };
    problems.error(&at.span, format!("{what} cannot be \"{}\"", at.value), help);
    None
}
