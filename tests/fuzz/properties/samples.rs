//! What every target starts from: the messages of `tests/corpus`, those that a Kamailio was asked, the example configurations.
//!
//! Owns: reading them from the tree and cutting out what a target wants. Seeds are read where they are, never copied.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sipedge::sip::message::{FieldName, Index, Message, StartLine};

use super::core::{FIRST_HELD, TABLES};

/// The seeds of a target; `root` is the root of the tree.
pub(crate) fn of(target: &str, root: &Path) -> Vec<Vec<u8>> {
    let mut seeds = match target {
        "config" => texts(root),
        "uri" => pieces(root, &uris),
        "via" => pieces(root, &vias),
        "token" => tokens(),
        "core" => plays(root),
        _ => messages(root),
    };
    seeds.sort();
    seeds.dedup();
    assert!(!seeds.is_empty(), "no seeds for {target}");
    seeds
}

/// Files below `folder` that end like this, in order.
fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            found.extend(files(&path, end));
        } else if path.to_string_lossy().ends_with(end) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All messages: the corpus, and what went into Kamailio and came out of it.
pub(crate) fn messages(root: &Path) -> Vec<Vec<u8>> {
    let corpus = files(&root.join("tests/corpus"), ".sip");
    let mut found: Vec<Vec<u8>> = corpus.iter().map(|path| read(path)).collect();
    for path in files(&root.join("tests/interop/kamailio"), ".json") {
        let vectors = serde_json::from_slice(&read(&path)).expect("vectors are JSON");
        strings(&vectors, &mut |text| {
            if text.contains(" SIP/2.0\r\n") || text.starts_with("SIP/2.0 ") {
                found.push(text.as_bytes().to_vec());
            }
        });
    }
    found
}

fn strings(value: &Value, found: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => found(text),
        Value::Array(list) => list.iter().for_each(|inner| strings(inner, found)),
        Value::Object(map) => map.values().for_each(|inner| strings(inner, found)),
        _ => {}
    }
}

/// What `cut` takes out of each message that can be read.
fn pieces(root: &Path, cut: &dyn Fn(&Message<'_>) -> Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for bytes in messages(root) {
        let mut index = Index::default();
        if let Ok(message) = Message::parse(&bytes, &mut index) {
            found.extend(cut(&message));
        }
    }
    found
}

fn uris(message: &Message<'_>) -> Vec<Vec<u8>> {
    use FieldName::{Contact, From, RecordRoute, Route, To};
    let mut found = Vec::new();
    if let StartLine::Request { uri, .. } = message.start_line() {
        found.push(uri.of(message.bytes).to_vec());
    }
    for name in [From, To, Contact, Route, RecordRoute] {
        found.extend(message.index.all(name).map(|field| field.value.of(message.bytes).to_vec()));
        for value in message.name_addrs(name).flatten() {
            found.push(value.uri.of(message.bytes).to_vec());
        }
    }
    found
}

fn vias(message: &Message<'_>) -> Vec<Vec<u8>> {
    let fields = message.index.all(FieldName::Via);
    fields.map(|field| field.value.of(message.bytes).to_vec()).collect()
}

/// Plain bytes for all layouts; texts of tokens come from the corpus of the target.
fn tokens() -> Vec<Vec<u8>> {
    let counted: Vec<u8> = (1..=120).collect();
    (0..16).map(|head| [&[head], &counted[..]].concat()).collect()
}

/// Each message in front of one of the tables, from a phone or a backend; and calls with what belongs to them.
fn plays(root: &Path) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for (number, message) in messages(root).into_iter().enumerate() {
        let number = u8::try_from(number % 64).expect("below 64");
        found.push([&[number % TABLES, number / TABLES], &message[..]].concat());
    }
    for table in 0..TABLES {
        let mut play = vec![table];
        for scene in super::seeds::requests().chunks(4).map(|same_method| &same_method[0]) {
            play.extend([0x1e, 0]);
            play.extend_from_slice(scene);
        }
        found.push(play);
        let own = "BYE sip:x@10.0.0.2:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 203.0.113.7:40001;branch=z9hG4bKb\r\n\
            Route: <{route}>\r\nFrom: <sip:a@example.com>;tag=a\r\nTo: <sip:b@example.com>;tag=b\r\n\
            Call-ID: c\r\nCSeq: 2 BYE\r\nMax-Forwards: 70\r\n\r\n";
        let invite = &super::seeds::requests()[0];
        found.push([&[table, 0], &invite[..], &[0x1e, 0], own.as_bytes()].concat());
        let strict = own
            .replace("sip:x@10.0.0.2:5060 ", "{route} ")
            .replace("<{route}>", "<sip:x@10.0.0.2:5060>");
        found.push([&[table, 0], &invite[..], &[0x1e, 5], strict.as_bytes()].concat());
        let answer = "SIP/2.0 200 OK\r\nVia: {via}\r\n\
            Via: SIP/2.0/UDP 10.9.9.9:5062;branch=z9hG4bKp0;received=203.0.113.7;rport=40001\r\n\
            From: <sip:alice@example.com>;tag=a1\r\nTo: <sip:b@example.com>;tag=b\r\n\
            Call-ID: c0@x\r\nCSeq: 1 INVITE\r\n\r\n";
        found.push([&[table, 0], &invite[..], &[0x1e, 4], answer.as_bytes()].concat());
        found.extend(held_plays(table, invite, answer).filter(|_| table >= FIRST_HELD));
    }
    found
}

/// What a backend says, one thing after the other, to an INVITE that is held; then the caller once more.
fn held_plays<'a>(
    table: u8,
    invite: &'a [u8],
    answer: &'a str,
) -> impl Iterator<Item = Vec<u8>> + 'a {
    let plays: [&[&str]; 4] = [
        &["503 No", "180 Ringing", "200 OK"],
        &["100 Trying", "503 No", "503 No", "503 No"],
        &["180 Ringing", "503 No", "486 Busy"],
        &["500 No", "408 No", "200 OK"],
    ];
    plays.into_iter().map(move |codes| {
        let mut play = [&[table, 0], invite].concat();
        for code in codes {
            play.extend([0x1e, 6]);
            play.extend_from_slice(answer.replacen("200 OK", code, 1).as_bytes());
        }
        play.extend([0x1e, 0]);
        play.extend_from_slice(invite);
        play
    })
}

fn texts(root: &Path) -> Vec<Vec<u8>> {
    let endings = [("config", ".toml"), ("config", ".list"), ("tests/cli", ".toml")];
    endings
        .iter()
        .flat_map(|(folder, end)| files(&root.join(folder), end))
        .map(|p| read(&p))
        .collect()
}
