//! What a figure was measured on: machine, kernel, compiler, commit.
//!
//! Owns: what is written about the machine. All of it is asked once, before the first run.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

/// Load before the first run above which a machine is not quiet.
const QUIET_LOAD_MAX: f64 = 0.5;

/// The machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// UTC.
    pub(crate) date: String,
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) memory: String,
    pub(crate) kernel: String,
    pub(crate) system: String,
    pub(crate) rustc: String,
    /// With a mark when the tree had changes.
    pub(crate) commit: String,
    /// Processes that wanted a core in the last minute before the first run.
    pub(crate) load_before: f64,
    pub(crate) command: String,
    /// Where the repository was: commands are shown without it.
    pub(crate) root: String,
}

impl Machine {
    pub(crate) fn look(root: &Path) -> Result<Self, String> {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let cpus = read("/proc/cpuinfo");
        let changed = output(root, &["git", "status", "--porcelain", "--untracked-files=no"]);
        let mark = if changed.is_empty() { "" } else { " with local changes" };
        let load = read("/proc/loadavg");
        Ok(Self {
            date: Some(output(root, &["date", "-u", "+%F"]))
                .filter(|date| !date.is_empty())
                .ok_or("no date")?,
            cpu: field(&cpus, "model name").unwrap_or("unknown").to_owned(),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory: field(&read("/proc/meminfo"), "MemTotal").unwrap_or("unknown").to_owned(),
            kernel: output(root, &["uname", "-srm"]),
            system: field(&read("/etc/os-release").replace('=', ":"), "PRETTY_NAME")
                .map_or_else(String::new, |name| name.trim_matches('"').to_owned()),
            rustc: output(root, &["rustc", "--version"]),
            commit: format!("{}{mark}", output(root, &["git", "rev-parse", "--short=12", "HEAD"])),
            load_before: load.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0.0),
            command: std::env::args().collect::<Vec<_>>().join(" "),
            root: root.to_string_lossy().into_owned(),
        })
    }

    /// Whether others used the machine.
    pub(crate) fn is_busy(&self) -> bool {
        self.load_before > QUIET_LOAD_MAX
    }

    /// The name of the results' folder: date, processor, cores.
    pub(crate) fn folder(&self) -> String {
        let cpu: String = self
            .cpu
            .to_lowercase()
            .split(|c: char| !c.is_ascii_alphanumeric())
            .filter(|word| !matches!(*word, "" | "r" | "tm" | "cpu"))
            .take(4)
            .collect::<Vec<_>>()
            .join("-");
        format!("{}-{cpu}-{}cores", self.date, self.cores)
    }
}

/// The value of `name : value` in a text of such lines.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        (found.trim() == name).then(|| value.trim())
    })
}

/// What a program writes, its first line that is not empty; empty when it cannot be run.
pub(crate) fn output(folder: &Path, command: &[impl AsRef<std::ffi::OsStr>]) -> String {
    let Some((program, arguments)) = command.split_first() else { return String::new() };
    let Ok(done) = Command::new(program).args(arguments).current_dir(folder).output() else {
        return String::new();
    };
    // nginx tells its version on stderr.
    let text = if done.stdout.is_empty() { done.stderr } else { done.stdout };
    let text = String::from_utf8_lossy(&text);
    text.lines().find(|line| !line.trim().is_empty()).unwrap_or("").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_names_the_machine() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut machine = Machine::look(root).expect("it is a Linux machine");
        assert!(machine.cores > 0 && machine.kernel.starts_with("Linux"), "{machine:?}");
        machine.cpu = "Intel(R) Xeon(R) CPU E5 @ 2.50GHz".into();
        machine.cores = 2;
        machine.date = "2026-01-02".into();
        assert_eq!(machine.folder(), "2026-01-02-intel-xeon-e5-2-2cores");
        assert_eq!(field("a : 1\nmodel name\t: X: Y\n", "model name"), Some("X: Y"));
    }
}
