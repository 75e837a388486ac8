//! The fuzz targets under stable Rust: every kept input again, then new ones from seeds, the same in every run.
//!
//! Owns: reading `corpus` and `regressions`, and a small mutation loop. What must hold stands in `properties`, which the
//! fuzzer (`make fuzz`) shares.

mod properties;

use std::path::{Path, PathBuf};

use properties::random::Random;
use properties::{Target, mutate, samples};

/// Kept inputs of one target: enough to reach what the fuzzer reached, few enough to stay quick.
const KEPT_FILES_MAX: usize = 300;
const KEPT_BYTES_MAX: usize = 500_000;
/// Where the strokes put values of ours, the play of `core` puts real ones.
const OWN: [&[u8]; 2] = [b"<{route}>", b"{via}"];

/// An input and where it is from.
struct Kept {
    name: String,
    bytes: Vec<u8>,
}

/// Tells the input when a property panics.
struct Shown<'a>(&'a str, &'a [u8]);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the input, from {}:\n{}", self.0, self.1.escape_ascii());
        }
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The files of a folder; none when it is not there.
fn kept(folder: &Path) -> Vec<Kept> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<Kept> = entries
        .map(|entry| {
            let path = entry.expect("a readable folder").path();
            let bytes = std::fs::read(&path).expect("a readable input");
            Kept { name: path.display().to_string(), bytes }
        })
        .collect();
    found.sort_by(|one, other| one.name.cmp(&other.name));
    found
}

fn judge(target: &Target, name: &str, bytes: &[u8]) {
    let shown = Shown(name, bytes);
    (target.check)(bytes);
    (target.compare)(bytes);
    drop(shown);
}

/// Replays what is kept of a target, then `rounds` inputs that are made of it.
fn replay(name: &str, rounds: usize) {
    let target = properties::find(name).expect("a target");
    let folder = root().join("tests/fuzz");
    let corpus = kept(&folder.join("corpus").join(name));
    let bytes: usize = corpus.iter().map(|input| input.bytes.len()).sum();
    assert!(!corpus.is_empty(), "no corpus for {name}: make fuzz TARGET={name} KEEP=yes");
    assert!(corpus.len() <= KEPT_FILES_MAX && bytes <= KEPT_BYTES_MAX, "{name}: {bytes} bytes");
    let mut inputs = kept(&folder.join("regressions").join(name));
    inputs.extend(corpus);
    inputs.extend(
        samples::of(name, &root()).into_iter().map(|bytes| Kept { name: "a sample".into(), bytes }),
    );
    for input in &inputs {
        judge(&target, &input.name, &input.bytes);
    }
    let mut random = Random::new(0x00f0_2222);
    for round in 0..rounds {
        let input = random.pick(&inputs);
        let mut bytes = input.bytes.clone();
        for _ in 0..=random.below(3) {
            if target.has_lines && random.below(2) == 0 {
                mutate::stroke(&mut random, &mut bytes, &OWN.map(<[u8]>::to_vec));
            } else {
                stroke(&mut random, &mut bytes, &random_piece(&inputs, round));
            }
        }
        judge(&target, &format!("round {round}, made of {}", input.name), &bytes);
    }
}

/// Up to 64 bytes out of another input.
fn random_piece(inputs: &[Kept], round: usize) -> Vec<u8> {
    let mut random = Random::new(round as u64 + 1);
    let other = &random.pick(inputs).bytes;
    let start = random.below(other.len());
    let end = (start + 1 + random.below(64)).min(other.len());
    other[start.min(end)..end].to_vec()
}

/// Changes bytes that know nothing of SIP.
fn stroke(random: &mut Random, bytes: &mut Vec<u8>, piece: &[u8]) {
    let at = random.below(bytes.len());
    let end = (at + 1 + random.below(8)).min(bytes.len());
    match random.below(6) {
        0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
        1 if at < bytes.len() => bytes[at] = *random.pick(b" \t\r\n:;,<>\"=@[]?0\0\xff"),
        2 => drop(bytes.drain(at.min(end)..end)),
        3 => {
            let copy = bytes[at.min(end)..end].to_vec();
            bytes.splice(at..at, copy);
        }
        4 => drop(bytes.splice(at.min(end)..end, piece.iter().copied())),
        _ => drop(bytes.splice(at..at, piece.iter().copied())),
    }
}

#[test]
fn uri() {
    replay("uri", 20_000);
}

#[test]
fn via() {
    replay("via", 10_000);
}

#[test]
fn token() {
    replay("token", 4_000);
}

#[test]
fn framing() {
    replay("framing", 1_500);
}

#[test]
fn message() {
    replay("message", 3_000);
}

#[test]
fn core() {
    replay("core", 400);
}

#[cfg(feature = "linux")]
#[test]
fn config() {
    replay("config", 600);
}
