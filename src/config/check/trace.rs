//! `[trace]`: sinks that can be had, names that are there, numbers within their bounds.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::Path;

use super::super::address::Complaint;
use super::super::file::{self, At, File};
use super::super::problem::{Problems, did_you_mean};
use super::super::secret;
use super::super::trace::{Choice, Decisions, Hep, Pcap, Trace};
use super::{accept, within};

const SINK_FORM: &str = "write sink = \"udp:192.0.2.9:9060\" or \"udp:[2001:db8::9]:9060\"";
/// Of decision records, when the file does not say.
const PER_SECOND_DEFAULT: u32 = 10;
const FILE_BYTES_DEFAULT: i64 = 16 << 20;
const FILES_DEFAULT: i64 = 4;

pub(super) fn check(file: &File, folder: &Path, problems: &mut Problems) -> Trace {
    let trace = &file.trace;
    let pools: Vec<&str> =
        file.pool.iter().filter_map(|pool| Some(pool.name.as_ref()?.value.as_str())).collect();
    Trace {
        hep: trace.hep.as_ref().and_then(|at| hep(at, &pools, folder, problems)),
        pcap: trace.pcap.as_ref().and_then(|at| pcap(at, &pools, folder, problems)),
        decisions: trace.decisions.as_ref().and_then(|at| decisions(at, folder, problems)),
    }
}

fn hep(at: &file::Hep, pools: &[&str], folder: &Path, problems: &mut Problems) -> Option<Hep> {
    let choice = choice(&at.choice, pools, problems);
    let node_id = number(&at.node_id, "node_id", (0, i64::from(u32::MAX)), 1, problems);
    let password = at.password.as_ref();
    let password =
        password.and_then(|at| accept(at, secret::text(at.value.expose(), folder), problems));
    let Some(sink) = &at.sink else {
        problems.missing(&at.span, "`hep` has no sink", SINK_FORM);
        return None;
    };
    let sink = accept(sink, udp_sink(&sink.value), problems)?;
    Some(Hep { sink, node_id: u32::try_from(node_id?).ok()?, password, choice })
}

fn pcap(at: &file::Pcap, pools: &[&str], folder: &Path, problems: &mut Problems) -> Option<Pcap> {
    let choice = choice(&at.choice, pools, problems);
    let bounds = (1 << 17, 1 << 32);
    let at_size = &at.file_bytes_max;
    let size = number(at_size, "file_bytes_max", bounds, FILE_BYTES_DEFAULT, problems);
    let files = number(&at.files, "files", (2, 1000), FILES_DEFAULT, problems);
    if at.folder.is_none() {
        problems.missing(
            &at.span,
            "`pcap` has no folder",
            "write folder = \"/var/lib/sipedge/captures\"",
        );
    }
    let place = text(&at.folder, "folder", problems)?;
    Some(Pcap {
        folder: folder.join(place),
        file_bytes_max: u64::try_from(size?).ok()?,
        files: usize::try_from(files?).ok()?,
        choice,
    })
}

fn decisions(at: &file::Decisions, folder: &Path, problems: &mut Problems) -> Option<Decisions> {
    let default = i64::from(PER_SECOND_DEFAULT);
    let rate = number(&at.per_second_max, "per_second_max", (1, 100_000), default, problems);
    let file = text(&at.file, "file", problems).map(|file| folder.join(file));
    Some(Decisions { file, per_second_max: u32::try_from(rate?).ok()? })
}

fn choice(at: &file::Choice, pools: &[&str], problems: &mut Problems) -> Choice {
    let sample = number(&at.sample, "sample", (1, 1_000_000_000), 1, problems).unwrap_or(1);
    let mut named = HashSet::new();
    for pool in at.pool.iter().flat_map(|list| &list.value) {
        if pools.contains(&pool.value.as_str()) {
            named.insert(pool.value.clone());
            continue;
        }
        let help = match did_you_mean(&pool.value, pools) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("the pools are: {}", pools.join(", ")),
        };
        problems.error(&pool.span, format!("no pool is called \"{}\"", pool.value), help);
    }
    let mut pools: Vec<_> = named.into_iter().collect();
    pools.sort();
    Choice {
        sample: u32::try_from(sample).unwrap_or(1),
        pools,
        call_id: text(&at.call_id, "call_id", problems),
        aor: text(&at.aor, "aor", problems),
    }
}

/// `udp:IP:PORT`.
fn udp_sink(text: &str) -> Result<SocketAddr, Complaint> {
    let complain = |message: String| Err(Complaint::new(message, SINK_FORM));
    let Some(rest) = text.strip_prefix("udp:") else {
        return match text.split_once(':') {
            Some((word @ ("tcp" | "tls" | "http"), _)) => {
                complain(format!("HEP over {word} is not there: this build sends it over UDP"))
            }
            _ => complain(format!("\"{text}\" names no transport")),
        };
    };
    match rest.parse::<SocketAddr>() {
        Ok(sink) if sink.port() != 0 && !sink.ip().is_unspecified() => Ok(sink),
        Ok(_) => complain(format!("nobody can hear at {rest}")),
        Err(_) => complain(format!(
            "\"{rest}\" is no IP address with a port; names are not looked up here"
        )),
    }
}

fn text(at: &Option<At<String>>, name: &str, problems: &mut Problems) -> Option<String> {
    let at = at.as_ref()?;
    if at.value.is_empty() {
        problems.error(
            &at.span,
            format!("`{name}` is empty"),
            "write a text, or leave the key out",
        );
        return None;
    }
    Some(at.value.clone())
}

/// A number from the first to the last; without one the default.
fn number(
    at: &Option<At<i64>>,
    name: &str,
    (first, last): (i64, i64),
    default: i64,
    problems: &mut Problems,
) -> Option<i64> {
    at.as_ref().map_or(Some(default), |at| within(at, name, first..last + 1, problems))
}
