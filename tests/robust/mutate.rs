//! Ways to spoil a message: lines, pieces, tokens of ours, bytes.
//!
//! Owns: the strokes. Judges nothing.

use super::random::Random;
use super::seeds::{LINES, PIECES};

/// What a message may grow to here.
const BYTES_MAX: usize = 65_535;

/// Changes `bytes` in one way. `own` are URIs and Via values of ours from earlier output.
pub(crate) fn stroke(random: &mut Random, bytes: &mut Vec<u8>, own: &[Vec<u8>]) {
    match random.below(16) {
        0 => lines(bytes, |all| drop(all.remove(random.below(all.len())))),
        1 => lines(bytes, |all| {
            let copy = random.pick(all).clone();
            all.insert(1 + random.below(all.len()), copy);
        }),
        2 => lines(bytes, |all| {
            let (one, other) = (random.below(all.len()), random.below(all.len()));
            all.swap(one, other);
        }),
        3 | 4 => lines(bytes, |all| {
            let line = random.pick(&LINES).as_bytes().to_vec();
            all.insert(1 + random.below(all.len()), line);
        }),
        5 | 6 => own_line(random, bytes, own),
        7 => own_request_uri(random, bytes, own),
        8 | 9 => {
            let at = place(random, bytes);
            insert(bytes, at, random.pick(&PIECES).as_bytes());
        }
        10 => join(random, bytes),
        11 => replace_all(bytes, b"\r\n", b"\n"),
        12 => {
            let at = random.below(bytes.len());
            bytes.truncate(at);
        }
        13 => {
            let at = random.below(bytes.len());
            if let Some(byte) = bytes.get_mut(at) {
                *byte = u8::try_from(random.below(256)).unwrap_or(0);
            }
        }
        14 => fold(random, bytes),
        _ => pad(random, bytes),
    }
    bytes.truncate(BYTES_MAX);
}

/// Lines with their ends; there is always one.
fn lines(bytes: &mut Vec<u8>, change: impl FnOnce(&mut Vec<Vec<u8>>)) {
    let mut all: Vec<Vec<u8>> =
        bytes.split_inclusive(|&b| b == b'\n').map(<[u8]>::to_vec).collect();
    if all.is_empty() {
        all.push(Vec::new());
    }
    change(&mut all);
    *bytes = all.concat();
}

/// A token, pair or Via of ours as a field of its own, or several in one.
fn own_line(random: &mut Random, bytes: &mut Vec<u8>, own: &[Vec<u8>]) {
    if own.is_empty() {
        return;
    }
    let mut line = Vec::new();
    for place in 0..=random.below(3) {
        let piece = random.pick(own);
        let is_via = !piece.starts_with(b"<");
        match (place, is_via) {
            (0, true) => line.extend_from_slice(b"Via: "),
            (0, false) => line.extend_from_slice(b"Route: "),
            _ => line.extend_from_slice(random.pick(&[",", ", ", ",\r\n ", " , "]).as_bytes()),
        }
        line.extend_from_slice(piece);
    }
    line.extend_from_slice(b"\r\n");
    lines(bytes, |all| all.insert(1 + random.below(all.len().min(6)), line));
}

fn own_request_uri(random: &mut Random, bytes: &mut Vec<u8>, own: &[Vec<u8>]) {
    let Some(piece) = own.get(random.below(own.len())) else { return };
    let Some(uri) = piece.strip_prefix(b"<").and_then(|uri| uri.strip_suffix(b">")) else { return };
    lines(bytes, |all| {
        let mut words: Vec<Vec<u8>> = all[0].split(|&b| b == b' ').map(<[u8]>::to_vec).collect();
        if words.len() == 3 {
            words[1] = uri.to_vec();
            all[0] = words.join(&b' ');
        }
    });
}

/// Two neighbouring lines of one name become one, with a comma.
fn join(random: &mut Random, bytes: &mut Vec<u8>) {
    lines(bytes, |all| {
        let at = random.below(all.len());
        let Some(next) = all.get(at + 1) else { return };
        let name = |line: &[u8]| line.split(|&b| b == b':').next().map(<[u8]>::to_ascii_lowercase);
        if name(&all[at]) == name(next)
            && let Some(colon) = next.iter().position(|&b| b == b':')
        {
            let value = next[colon + 1..].to_vec();
            let kept = all[at].trim_ascii_end().len();
            all[at].truncate(kept);
            all[at].push(b',');
            all[at].extend(value);
            all.remove(at + 1);
        }
    });
}

fn replace_all(bytes: &mut Vec<u8>, old: &[u8], new: &[u8]) {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        match rest.strip_prefix(old) {
            Some(behind) => {
                out.extend_from_slice(new);
                rest = behind;
            }
            None => {
                out.push(rest[0]);
                rest = &rest[1..];
            }
        }
    }
    *bytes = out;
}

/// A blank becomes a fold.
fn fold(random: &mut Random, bytes: &mut Vec<u8>) {
    let blanks: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at] == b' ').collect();
    if let Some(&at) = blanks.get(random.below(blanks.len())) {
        insert(bytes, at, b"\r\n");
    }
}

/// Seldom up to the largest datagram, where offsets end; more often a little.
fn pad(random: &mut Random, bytes: &mut Vec<u8>) {
    let size = if random.below(24) == 0 { BYTES_MAX - random.below(600) } else { 2_000 };
    let missing = size.saturating_sub(bytes.len() + 7);
    let field = [b"X-Y: ", &vec![b'z'; missing][..], b"\r\n"].concat();
    lines(bytes, |all| all.insert(1 + random.below(all.len().min(9)), field));
}

/// Where grammar has a joint, most of the time.
fn place(random: &mut Random, bytes: &[u8]) -> usize {
    let is_joint = |&at: &usize| b";,<>=: \r\"@".contains(&bytes[at]);
    let joints: Vec<usize> = (0..bytes.len()).filter(is_joint).take(200).collect();
    match joints.get(random.below(joints.len())) {
        Some(&at) if random.below(5) > 0 => at + random.below(2),
        _ => random.below(bytes.len()),
    }
}

fn insert(bytes: &mut Vec<u8>, at: usize, piece: &[u8]) {
    let at = at.min(bytes.len());
    bytes.splice(at..at, piece.iter().copied());
}
