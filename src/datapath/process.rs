//! What the process asks of the kernel for itself: more open files, and threads that leave the cores to the shards.
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

/// Moves the calling thread, and those that it starts from now on, off the cores that are `taken`. Gives the cores that it
/// runs on now; none when all are taken, and then nothing changes.
///
/// # Errors
/// Where system calls are filtered.
pub fn keep_off(taken: &[usize]) -> io::Result<Vec<usize>> {
    let size = size_of::<libc::cpu_set_t>();
    // SAFETY: a set of cores is an array of numbers; zeros are the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes at most `size` bytes into the set, which outlives the call. 0 is the calling thread.
    if unsafe { libc::sched_getaffinity(0, size, &raw mut set) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let bound = usize::try_from(libc::CPU_SETSIZE).unwrap_or(0);
    let mut left = Vec::new();
    for core in 0..bound {
        // SAFETY: `core` is below the size of the set.
        if unsafe { libc::CPU_ISSET(core, &set) } && !taken.contains(&core) {
            left.push(core);
        } else {
            // SAFETY: as above.
            unsafe { libc::CPU_CLR(core, &mut set) };
        }
    }
    // SAFETY: the kernel reads `size` bytes of the set, which outlives the call.
    if left.is_empty() || unsafe { libc::sched_setaffinity(0, size, &raw const set) } == 0 {
        Ok(left)
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
    fn threads_keep_off_cores_where_others_are_left() {
        let ours =
            || core_affinity::get_core_ids().expect("known").iter().map(|core| core.id).collect();
        let all: Vec<usize> = ours();
        std::thread::spawn(move || {
            assert_eq!(
                super::keep_off(&all).expect("allowed"),
                Vec::<usize>::new(),
                "no core is left"
            );
            assert_eq!(ours(), all, "so it stays where it is");
            let (taken, rest) = all.split_at(all.len() / 2);
            assert_eq!(super::keep_off(taken).expect("allowed"), rest);
            assert_eq!(std::thread::spawn(ours).join().expect("it ends"), rest, "inherited");
        })
        .join()
        .expect("it ends");
    }

    #[test]
    fn the_bound_is_raised_to_what_may_be_had() {
        let now = super::raise_open_files();
        assert!(now > 0);
        assert_eq!(super::raise_open_files(), now);
    }
}
