//! What runs beside a target while it is measured, on the generator's core.
//!
//! Owns: its start, until it says that it is ready, and its end: a run beside a program that failed is no run.

use std::path::Path;

use nix::sys::signal::Signal;

use crate::clock;
use crate::process::Process;

/// How long it may take until it is ready.
const READY_SECONDS_MAX: f64 = 30.0;
/// What it writes then.
const READY: &str = "ready";

/// Starts `command`, if there is one, and waits until it is ready.
pub(crate) fn start(command: &[String], folder: &Path) -> Result<Option<Process>, String> {
    if command.is_empty() {
        return Ok(None);
    }
    let mut process = Process::start(command, folder, folder.join("beside.log"))?;
    let ready = clock::poll(READY_SECONDS_MAX, || {
        let tail = process.log_tail();
        match process.ended() {
            Some(status) => Some(Err(format!("{} ended ({status}):\n{tail}", command[0]))),
            None => tail.lines().any(|line| line == READY).then_some(Ok(())),
        }
    });
    let late = || Err(format!("{} was not ready in time:\n{}", command[0], process.log_tail()));
    ready.unwrap_or_else(late)?;
    Ok(Some(process))
}

/// Ends it; its last line, or what went wrong.
pub(crate) fn end(mut process: Process) -> Result<String, String> {
    let ended_early = process.ended().is_some();
    process.stop(Signal::SIGTERM);
    let tail = process.log_tail();
    match process.ended() {
        Some(status) if status.success() && !ended_early => {
            Ok(tail.lines().last().unwrap_or("").to_owned())
        }
        Some(status) => Err(format!("what ran beside the target ended ({status}):\n{tail}")),
        None => Err("what ran beside the target does not end".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beside(script: &str) -> Result<String, String> {
        let folder = std::env::temp_dir().join(format!(
            "sipedge-beside-{}-{}",
            std::process::id(),
            script.len()
        ));
        std::fs::create_dir_all(&folder).expect("a folder for its log");
        let words = ["sh", "-c", script].map(str::to_owned);
        let outcome = start(&words, &folder).and_then(|process| end(process.expect("started")));
        std::fs::remove_dir_all(&folder).expect("ours");
        outcome
    }

    #[test]
    fn only_what_stays_and_ends_well_counts() {
        let well =
            beside("trap 'echo 7 seen; exit 0' TERM; echo ready; while :; do sleep 0.05; done");
        assert_eq!(well, Ok("7 seen".into()));
        let badly =
            beside("trap 'echo lost; exit 1' TERM; echo ready; while :; do sleep 0.05; done");
        assert!(badly.is_err_and(|error| error.contains("lost")));
        assert!(beside("echo no").is_err_and(|error| error.contains("ended")));
        assert!(matches!(start(&[], Path::new("/")), Ok(None)));
    }
}
