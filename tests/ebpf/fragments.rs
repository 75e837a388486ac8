//! Datagrams that came in fragments: a network namespace whose loopback carries 1,500 bytes at a time.

use std::process::Command;

use sipedge::sip::steer::SCAN_BYTES_MAX;

use crate::group::{Group, message};

#[test]
fn datagrams_put_together_from_fragments_are_steered() {
    let inner = "fragments::inside_a_namespace_with_a_small_mtu";
    let itself = std::env::current_exe().expect("this test");
    let script = "ip link set lo up mtu 1500 && exec \"$0\" --exact \"$1\" --ignored --nocapture";
    let output =
        Command::new("unshare").args(["-n", "sh", "-c", script]).arg(itself).arg(inner).output();
    let output = match output {
        Ok(output) => output,
        Err(error) => return println!("skipped: no unshare ({error})"),
    };
    let (said, erred) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if !output.status.success() && erred.contains("unshare failed") {
        return println!("skipped: needs CAP_SYS_ADMIN for a network namespace");
    }
    print!("{said}");
    assert!(output.status.success() && said.contains("1 passed"), "{said}\n{erred}");
}

#[test]
#[ignore = "run by datagrams_put_together_from_fragments_are_steered, in a namespace of its own"]
fn inside_a_namespace_with_a_small_mtu() {
    for (address, counters, name) in [
        ("127.0.0.1:0", "/proc/self/net/snmp", "ReasmOKs"),
        ("[::1]:0", "/proc/self/net/snmp6", "Ip6ReasmOKs"),
    ] {
        let Some(mut group) = Group::start(address, 5) else { return };
        let before = counted(counters, name);
        let mut sent = 0;
        for size in [1_473, 4_000, 20_000, 60_000] {
            for offset in [150, 1_400, 1_465, 1_472, 1_480, 2_950, 10_000, SCAN_BYTES_MAX] {
                for call in 0..6 {
                    group.check(&message(&format!("Call-ID: {call}-{offset}@host"), offset, size));
                    sent += 1;
                }
            }
        }
        let together = counted(counters, name) - before;
        assert!(together >= sent, "{together} of {sent} datagrams came in fragments");
    }
}

/// A counter of the kernel, from either layout: names and values in two lines, or one pair per line.
fn counted(file: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(file).expect("the kernel's counters");
    let pair = text.lines().find_map(|line| line.strip_prefix(name));
    if let Some(value) = pair {
        return value.trim().parse().expect("a number");
    }
    let mut lines = text.lines();
    while let (Some(names), Some(values)) = (lines.next(), lines.next()) {
        let place = names.split_whitespace().position(|found| found == name);
        if let Some(place) = place {
            return values
                .split_whitespace()
                .nth(place)
                .and_then(|n| n.parse().ok())
                .expect("a number");
        }
    }
    panic!("{file} has no {name}");
}
