//! Edits as whole lines, taken out and put in; and line ends of files.
//!
//! Owns: the form of the diff. Offsets are bytes from the start of the message as received.

use std::fmt::{self, Write};
use std::ops::Range;

use super::fields::text;

/// One edit: offset, bytes deleted, bytes inserted.
type Edit<'a> = (usize, usize, &'a [u8]);

/// The edits of a forwarded message.
pub(super) fn tell<'a>(
    out: &mut String,
    received: &'a [u8],
    edits: impl Iterator<Item = Edit<'a>>,
) -> fmt::Result {
    let edits: Vec<Edit<'a>> = edits.collect();
    writeln!(out, "\nedits")?;
    if edits.is_empty() {
        writeln!(out, "  none")?;
    }
    let mut rest = &edits[..];
    while let Some((lines, count)) = group(received, rest) {
        let (here, later) = rest.split_at(count);
        rest = later;
        let mut new = Vec::new();
        let mut at = lines.start;
        for &(offset, delete, insert) in here {
            new.extend_from_slice(&received[at..offset]);
            new.extend_from_slice(insert);
            at = offset + delete;
        }
        new.extend_from_slice(&received[at..lines.end]);
        tell_lines(out, lines.start, &received[lines], &new)?;
    }
    Ok(())
}

/// Our own answer, whole.
pub(super) fn tell_answer(out: &mut String, answer: &[u8]) -> fmt::Result {
    writeln!(out, "\nanswer")?;
    for line in split(answer).into_iter().filter(|line| *line != b"\r\n") {
        writeln!(out, "  + {}", text(line))?;
    }
    Ok(())
}

/// The lines that the next edits touch, and how many edits those are.
fn group(received: &[u8], edits: &[Edit<'_>]) -> Option<(Range<usize>, usize)> {
    let first = edits.first()?;
    let mut lines = touched(received, first);
    let mut count = 1;
    for edit in &edits[1..] {
        let next = touched(received, edit);
        if next.start >= lines.end && !(next.start == lines.start && lines.is_empty()) {
            break;
        }
        lines.end = lines.end.max(next.end);
        count += 1;
    }
    Some((lines, count))
}

/// The whole lines around an edit; none for lines put in between two others.
fn touched(received: &[u8], &(offset, delete, insert): &Edit<'_>) -> Range<usize> {
    let is_line_start = |at: usize| at == 0 || received.get(at - 1) == Some(&b'\n');
    let start = received[..offset].iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
    let end = offset + delete;
    let whole = is_line_start(end) && (insert.is_empty() || insert.ends_with(b"\n"));
    if start == offset && whole {
        return start..end;
    }
    let line_end = received[end..].iter().position(|&b| b == b'\n');
    start..line_end.map_or(received.len(), |at| end + at + 1)
}

fn tell_lines(out: &mut String, offset: usize, old: &[u8], new: &[u8]) -> fmt::Result {
    let (old, new) = (split(old), split(new));
    let same = |(a, b): &(&&[u8], &&[u8])| a == b;
    let head = old.iter().zip(&new).take_while(same).count();
    let (old_rest, new_rest) = (&old[head..], &new[head..]);
    let tail = old_rest.iter().rev().zip(new_rest.iter().rev()).take_while(same).count();
    let offset = offset + old[..head].iter().map(|line| line.len()).sum::<usize>();
    writeln!(out, "  @{offset}")?;
    for line in &old_rest[..old_rest.len() - tail] {
        writeln!(out, "  - {}", text(line))?;
    }
    for line in &new_rest[..new_rest.len() - tail] {
        writeln!(out, "  + {}", text(line))?;
    }
    Ok(())
}

fn split(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.split_inclusive(|&b| b == b'\n').collect()
}

/// A file as it would be on the wire: an editor's line ends become CRLF, up to the end of the fields.
pub(super) fn with_crlf(raw: &[u8]) -> (Vec<u8>, Option<&'static str>) {
    let is_crlf = raw.windows(2).any(|pair| pair == b"\r\n");
    if is_crlf || !raw.contains(&b'\n') {
        return (raw.to_vec(), None);
    }
    let end_of_fields = raw.windows(2).position(|pair| pair == b"\n\n").map(|at| at + 2);
    let (fields, body) = raw.split_at(end_of_fields.unwrap_or(raw.len()));
    let mut bytes = Vec::with_capacity(raw.len() + 64);
    for &byte in fields {
        if byte == b'\n' {
            bytes.push(b'\r');
        }
        bytes.push(byte);
    }
    if end_of_fields.is_none() {
        bytes.extend_from_slice(if fields.ends_with(b"\n") { b"\r\n" } else { b"\r\n\r\n" });
        return (
            bytes,
            Some("lines end in LF and no empty line ends the fields: both added as on the wire"),
        );
    }
    bytes.extend_from_slice(body);
    (bytes, Some("lines end in LF: read as CRLF, as on the wire; the body is as it is"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(received: &str, edits: &[(usize, usize, &str)], expected: &str) {
        let edits = edits.iter().map(|&(at, delete, insert)| (at, delete, insert.as_bytes()));
        let mut out = String::new();
        tell(&mut out, received.as_bytes(), edits).unwrap();
        assert_eq!(out.strip_prefix("\nedits\n").unwrap(), expected);
    }

    const THREE: &str = "one\r\ntwo\r\nthree\r\n";

    #[test]
    fn a_line_put_in_takes_nothing_out() {
        check(THREE, &[(5, 0, "new\r\n")], "  @5\n  + new\n");
        check(THREE, &[(5, 0, "new\r\n"), (5, 0, "more\r\n")], "  @5\n  + new\n  + more\n");
    }

    #[test]
    fn a_change_within_a_line_shows_the_line() {
        check(THREE, &[(8, 0, ";x")], "  @5\n  - two\n  + two;x\n");
        check(THREE, &[(5, 1, "T"), (7, 1, "O")], "  @5\n  - two\n  + TwO\n");
    }

    #[test]
    fn lines_taken_out_and_edits_apart() {
        check(THREE, &[(5, 5, "")], "  @5\n  - two\n");
        check(
            THREE,
            &[(0, 3, "1"), (10, 5, "3")],
            "  @0\n  - one\n  + 1\n  @10\n  - three\n  + 3\n",
        );
        check(THREE, &[], "  none\n");
    }

    #[test]
    fn a_line_put_in_before_a_changed_line() {
        check(THREE, &[(5, 0, "new\r\n"), (8, 0, "!")], "  @5\n  - two\n  + new\n  + two!\n");
    }

    #[test]
    fn line_ends_of_files() {
        let (bytes, note) = with_crlf(b"A\nB: 1\n\nx\ny\n");
        assert_eq!(bytes, b"A\r\nB: 1\r\n\r\nx\ny\n");
        assert!(note.is_some());
        assert_eq!(with_crlf(b"A\nB: 1").0, b"A\r\nB: 1\r\n\r\n");
        assert_eq!(with_crlf(b"A\r\nB\r\n\r\n"), (b"A\r\nB\r\n\r\n".to_vec(), None));
    }
}
