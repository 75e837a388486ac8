//! What we tell operators to write is accepted: `sipedge check` on every example of the tree and of the README.
//!
//! Owns: which texts are examples. What a key means is tested beside `src/config`.
#![cfg(feature = "linux")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Runs `sipedge check` and gives its exit code and all that it said.
fn check(path: &Path) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_sipedge"))
        .args(["check", "-c"])
        .arg(path)
        .env("SIPEDGE_KEY", "a secret of the examples, 16 bytes or more")
        .output()
        .expect("the program starts");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

fn write(name: &str, text: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, text).expect("the directory for temporary files can be written");
    path
}

fn configurations(folder: &Path) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(folder).expect("readable").map(|entry| entry.expect("readable").path());
    let mut found: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|e| e == "toml")).collect();
    found.sort();
    found
}

#[test]
fn every_example_file_is_accepted() {
    let mut examples = configurations(&root().join("config"));
    examples.extend(configurations(&root().join("config/examples")));
    assert!(examples.len() >= 2, "{examples:?}");
    for path in examples {
        let (code, said) = check(&path);
        assert_eq!(code, Some(0), "{}: {said}", path.display());
    }
}

#[test]
fn the_configuration_of_the_readme_is_accepted() {
    let readme = fs::read_to_string(root().join("README.md")).expect("README.md");
    let blocks: Vec<_> = readme.split("\n```toml\n").skip(1).collect();
    assert!(!blocks.is_empty(), "README.md shows no configuration");
    for block in blocks {
        let text = block.split("\n```").next().expect("a split has a first part");
        let (code, said) = check(&write("readme.toml", text));
        assert_eq!(code, Some(0), "{text}\n{said}");
    }
}

#[test]
fn a_mistake_is_refused() {
    let path =
        write("mistake.toml", "[[listen]]\nname = \"public\"\naddress = \"carrier-pigeon:5060\"\n");
    let (code, said) = check(&path);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("carrier-pigeon"), "{said}");
}
