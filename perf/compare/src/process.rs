//! A program that was started here, all processes that it forks, and its end.
//!
//! Owns: starting, finding the children (Kamailio and nginx fork) and stopping, by process id only.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::clock;

/// How long a program may take to end after its signal.
const STOP_SECONDS_MAX: f64 = 10.0;
/// Lines of its output that an error shows.
const LOG_LINES: usize = 12;

/// A program that runs. Dropping it ends it without asking.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it with this thread's cores and network; what it writes goes to `log`.
    pub(crate) fn start(command: &[String], folder: &Path, log: PathBuf) -> Result<Self, String> {
        let (program, arguments) = command.split_first().ok_or("an empty command")?;
        let out = File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
        let err = out.try_clone().map_err(|error| format!("{}: {error}", log.display()))?;
        let child = Command::new(program)
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .map_err(|error| format!("{program}: {error}"))?;
        Ok(Self { child, log })
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// It and all that it started, directly or not.
    pub(crate) fn pids(&self) -> Vec<u32> {
        descendants(self.child.id(), &parents())
    }

    /// The end of what it wrote.
    pub(crate) fn log_tail(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }

    /// Asks it to end, and kills what has not ended in time.
    pub(crate) fn stop(&mut self, signal: Signal) {
        if self.ended().is_none() {
            send(self.child.id(), signal);
            let _ = clock::poll(STOP_SECONDS_MAX, || self.ended());
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended().is_none() {
            self.pids().into_iter().for_each(|pid| send(pid, Signal::SIGKILL));
            let _ = self.child.wait();
        }
    }
}

fn send(pid: u32, signal: Signal) {
    if let Ok(pid) = i32::try_from(pid) {
        // It may have ended by itself.
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

/// All processes with their parents.
fn parents() -> Vec<(u32, u32)> {
    let Ok(entries) = fs::read_dir("/proc") else { return vec![] };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        Some((pid, parent(&stat)?))
    })
    .collect()
}

/// The parent in a line of /proc/PID/stat. The name before it is in brackets and may hold anything.
fn parent(stat: &str) -> Option<u32> {
    let (_, after_name) = stat.rsplit_once(") ")?;
    after_name.split(' ').nth(1)?.parse().ok()
}

fn descendants(root: u32, parents: &[(u32, u32)]) -> Vec<u32> {
    let mut found = vec![root];
    let mut at = 0;
    while let Some(&one) = found.get(at) {
        found.extend(parents.iter().filter(|(_, parent)| *parent == one).map(|(pid, _)| *pid));
        at += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_found() {
        assert_eq!(parent("17 (a) b (c)) S 12 17 17 0"), Some(12));
        assert_eq!(parent("17"), None);
        let parents = [(2, 1), (3, 2), (4, 9), (5, 3), (6, 2)];
        assert_eq!(descendants(2, &parents), [2, 3, 6, 5]);
    }

    #[test]
    fn a_program_and_its_children_end() {
        let folder = std::env::temp_dir();
        let log = folder.join(format!("sipedge-process-{}.log", std::process::id()));
        let words = ["sh", "-c", "echo started; sleep 60 & wait"].map(str::to_owned);
        let mut process = Process::start(&words, &folder, log.clone()).expect("sh is there");
        let pids = clock::poll(5.0, || Some(process.pids()).filter(|pids| pids.len() == 2));
        let pids = pids.expect("the shell and its sleep");
        assert!(process.ended().is_none());
        assert_eq!(process.log_tail(), "started");
        drop(process);
        // A zombie that nobody has waited for yet has ended, too.
        let is_gone = |pid: &u32| match fs::read_to_string(format!("/proc/{pid}/stat")) {
            Ok(stat) => stat.contains(") Z "),
            Err(_) => true,
        };
        assert!(clock::poll(5.0, || pids.iter().all(is_gone).then_some(())).is_some(), "{pids:?}");
        fs::remove_file(log).expect("ours");
    }
}
