//! `sipedge explain`: the whole output, for messages of every fate.

use std::io::Write as _;
use std::process::Stdio;

use crate::{check_golden, command, done, root, sipedge};

const CONFIG: &str = "tests/cli/explain.toml";

fn check(message: &str, from: &str, listener: &str) {
    let path = format!("tests/cli/messages/{message}.sip");
    let arguments = ["explain", "-c", CONFIG, "--from", from, "--listener", listener, &path];
    let done = sipedge(&arguments);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert_eq!(done.stderr, "");
    check_golden(&format!("explain-{message}.txt"), &done.stdout);
}

#[test]
fn a_call_from_a_phone() {
    check("invite", "198.51.100.7:5062", "public");
}

#[test]
fn a_registration() {
    check("register", "198.51.100.7:5062", "public");
}

/// A BYE along the tokens that the edge put into the INVITE reaches the backend of the dialog, whatever its key.
#[test]
fn a_request_within_a_dialog() {
    let from = "198.51.100.7:5062";
    let invite =
        sipedge(&["explain", "-c", CONFIG, "--from", from, "tests/cli/messages/invite.sip"]);
    let start = "+ Record-Route: ";
    let routes = invite.stdout.lines().filter_map(|line| line.trim().strip_prefix(start));
    // RFC 3261 12.1.2: the caller uses them in reverse order.
    let routes: Vec<String> = routes.map(|route| format!("Route: {route}\r\n")).collect();
    assert_eq!(routes.len(), 2, "{}", invite.stdout);
    let bye = format!(
        "BYE sip:bob@10.0.0.2:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.7:5062;rport;branch=z9hG4bKbye\r\n\
         {}{}Max-Forwards: 70\r\nTo: Bob <sip:bob@example.com>;tag=a6c85cf\r\n\
         From: Alice <sip:alice@example.com>;tag=1928301774\r\nCall-ID: a84b4c76e66710@pc33.example.com\r\n\
         CSeq: 314160 BYE\r\nContent-Length: 0\r\n\r\n",
        routes[1], routes[0],
    );
    let path = std::env::temp_dir().join(format!("sipedge-bye-{}.sip", std::process::id()));
    std::fs::write(&path, bye).expect("can be written");
    let path_text = path.to_str().expect("a temporary path is UTF-8");
    let done = sipedge(&["explain", "-c", CONFIG, "--from", from, path_text]);
    std::fs::remove_file(&path).expect("was written");
    let of_invite = |start: &str| {
        invite.stdout.lines().find(|line| line.trim().starts_with(start)).expect("explain tells it")
    };
    let found_by = "found by     a token that the edge sealed";
    for part in [found_by, of_invite("backend "), of_invite("next hop ")] {
        assert!(done.stdout.contains(part), "{part} not in {}", done.stdout);
    }
}

#[test]
fn a_request_that_a_rule_answers() {
    check("blocked", "198.51.100.7:5062", "public");
}

#[test]
fn a_response_that_is_not_ours() {
    check("foreign-response", "10.0.0.1:5060", "private");
}

#[test]
fn what_is_no_sip() {
    check("garbage", "198.51.100.7:5062", "public");
}

#[test]
fn standard_input_is_read_for_a_hyphen() {
    let arguments = ["explain", "-c", CONFIG, "--from", "198.51.100.7:5062", "-"];
    let mut child = command(&arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let message = std::fs::read(root().join("tests/cli/messages/invite.sip")).expect("is there");
    child.stdin.take().expect("is piped").write_all(&message).expect("is read");
    let done = done(child.wait_with_output().expect("ends"));
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    check_golden("explain-invite.txt", &done.stdout);
}

#[test]
fn line_ends_do_not_matter_to_the_decision() {
    let text =
        std::fs::read_to_string(root().join("tests/cli/messages/blocked.sip")).expect("is there");
    let path = std::env::temp_dir().join(format!("sipedge-crlf-{}.sip", std::process::id()));
    std::fs::write(&path, text.replace('\n', "\r\n")).expect("can be written");
    let path_text = path.to_str().expect("a temporary path is UTF-8");
    let arguments = ["explain", "-c", CONFIG, "--from", "198.51.100.7:5062", path_text];
    let found = sipedge(&arguments);
    std::fs::remove_file(&path).expect("was written");
    let golden = root().join("tests/cli/golden/explain-blocked.txt");
    let expected = std::fs::read_to_string(golden).expect("is there");
    let without_note = |text: &str| {
        text.lines().filter(|line| !line.starts_with("note: ")).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(without_note(&found.stdout), without_note(&expected));
}
