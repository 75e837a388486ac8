//! The corpus: each `.sip` file goes through the real core, and its `.expect` file says what must come of it.
//!
//! Owns: the table that the corpus is run with, and the comparison. What a forwarded message may differ in is judged
//! by `naive`, which shares no code with the core. `UPDATE=1` rewrites the verdict lines; the diff is for review.
//! The layout of the files is told in README.md beside this file.

mod expect;
mod naive;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use expect::{Expectation, Outcome};
use sipedge::sip::balance::{Balance, Member, Spec};
use sipedge::sip::core::Core;
use sipedge::sip::outbox::Outbox;
use sipedge::sip::route::table::{
    Action, Backend, Key, KeySource, Limits, Listener, Parts, PathPolicy, Pool, Rule, Table,
};
use sipedge::sip::{ListenerId, MESSAGE_BYTES_MAX, Now, Received, Verdict};

const FOLDERS: [&str; 4] = ["torture", "ipv6", "invalid", "valid"];
const BACKENDS: [&str; 3] = ["192.0.2.101:5060", "192.0.2.102:5060", "192.0.2.103:5060"];

fn source() -> SocketAddr {
    "198.51.100.10:5060".parse().expect("a literal address")
}

/// One listener, one pool of three backends, one rule that catches all.
fn table() -> Arc<Table> {
    let backends: Vec<Backend> = BACKENDS
        .iter()
        .map(|address| {
            Backend::new(format!("sip:{address}"), address.parse().expect("a literal address"))
        })
        .collect();
    let members: Vec<Member<'_>> = backends
        .iter()
        .map(|backend| Member { identity: backend.uri.as_bytes(), weight: 1, rweight: 1 })
        .collect();
    let spec = Spec::parse("rendezvous").expect("a known balance");
    let balance = Balance::compile(&spec, &members, 1).expect("three members");
    let pool = Pool::new("all".into(), KeySource::CallId, balance, backends);
    let rule = Rule {
        needs_token: false,
        methods: vec![],
        other_methods: vec![],
        listeners: vec![],
        domains: vec![],
        action: Action::Pool(0),
        record_route: true,
        path: PathPolicy::Supported,
    };
    let listener = Listener {
        name: "public".into(),
        address: "192.0.2.1:5060".parse().expect("a literal address"),
        host: "192.0.2.1".into(),
        port: 5060,
    };
    Arc::new(Table::new(Parts {
        shards: 2,
        listeners: vec![listener],
        pools: vec![pool],
        rules: vec![rule],
        keys: vec![Key { id: 1, secret: [7; 32] }],
        limits: Limits::default(),
        aliases: vec![],
        is_draining: false,
        sides: Default::default(),
    }))
}

fn core() -> Core {
    Core::new(table(), 1, 0)
}

fn handle(core: &mut Core, outbox: &mut Outbox, bytes: &[u8]) -> Outcome {
    let received = Received::datagram(bytes, source(), ListenerId(0));
    let sent = |outbox: &mut Outbox| {
        let mut out = vec![0; MESSAGE_BYTES_MAX];
        let len =
            outbox.write_to(bytes, &mut out).expect("a verdict to send comes with bytes that fit");
        out.truncate(len);
        (out, outbox.transmit().expect("a verdict to send comes with a next hop").address())
    };
    match core.handle(Now(1_000_000), &received, outbox) {
        Verdict::Absorb => Outcome::Absorb,
        Verdict::Drop(reason) => Outcome::Drop(reason.label().into()),
        Verdict::Forward => {
            let (bytes, destination) = sent(outbox);
            Outcome::Forward { bytes, destination }
        }
        Verdict::Respond => {
            let (bytes, destination) = sent(outbox);
            Outcome::Respond { bytes, destination }
        }
    }
}

/// All messages, with the path of each.
fn messages() -> Vec<(PathBuf, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut found = Vec::new();
    for folder in FOLDERS {
        for entry in std::fs::read_dir(root.join(folder)).expect("a folder of the corpus") {
            let path = entry.expect("a readable folder").path();
            if path.extension().is_some_and(|extension| extension == "sip") {
                let bytes = std::fs::read(&path).expect("a readable file");
                found.push((path, bytes));
            }
        }
    }
    found.sort();
    found
}

fn problem_with(input: &[u8], expectation: &Expectation, outcome: &Outcome) -> Result<(), String> {
    expectation.verdict_holds(outcome)?;
    match outcome {
        Outcome::Forward { bytes, destination } => {
            if !BACKENDS.contains(&destination.to_string().as_str()) {
                return Err(format!("{destination} is no backend"));
            }
            naive::forwarded(input, bytes, source())?.holds(&expectation.checks)
        }
        Outcome::Respond { bytes, destination } => {
            naive::answered(input, bytes, source(), *destination, &expectation.checks)
        }
        Outcome::Drop(_) | Outcome::Absorb => Ok(()),
    }
}

#[test]
fn each_message_gets_what_its_expect_file_says() {
    let update = std::env::var_os("UPDATE").is_some();
    let mut problems = Vec::new();
    for (path, input) in messages() {
        let expect_path = path.with_extension("expect");
        let text = std::fs::read_to_string(&expect_path)
            .unwrap_or_else(|error| panic!("{}: {error}", expect_path.display()));
        let mut expectation = Expectation::parse(&text)
            .unwrap_or_else(|line| panic!("{}: cannot read {line:?}", expect_path.display()));
        let outcome = handle(&mut core(), &mut Outbox::new(), &input);
        if update && expectation.verdict_holds(&outcome).is_err() {
            expectation.verdict = outcome.verdict_line();
            std::fs::write(&expect_path, expectation.to_string()).expect("a writable file");
        }
        if let Err(problem) = problem_with(&input, &expectation, &outcome) {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            problems.push(format!("{name}: {problem}"));
        }
    }
    assert!(problems.is_empty(), "{} messages:\n{}", problems.len(), problems.join("\n"));
}

#[test]
fn a_retransmission_goes_the_same_way_with_the_same_bytes() {
    let (mut core, mut outbox) = (core(), Outbox::new());
    let all = messages();
    let first: Vec<Outcome> =
        all.iter().map(|(_, input)| handle(&mut core, &mut outbox, input)).collect();
    for ((path, input), before) in all.iter().zip(first) {
        let again = handle(&mut core, &mut outbox, input);
        assert!(again == before, "{}: {before:?} and then {again:?}", path.display());
    }
}

#[test]
fn every_prefix_and_every_changed_byte_is_survived() {
    let (mut core, mut outbox) = (core(), Outbox::new());
    for (_, input) in messages() {
        let bytes_max = input.len().min(600);
        for len in 0..bytes_max {
            handle(&mut core, &mut outbox, &input[..len]);
        }
        let mut changed = input.clone();
        for (at, replacement) in (0..bytes_max).zip(b"\0\r\n\"<>;,:=@ \xff9".iter().cycle()) {
            let before = std::mem::replace(&mut changed[at], *replacement);
            handle(&mut core, &mut outbox, &changed);
            changed[at] = before;
        }
    }
}

#[test]
fn the_second_opinion_sees_every_changed_byte() {
    for wanted in ["header-case", "content-length-folded", "rport-flag", "contact-many"] {
        let (path, input) = messages()
            .into_iter()
            .find(|(path, _)| path.file_stem().is_some_and(|stem| stem == wanted))
            .expect("a file of the corpus");
        let text = std::fs::read_to_string(path.with_extension("expect")).expect("its expectation");
        let expectation = Expectation::parse(&text).expect("a readable expectation");
        let outcome = handle(&mut core(), &mut Outbox::new(), &input);
        let Outcome::Forward { bytes, destination } = outcome else {
            panic!("{wanted}: forwarded")
        };
        let mut at = 0;
        for line in bytes.split_inclusive(|&b| b == b'\n') {
            // Our own lines are known by their beginning; what is sealed in them is tested elsewhere.
            let is_ours = line.windows(3).any(|mark| mark == b"~e~");
            for place in (at..at + line.len()).filter(|_| !is_ours) {
                let mut changed = bytes.clone();
                changed[place] ^= 1;
                let outcome = Outcome::Forward { bytes: changed, destination };
                let seen = problem_with(&input, &expectation, &outcome);
                assert!(seen.is_err(), "{wanted}: byte {place} of {}", bytes.escape_ascii());
            }
            at += line.len();
        }
    }
}

#[test]
fn the_corpus_is_whole() {
    let count = |folder: &str| {
        messages()
            .iter()
            .filter(|(path, _)| path.parent().is_some_and(|p| p.ends_with(folder)))
            .count()
    };
    // 49 messages of RFC 4475 and one with its empty line put right.
    assert_eq!(count("torture"), 50);
    // 12 messages of RFC 5118 and three with their Content-Length put right.
    assert_eq!(count("ipv6"), 15);
    assert!(count("invalid") >= 30);
    assert!(count("valid") >= 30);
}
