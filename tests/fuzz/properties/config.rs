//! A configuration: it becomes a table that routes, or a list of problems that each point into the text.
//!
//! Owns: what holds for `config::parse`, `compile::table` and Kamailio's dispatcher list. The input is the text, for both.

use std::path::Path;
use std::sync::Arc;

use sipedge::config::list::{Entry, List};
use sipedge::config::problem::{Problems, Severity};
use sipedge::config::{self, Config};
use sipedge::control::compile;
use sipedge::sip::core::Core;
use sipedge::sip::outbox::Outbox;
use sipedge::sip::route::table::Table;
use sipedge::sip::{ListenerId, Now, Received};

/// Files beside the configuration are looked for in a folder that is not there.
const PATH: &str = "/nowhere/sipedge.toml";
/// Whoever names a device as a secret or a list waits for it: no input for a fuzzer.
const DEVICES: [&str; 3] = ["/dev", "/proc", "/sys"];
const REQUEST: &[u8] = b"INVITE sip:bob@example.com SIP/2.0\r\n\
    Via: SIP/2.0/UDP 203.0.113.7;branch=z9hG4bKf;rport\r\nFrom: <sip:a@example.com>;tag=1\r\n\
    To: <sip:bob@example.com>\r\nCall-ID: f\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\n\r\n";

pub(crate) fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if !DEVICES.iter().any(|device| text.contains(device)) {
        match config::parse(Path::new(PATH), text) {
            Ok((config, problems)) => {
                assert!(!problems.has_errors());
                problems_point_into(text, &problems);
                it_routes(&config);
            }
            Err(problems) => {
                assert!(problems.has_errors(), "refused, and no error says why:\n{text}");
                problems_point_into(text, &problems);
            }
        }
    }
    list(text);
}

fn problems_point_into(text: &str, problems: &Problems) {
    let sorted = problems.sorted();
    assert_eq!(sorted.len(), problems.count(Severity::Error) + problems.count(Severity::Warning));
    let mut before = (0, 0);
    let lines: Vec<&str> = text.split('\n').collect();
    for problem in sorted {
        assert!(!problem.message.is_empty() && !problem.help.is_empty(), "{problem:?}");
        let place = problems.place(problem);
        let Some(numbers) = place.strip_prefix(PATH).and_then(|rest| rest.strip_prefix(':')) else {
            assert_eq!(place, PATH, "neither in the text nor of the whole file");
            continue;
        };
        let (line, column) = numbers.split_once(':').expect("line and column");
        let (line, column): (usize, usize) =
            (line.parse().expect("a line"), column.parse().expect("a column"));
        // One line and one column behind the last there is the end, where something may be missing.
        let found = lines.get(line - 1).unwrap_or_else(|| panic!("{place}:\n{text}"));
        assert!((1..=found.chars().count() + 1).contains(&column), "{place}:\n{text}");
        assert!(before <= (line, column), "out of order");
        before = (line, column);
    }
    let shown = problems.to_string();
    assert!(shown.lines().count() >= problems.sorted().len() * 2, "{shown}");
}

/// What `run` does with it, but for sockets: compile, build, decide on a request that came in on each listener.
fn it_routes(config: &Config) {
    let shards = config.node.shards.unwrap_or(1);
    let parts = compile::table(config, shards)
        .unwrap_or_else(|error| panic!("it was accepted, and does not compile: {error}"));
    let table = Arc::new(Table::new(parts));
    // The largest tables are only slow.
    if table.limits.transactions_max > 1 << 12 || table.listeners.len() > 8 {
        return;
    }
    let mut core = Core::new(Arc::clone(&table), 1, 0);
    let mut outbox = Outbox::new();
    for listener in (0..).map(ListenerId).take(table.listeners.len()) {
        let source = "203.0.113.7:5060".parse().expect("a literal address");
        let received = Received::datagram(REQUEST, source, listener);
        let _ = core.handle(Now(1), &received, &mut outbox);
        if let Some(transmit) = outbox.transmit() {
            let sends = table.listener(transmit.listener()).expect("a listener of the table");
            assert_eq!(sends.address.is_ipv4(), transmit.address().is_ipv4());
        }
    }
}

fn list(text: &str) {
    let list = List::parse(text);
    let lines: Vec<&str> = text.lines().collect();
    for problem in &list.problems {
        let line = lines.get(problem.line - 1).expect("the line is there");
        assert!((1..=line.len() + 1).contains(&problem.column), "{problem}:\n{text}");
        assert!(!problem.message.is_empty() && !problem.help.is_empty());
    }
    assert!(list.problems.iter().map(|problem| problem.line).is_sorted());
    let entries = list.entries();
    let order = |e: &Entry| (e.set, std::cmp::Reverse(e.priority), std::cmp::Reverse(e.line));
    assert!(entries.iter().map(order).is_sorted(), "memory order");
    assert!(entries.iter().all(|entry| entry.line <= lines.len() && !entry.uri.is_empty()));
    for set in entries.chunk_by(|one, next| one.set == next.set) {
        assert_eq!(list.set(set[0].set), set);
    }
}
