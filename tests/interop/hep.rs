//! HEP3 packets as Kamailio's siptrace makes them, and ours of the same messages.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde_json::Value;
use sipedge::secret::Secret;
use sipedge::trace::hep::{Packet, write};

fn file() -> Value {
    serde_json::from_str(include_str!("kamailio/hep.json")).expect("recorded as JSON")
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).expect("ASCII"));
    digits.map(|pair| u8::from_str_radix(pair, 16).expect("hex")).collect()
}

/// The values of a packet's chunks by type.
fn chunks(packet: &[u8]) -> Vec<(u16, &[u8])> {
    assert_eq!(&packet[..4], b"HEP3");
    let number = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
    assert_eq!(usize::from(number(4)), packet.len());
    let (mut at, mut found) = (6, Vec::new());
    while at < packet.len() {
        let size = usize::from(number(at + 4));
        found.push((number(at + 2), &packet[at + 6..at + size]));
        at += size;
    }
    found
}

fn ip(value: &[u8]) -> IpAddr {
    match value.try_into() {
        Ok::<[u8; 4], _>(octets) => Ipv4Addr::from(octets).into(),
        Err(_) => Ipv6Addr::from(<[u8; 16]>::try_from(value).expect("sixteen")).into(),
    }
}

/// Writes the message of `theirs` with what its chunks say.
fn ours(theirs: &[u8]) -> Vec<u8> {
    let chunks = chunks(theirs);
    let find = |kind: u16| chunks.iter().find(|(found, _)| *found == kind).map(|(_, value)| *value);
    let either = |v4, v6| ip(find(v4).or(find(v6)).expect("an address"));
    let number = |kind| {
        find(kind).expect("there").iter().fold(0_u64, |sum, &byte| sum << 8 | u64::from(byte))
    };
    let port = |kind| u16::try_from(number(kind)).expect("a port");
    let password = find(14).map(|key| Secret::from(std::str::from_utf8(key).expect("text")));
    let mut out = Vec::new();
    let packet = Packet {
        source: SocketAddr::new(either(3, 5), port(7)),
        destination: SocketAddr::new(either(4, 6), port(8)),
        time_us: number(9) * 1_000_000 + number(10),
        node_id: u32::try_from(number(12)).expect("32 bits"),
        password: password.as_ref(),
        message: find(15).expect("a message"),
    };
    write(&mut out, &packet);
    out
}

#[test]
fn our_packets_of_the_same_messages_are_the_same() {
    let file = file();
    let recorded = file["siptrace"].as_array().expect("a list");
    assert_eq!(recorded.len(), 2);
    for packet in recorded {
        let theirs = bytes(packet["hex"].as_str().expect("hex"));
        assert_eq!(ours(&theirs), theirs);
    }
}

/// The packet over IPv6 has two chunks that we do not write: a keep-alive time (9 of another vendor's making) and a
/// correlation id. The others are the same.
#[test]
fn our_packet_over_ipv6_says_the_same() {
    let file = file();
    let theirs = bytes(file["v6"]["in_hex"].as_str().expect("hex"));
    let ours = ours(&theirs);
    let expected: Vec<_> =
        chunks(&theirs).into_iter().filter(|(kind, _)| !matches!(kind, 17)).collect();
    // What stands twice is of another vendor.
    let expected: Vec<_> = expected
        .iter()
        .enumerate()
        .filter(|(place, (kind, _))| expected[..*place].iter().all(|(before, _)| before != kind))
        .map(|(_, chunk)| *chunk)
        .collect();
    assert_eq!(chunks(&ours), expected);
}
