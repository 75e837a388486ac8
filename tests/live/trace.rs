//! Traces of real calls, read by programs that are not ours: tshark reads the captures, sngrep is the HEP sink.
//!
//! Owns: the comparison of what they read with what the parties logged. Each message passes the edge once, so the parties see
//! it twice, and so do traces: as it came and as it went.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::flows::Stage;
use crate::harness::edge::Setup;
use crate::harness::ledger::{Ledger, Name, Way, count, differences, report};
use crate::harness::need::Need;
use crate::harness::party::Party;
use crate::harness::sipp::Load;
use crate::harness::{free_address, loopback, wait_until};
use crate::runner::{Case, Place};

const CALLS: u32 = 20;
/// sngrep writes no sums into the headers that it makes: 0 is bad (IP), 3 is none (UDP).
const SNGREP_SUMS: &str = "03";
/// How long a reader may take for what was sent.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn cases() -> Vec<Case> {
    let needs = [Need::Sipp, Need::RealEdge, Need::Readers];
    let case = |name: &str, run: fn(&Place)| Case::new(format!("trace/{name}"), needs, run);
    vec![case("captures-and-decisions", captures), case("hep", hep)]
}

/// Calls through an edge with this `[trace]`, and its end; what the parties saw, and where edge and backends were.
fn calls(place: &Place, trace: &str) -> (Ledger, SocketAddr, Vec<SocketAddr>) {
    let backends = [3, 4].map(|host| free_address(loopback(host)));
    let edge = free_address(loopback(2));
    let setup = Setup { more: format!("\n[trace]\n{trace}"), ..Setup::new(edge, &backends) };
    let stage = Stage::start(place, &setup, free_address(loopback(1)));
    let ledger = stage.run_and_check(place, "bye_by_caller", &Load::calls(CALLS));
    // Its traces are written when it has ended.
    stage.edge.stop();
    (ledger, edge, backends.into())
}

fn captures(place: &Place) {
    let folder = place.path("captures");
    let file = place.path("decisions.jsonl");
    let (ledger, edge, backends) = calls(
        place,
        &format!(
            "pcap = {{ folder = \"{}\", file_bytes_max = 131072, files = 8 }}\n\
             decisions = {{ file = \"{}\", per_second_max = 100000 }}\n",
            folder.display(),
            file.display()
        ),
    );
    let mut seen = BTreeMap::new();
    // 1 is good.
    let mut files = 0;
    for entry in std::fs::read_dir(folder).expect("the edge made it") {
        let path = entry.expect("a file").path();
        assert!(
            path.metadata().expect("a file").len() <= 131_072,
            "{} is too large",
            path.display()
        );
        read(&path, edge, "1", &mut seen);
        files += 1;
    }
    assert!(files > 1, "all fitted into one file");
    same(&ledger, &seen);

    let text = std::fs::read_to_string(file).expect("the edge made it");
    assert_eq!(text.lines().count(), ledger.events.iter().filter(|e| e.way == Way::Sent).count());
    let uris: Vec<_> = backends.iter().map(|address| format!("sip:{address}")).collect();
    for line in text.lines() {
        let value: serde_json::Value = serde_json::from_str(line).expect(line);
        assert_eq!(
            (&value["verdict"], &value["pool"]),
            (&"forward".into(), &"backends".into()),
            "{line}"
        );
        assert!(
            value["backend"].as_str().is_some_and(|uri| uris.iter().any(|u| u == uri)),
            "{line}"
        );
    }
}

fn hep(place: &Place) {
    let sink = free_address(loopback(5));
    let file = place.path("sngrep.pcap");
    let name = file.to_str().expect("our paths are UTF-8");
    let command =
        ["sngrep", "-N", "-q", "-L", &format!("udp:{sink}"), "-O", name].map(str::to_owned);
    let mut sngrep = Party::start("sngrep", &command, place.path("sngrep.log"));
    sngrep.wait_bound(sink);
    let (ledger, edge, _) =
        calls(place, &format!("hep = {{ sink = \"udp:{sink}\", node_id = 7 }}\n"));
    let mut seen = BTreeMap::new();
    // It says nothing of how far it is.
    wait_until(PATIENCE, || {
        seen.clear();
        read(&file, edge, SNGREP_SUMS, &mut seen);
        seen.values().sum::<usize>() >= ledger.events.len()
    });
    sngrep.terminate();
    seen.clear();
    read(&file, edge, SNGREP_SUMS, &mut seen);
    same(&ledger, &seen);
}

fn same(ledger: &Ledger, seen: &BTreeMap<Name, usize>) {
    let expected = count(ledger.events.iter());
    assert!(expected.len() > 100, "too few messages to compare: {}", expected.len());
    if let Err(faults) = report(differences("traced", &expected, seen)) {
        panic!("{faults}");
    }
}

/// Adds the messages that tshark finds in a file: all came from the edge, or went to it. What it says of the checksums of IP
/// and UDP must be among `sums`.
fn read(file: &Path, edge: SocketAddr, sums: &str, seen: &mut BTreeMap<Name, usize>) {
    const FIELDS: [&str; 6] = [
        "sip.Call-ID",
        "sip.CSeq.seq",
        "sip.CSeq.method",
        "sip.Status-Code",
        "ip.checksum.status",
        "udp.checksum.status",
    ];
    let output = Command::new("tshark")
        .arg("-r")
        .arg(file)
        .args(["-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE", "-Y", "udp"])
        // The ports are not those that it knows SIP by, and may be those that it knows something else by.
        .args(["-d", &format!("udp.port=={},sip", edge.port()), "-T", "fields"])
        .args(FIELDS.iter().flat_map(|field| ["-e", field]))
        .output()
        .expect("tshark");
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let values: Vec<_> = line.split('\t').collect();
        let [call_id, cseq, method, status, ip, udp] = values[..] else { panic!("{line}") };
        assert!(sums.contains(ip) && sums.contains(udp), "checksums: {line}");
        let name = Name {
            call_id: call_id.to_owned(),
            cseq: cseq.parse().unwrap_or_else(|_| panic!("no SIP: {line}")),
            method: method.to_owned(),
            status: status.parse().unwrap_or(0),
        };
        *seen.entry(name).or_default() += 1;
    }
}
