//! The program as an operator meets it: arguments, exit codes, and every word that it prints.
//!
//! Owns: what is promised on the command line. `UPDATE=1` rewrites the files under `golden`.
#![cfg(feature = "linux")]

mod check;
mod explain;
mod run;
mod usage;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What the program did.
struct Done {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Runs the program in the root of the package, so that paths in its output are the same everywhere.
fn sipedge(arguments: &[impl AsRef<OsStr>]) -> Done {
    done(command(arguments).output().expect("the program starts"))
}

fn command(arguments: &[impl AsRef<OsStr>]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sipedge"));
    command.args(arguments).current_dir(root()).env_remove("SIPEDGE_KEY").env_remove("RUST_LOG");
    command
}

fn done(output: Output) -> Done {
    let text = |bytes| String::from_utf8(bytes).expect("the program prints UTF-8");
    Done { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Compares `found` with the file `name` under `golden`.
fn check_golden(name: &str, found: &str) {
    let path: PathBuf = root().join("tests/cli/golden").join(name);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, found).expect("golden files can be written");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, expected, "{} differs; UPDATE=1 rewrites it", path.display());
}
