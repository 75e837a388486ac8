//! Runs the cases one after the other, and ends with a line that counts what passed, failed and was skipped.
//!
//! Owns: choosing by name, needs (programs and rights), skips, the report. It must not know what a case does.
//! `SIPEDGE_REQUIRE_LIVE=1` makes a skip a failure, for machines on which everything is meant to run.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use crate::harness::need::Need;
use crate::stalls::{STALL, Watch};

/// Lines of each log that are shown when a case fails.
const LOG_LINES_SHOWN_MAX: usize = 60;

/// How often a case is tried while the machine stalls; see `stalls`.
const ATTEMPTS_MAX: usize = 3;

/// One case: it passes when `run` returns, and fails when it panics.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) needs: Vec<Need>,
    pub(crate) run: Box<dyn Fn(&Place)>,
}

impl Case {
    pub(crate) fn new(
        name: impl Into<String>,
        needs: impl Into<Vec<Need>>,
        run: impl Fn(&Place) + 'static,
    ) -> Self {
        Self { name: name.into(), needs: needs.into(), run: Box::new(run) }
    }
}

/// Where a case keeps its files: an empty directory of its own.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    directory: PathBuf,
}

impl Place {
    pub(crate) fn new(name: &str) -> Self {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("live").join(name);
        if directory.exists() {
            fs::remove_dir_all(&directory).expect("the case's old directory can be removed");
        }
        fs::create_dir_all(&directory).expect("the case's directory can be made");
        Self { directory }
    }

    /// A part of this place, for one flow of several.
    pub(crate) fn part(&self, name: &str) -> Self {
        let directory = self.directory.join(name);
        fs::create_dir_all(&directory).expect("a directory within the case's own");
        Self { directory }
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.directory.join(file)
    }
}

#[expect(clippy::disallowed_methods, reason = "says how long real programs took")]
pub(crate) fn run(cases: &[Case]) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let exact = arguments.iter().any(|a| a == "--exact");
    let names: Vec<&String> = arguments.iter().filter(|a| !a.starts_with('-')).collect();
    let chosen: Vec<&Case> = cases
        .iter()
        .filter(|c| {
            names.is_empty()
                || names.iter().any(|n| if exact { c.name == **n } else { c.name.contains(*n) })
        })
        .collect();
    if arguments.iter().any(|a| a == "--list") {
        for case in &chosen {
            println!("{}: test", case.name);
        }
        return ExitCode::SUCCESS;
    }
    let required = std::env::var("SIPEDGE_REQUIRE_LIVE").is_ok_and(|v| v == "1");
    let started = Instant::now();
    let (mut passed, mut failed, mut skipped) = (0, Vec::new(), 0);
    for case in &chosen {
        match run_one(case, required) {
            Outcome::Passed => passed += 1,
            Outcome::Failed => failed.push(case.name.as_str()),
            Outcome::Skipped => skipped += 1,
        }
    }
    for name in &failed {
        println!("  failed: {name}");
    }
    // The words of the standard test runner, so that one script can add up all test binaries.
    println!(
        "\ntest result: {}. {passed} passed; {} failed; 0 ignored; 0 measured; {} filtered out; \
         {skipped} skipped; finished in {:.2}s\n",
        if failed.is_empty() { "ok" } else { "FAILED" },
        failed.len(),
        cases.len() - chosen.len(),
        started.elapsed().as_secs_f64()
    );
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

enum Outcome {
    Passed,
    Failed,
    Skipped,
}

#[expect(clippy::disallowed_methods, reason = "says how long real programs took")]
fn run_one(case: &Case, required: bool) -> Outcome {
    if let Some((need, reason)) = case.needs.iter().find_map(|n| Some((n, n.missing()?))) {
        if let Some(why) = need.cannot_be_had() {
            println!("skipped: live {}: {reason}; here: {why}", case.name);
            return Outcome::Skipped;
        }
        if required {
            println!("test {} ... FAILED: {reason}, and SIPEDGE_REQUIRE_LIVE=1", case.name);
            return Outcome::Failed;
        }
        println!("skipped: live {}: {reason}", case.name);
        return Outcome::Skipped;
    }
    for attempt in 1.. {
        let place = Place::new(&case.name.replace('/', "-"));
        let (started, watch) = (Instant::now(), Watch::start());
        // The parties are ended by their Drop while a failed case unwinds; nothing of it is used afterwards.
        let outcome = catch_unwind(AssertUnwindSafe(|| (case.run)(&place)));
        let (seconds, stall) = (started.elapsed().as_secs_f64(), watch.longest());
        if outcome.is_ok() {
            println!("test {} ... ok ({seconds:.1} s)", case.name);
            return Outcome::Passed;
        }
        show_logs(&place.directory);
        if stall < STALL || attempt == ATTEMPTS_MAX {
            println!("test {} ... FAILED ({seconds:.1} s)", case.name);
            return Outcome::Failed;
        }
        let (name, stall_ms) = (&case.name, stall.as_millis());
        println!("  {name} failed while the machine stood still for {stall_ms} ms: once more");
    }
    Outcome::Failed
}

/// The end of every log of every party of a failed case.
fn show_logs(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            show_logs(&path);
            continue;
        }
        let text = String::from_utf8_lossy(&fs::read(&path).unwrap_or_default()).into_owned();
        if text.trim().is_empty() {
            continue;
        }
        let lines: Vec<&str> = text.lines().collect();
        let skipped = lines.len().saturating_sub(LOG_LINES_SHOWN_MAX);
        println!(
            "---- {} (last {} of {} lines)",
            path.display(),
            lines.len() - skipped,
            lines.len()
        );
        for line in &lines[skipped..] {
            println!("  {line}");
        }
    }
}
