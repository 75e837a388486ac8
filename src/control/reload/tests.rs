//! Edits of a configuration, as an operator reads them.

use std::path::Path;

use super::*;
use crate::control::compile;

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
    assert_eq!(edit.restart, ["[node] shards: None runs, Some(2) is written"]);
    assert_eq!(edit.config.node.shards, None);
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
