//! The program in the kernel and `sip::steer` are one definition: each message lands where Rust says.

use sipedge::sip::digit::digit;
use sipedge::sip::steer::{self, SCAN_BYTES_MAX};

use crate::group::{Group, message};

const SHAPES: [&str; 8] = [
    "Call-ID: ",
    "call-id:",
    "CALL-ID : ",
    "cAlL-iD\t:\t  ",
    "i: ",
    "I:",
    "i   :   ",
    "Call-ID         :              ",
];

#[test]
fn each_call_stays_on_its_shard_whatever_its_port_and_form() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let Some(mut group) = Group::start(address, 5) else { return };
        for call in 0..64 {
            let expected = steer::shard(format!("i: {call}@host").as_bytes(), 5);
            for shape in SHAPES {
                let datagram = message(&format!("{shape}{call}@host"), 150 + call, 600);
                assert_eq!(steer::shard(&datagram, 5), expected, "forms of one Call-ID agree");
                group.check(&datagram);
            }
        }
        let picks = group.steered.picks();
        assert_eq!((picks.call_id, picks.mark, picks.none, picks.refused), (512, 0, 0, 0));
    }
}

#[test]
fn the_field_is_found_at_every_offset_up_to_the_bound() {
    let Some(mut group) = Group::start("127.0.0.1:0", 7) else { return };
    // Every place in and around the chunks that the program scans, then further out.
    let near = 110..1100;
    let far = (1100..SCAN_BYTES_MAX).step_by(97);
    let chunk_edges = (1..64).flat_map(|chunk| (chunk * 256 - 9)..(chunk * 256 + 3));
    for offset in [0].into_iter().chain(near).chain(far).chain(chunk_edges.filter(|&o| o > 110)) {
        group.check(&message(&format!("Call-ID: {offset}-x"), offset, 0));
        group.check(&message(&format!("i:{offset}"), offset, offset + 500));
    }
    for (offset, found) in [(SCAN_BYTES_MAX, true), (SCAN_BYTES_MAX + 1, false)] {
        let before = group.steered.picks();
        let datagram = message("i: at-the-bound", offset, 0);
        assert_eq!(steer::shard(&datagram, 7).is_some(), found);
        group.send(&datagram);
        let after = group.steered.picks();
        assert_eq!(after.call_id - before.call_id, u64::from(found), "offset {offset}");
        assert_eq!(after.none - before.none, u64::from(!found), "offset {offset}");
    }
}

#[test]
fn every_length_of_a_value_is_hashed_alike() {
    let Some(mut group) = Group::start("127.0.0.1:0", 64) else { return };
    for length in 1..100 {
        let value = "v".repeat(length);
        group.check(format!("OPTIONS sip:a SIP/2.0\r\ni: {value}").as_bytes());
        group.check(format!("OPTIONS sip:a SIP/2.0\r\ni:{value}  \r\n\r\n").as_bytes());
        group.check(format!("OPTIONS sip:a SIP/2.0\ni:{value}\n\n").as_bytes());
    }
    group.check("i: \u{fc}ml\u{e4}ut@h\u{f6}st".as_bytes());
    group.check(b"OPTIONS sip:a SIP/2.0\r\nCall-ID:\r\n folded@host\r\n");
}

#[test]
fn marks_win_where_they_come_first() {
    let Some(mut group) = Group::start("127.0.0.1:0", 64) else { return };
    for shard in 0..64 {
        let digit = char::from(digit(shard));
        for padding in [0, 1, 200, 201, 202, 203, 204, 205, 206, 207, 208, 4000] {
            let pad = "p".repeat(padding);
            let response = format!(
                "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h{pad};branch=z9hG4bK~e~{digit}abc\r\ni: other\r\n\r\n"
            );
            assert_eq!(group.send(response.as_bytes()), shard, "padding {padding}");
        }
        let behind = format!("A sip:a SIP/2.0\r\ni: me\r\nRoute: <sip:~e~{digit}x@h;lr>\r\n\r\n");
        group.check(behind.as_bytes());
    }
    assert_eq!(group.steered.picks().mark, 64 * 12);
}

#[test]
fn marks_of_shards_that_we_do_not_have_are_passed_over() {
    let Some(mut group) = Group::start("127.0.0.1:0", 3) else { return };
    for digit in ["D", "_", "!", "~", "~e~B"] {
        group.check(format!("A\r\nVia: b~e~{digit}, ~e\r\ni: yes{digit}\r\n\r\n").as_bytes());
    }
}

#[test]
fn what_is_nobodys_arrives_all_the_same() {
    let Some(mut group) = Group::start("127.0.0.1:0", 3) else { return };
    let datagrams: [&[u8]; 8] = [
        b"",
        b"\r\n\r\n",
        b"\0",
        b"~e~",
        b"i:",
        b"i: ",
        b"Call-ID",
        b"OPTIONS sip:a SIP/2.0\r\n\r\n",
    ];
    for datagram in datagrams {
        assert_eq!(steer::shard(datagram, 3), None);
        group.send(datagram);
    }
    assert_eq!(group.steered.picks().none, 8);
    // A shard without a socket: the kernel's own hash.
    drop(group.sockets.remove(2));
    let call = (0..).find(|call| steer::shard(format!("i:{call}").as_bytes(), 3) == Some(2));
    let datagram = format!("i:{}", call.expect("one of three"));
    assert!(group.send(datagram.as_bytes()) < 2);
    assert_eq!(group.steered.picks().refused, 1);
}

#[test]
fn random_bytes_land_where_rust_says() {
    let Some(mut group) = Group::start("127.0.0.1:0", 16) else { return };
    let words: [&[u8]; 12] = [
        b"\n",
        b"\r\n",
        b"~e~",
        b"~",
        b"i",
        b"Call-ID",
        b":",
        b" ",
        b"\t",
        b"A",
        b"xyz",
        b"0123456789abcdef",
    ];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |bound: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % bound).expect("small")
    };
    for _ in 0..3000 {
        let mut datagram = Vec::new();
        for _ in 0..next(400) {
            datagram.extend_from_slice(words[next(12)]);
        }
        let landed = group.send(&datagram);
        if let Some(expected) = steer::shard(&datagram, 16) {
            assert_eq!(landed, expected, "{:?}", String::from_utf8_lossy(&datagram));
        }
    }
    let picks = group.steered.picks();
    assert!(picks.mark > 100 && picks.call_id > 100 && picks.none > 10, "{picks:?}");
}
