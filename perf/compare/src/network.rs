//! A network of its own for each run, and the cores that programs are started on.
//!
//! Owns: the thread that leaves the machine's network. What it starts inherits namespace and cores; the namespace ends
//! with its last process, so there is nothing to clean up.

use std::process::Command;
use std::thread;

use nix::sched::{CloneFlags, CpuSet, sched_setaffinity, unshare};
use nix::unistd::Pid;

/// Runs `work` in a new network namespace in which only the loopback device exists.
pub(crate) fn in_a_new_one<T: Send>(
    work: impl FnOnce() -> Result<T, String> + Send,
) -> Result<T, String> {
    thread::scope(|scope| {
        let run = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET)
                .map_err(|error| format!("no network namespace (it needs root): {error}"))?;
            let up = Command::new("ip").args(["link", "set", "lo", "up"]).status();
            match up {
                Ok(status) if status.success() => work(),
                Ok(status) => Err(format!("ip link set lo up: {status}")),
                Err(error) => Err(format!("ip: {error} (apt install iproute2)")),
            }
        });
        run.join().unwrap_or_else(|_| Err("the run panicked".into()))
    })
}

/// Moves this thread, and so what it starts from now on, to `cores`.
pub(crate) fn pin(cores: &[usize]) -> Result<(), String> {
    let mut set = CpuSet::new();
    for &core in cores {
        set.set(core).map_err(|error| format!("core {core}: {error}"))?;
    }
    // Pid 0 is the calling thread.
    sched_setaffinity(Pid::from_raw(0), &set).map_err(|e| format!("cores {cores:?}: {e}"))
}
