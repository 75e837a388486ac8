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
