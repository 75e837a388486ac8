//! The source checks itself: what the style guide asks for and a compiler does not see.
//!
//! Owns: the rules (`tidy/rules.rs`, pure functions from text to findings), the walk over the tree and what
//! binds files to each other: modules, documents, commands, drop reasons. Every rule has a test that it can fail.

#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/text.rs"]
mod text;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use sipedge::sip::DropReason;

/// One file of the tree; the path is relative to the root, with `/`.
struct File {
    path: String,
    text: String,
}

/// Folders and files that the walk enters. What is built, fetched or foreign is not ours to judge.
const ROOTS: [&str; 17] = [
    ".ci",
    "Cargo.toml",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "ARCHITECTURE.md",
    "Makefile",
    "README.md",
    "benches",
    "build.rs",
    "config",
    "deny.toml",
    "docs",
    "ebpf",
    "perf",
    "scripts",
    "src",
    "tests",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn walk(path: &Path, found: &mut Vec<File>) {
    if path.is_dir() {
        let mut entries: Vec<_> =
            fs::read_dir(path).expect("readable").map(|e| e.expect("readable").path()).collect();
        entries.sort();
        entries.iter().for_each(|entry| walk(entry, found));
    } else if let Ok(text) = fs::read_to_string(path) {
        // What is no UTF-8 (SIP messages of the corpus) holds no code.
        let relative = path.strip_prefix(root()).expect("the walk starts at the root");
        found.push(File { path: relative.to_string_lossy().into_owned(), text });
    }
}

fn files() -> Vec<File> {
    let mut found = Vec::new();
    ROOTS.iter().for_each(|name| walk(&root().join(name), &mut found));
    assert!(found.len() > 10, "the walk found only {} files", found.len());
    found
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Runs one rule over all files that `applies` to and fails with every finding at once.
fn check(applies: impl Fn(&str) -> bool, rule: impl Fn(&File) -> Vec<String>) {
    let mut findings = Vec::new();
    let mut seen = 0;
    for file in files().iter().filter(|file| applies(&file.path)) {
        seen += 1;
        findings.extend(rule(file).into_iter().map(|finding| format!("{}:{finding}", file.path)));
    }
    assert!(seen > 0, "the rule saw no file");
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

fn is_rust(path: &str) -> bool {
    path.ends_with(".rs")
}

fn is_code(path: &str) -> bool {
    [".rs", ".c", ".h", ".sh"].iter().any(|end| path.ends_with(end))
}

/// Data of other makers: messages, vectors, scenarios.
fn is_foreign(path: &str) -> bool {
    path.starts_with("tests/") && !is_code(path)
}

#[test]
fn every_source_file_says_what_it_owns() {
    check(is_rust, |file| rules::head(&file.text));
}

#[test]
fn nothing_is_left_over() {
    check(
        |path| !is_foreign(path) && !path.starts_with("tests/tidy"),
        |f| rules::leftovers(&f.text),
    );
}

#[test]
fn no_path_of_a_machine() {
    check(|path| !path.starts_with("tests/tidy"), |file| rules::machine_paths(&file.text));
}

#[test]
fn lines_fit() {
    // Tests may hold long literals: messages and what is expected of them.
    check(|path| is_code(path) && !text::is_test_path(path), |file| rules::long_lines(&file.text));
}

#[test]
fn files_have_one_question() {
    check(
        |path| is_rust(path) && path.starts_with("src/") && !text::is_test_path(path),
        |file| rules::long_file(&file.text),
    );
}

#[test]
fn unsafe_stays_in_the_data_path() {
    let outside = |path: &str| is_rust(path) && !path.starts_with("src/datapath/");
    check(|path| outside(path) && path.starts_with("src/"), |f| rules::words(&f.text, &["unsafe"]));
    assert!(read("src/sip/mod.rs").contains("#![forbid(unsafe_code)]"), "src/sip/mod.rs");
}

#[test]
fn secrets_cannot_be_printed() {
    check(
        |path| is_rust(path) && path.starts_with("src/") && !text::is_test_path(path),
        |file| rules::plain_secrets(text::without_tests(&file.text)),
    );
}

#[test]
fn the_core_is_pure() {
    check(
        |path| is_rust(path) && path.starts_with("src/sip/") && !text::is_test_path(path),
        |file| rules::words(text::without_tests(&file.text), &rules::IMPURE),
    );
}

#[test]
fn nothing_panics_on_bytes_from_the_network() {
    let hot = |path: &str| path.starts_with("src/sip/") || path.starts_with("src/datapath/");
    check(
        |path| is_rust(path) && hot(path) && !text::is_test_path(path),
        |file| rules::panics(text::without_tests(&file.text)),
    );
}

#[test]
fn arrows_of_knowledge_hold() {
    check(
        |path| is_rust(path) && rules::layer(path).is_some() && !text::is_test_path(path),
        |file| {
            let may = rules::layer(&file.path).expect("the filter asked").may_name;
            rules::arrows(text::without_tests(&file.text), may)
        },
    );
}

#[test]
fn every_file_is_reached_by_a_mod_line() {
    let files = files();
    let is_root = |path: &str| {
        // A package below `perf` has the same places; the one in a package's own folder, too.
        let path = path.strip_prefix("perf/").map_or(path, |below| {
            let place = ["/src/", "/tests/"].into_iter().find_map(|place| below.rfind(place));
            place.map_or(below, |at| &below[at + 1..])
        });
        if path.starts_with("src/bin/") {
            return true;
        }
        let mut parts = path.split('/');
        let (top, second, third) = (parts.next(), parts.next(), parts.next());
        match (top, second, third) {
            (Some("src"), Some("lib.rs" | "main.rs"), None) => true,
            (Some("tests" | "benches"), Some(name), None) => is_rust(name),
            (Some("tests" | "benches"), Some(_), Some("main.rs")) => parts.next().is_none(),
            // The replay is a test, the fuzzer a program of its own workspace.
            (Some("tests"), Some("fuzz"), Some("replay.rs" | "libfuzzer.rs")) => true,
            _ => false,
        }
    };
    let mut reached = BTreeSet::new();
    let mut waiting: Vec<String> =
        files.iter().map(|f| f.path.clone()).filter(|path| is_root(path)).collect();
    while let Some(path) = waiting.pop() {
        let Some(file) = files.iter().find(|file| file.path == path) else { continue };
        if reached.insert(path.clone()) {
            waiting.extend(rules::modules(&path, is_root(&path), &file.text));
        }
    }
    let lost: Vec<_> = files
        .iter()
        .map(|file| &file.path)
        .filter(|path| is_rust(path) && *path != "build.rs" && !reached.contains(*path))
        .collect();
    assert!(lost.is_empty(), "no `mod` line leads to {lost:?}");
}

#[test]
fn documents_name_what_exists() {
    let makefile = read("Makefile");
    for document in ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md"] {
        let text = read(document);
        let commands = rules::make_commands(&text);
        let gone: Vec<_> =
            commands.iter().filter(|name| !rules::has_target(&makefile, name)).collect();
        assert!(gone.is_empty(), "{document} names make targets that are not there: {gone:?}");
        let links = rules::links(&text);
        let gone: Vec<_> = links.iter().filter(|link| !root().join(link).exists()).collect();
        assert!(gone.is_empty(), "{document} links to what is not there: {gone:?}");
    }
    for target in ["demo", "test", "check", "bench", "perf", "sim", "fuzz"] {
        assert!(rules::has_target(&makefile, target), "Makefile has no target {target}");
    }
    for target in ["demo", "test"] {
        let command = format!("make {target}");
        assert!(read("README.md").contains(&command), "README.md does not name `{command}`");
    }
}

#[test]
fn the_test_command_is_what_ci_runs() {
    let runs = read(".ci/run");
    assert_eq!(runs.lines().last(), Some("exec make test </dev/null"), ".ci/run");
}

#[test]
fn results_of_comparisons_are_summaries() {
    let raw: Vec<_> = files()
        .into_iter()
        .filter(|file| file.path.starts_with("perf/results/") && file.path.ends_with(".json"))
        .map(|file| file.path)
        .collect();
    assert!(raw.is_empty(), "tables and plots only: {raw:?}");
}

#[test]
fn every_drop_reason_is_documented() {
    let documented: BTreeSet<String> = rules::drop_reasons(&read("README.md")).collect();
    let real: BTreeSet<String> = DropReason::ALL.iter().map(|r| r.label().to_owned()).collect();
    let missing: Vec<_> = real.difference(&documented).collect();
    assert!(missing.is_empty(), "README.md, \"Drop reasons\", does not explain {missing:?}");
    let gone: Vec<_> = documented.difference(&real).collect();
    assert!(gone.is_empty(), "README.md, \"Drop reasons\", explains what does not exist: {gone:?}");
}

#[test]
fn every_metric_of_the_readme_exists() {
    let sources: String =
        files().iter().filter(|f| f.path.starts_with("src/")).map(|f| &*f.text).collect();
    let readme = read("README.md");
    let metrics = rules::metrics(&readme);
    assert!(!metrics.is_empty(), "README.md names no metric");
    let gone: Vec<_> =
        metrics.iter().filter(|name| !sources.contains(&format!("\"{name}\""))).collect();
    assert!(gone.is_empty(), "README.md names metrics that are not there: {gone:?}");
}

#[test]
fn documents_name_files_that_exist() {
    const TOPS: [&str; 7] = ["src/", "ebpf/", "config/", "tests/", "benches/", "scripts/", "perf/"];
    for document in ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md"] {
        let text = read(document);
        let paths = rules::code_spans(&text)
            .filter(|span| TOPS.iter().any(|top| span.starts_with(top)) && !span.contains(' '));
        let gone: Vec<_> = paths.filter(|path| !root().join(path).exists()).collect();
        assert!(gone.is_empty(), "{document} names files that are not there: {gone:?}");
    }
}
