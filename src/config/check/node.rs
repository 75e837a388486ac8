//! `[node]`: shards, cores, the key ring, the ways to the kernel.

use std::path::Path;

use super::super::address::{is_host_name, literal};
use super::super::file::{At, Count, Node as FileNode};
use super::super::problem::Problems;
use super::super::{Drain, Io, Node, Steering, secret};
use super::{accept, dns, within, word};
use crate::sip::route::domain::Domain;
use crate::sip::route::table::{Key, SHARDS_MAX};

/// Key ids are one base64 digit.
const KEY_IDS: std::ops::Range<i64> = 0..64;
const CORES: std::ops::Range<i64> = 0..1024;
/// A drain longer than an hour is a node that somebody forgot.
const DRAIN_SECONDS: std::ops::Range<i64> = 0..3_601;
const DRAIN_SECONDS_DEFAULT: u32 = 5;

pub(super) fn check(file: &FileNode, folder: &Path, problems: &mut Problems) -> Option<Node> {
    let shards = file.shards.as_ref().and_then(|at| shards(at, problems));
    let cores = cores(file, shards, problems);
    let io = [("auto", Io::Auto), ("io_uring", Io::IoUring), ("recvmmsg", Io::Recvmmsg)];
    let io = file.io.as_ref().and_then(|at| word(at, "io", &io, problems));
    let steering =
        [("auto", Steering::Auto), ("ebpf", Steering::Ebpf), ("kernel", Steering::Kernel)];
    let steering = file.steering.as_ref().and_then(|at| word(at, "steering", &steering, problems));
    let keys = keys(file, folder, problems);
    let keys_by_chance = keys.is_empty();
    let keys = if keys_by_chance { vec![random_key(problems)?] } else { keys };
    Some(Node {
        name: name(file, problems),
        shards,
        cores,
        keys,
        keys_by_chance,
        io: io.unwrap_or_default(),
        steering: steering.unwrap_or_default(),
        aliases: aliases(file, problems),
        drain: drain(file, problems),
        watch_config: file.watch_config.as_ref().is_some_and(|at| at.value),
        dns: dns::check(file, problems),
    })
}

fn drain(file: &FileNode, problems: &mut Problems) -> Drain {
    let seconds = file.drain_seconds.as_ref().and_then(|at| {
        let seconds = within(at, "drain_seconds", DRAIN_SECONDS, problems)?;
        u32::try_from(seconds).ok()
    });
    let hook = file.drain_hook.as_ref().map_or_else(Vec::new, |list| {
        if list.value.first().is_none_or(|program| program.value.is_empty()) {
            let help =
                "write [\"/usr/local/bin/withdraw\", \"argument\"], or leave `drain_hook` out";
            problems.missing(&list.span, "the drain hook names no program", help);
        }
        list.value.iter().map(|at| at.value.clone()).collect()
    });
    Drain { seconds: seconds.unwrap_or(DRAIN_SECONDS_DEFAULT), hook }
}

fn name(file: &FileNode, problems: &mut Problems) -> String {
    let Some(name) = &file.name else { return "sipedge".to_owned() };
    if name.value.is_empty() || name.value.chars().any(char::is_control) {
        problems.error(&name.span, "the name of the node is empty or not text", "write \"edge-a\"");
    }
    name.value.clone()
}

fn shards(at: &At<Count>, problems: &mut Problems) -> Option<u8> {
    match &at.value {
        Count::Word(word) if word == "auto" => None,
        Count::Word(word) => {
            let message = format!("shards cannot be \"{word}\"");
            problems.error(&at.span, message, "write \"auto\", or a number without quotes");
            None
        }
        Count::Number(number) => {
            let number = At { value: *number, span: at.span.clone() };
            let max = i64::try_from(SHARDS_MAX).expect("64 fits");
            within(&number, "shards", 1..max + 1, problems).and_then(|n| u8::try_from(n).ok())
        }
    }
}

fn cores(file: &FileNode, shards: Option<u8>, problems: &mut Problems) -> Vec<usize> {
    let Some(list) = &file.cores else { return Vec::new() };
    let mut cores: Vec<usize> = Vec::new();
    for at in &list.value {
        let core = within(at, "a core", CORES, problems);
        let Some(core) = core.and_then(|core| usize::try_from(core).ok()) else { continue };
        if cores.contains(&core) {
            let help = "name each core once: two shards on one core only wait for each other";
            problems.error(&at.span, format!("core {core} is named twice"), help);
        }
        cores.push(core);
    }
    if let Some(extra) = list.value.get(SHARDS_MAX) {
        problems.error(&extra.span, format!("more than {SHARDS_MAX} cores"), "name fewer");
    }
    if let Some(shards) = shards
        && cores.len() == list.value.len()
        && cores.len() != usize::from(shards)
    {
        let message = format!("{} cores for {shards} shards", cores.len());
        problems.error(&list.span, message, "name one core for each shard, or leave shards out");
    }
    cores
}

fn keys(file: &FileNode, folder: &Path, problems: &mut Problems) -> Vec<Key> {
    let Some(list) = &file.keys else { return Vec::new() };
    if list.value.is_empty() {
        let help = "write [{ id = 1, secret = \"env:SIPEDGE_KEY\" }], or leave `keys` out";
        problems.missing(&list.span, "the key ring is empty", help);
    }
    let mut keys: Vec<Key> = Vec::new();
    for entry in &list.value {
        let id = match &entry.id {
            Some(at) => within(at, "the id of a key", KEY_IDS, problems).map(|id| (id, at)),
            None => {
                let help = "write id = 1; it is named in clear in every token";
                problems.missing(&entry.span, "this key has no id", help);
                None
            }
        };
        let bytes = match &entry.secret {
            Some(at) => accept(at, secret::key(at.value.expose(), folder), problems),
            None => {
                let help = "write secret = \"env:SIPEDGE_KEY\", or \"file:node.key\"";
                problems.missing(&entry.span, "this key has no secret", help);
                None
            }
        };
        let Some((id, at)) = id else { continue };
        let id = u8::try_from(id).expect("within 0..64");
        if keys.iter().any(|key| key.id == id) {
            let help = "give each key its own id; a node finds the key of a token by it";
            problems.error(&at.span, format!("two keys have the id {id}"), help);
        }
        keys.push(Key { id, secret: bytes.unwrap_or_default() });
    }
    keys
}

fn random_key(problems: &mut Problems) -> Option<Key> {
    match secret::random_bytes() {
        Ok(secret) => Some(Key { id: 0, secret }),
        Err(error) => {
            let message = format!("no keys are configured and none can be made: {error}");
            problems.missing_in_file(message, "write keys = [..] in [node]");
            None
        }
    }
}

fn aliases(file: &FileNode, problems: &mut Problems) -> Vec<Domain> {
    let mut aliases = Vec::new();
    for at in file.aliases.iter().flat_map(|list| &list.value) {
        if is_host_name(&at.value) || literal(&at.value).is_some() {
            aliases.push(at.value.as_str().into());
        } else {
            let help = "write a host without scheme and port, like \"sip.example.com\"";
            problems.error(&at.span, format!("\"{}\" is no host", at.value), help);
        }
    }
    aliases
}
