//! Examples of the definition, and a naive second reading of it that random messages are compared with.

use proptest::prelude::*;

use super::*;
use crate::sip::digit::digit;

/// The definition read literally, offset by offset.
fn naive(datagram: &[u8], shards: u8) -> Option<u8> {
    for offset in 0..=datagram.len().min(SCAN_BYTES_MAX) {
        let here = &datagram[offset..];
        let at_line_start = offset == 0 || datagram[offset - 1] == b'\n';
        if at_line_start && let Some(value) = naive_value(here) {
            return Some(shard_of_value(value, shards));
        }
        if offset < SCAN_BYTES_MAX
            && here.len() > 3
            && &here[..3] == b"~e~"
            && let Some(shard) = (0..shards).find(|&shard| digit(shard) == here[3])
        {
            return Some(shard);
        }
    }
    None
}

fn naive_value(line: &[u8]) -> Option<&[u8]> {
    let text: String = line.iter().take(HEAD_BYTES_MAX).map(|&byte| char::from(byte)).collect();
    let lower = text.to_ascii_lowercase();
    let rest = lower.strip_prefix("call-id").or_else(|| lower.strip_prefix('i'))?;
    let rest = rest.trim_start_matches([' ', '\t']).strip_prefix(':')?;
    let rest = rest.trim_start_matches([' ', '\t']);
    let value = lower.chars().count() - rest.chars().count();
    (!rest.is_empty()).then(|| &line[value..])
}

#[track_caller]
fn check(datagram: &str, shards: u8, expected: Option<u8>) {
    assert_eq!(shard(datagram.as_bytes(), shards), expected, "{datagram:?}");
    assert_eq!(naive(datagram.as_bytes(), shards), expected, "naive on {datagram:?}");
}

#[test]
fn all_shapes_of_the_field_agree() {
    let expected = Some(shard_of_value(b"a84b4c76e66710@pc33", 64));
    for field in [
        "Call-ID: a84b4c76e66710@pc33",
        "call-id:a84b4c76e66710@pc33",
        "CALL-ID \t :  a84b4c76e66710@pc33  ",
        "i: a84b4c76e66710@pc33",
        "I\t:a84b4c76e66710@pc33\t",
    ] {
        check(&format!("{field}\r\n"), 64, expected);
        check(&format!("OPTIONS sip:a SIP/2.0\r\nVia: x\r\n{field}\r\n\r\n"), 64, expected);
        check(&format!("OPTIONS sip:a SIP/2.0\n{field}"), 64, expected);
    }
}

#[test]
fn what_only_looks_like_it_is_passed_over() {
    let expected = Some(shard_of_value(b"yes", 64));
    for other in [
        "X: a\ri: no",
        "X: a\0i: no",
        "In-Reply-To: no",
        "Xi: no",
        " i: no",
        "Call-IDs: no",
        "i",
        "Call-ID",
        "id: no",
    ] {
        check(&format!("A\r\n{other}\r\ni: yes\r\n"), 64, expected);
    }
    check("A\r\nVia: x~e~!~e~~e\r\n~e\r\ni: yes\r\n", 64, expected);
}

#[test]
fn the_first_in_the_message_wins() {
    check("A\r\nVia: b~e~Dxx\r\ni: yes\r\n", 4, Some(3));
    check("A\r\ni: yes\r\nVia: b~e~Dxx\r\n", 4, Some(shard_of_value(b"yes", 4)));
    check("A\r\nVia: b~e~_xx\r\n", 64, Some(63));
    // A digit of a shard that we do not have: a mark of an earlier configuration.
    check("A\r\nVia: b~e~Exx, b~e~Bxx\r\n", 4, Some(1));
    check("~e~~e~C", 4, Some(2));
}

#[test]
fn neither_is_nobodys() {
    for datagram in ["", "\n", "~", "~e~", "\r\n\r\n", "OPTIONS sip:a SIP/2.0\r\n\r\n", "i:", "i: "]
    {
        check(datagram, 8, None);
    }
}

#[test]
fn the_bounds_are_kept() {
    let blanks = " ".repeat(HEAD_BYTES_MAX - 2);
    check(&format!("i:{blanks}yes"), 64, None);
    check(&format!("i:{}yes", &blanks[1..]), 64, Some(shard_of_value(b"yes", 64)));
    let long = "x".repeat(VALUE_BYTES_MAX);
    check(&format!("i:{long}a"), 64, Some(shard_of_value(long.as_bytes(), 64)));
    // Under miri, some thousand times slower, one side of the bound.
    let sides = [(SCAN_BYTES_MAX - 1, true), (SCAN_BYTES_MAX, false)];
    for (padding, found) in sides.into_iter().skip(usize::from(cfg!(miri))) {
        let padding = "p".repeat(padding);
        check(&format!("{padding}~e~B"), 2, found.then_some(1));
        check(&format!("{padding}\ni:yes"), 64, found.then(|| shard_of_value(b"yes", 64)));
    }
}

#[test]
fn calls_spread_evenly() {
    let mut counts = [0_u32; 3];
    for call in 0..30_000 {
        let message = format!("i: {call}-4711@192.0.2.1\r\n");
        counts[usize::from(shard(message.as_bytes(), 3).expect("it has a Call-ID"))] += 1;
    }
    assert!(counts.iter().all(|&count| (9_500..10_500).contains(&count)), "{counts:?}");
}

proptest! {
    #[test]
    fn it_agrees_with_the_naive_reading(
        parts in proptest::collection::vec(prop_oneof![
            Just("\n".to_owned()), Just("\r\n".to_owned()), Just("~".to_owned()), Just("~e~".to_owned()),
            Just("Call-ID".to_owned()), Just("i".to_owned()), Just("I ".to_owned()), Just(":".to_owned()),
            Just(" ".to_owned()), "[ \t]{0,40}", "[a-zA-Z0-9~@:-]{0,80}", "[A-F_-]",
        ], 0..40),
        shards in 1_u8..=64,
    ) {
        let datagram = parts.concat();
        prop_assert_eq!(shard(datagram.as_bytes(), shards), naive(datagram.as_bytes(), shards));
    }
}

#[test]
fn a_call_has_one_hash_in_all_its_messages() {
    let expected = Some(call_of_id(b"abc@host"));
    for text in [
        "INVITE sip:a SIP/2.0\r\nCall-ID: abc@host\r\n\r\n",
        "SIP/2.0 200 OK\r\nVia: x;branch=z9hG4bK~e~A1\r\ni:abc@host\r\nCall-ID: other\r\n\r\n",
        "BYE sip:a SIP/2.0\r\ncall-id \t: abc@host",
    ] {
        assert_eq!(call(text.as_bytes()), expected, "{text}");
    }
    assert_ne!(call(b"BYE sip:a SIP/2.0\r\nCall-ID: abd@host\r\n"), expected);
    assert_eq!(call(b"BYE sip:a SIP/2.0\r\nTo: abc@host\r\n"), None);
}
