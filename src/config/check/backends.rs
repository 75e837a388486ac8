//! The backends of a pool: written in the configuration, or in a dispatcher list beside it.
//!
//! Owns: weights, and how a destination of a list becomes a backend. What a list says in vain is told by `dispatcher`.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;

use super::super::Declared;
use super::super::address::Complaint;
use super::super::file::{At, Backend as FileBackend, Pool as FilePool};
use super::super::list::{self, Flags, List};
use super::super::problem::{Problems, Severity};
use super::super::{Backend, Target, address};
use super::dispatcher::{self, Listed};
use super::found::{Found, Place};
use super::{accept, within};
use crate::sip::balance::{Detail, Spec};

/// A backend without a weight has this one.
pub(super) const WEIGHT_DEFAULT: u32 = 100;
const WEIGHTS: std::ops::Range<i64> = 1..65_536;
/// As a dispatcher list has them.
const PRIORITIES: std::ops::Range<i64> = -1_000..1_001;
/// Calls at a time; 0 for any number.
const LOADS: std::ops::Range<i64> = 0..1_000_001;
/// The set of a list when none is named.
const SET_DEFAULT: i64 = 1;
/// Kamailio's slots are 100 in all.
const KAMAILIO_WEIGHTS: std::ops::Range<i64> = 1..101;

pub(super) fn check(
    section: &FilePool,
    balance: Spec,
    folder: &Path,
    socket: Option<SocketAddr>,
    problems: &mut Problems,
) -> Vec<Found> {
    if let (Some(set), None) = (&section.set, &section.list) {
        problems.error(&set.span, "`set` without `list`", "write list = \"dispatcher.list\" too");
    }
    match (&section.backends, &section.list) {
        (Some(backends), None) if !backends.value.is_empty() => {
            backends.value.iter().filter_map(|entry| written(entry, balance, problems)).collect()
        }
        (None, Some(list)) => {
            let set = section.set.as_ref();
            listed(list, set, balance, folder, socket, problems)
        }
        (Some(backends), Some(list)) => {
            let message = "this pool has both `backends` and `list`";
            problems.error(&list.span, message, "keep one of them");
            backends.value.iter().filter_map(|entry| written(entry, balance, problems)).collect()
        }
        (empty, None) => {
            let place = empty.as_ref().map_or(&section.span, |empty| &empty.span);
            let help =
                "write backends = [{ uri = \"sip:10.0.0.1:5060\" }], or list = \"dispatcher.list\"";
            problems.missing(place, "this pool has no backends", help);
            Vec::new()
        }
    }
}

fn written(entry: &FileBackend, balance: Spec, problems: &mut Problems) -> Option<Found> {
    let weight = entry.weight.as_ref().and_then(|at| {
        let kamailio = matches!(balance, Spec::Kamailio { .. });
        let bounds = if kamailio { KAMAILIO_WEIGHTS } else { WEIGHTS };
        within(at, "a weight", bounds, problems).and_then(|weight| u32::try_from(weight).ok())
    });
    let priority = entry.priority.as_ref().and_then(|at| {
        let priority = within(at, "a priority", PRIORITIES, problems)?;
        i32::try_from(priority).ok()
    });
    let max_load = entry.max_load.as_ref().and_then(|at| max_load(at, balance, problems));
    let max_load = max_load.unwrap_or(0);
    let Some(uri) = &entry.uri else {
        let help = "write uri = \"sip:10.0.0.1:5060\"";
        problems.missing(&entry.span, "this backend has no uri", help);
        return None;
    };
    let target = accept(uri, address::backend(&uri.value), problems)?;
    let weight = weight.unwrap_or(0);
    let backend = Backend {
        uri: uri.value.clone(),
        target,
        weight: weight_or_default(weight, balance),
        rweight: weight,
        priority: priority.unwrap_or(0),
        usable: true,
        declared: Declared::Active,
        probed: true,
        ping_from: None,
        detail: Detail { max_load, priority: priority.unwrap_or(0), ..Detail::default() },
    };
    Some(Found { backend, place: Place::Span(uri.span.clone()) })
}

/// Who counts no calls cannot bound them.
fn max_load(at: &At<i64>, balance: Spec, problems: &mut Problems) -> Option<u32> {
    if !matches!(balance, Spec::Kamailio { algorithm: 10, .. }) {
        let message = format!("balance = \"{balance}\" does not look at `max_load`");
        problems.warning(&at.span, message, "write balance = \"kamailio:10\", or leave it out");
    }
    let max_load = within(at, "max_load", LOADS, problems)?;
    u32::try_from(max_load).ok()
}

/// Without a weight all are alike, except to Kamailio's algorithms: those do without weights then.
fn weight_or_default(weight: u32, balance: Spec) -> u32 {
    match (weight, balance) {
        (0, Spec::Kamailio { .. }) => 0,
        (0, _) => WEIGHT_DEFAULT,
        (weight, _) => weight,
    }
}

/// Kamailio's flags name the same states.
const fn declared(flags: Flags) -> Declared {
    if flags.has(Flags::DISABLED) {
        Declared::Disabled
    } else if flags.has(Flags::INACTIVE) {
        Declared::Inactive
    } else if flags.has(Flags::TRYING) {
        Declared::Trying
    } else {
        Declared::Active
    }
}

fn listed(
    at: &At<String>,
    set: Option<&At<i64>>,
    balance: Spec,
    folder: &Path,
    socket: Option<SocketAddr>,
    problems: &mut Problems,
) -> Vec<Found> {
    let number = match set {
        Some(set) => within(set, "a set", 0..i64::from(u32::MAX) + 1, problems),
        None => Some(SET_DEFAULT),
    };
    let Some(number) = number.and_then(|number| u32::try_from(number).ok()) else {
        return Vec::new();
    };
    let path = folder.join(&at.value);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => {
            let message = format!("the list {} cannot be read: {error}", path.display());
            let help = "name a dispatcher list, relative to the folder of this configuration";
            problems.error(&at.span, message, help);
            return Vec::new();
        }
    };
    let text = text.strip_prefix(list::BYTE_ORDER_MARK).unwrap_or(&text);
    let file = problems.add_file(&path, text);
    let list = List::parse(text);
    for problem in &list.problems {
        let severity = match problem.severity {
            list::Severity::Error => Severity::Error,
            list::Severity::Warning => Severity::Warning,
        };
        let place = (problem.line, problem.column);
        problems.in_file(severity, file, place, problem.message.clone(), problem.help);
    }
    if list.set(number).is_empty() {
        let message = format!("{} has no destination in set {number}", path.display());
        let sets: BTreeSet<String> =
            list.entries().iter().map(|entry| entry.set.to_string()).collect();
        let sets: Vec<String> = sets.into_iter().collect();
        problems.missing(&at.span, message, format!("sets in it: {}", sets.join(", ")));
    }
    let entries = list.set(number);
    dispatcher::check(&Listed { entries, text, file, balance, socket }, problems);
    let lines: Vec<&str> = text.lines().collect();
    let column = |line: usize, uri: &str| {
        let line = lines.get(line - 1).copied().unwrap_or_default();
        // A destination without a scheme has `sip:` put in front.
        let written = uri.strip_prefix("sip:").filter(|_| !line.contains(uri)).unwrap_or(uri);
        line.find(written).map_or(1, |at| at + 1)
    };
    let entry = |entry: &list::Entry| {
        let place = (entry.line, column(entry.line, &entry.uri));
        match address::backend(&entry.uri) {
            Ok(Target::Name(name)) if entry.flags.says_no_dns() => {
                let message = format!("{name} is left out: its flags say not to look it up (16)");
                let help = "write its IP address, or take 16 from its flags";
                problems.in_file(Severity::Warning, file, place, message, help);
                None
            }
            Ok(target) => {
                let backend = Backend {
                    uri: entry.uri.clone(),
                    target,
                    weight: weight_or_default(entry.attributes.weight, balance),
                    rweight: entry.attributes.rweight,
                    priority: entry.priority,
                    usable: entry.flags.is_usable(),
                    declared: declared(entry.flags),
                    probed: !entry.flags.has(Flags::NEVER_PROBED),
                    ping_from: entry.attributes.ping_from.clone(),
                    detail: entry.detail(),
                };
                Some(Found { backend, place: Place::Line(file, place) })
            }
            Err(complaint) => {
                let Complaint { message, help } = complaint;
                problems.in_file(Severity::Error, file, place, message, help);
                None
            }
        }
    };
    entries.iter().filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::parse;
    use super::{Declared, Flags, declared};

    #[test]
    fn flags_name_the_state_that_a_backend_starts_in() {
        let rows = [
            (0, Declared::Active),
            (8, Declared::Active),
            (2, Declared::Trying),
            (1, Declared::Inactive),
            (9, Declared::Inactive),
            (4, Declared::Disabled),
            (7, Declared::Disabled),
        ];
        for (flags, expected) in rows {
            assert_eq!(declared(Flags(flags)), expected, "{flags}");
        }
    }

    #[test]
    fn problems_of_a_list_point_into_the_list() {
        let folder = std::env::temp_dir().join(format!("sipedge-list-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let list = "1 sip:10.0.0.1\n1 sip:registrar.example.com;transport=tcp\n\
                    1 sip:quiet.example.com 16\n1 pool.example.com 8\n";
        std::fs::write(folder.join("d.list"), list).unwrap();
        let text = "[[listen]]\nname = \"a\"\naddress = \"udp:192.0.2.1:5060\"\n[[pool]]\nname = \"p\"\nlist = \"d.list\"\n\
                        [[route]]\npool = \"p\"\n";
        let problems = parse(&folder.join("a.toml"), text).expect_err("a transport of later");
        std::fs::remove_dir_all(&folder).unwrap();
        let found = problems.sorted();
        let (places, messages): (Vec<_>, Vec<_>) =
            found.iter().map(|p| (problems.place(p), p.message.as_str())).unzip();
        assert_eq!(found.len(), 2, "{messages:?}");
        assert!(places[0].ends_with("d.list:2:3") && messages[0].contains("comes later"));
        assert!(places[1].ends_with("d.list:3:3") && messages[1].contains("left out"));
    }

    #[test]
    fn a_set_that_is_not_there_names_those_that_are() {
        let folder = std::env::temp_dir().join(format!("sipedge-set-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("d.list"), "7 sip:10.0.0.1\n3 sip:10.0.0.2\n").unwrap();
        let text = "[[listen]]\nname = \"a\"\naddress = \"udp:192.0.2.1:5060\"\n[[pool]]\nname = \"p\"\nlist = \"d.list\"\n\
                    set = 4\n[[route]]\npool = \"p\"\n";
        let problems = parse(&folder.join("a.toml"), text).expect_err("no set 4");
        std::fs::remove_dir_all(&folder).unwrap();
        let found = problems.sorted();
        assert_eq!(found.len(), 1, "{problems}");
        assert!(found[0].message.ends_with("has no destination in set 4"), "{problems}");
        assert_eq!(found[0].help, "sets in it: 3, 7");
    }
}
