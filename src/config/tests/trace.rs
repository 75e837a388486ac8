//! `[trace]`: what may be written, and what is said of the rest.

use std::path::PathBuf;

use super::super::trace::{Choice, Decisions, Hep, Pcap, Trace};
use super::{GOOD, check, good};

fn with(trace: &str) -> String {
    format!("{GOOD}[trace]\n{trace}\n")
}

#[test]
fn everything_is_off_unless_written() {
    assert_eq!(good(GOOD).trace, Trace::default());
    assert_eq!(good(&with("")).trace, Trace::default());
}

#[test]
fn all_that_may_be_written_is_read() {
    let trace = good(&with(
        "hep = { sink = \"udp:[2001:db8::9]:9060\", node_id = 7, password = \"x\", sample = 100, \
         pool = [\"servers\"], call_id = \"c\", aor = \"a\" }\n\
         pcap = { folder = \"captures\", file_bytes_max = 200_000, files = 2 }\n\
         decisions = { file = \"/var/log/d.jsonl\" }",
    ))
    .trace;
    let sink = "[2001:db8::9]:9060".parse().expect("an address");
    let choice = Choice {
        sample: 100,
        pools: vec!["servers".into()],
        call_id: Some("c".into()),
        aor: Some("a".into()),
    };
    let hep = Hep { sink, node_id: 7, password: Some("x".into()), choice };
    let pcap = Pcap {
        // Beside the file, as all that it names.
        folder: PathBuf::from("captures"),
        file_bytes_max: 200_000,
        files: 2,
        choice: Choice { sample: 1, ..Choice::default() },
    };
    let decisions = Decisions { file: Some("/var/log/d.jsonl".into()), per_second_max: 10 };
    assert_eq!(trace, Trace { hep: Some(hep), pcap: Some(pcap), decisions: Some(decisions) });
}

#[test]
fn what_is_wrong_is_said_at_its_place() {
    let wrong = |trace: &str, expected: &[&str]| check(&with(trace), expected);
    wrong("hep = { }", &["11:7 `hep` has no sink"]);
    wrong("hep = \"udp:192.0.2.9:9060\"", &["11:7 `hep` is a string"]);
    wrong(
        "hep = { sink = \"tcp:192.0.2.9:1\" }",
        &["11:16 HEP over tcp is not there: this build sends it over UDP"],
    );
    wrong("hep = { sink = \"192.0.2.9:1\" }", &["11:16 \"192.0.2.9:1\" names no transport"]);
    wrong("hep = { sink = \"udp:0.0.0.0:1\" }", &["11:16 nobody can hear at 0.0.0.0:1"]);
    wrong(
        "hep = { sink = \"udp:homer:9060\" }",
        &["11:16 \"homer:9060\" is no IP address with a port; names are not looked up here"],
    );
    wrong(
        "hep = { sink = \"udp:192.0.2.9:1\", sample = 0, pool = \"server\", aor = \"\", sampel = 1 }",
        &[
            "11:44 sample cannot be 0",
            "11:54 no pool is called \"server\"",
            "11:70 `aor` is empty",
            "11:74 unknown key `sampel` in `hep`",
        ],
    );
    wrong("pcap = { files = 1 }", &["11:8 `pcap` has no folder", "11:18 files cannot be 1"]);
    wrong("decisions = { per_second_max = -1 }", &["11:32 per_second_max cannot be -1"]);
    wrong("decisons = { }", &["11:1 unknown key `decisons` in [trace]"]);
}
