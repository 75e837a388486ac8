//! Edits of a configuration, as an operator reads them.

use std::path::Path;

use super::*;
use crate::control::compile;
use crate::sip::route::table::Table;

const BASE: &str = "[node]\nname = \"a\"\nkeys = [{ id = 1, secret = \"0123456789abcdef\" }]\n\
    [[listen]]\nname = \"public\"\naddress = \"udp:192.0.2.1:5060\"\n\
    [[pool]]\nname = \"p\"\nbackends = [{ uri = \"sip:10.0.0.1\" }, { uri = \"sip:10.0.0.2\" }]\n\
    [[route]]\nwhen = { method = [\"INVITE\"] }\npool = \"p\"\n";

fn config(text: &str) -> Config {
    crate::config::parse(Path::new("a.toml"), text).expect("it is valid").0
}

fn edit(from: &str, to: &str) -> Edit {
    assert!(BASE.contains(from), "{from}");
    plan(&config(BASE), &config(&BASE.replace(from, to))).expect("no restart")
}

#[test]
fn the_same_is_no_edit() {
    assert!(plan(&config(BASE), &config(BASE)).unwrap().is_empty());
}

#[test]
fn a_key_made_by_chance_stays() {
    let text = BASE.replace("keys = [{ id = 1, secret = \"0123456789abcdef\" }]\n", "");
    let running = config(&text);
    let edit = plan(&running, &config(&text)).unwrap();
    assert!(edit.is_empty(), "{edit:?}");
    assert_eq!(edit.config.node.keys[0].secret, running.node.keys[0].secret);
}

#[test]
fn members_and_routes_are_named() {
    let edit = edit("{ uri = \"sip:10.0.0.2\" }", "{ uri = \"sip:10.0.0.3\", weight = 50 }");
    assert_eq!(
        edit.lines,
        ["pool p: - sip:10.0.0.2 (leaves: its dialogs stay)", "pool p: + sip:10.0.0.3 weight 50"]
    );
    let edit = self::edit(
        "{ uri = \"sip:10.0.0.2\" }",
        "{ uri = \"sip:10.0.0.2\", max_load = 5, priority = 2 }",
    );
    assert_eq!(edit.lines, ["pool p: sip:10.0.0.2: priority 0 -> 2 max_load 0 -> 5"]);
    let edit = self::edit("method = [\"INVITE\"]", "method = [\"BYE\"]");
    assert_eq!(edit.lines, ["route gone: INVITE -> pool p", "route 1: BYE -> pool p"]);
}

#[test]
fn what_needs_a_restart_keeps_running_and_is_said() {
    let edit = edit("name = \"a\"", "name = \"b\"\nshards = 2");
    assert_eq!(edit.lines, ["[node] name: a -> b"]);
    assert_eq!(edit.restart, ["[node] shards: one for each core runs, 2 is written"]);
    assert_eq!(edit.config.node.shards, None);
}

/// Everything that a reload says, wherever it is shown.
fn said(edit: &Edit) -> String {
    format!("{}\n{}\n{edit:?}", edit.lines.join("\n"), edit.restart.join("\n"))
}

#[test]
fn no_secret_is_told() {
    let text = |key: &str, password: &str, token: &str| {
        format!(
            "{}[trace]\nhep = {{ sink = \"udp:192.0.2.9:9060\", password = \"{password}\" }}\n\
             [admin]\ntoken = \"{token}\"\n",
            BASE.replace("0123456789abcdef", key)
        )
    };
    let running = config(&text("the first key of all", "hunter2", "the first token of all"));
    let new = config(&text("the other key of all", "swordfish", "the other token of all"));
    let edit = plan(&running, &new).unwrap();
    let said = said(&edit);
    for secret in ["hunter2", "swordfish", "of all"] {
        assert!(!said.contains(secret), "{secret}: {said}");
    }
    for told in ["[trace] hep: changed", "[admin] token: changed"] {
        assert!(edit.restart.iter().any(|line| line == told), "{told}: {said}");
    }
    assert_eq!(edit.config.trace, running.trace);
}

#[test]
fn a_key_of_tokens_that_are_out_keeps_its_secret() {
    let running = config(BASE);
    let edit = edit("0123456789abcdef", "fedcba9876543210");
    assert_eq!(edit.lines, [""; 0]);
    let [told] = &edit.restart[..] else { panic!("{:?}", edit.restart) };
    assert!(
        told.starts_with("[node] keys: id 1 has another secret")
            && told.contains("an id of its own"),
        "{told}"
    );
    assert_eq!(edit.config.node.keys[0].secret, running.node.keys[0].secret);
    // A new id beside it is what it says to do.
    let turned = self::edit(
        "[{ id = 1, secret = \"0123456789abcdef\" }]",
        "[{ id = 2, secret = \"fedcba9876543210\" }, { id = 1, secret = \"0123456789abcdef\" }]",
    );
    assert_eq!(turned.lines, ["[node] keys: 1 -> 2, 1; the first seals"]);
}

#[test]
fn changes_are_told_in_words() {
    let edit = edit(
        "name = \"a\"\n",
        "name = \"a\"\nio = \"io_uring\"\nwatch_config = true\ndns = [\"udp:192.0.2.53:53\"]\ndrain_hook = [\"/bin/true\", \"x\"]\n",
    );
    assert_eq!(
        edit.lines,
        [
            "[node] drain: 5 s, hook none -> 5 s, hook /bin/true x",
            "[node] dns: those of resolv.conf, answers hold 5 to 3600 s, stale ones 86400 s more -> 192.0.2.53:53, \
             answers hold 5 to 3600 s, stale ones 86400 s more",
            "[node] watch_config: off -> on",
        ]
    );
    assert_eq!(edit.restart, ["[node] io: auto runs, io_uring is written"]);
    let edit = self::edit(
        "name = \"p\"\n",
        "name = \"p\"\nsend_from = \"public\"\nprobe = { send_from = \"public\", rise = 3 }\n",
    );
    let probe = "OPTIONS every 10000 ms, 2000 ms for an answer, rise 2, fall 2, alive any final answer but 408 and 5xx, \
                 from the listener's host, sent from any listener that fits";
    assert_eq!(
        edit.lines,
        [
            "pool p: send_from: any listener that fits -> public".to_owned(),
            format!(
                "pool p: probe: {probe} -> {}",
                probe.replace("rise 2", "rise 3").replace("any listener that fits", "public")
            ),
        ]
    );
    for line in edit.lines.iter().chain(&edit.restart) {
        assert!(
            !["None", "Some(", "ListenerId", "Active", "{"].iter().any(|word| line.contains(word)),
            "{line}"
        );
    }
}

#[test]
fn other_listeners_are_refused() {
    let other = config(&BASE.replace("192.0.2.1:5060", "192.0.2.1:5070"));
    let why = plan(&config(BASE), &other).unwrap_err();
    assert!(why.contains("restart") && why.contains("192.0.2.1:5070"), "{why}");
}

#[test]
fn the_share_of_keys_that_move_is_that_of_the_backend_that_left() {
    let table = |text: &str| Table::new(compile::table(&config(text), 1).unwrap());
    let three = BASE.replace(
        "{ uri = \"sip:10.0.0.2\" }",
        "{ uri = \"sip:10.0.0.2\" }, { uri = \"sip:10.0.0.3\" }",
    );
    let moved = moved_keys(&table(&three), &table(BASE));
    assert_eq!(moved.len(), 1);
    assert!((0.30..0.37).contains(&moved[0].1), "{moved:?}");
    assert_eq!(moved_keys(&table(BASE), &table(BASE))[0].1, 0.0);
    let other_key = BASE.replace("name = \"p\"\n", "name = \"p\"\nkey = \"from\"\n");
    assert!(moved_keys(&table(BASE), &table(&other_key)).is_empty(), "nothing to compare");
}
