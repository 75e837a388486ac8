//! Wrong usage ends with 2 and says what is right; help and version end with 0.

use crate::sipedge;

fn check(arguments: &[&str], code: i32, part: &str) {
    let done = sipedge(arguments);
    assert_eq!(done.code, Some(code), "{arguments:?}: {}{}", done.stdout, done.stderr);
    let text = if code == 0 { &done.stdout } else { &done.stderr };
    assert!(text.contains(part), "{arguments:?}: {text}");
}

#[test]
fn wrong_usage_ends_with_2() {
    check(&[], 2, "Usage: sipedge");
    check(&["dance"], 2, "unrecognized subcommand");
    check(&["run"], 2, "--config <FILE>");
    check(&["check", "-c"], 2, "--config <FILE>");
    check(&["run", "-c", "config/minimal.toml", "--log", "loud"], 2, "invalid value 'loud'");
    let explain = ["explain", "-c", "config/minimal.toml"];
    let explain = |more: &[&'static str]| [&explain[..], more].concat();
    check(&explain(&["tests/cli/messages/invite.sip"]), 2, "--from <ADDRESS>");
    check(&explain(&["--from", "phone", "-"]), 2, "write 192.0.2.7:5060");
    let message = "tests/cli/messages/invite.sip";
    check(&explain(&["--from", "192.0.2.7", "--listener", "privat", message]), 2, "known: public");
    let v6 = "[2001:db8::7]";
    check(&explain(&["--from", v6, message]), 2, "no listener has the IP family");
    check(&explain(&["--from", v6, "--listener", "public", message]), 2, "another IP family");
}

#[test]
fn what_cannot_be_done_ends_with_1() {
    let arguments = ["explain", "-c", "config/minimal.toml", "--from", "192.0.2.7", "no/such.sip"];
    check(&arguments, 1, "cannot be read");
}

#[test]
fn help_and_version_end_with_0() {
    check(&["--help"], 0, "explain");
    check(&["--version"], 0, "sipedge ");
    check(&["explain", "--help"], 0, "--from");
}

#[test]
fn a_configuration_that_is_not_there_ends_with_2() {
    for command in ["run", "check"] {
        check(&[command, "-c", "no/such.toml"], 2, "error: the configuration cannot be read");
    }
}
