//! A stream: however it is cut, the frames are the same, and the parser reads the same end into each message.
//!
//! Owns: what holds for `Framing` alone and against `message` and `admit`. The input is a stream; its last bytes say how
//! it comes in pieces.

use sipedge::sip::admit::content_end;
use sipedge::sip::framing::{Broken, Frame, Framing, FramingLimits};
use sipedge::sip::message::{FieldName, Index, Message};
use sipedge::sip::{MESSAGE_BYTES_MAX, Unit};

const SMALL: FramingLimits = FramingLimits { header_bytes_max: 256, message_bytes_max: 300 };

pub(crate) fn check(bytes: &[u8]) {
    for limits in [FramingLimits::default(), SMALL] {
        let whole = frames(bytes, limits, |_| usize::MAX);
        let seed = bytes.iter().rev().take(8).fold(1_usize, |n, &b| (n << 5) ^ usize::from(b));
        assert_eq!(whole, frames(bytes, limits, |_| 1 + seed % 7), "in equal pieces");
        let growing = |turn: usize| 1 + (seed >> (turn % 24)) % 61;
        assert_eq!(whole, frames(bytes, limits, growing), "in pieces of any size");
        let mut at = 0;
        for frame in whole {
            if let Frame::Message { len } = frame {
                assert!(len <= limits.message_bytes_max);
                parser_agrees(&bytes[at..at + len]);
            }
            at += frame.len();
        }
    }
    framer_agrees(bytes);
}

/// All frames of a stream that comes in pieces; the last one says why it goes no further.
fn frames(bytes: &[u8], limits: FramingLimits, piece: impl Fn(usize) -> usize) -> Vec<Frame> {
    let mut framing = Framing::new(limits);
    let (mut start, mut end, mut found, mut turn) = (0, 0, Vec::new(), 0);
    loop {
        match framing.next(&bytes[start..end]) {
            Frame::NeedMore if end == bytes.len() => {
                found.push(Frame::NeedMore);
                return found;
            }
            Frame::NeedMore => {
                end = end.saturating_add(piece(turn)).min(bytes.len());
                turn += 1;
            }
            frame @ Frame::Broken(_) => {
                assert_eq!(framing.next(bytes), frame, "broken for good");
                found.push(frame);
                return found;
            }
            frame => {
                assert!(!frame.is_empty() && frame.len() <= end - start);
                start += frame.len();
                found.push(frame);
            }
        }
    }
}

/// A whole message of a stream, read as a datagram, ends where the framer saw its end.
fn parser_agrees(message: &[u8]) {
    let mut index = Index::default();
    let Ok(parsed) = Message::parse(message, &mut index) else { return };
    assert_eq!(lengths(&parsed), 1, "{}", message.escape_ascii());
    let end = content_end(&parsed, Unit::Framed);
    assert_eq!(end, Ok(message.len()), "{}", message.escape_ascii());
}

fn lengths(message: &Message<'_>) -> usize {
    message.index.all(FieldName::ContentLength).count()
}

/// A datagram with a Content-Length, read from a stream, ends where the parser saw its end.
fn framer_agrees(bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(MESSAGE_BYTES_MAX)];
    // RFC 3261 7.5: in front of a message a datagram may have any line ends, a stream only CRLF.
    if matches!(bytes.first(), None | Some(b'\r' | b'\n' | b' ' | b'\t')) {
        return;
    }
    let mut index = Index::default();
    let Ok(parsed) = Message::parse(bytes, &mut index) else { return };
    let frame = Framing::new(FramingLimits::default()).next(bytes);
    let is_large = parsed.body_start() > FramingLimits::default().header_bytes_max;
    let expected = match (lengths(&parsed), content_end(&parsed, Unit::Datagram { is_cut: false }))
    {
        _ if is_large => Frame::Broken(Broken::HeaderTooLarge),
        (0, _) => Frame::Broken(Broken::ContentLengthMissing),
        (1, Ok(end)) => Frame::Message { len: end },
        (1, Err(_)) => {
            let is_cut = parsed.number(FieldName::ContentLength).is_some_and(|n| n.is_ok());
            let fits = matches!(frame, Frame::NeedMore | Frame::Broken(Broken::MessageTooLarge));
            assert!(if is_cut { fits } else { frame == Frame::Broken(Broken::ContentLengthBad) });
            return;
        }
        (_, _) => Frame::Broken(Broken::ContentLengthDuplicate),
    };
    assert_eq!(frame, expected, "{}", bytes.escape_ascii());
}
