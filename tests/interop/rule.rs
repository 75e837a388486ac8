//! What a proxy may change, as the fuzzers' properties have it, held against what Kamailio changed and against what we changed.
//!
//! Owns: calling Kamailio's own lines ours, so that one rule judges both. The rule itself stands with the properties, which
//! read messages with a slow reader of their own: here it proves to be no stricter than the world, and not blind either.

use std::panic::{AssertUnwindSafe, catch_unwind};

use sipedge::sip::message::Index;

use crate::edge::{decremented, is_their_via};
use crate::vector::Vector;

#[path = "../fuzz/properties/changes.rs"]
mod changes;
#[path = "../fuzz/properties/naive.rs"]
#[expect(dead_code, reason = "the fuzz targets use all of it")]
mod naive;

/// A line that no proxy may touch: the rule must miss it.
const MISSED: [&str; 5] = ["From", "To", "Call-ID", "CSeq", "Via"];

/// The rule holds for what we sent and for what Kamailio sent, and does not for that with a line taken off.
pub(crate) fn check_both(vector: &Vector<'_>, ours: &str) {
    check_ours(vector, ours);
    let theirs = as_ours(vector);
    assert_eq!(judge(vector, &theirs), Ok(()), "{}: {theirs}", vector.case());
    for name in MISSED {
        let (start, compact) = (format!("{name}: "), format!("{}: ", compact(name)));
        let is_gone = |line: &str| line.starts_with(&start) || line.starts_with(&compact);
        let last = theirs.split_inclusive('\n').rfind(|line| is_gone(line));
        let Some(last) = last else { continue };
        let without = theirs.replacen(last, "", 1);
        assert!(judge(vector, &without).is_err(), "{}: {name} is not missed", vector.case());
    }
}

/// The rule holds for what we sent.
pub(crate) fn check_ours(vector: &Vector<'_>, ours: &str) {
    assert_eq!(judge(vector, ours), Ok(()), "{}: {ours}", vector.case());
    for text in [vector.input(), vector.out(), ours] {
        readers_agree(text);
    }
}

/// The rule sees whether Kamailio changed what no proxy may.
pub(crate) fn check_theirs(vector: &Vector<'_>, expected: Result<(), Broken>) {
    assert_eq!(judge(vector, &as_ours(vector)), expected, "{}", vector.case());
}

/// The rule for responses: one Via less.
pub(crate) fn check_reply(before: &str, after: &str) {
    changes::response(&naive::split(before.as_bytes()), &naive::split(after.as_bytes()));
    readers_agree(before);
    readers_agree(after);
}

/// The rule does not hold.
#[derive(Debug, PartialEq)]
pub(crate) struct Broken;

fn judge(vector: &Vector<'_>, after: &str) -> Result<(), Broken> {
    let (before, after) = (vector.input().as_bytes(), after.as_bytes());
    let rule = || changes::request(&naive::split(before), &naive::split(after), vector.source());
    catch_unwind(AssertUnwindSafe(rule)).map_err(|_| Broken)
}

/// Kamailio's lines with our mark, and a hop less where its script left that alone.
fn as_ours(vector: &Vector<'_>) -> String {
    let (input, out) = (vector.input(), vector.out());
    let hops = |text: &str| text.lines().find(|l| l.starts_with("Max-Forwards")).map(str::to_owned);
    let lines = out.split_inclusive('\n').map(|line| {
        let is_route = line.starts_with("Record-Route: ") || line.starts_with("Path: ");
        if is_their_via(line, vector) {
            line.replace("branch=z9hG4bK", "branch=z9hG4bK~e~")
        } else if is_route && !input.contains(line) {
            line.replace(";lr", ";~e~;lr")
        } else {
            line.to_owned()
        }
    });
    let text: String = lines.collect();
    if hops(out) == hops(input) { decremented(&text) } else { text }
}

fn readers_agree(text: &str) {
    let mut index = Index::default();
    index.fill(text.as_bytes()).expect("Kamailio took it");
    naive::index_agrees(text.as_bytes(), &index, &naive::split(text.as_bytes()));
}

fn compact(name: &str) -> &str {
    match name {
        "From" => "f",
        "To" => "t",
        "Call-ID" => "i",
        "Via" => "v",
        name => name,
    }
}
