//! Framing against fixed streams, against a naive reading of the whole stream, and under every split.

use proptest::prelude::*;

use super::{Broken, Frame, Framing, FramingLimits};

const LIMITS: FramingLimits = FramingLimits { header_bytes_max: 200, message_bytes_max: 300 };

/// Shows `stream` in pieces of the given lengths (the last one takes the rest) and collects the frames.
fn frames_of(stream: &[u8], pieces: &[usize], limits: FramingLimits) -> Vec<Frame> {
    let mut framing = Framing::new(limits);
    let (mut frames, mut start, mut shown) = (Vec::new(), 0, 0_usize);
    for piece in pieces.iter().copied().chain([usize::MAX]) {
        shown = stream.len().min(shown.saturating_add(piece));
        loop {
            let frame = framing.next(&stream[start..shown]);
            match frame {
                Frame::NeedMore => break,
                Frame::Broken(_) => {
                    frames.push(frame);
                    assert_eq!(framing.next(b"OPTIONS"), frame, "broken is for good");
                    return frames;
                }
                _ => frames.push(frame),
            }
            assert!(!frame.is_empty());
            start += frame.len();
        }
    }
    frames
}

/// The simple version: the whole stream at once, each message searched from its start.
fn naive_frames(stream: &[u8], limits: FramingLimits) -> Vec<Frame> {
    let mut frames = Vec::new();
    let mut rest = stream;
    while !rest.is_empty() && rest != b"\r" {
        let frame = naive_frame(rest, frames.last() == Some(&Frame::KeepAlivePong), limits);
        if frame == Frame::NeedMore {
            break;
        }
        frames.push(frame);
        if matches!(frame, Frame::Broken(_)) {
            break;
        }
        rest = &rest[frame.len()..];
    }
    frames
}

fn naive_frame(bytes: &[u8], half_ping: bool, limits: FramingLimits) -> Frame {
    if bytes.starts_with(b"\r\n") {
        return if half_ping { Frame::KeepAlivePing } else { Frame::KeepAlivePong };
    }
    if matches!(bytes[0], b'\r' | b'\n' | b' ' | b'\t') {
        return Frame::Broken(Broken::StrayByte);
    }
    let within = &bytes[..bytes.len().min(limits.header_bytes_max)];
    let is_stray = |at: &usize| match (within[*at], within.get(at + 1)) {
        (0, _) => true,
        (b'\r', Some(behind)) => *behind != b'\n',
        _ => false,
    };
    let stray = (0..within.len()).find(is_stray);
    let ends = |end: &usize| bytes[..*end].ends_with(b"\n\n") || bytes[..*end].ends_with(b"\n\r\n");
    let header = match (1..=bytes.len()).find(ends) {
        end if stray.is_some_and(|at| end.is_none_or(|end| at < end)) => {
            return Frame::Broken(Broken::StrayByte);
        }
        Some(header) if header <= limits.header_bytes_max => header,
        None if bytes.len() < limits.header_bytes_max => return Frame::NeedMore,
        _ => return Frame::Broken(Broken::HeaderTooLarge),
    };
    let text = String::from_utf8_lossy(&bytes[..header]).replace("\r\n", "\n");
    let unfolded = text.replace("\n ", " ").replace("\n\t", " ");
    let lengths: Vec<&str> = unfolded
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .filter(|(name, _)| {
            ["content-length", "l"].contains(&name.trim_end().to_lowercase().as_str())
        })
        .map(|(_, value)| value.trim())
        .collect();
    match lengths[..] {
        [] => Frame::Broken(Broken::ContentLengthMissing),
        [_, _, ..] => Frame::Broken(Broken::ContentLengthDuplicate),
        [digits] if digits.is_empty() || digits.contains(|c: char| !c.is_ascii_digit()) => {
            Frame::Broken(Broken::ContentLengthBad)
        }
        [digits] => match digits.parse::<usize>().map(|body| header + body) {
            Ok(len) if len <= limits.message_bytes_max && len <= bytes.len() => {
                Frame::Message { len }
            }
            Ok(len) if len <= limits.message_bytes_max => Frame::NeedMore,
            _ => Frame::Broken(Broken::MessageTooLarge),
        },
    }
}

/// The frames of `stream`, the same for the whole, for single bytes and for the naive reading.
fn check(stream: &[u8], expected: &[Frame]) {
    assert_eq!(
        frames_of(stream, &[], LIMITS),
        expected,
        "at once: {:?}",
        stream.escape_ascii().to_string()
    );
    assert_eq!(frames_of(stream, &vec![1; stream.len()], LIMITS), expected, "byte by byte");
    assert_eq!(naive_frames(stream, LIMITS), expected, "naive");
}

#[test]
fn keep_alives() {
    let (ping, pong) = (Frame::KeepAlivePing, Frame::KeepAlivePong);
    check(b"", &[]);
    check(b"\r", &[]);
    check(b"\r\n", &[pong]);
    check(b"\r\n\r\n", &[pong, ping]);
    check(b"\r\n\r\n\r\n\r\n", &[pong, ping, pong, ping]);
    check(b"\r\n\r\n\r\nA\nl:0\n\n", &[pong, ping, pong, Frame::Message { len: 7 }]);
    check(b"A\nl:0\n\n\r\n\r\n", &[Frame::Message { len: 7 }, pong, ping]);
}

#[test]
fn content_length_in_all_its_shapes() {
    let fields = [
        "Content-Length: 3",
        "CONTENT-LENGTH:3",
        "l:3",
        "L \t: 003 ",
        "Content-Length:\r\n 3",
        "content-length\t:\r\n\t\r\n 3",
        "X: l: 9\r\nl: 3",
        "Contact: <sip:a>\r\nl: 3",
        "X: a\r\n l: 9\r\nl: 3",
    ];
    // Under miri, some thousand times slower, a few.
    for field in fields.into_iter().step_by(if cfg!(miri) { 4 } else { 1 }) {
        let header = format!("OPTIONS sip:a SIP/2.0\r\n{field}\r\nTo: b\r\n\r\n");
        let len = header.len() + 3;
        check(format!("{header}abc").as_bytes(), &[Frame::Message { len }]);
        check(format!("{header}ab").as_bytes(), &[]);
        let two = [Frame::Message { len }, Frame::KeepAlivePong];
        check(format!("{header}a\r\n\r\n").as_bytes(), &two);
    }
}

#[test]
fn broken_streams() {
    let broken = |stream: &[u8], why: Broken| check(stream, &[Frame::Broken(why)]);
    broken(b"\rA", Broken::StrayByte);
    broken(b"\nA", Broken::StrayByte);
    broken(b" A\r\n\r\n", Broken::StrayByte);
    // Others end a line at a lone CR, or the text at a NUL: they may see the end of the header elsewhere.
    broken(b"A\r\nl: 3\rX: 1\r\n\r\nabc", Broken::StrayByte);
    broken(b"A\r\nl: 3\n\rabc\r\n\r\n", Broken::StrayByte);
    broken(b"A\r\nX: \0\r\nl: 0\r\n\r\n", Broken::StrayByte);
    broken(b"A\rB\r\nl: 0\r\n\r\n", Broken::StrayByte);
    check(b"A\nl: 4\r\n\r\n\r\0\ra", &[Frame::Message { len: 14 }]);
    broken(b"A\r\n\r\n", Broken::ContentLengthMissing);
    broken(b"A\r\nContent-Length 0\r\n\r\n", Broken::ContentLengthMissing);
    broken(b"A\r\nl: 0\r\nContent-Length: 0\r\n\r\n", Broken::ContentLengthDuplicate);
    for value in ["", "-1", "+1", "0x1", "1 2", "1,1", "one"] {
        broken(format!("A\r\nl:{value}\r\n\r\n").as_bytes(), Broken::ContentLengthBad);
    }
    broken(b"A\r\nl: 99999999999999999999999\r\n\r\n", Broken::MessageTooLarge);
    broken(b"A\r\nl: 300\r\n\r\n", Broken::MessageTooLarge);
}

#[test]
fn bounds_are_exact() {
    let header = |len: usize| format!("A\r\nl: 0\r\nX: {}\r\n\r\n", "x".repeat(len - 16));
    assert_eq!(header(200).len(), 200);
    check(header(200).as_bytes(), &[Frame::Message { len: 200 }]);
    check(header(201).as_bytes(), &[Frame::Broken(Broken::HeaderTooLarge)]);
    check(&[b'x'; 199], &[]);
    check(&[b'x'; 200], &[Frame::Broken(Broken::HeaderTooLarge)]);
    let whole = format!("A\r\nl: 289\r\n\r\n{}", "b".repeat(289));
    assert!(whole.len() == 302);
    check(whole.as_bytes(), &[Frame::Broken(Broken::MessageTooLarge)]);
    let whole = format!("A\r\nl: 287\r\n\r\n{}", "b".repeat(287));
    check(whole.as_bytes(), &[Frame::Message { len: 300 }]);
}

#[test]
fn no_byte_is_looked_at_twice_while_fields_come_in() {
    let limits = FramingLimits::default();
    let mut framing = Framing::new(limits);
    let stream = [b"OPTIONS sip:a SIP/2.0\r\nX: ".as_slice(), &[b'x'; 30_000]].concat();
    for shown in 1..=stream.len() {
        assert_eq!(framing.next(&stream[..shown]), Frame::NeedMore);
        // What a CR at the end is, the byte behind it says.
        let is_open = stream[shown - 1] == b'\r';
        assert_eq!(framing.scanned, shown - usize::from(is_open));
    }
}

/// Pieces that make keep-alives, whole, cut and broken messages when put together.
fn pieces_of_a_stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => Just(b"OPTIONS sip:a SIP/2.0\r\n".to_vec()),
        4 => Just(b"\r\n".to_vec()),
        4 => (0..20_usize).prop_map(|n| format!("l: {n}\r\n\r\n{}", "b".repeat(n)).into_bytes()),
        2 => Just(b"Content-Length:\r\n 4\r\n\r\nbody".to_vec()),
        2 => Just(b"X: y\r\n".to_vec()),
        1 => Just(b"\n".to_vec()),
        1 => Just(b"\r".to_vec()),
        1 => Just(b"\0".to_vec()),
        1 => Just(b" ".to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..40),
        1 => Just(vec![b'x'; 150]),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn a_split_changes_nothing(
        stream in pieces_of_a_stream(),
        pieces in proptest::collection::vec(0..30_usize, 0..40),
    ) {
        let expected = naive_frames(&stream, LIMITS);
        prop_assert_eq!(frames_of(&stream, &[], LIMITS), expected.clone());
        prop_assert_eq!(frames_of(&stream, &pieces, LIMITS), expected);
    }
}
