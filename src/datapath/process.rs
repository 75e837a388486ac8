//! What the process asks of the kernel for itself: more open files, and threads that give way to the shards.
//!
//! Owns: two system calls. What cannot be had is not needed to run: nobody is told.

/// Nice level of threads that only show things.
const NICE: libc::c_int = 10;

/// Lets the calling thread give way to shards that run on the same core.
pub fn give_way() {
    // SAFETY: takes numbers only. On Linux 0 is the calling thread, not the process.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) };
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
    fn the_bound_is_raised_to_what_may_be_had() {
        let now = super::raise_open_files();
        assert!(now > 0);
        assert_eq!(super::raise_open_files(), now);
    }
}
