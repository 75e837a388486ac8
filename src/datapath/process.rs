//! What the process asks of the kernel for itself: more open files, and threads that give way to the shards.
//!
//! Owns: these system calls. What cannot be had is not needed to run.

use std::io;

/// Lets the calling thread, and those that it starts, give way to shards that run on the same core: a shard that wakes up
/// takes the core at once. (A nice level would not do that: the other one may finish its slice, some milliseconds.)
///
/// # Errors
/// Where system calls are filtered: the thread competes with the shards then.
pub fn give_way() -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: the kernel reads one sched_param, which outlives the call. 0 is the calling thread.
    if unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameters) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Raises the bound of open files to what the process may have; what it is now.
#[must_use]
pub fn raise_open_files() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one rlimit, which outlives the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return 0;
    }
    let wanted = libc::rlimit { rlim_cur: limit.rlim_max, ..limit };
    // SAFETY: the kernel reads one rlimit, which outlives the call.
    let raised = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const wanted) } == 0;
    if raised { wanted.rlim_cur } else { limit.rlim_cur }
}

#[cfg(test)]
mod tests {
    #[test]
    fn threads_give_way_and_so_do_those_that_they_start() {
        // SAFETY: takes a number only.
        let policy = || unsafe { libc::sched_getscheduler(0) };
        let before = policy();
        let threads = std::thread::spawn(move || {
            super::give_way().expect("nobody filters system calls here");
            (policy(), std::thread::spawn(policy).join().expect("it ends"))
        });
        assert_eq!(threads.join().expect("it ends"), (libc::SCHED_IDLE, libc::SCHED_IDLE));
        assert_eq!(policy(), before);
    }

    #[test]
    fn the_bound_is_raised_to_what_may_be_had() {
        let now = super::raise_open_files();
        assert!(now > 0);
        assert_eq!(super::raise_open_files(), now);
    }
}
