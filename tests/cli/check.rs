//! `sipedge check`: every mistake at once, each with its place and its cure.

use crate::{check_golden, root, sipedge};

const FIVE_MISTAKES: &str = "tests/cli/five-mistakes.toml";

#[test]
fn five_mistakes_give_five_messages_and_exit_code_2() {
    for command in ["check", "run"] {
        let done = sipedge(&[command, "-c", FIVE_MISTAKES]);
        assert_eq!(done.code, Some(2), "{}", done.stderr);
        let places: Vec<&str> =
            done.stderr.lines().filter_map(|line| line.trim().strip_prefix("--> ")).collect();
        let expected = ["3:1", "6:12", "11:11", "14:41", "19:8"];
        let expected = expected.map(|place| format!("{FIVE_MISTAKES}:{place}"));
        assert_eq!(places, expected, "{}", done.stderr);
        assert_eq!(done.stderr.matches("= help: ").count(), 5);
        check_golden("five-mistakes.txt", &done.stderr);
    }
}

#[test]
fn every_configuration_that_we_ship_can_run() {
    let folders = ["config", "config/examples"];
    let mut count = 0;
    for entry in folders.iter().flat_map(|f| std::fs::read_dir(root().join(f)).expect("is there")) {
        let path = entry.expect("is readable").path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let done = sipedge(&["check".as_ref(), "-c".as_ref(), path.as_os_str()]);
            assert_eq!(done.code, Some(0), "{}: {}", path.display(), done.stderr);
            assert!(done.stdout.contains("can run: 0 errors, 0 warnings"), "{}", done.stdout);
            count += 1;
        }
    }
    assert_eq!(count, 7);
}

#[test]
fn check_says_what_would_run() {
    for name in ["two-networks", "kamailio-pool"] {
        let path = format!("config/examples/{name}.toml");
        let done = sipedge(&["check", "-c", &path]);
        check_golden(&format!("check-{name}.txt"), &done.stdout);
    }
}
