//! `sipedge ctl` against a running edge: what it prints, and how it ends.

use std::process::Command;

use serde_json::Value;

use crate::edge::{Edge, TOKEN};

struct Done {
    code: Option<i32>,
    out: String,
    error: String,
}

/// Runs `sipedge ctl` against `server`.
fn ctl_at(server: &str, arguments: &[&str]) -> Done {
    let output = Command::new(env!("CARGO_BIN_EXE_sipedge"))
        .args(["ctl", "-s", server])
        .args(arguments)
        .env_remove("SIPEDGE_TOKEN")
        .env("RIGHT", TOKEN)
        .output()
        .expect("the program starts");
    Done {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).expect("text"),
        error: String::from_utf8(output.stderr).expect("text"),
    }
}

fn ctl(edge: &Edge, arguments: &[&str]) -> Done {
    ctl_at(edge.socket.to_str().expect("a path"), arguments)
}

fn good(edge: &Edge, arguments: &[&str]) -> String {
    let done = ctl(edge, arguments);
    assert_eq!((done.code, done.error.as_str()), (Some(0), ""), "{arguments:?}");
    done.out
}

#[test]
fn everything_can_be_looked_at() {
    let edge = Edge::start("look");
    edge.settled();
    let has = |arguments: &[&str], parts: &[&str]| {
        let out = good(&edge, arguments);
        parts
            .iter()
            .for_each(|part| assert!(out.contains(part), "{part} not in {arguments:?}: {out}"));
    };
    has(&["status"], &["edge-a running", "0 reloads", "servers", "rendezvous"]);
    has(&["pools"], &["POOL", "servers", "call-id"]);
    has(&["backends"], &[&edge.backends[0], "active", "inactive", "....", "xxxx"]);
    has(&["backends", "servers"], &[&edge.backends[2]]);
    has(&["backend", &edge.backends[0]], &["in pool servers", "active", "probe", "good 200"]);
    has(&["drops"], &["REASON", "not_sip"]);
    has(&["shards"], &["SHARD", "P99 US"]);
    has(&["decisions"], &["none are kept"]);
    has(&["openapi"], &["\"openapi\": \"3.1.0\""]);
    for command in ["status", "pools", "backends", "drops", "shards", "rates", "decisions"] {
        let out = good(&edge, &["--json", command]);
        assert!(serde_json::from_str::<Value>(&out).is_ok(), "{command}: {out}");
    }
}

#[test]
fn a_backend_is_drained_until_it_is_quiet_and_comes_back() {
    let edge = Edge::start("ctl-drain");
    edge.settled();
    let uri = edge.backends[0].as_str();
    let out = good(&edge, &["drain", "servers", uri]);
    assert!(out.contains("draining: no new keys") && out.contains("quiet"), "{out}");
    assert!(good(&edge, &["backends"]).contains("active, draining"));
    edge.call(20);
    let waited = good(&edge, &["drain", "servers", uri, "--wait", "--timeout", "30"]);
    assert!(waited.ends_with("drained\n"), "{waited}");
    assert!(good(&edge, &["enable", "servers", uri]).contains("enabled"));
    assert!(good(&edge, &["disable", "servers", uri]).contains("disabled"));
    assert!(good(&edge, &["backends"]).contains(" disabled "));
    let left = good(&edge, &["--json", "drain", "servers", &edge.backends[1]]);
    let left: Value = serde_json::from_str(&left).expect("JSON");
    assert!(left["left"]["requests_recent"].is_u64(), "{left}");
}

#[test]
fn a_reload_shows_its_changes_and_a_refused_one_why() {
    let edge = Edge::start("ctl-reload");
    assert!(good(&edge, &["reload"]).contains("nothing changes"));
    edge.write_config("[limits]\nretry_after_seconds = 9\n");
    assert!(good(&edge, &["reload"]).contains("retry_after_seconds: 5 -> 9"));
    edge.write_config("[limits]\nretry_after_seconds = \"often\"\n");
    let refused = ctl(&edge, &["reload"]);
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.error.contains("retry_after_seconds") && refused.error.contains("help:"),
        "{}",
        refused.error
    );
    assert!(good(&edge, &["status"]).contains("the last reload was refused"));
    assert_eq!(edge.read("/api/v1/node")["configuration"]["reloads_refused"], 1);
}

#[test]
fn over_tcp_a_token_is_needed() {
    let edge = Edge::start("ctl-token");
    let server = format!("http://{}", edge.admin);
    let refused = ctl_at(&server, &["reload"]);
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.error.contains("a token is needed") && refused.error.contains("--token"),
        "{}",
        refused.error
    );
    assert_eq!(ctl_at(&server, &["reload", "--token", "env:RIGHT"]).code, Some(0));
    let on_line = ctl_at(&server, &["reload", "--token", "secret"]);
    assert_eq!(on_line.code, Some(2));
    assert!(on_line.error.contains("others can read"), "{}", on_line.error);
}

#[test]
fn errors_say_what_to_do() {
    let edge = Edge::start("ctl-errors");
    let check = |done: Done, code: i32, parts: &[&str]| {
        assert_eq!(done.code, Some(code), "{}", done.error);
        parts
            .iter()
            .for_each(|part| assert!(done.error.contains(part), "{part} not in {}", done.error));
    };
    check(ctl_at("/nowhere/a.sock", &["status"]), 1, &["/nowhere/a.sock", "is it running"]);
    check(ctl_at("http://127.0.0.1:1", &["status"]), 1, &["is it running", "-s"]);
    check(ctl_at("https://127.0.0.1:1", &["status"]), 2, &["http, not https"]);
    check(ctl(&edge, &["drain", "other", "sip:a"]), 1, &["\"other\"", "known: servers"]);
    check(ctl(&edge, &["drain", "servers", "sip:a"]), 1, &["\"sip:a\""]);
    check(ctl(&edge, &["backend", "sip:a"]), 1, &["known: sip:127.0.0.1"]);
    check(ctl(&edge, &["backends", "other"]), 1, &["known: servers"]);
    check(ctl(&edge, &["explode"]), 2, &["explode"]);
}
