//! The list of deliberate faults stays true: each text that is to be replaced stands once in its file.
//!
//! Owns: the reading of `mutations.toml` and that check. `scripts/mutants.sh` applies them.

use std::collections::BTreeMap;
use std::path::Path;

const KEYS: [&str; 5] = ["name", "file", "find", "replace", "caught_by"];

/// The mutations: each a map of [`KEYS`].
fn list() -> Vec<BTreeMap<String, String>> {
    let mut all: Vec<BTreeMap<String, String>> = Vec::new();
    for line in include_str!("mutations.toml").lines() {
        if line == "[[mutation]]" {
            all.push(BTreeMap::new());
        } else if let Some((key, value)) = line.split_once(" = ").filter(|_| !line.starts_with('#'))
        {
            let literal = value.strip_prefix('\'').and_then(|value| value.strip_suffix('\''));
            let literal = literal.filter(|literal| !literal.contains('\''));
            let literal = literal.unwrap_or_else(|| panic!("no literal string: {line}"));
            let last = all.last_mut().expect("a key stands in a table");
            let known =
                KEYS.contains(&key) && last.insert(key.to_owned(), literal.to_owned()).is_none();
            assert!(known, "unknown, or there twice: {line}");
        }
    }
    all
}

#[test]
fn every_mutation_can_still_be_made() {
    let all = list();
    assert!(all.len() >= 14, "only {} mutations", all.len());
    let mut problems = Vec::new();
    for mutation in &all {
        let missing = KEYS.into_iter().find(|key| !mutation.contains_key(*key));
        assert_eq!(missing, None, "{mutation:?}");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(&mutation["file"]);
        let text = std::fs::read_to_string(&path).expect("a file of the tree");
        let count = text.matches(mutation["find"].as_str()).count();
        if count != 1 {
            let (name, find) = (&mutation["name"], &mutation["find"]);
            problems.push(format!("{name}: `{find}` stands {count} times in {}", mutation["file"]));
        }
        let catcher = mutation["caught_by"].as_str();
        let is_known = match catcher.strip_prefix("sim:") {
            Some(name) => super::invariants::ALL.iter().any(|invariant| invariant.name() == name),
            None => matches!(catcher, "corpus" | "golden"),
        };
        assert!(is_known, "nothing is called {catcher}");
    }
    assert!(problems.is_empty(), "tests/sim/mutations.toml:\n{}", problems.join("\n"));
}
