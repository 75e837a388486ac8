//! What else ran on this machine, and what was measured while nothing did.
//!
//! Owns: who counts as somebody else, and which slices of the time they left alone. Times are nanoseconds of CPU, but for
//! the length of a slice. Must not know what is measured.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;

use crate::tally::Times;

/// Length of a slice, on the clock: somebody who runs for a moment takes a tenth of a second with them, at most.
pub(crate) const SLICE_NS: u64 = 25_000_000;
/// A slice in which others had more than this is not undisturbed. A shell that wakes up has less; a pause that is longer
/// than what a message takes is more.
const OTHERS_NS_MAX: u64 = 100_000;
/// Threads of the kernel that run for the sake of the machine's memory. All others of the kernel may run for who is measured.
const MEMORY_KEEPERS: [&str; 4] = ["kdamond", "kcompactd", "khugepaged", "ksmd"];
/// Bit of the flags in `/proc/PID/stat`: a thread of the kernel (`PF_KTHREAD`, linux/sched.h).
const IS_KERNEL_THREAD: u64 = 0x0020_0000;

/// Threads of others, and the CPU time that each had had at the last look.
#[derive(Debug, Default)]
pub(crate) struct Others(Vec<(File, u64)>);

impl Others {
    /// The threads that are there now and that neither the session of this process nor the sessions of these processes has:
    /// who compares starts generator, targets and onlookers in a session of its own. Threads that begin later are not seen.
    pub(crate) fn find(own: &[u32]) -> io::Result<Self> {
        let own = own.iter().copied().chain([std::process::id()]);
        let sessions: BTreeSet<u64> =
            own.filter_map(|pid| Some(Task::read(&pid.to_string())?.session)).collect();
        let mut threads = vec![];
        for process in fs::read_dir("/proc")? {
            let name = process?.file_name();
            // What is no process, or ended in between, has none of these.
            let Some(name) = name.to_str().filter(|name| name.parse::<u32>().is_ok()) else {
                continue;
            };
            let Some(task) = Task::read(name) else { continue };
            let Ok(entries) = fs::read_dir(format!("/proc/{name}/task")) else { continue };
            if task.is_of_others(&sessions) {
                let paths = entries.filter_map(|entry| Some(entry.ok()?.path().join("schedstat")));
                threads.extend(paths.filter_map(|path| Some((File::open(path).ok()?, 0))));
            }
        }
        let mut others = Self(threads);
        others.spent_ns();
        Ok(others)
    }

    /// CPU time that they had since the last look. A thread that ended had none.
    pub(crate) fn spent_ns(&mut self) -> u64 {
        let spent = self.0.iter_mut().map(|(file, before_ns)| {
            let now_ns = run_time_ns(file).unwrap_or(*before_ns);
            now_ns - std::mem::replace(before_ns, now_ns).min(now_ns)
        });
        spent.sum()
    }
}

/// The first figure of a schedstat file.
fn run_time_ns(file: &File) -> Option<u64> {
    let mut bytes = [0; 64];
    let length = file.read_at(&mut bytes, 0).ok()?;
    str::from_utf8(&bytes[..length]).ok()?.split_whitespace().next()?.parse().ok()
}

/// What `/proc/PID/stat` says of a process.
#[derive(Debug, PartialEq, Eq)]
struct Task {
    name: String,
    session: u64,
    flags: u64,
}

impl Task {
    fn read(pid: &str) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// proc_pid_stat(5); the name is in round brackets and may hold some.
    fn parse(stat: &str) -> Option<Self> {
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
        // state ppid pgrp session tty tpgid flags ..
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let number = |place: usize| fields.get(place)?.parse().ok();
        Some(Self { name: name.to_owned(), session: number(3)?, flags: number(6)? })
    }

    fn is_of_others(&self, own_sessions: &BTreeSet<u64>) -> bool {
        if self.flags & IS_KERNEL_THREAD != 0 {
            return MEMORY_KEEPERS.iter().any(|keeper| self.name.starts_with(keeper));
        }
        !own_sessions.contains(&self.session)
    }
}

/// Times that fell into slices in which, and before and after which, nobody else had the machine: the time of who is on a
/// core is accounted for only when it leaves or the tick comes, and what it held up comes out behind it.
#[derive(Debug, Clone)]
pub(crate) struct Undisturbed {
    open: Vec<u64>,
    last: Vec<u64>,
    was_quiet: bool,
    was_quiet_before: bool,
    kept: Times,
    left_out: u64,
}

impl Undisturbed {
    pub(crate) fn new() -> Self {
        Self {
            open: vec![],
            last: vec![],
            was_quiet: false,
            was_quiet_before: false,
            kept: Times::new(),
            left_out: 0,
        }
    }

    /// Something that ended in the open slice took so long.
    pub(crate) fn record(&mut self, time_ns: u64) {
        self.open.push(time_ns);
    }

    /// The slice is over; others had so much time in it.
    pub(crate) fn close(&mut self, others_ns: u64) {
        let is_quiet = others_ns <= OTHERS_NS_MAX;
        if is_quiet && self.was_quiet && self.was_quiet_before {
            self.last.drain(..).for_each(|time_ns| self.kept.record(time_ns));
        }
        self.left_out += self.last.len() as u64;
        self.last.clear();
        std::mem::swap(&mut self.last, &mut self.open);
        self.was_quiet_before = std::mem::replace(&mut self.was_quiet, is_quiet);
    }

    /// What was kept; of the last two slices nothing is.
    pub(crate) const fn kept(&self) -> &Times {
        &self.kept
    }

    /// Share of all that was kept.
    pub(crate) fn share(&self) -> f64 {
        let left_out = self.left_out + (self.last.len() + self.open.len()) as u64;
        self.kept.len() as f64 / (self.kept.len() + left_out).max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_counts_when_it_and_its_neighbours_are_quiet() {
        let mut undisturbed = Undisturbed::new();
        // One message in each slice; somebody else runs in the sixth.
        for slice in 1..=10 {
            undisturbed.record(slice * 1_000);
            undisturbed.close(if slice == 6 { OTHERS_NS_MAX + 1 } else { OTHERS_NS_MAX });
        }
        // Not the first, as nobody knows what was before; not the fifth to the seventh; not the last, which has no end.
        let mut expected = Times::new();
        [2, 3, 4, 8, 9].into_iter().for_each(|slice| expected.record(slice * 1_000));
        assert_eq!(format!("{:?}", undisturbed.kept()), format!("{expected:?}"));
        assert!((undisturbed.share() - 0.5).abs() < 1e-9, "{}", undisturbed.share());
    }

    #[test]
    fn nothing_is_kept_of_a_machine_that_is_never_quiet() {
        let mut undisturbed = Undisturbed::new();
        for _ in 0..10 {
            undisturbed.record(5);
            undisturbed.close(u64::MAX);
        }
        assert!(undisturbed.kept().is_empty());
        assert!(undisturbed.share() < f64::EPSILON);
    }

    #[test]
    fn a_process_is_known_by_session_and_flags() {
        let line = "75 (a (b) c) S 1 75 74 0 -1 4194560 9 9";
        let task = Task::parse(line).expect("it is whole");
        assert_eq!(task, Task { name: "a (b) c".into(), session: 74, flags: 4_194_560 });
        assert!(task.is_of_others(&BTreeSet::from([7])));
        assert!(!task.is_of_others(&BTreeSet::from([7, 74])));
        let kernel = |name: &str| Task { name: name.into(), session: 0, flags: 0x0020_8040 };
        assert!(kernel("kdamond.0").is_of_others(&BTreeSet::new()));
        assert!(!kernel("ksoftirqd/1").is_of_others(&BTreeSet::new()), "it may run for the target");
        assert_eq!(Task::parse("75 (a) S 1"), None);
    }

    #[test]
    fn who_runs_in_another_session_is_seen_unless_it_is_named_as_ours() {
        let mut child = std::process::Command::new("setsid")
            .args(["sh", "-c", "echo ready; while :; do :; done"])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("the program is here");
        let mut ready = [0; 6];
        let stdout = child.stdout.as_mut().expect("it is piped");
        io::Read::read_exact(stdout, &mut ready).expect("it is in its session when it says so");
        let all = Others::find(&[]);
        let without = Others::find(&[child.id()]);
        let stat = File::open(format!("/proc/{}/schedstat", child.id())).expect("it runs");
        let time_ns = || run_time_ns(&stat).expect("a figure");
        let until_ns = time_ns() + 50_000_000;
        while time_ns() < until_ns {
            std::thread::yield_now();
        }
        let spent_ns = |others: io::Result<Others>| others.expect("there is a /proc").spent_ns();
        let (with_ns, without_ns) = (spent_ns(all), spent_ns(without));
        child.kill().expect("it is ours to end");
        child.wait().expect("it ended");
        // What others of this machine did in between is in both, all but what they do between two looks.
        assert!(with_ns >= without_ns + 30_000_000, "{with_ns} {without_ns}");
    }
}
