//! What the machine says: CPU time of processes and cores, drops at sockets, names for the report.
//!
//! Owns: reading `/proc`. Times are nanoseconds; those of a core come in ticks of 10 ms, so measure for seconds.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

/// `/proc/stat` counts in USER_HZ, which is 100 on every Linux architecture that we run on.
const TICK_NS: u64 = 10_000_000;

/// Binds the calling thread to a core.
pub(crate) fn pin(core: usize) -> std::io::Result<()> {
    let mut set = CpuSet::new();
    set.set(core)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}

/// CPU time of threads, by their id.
pub(crate) type ThreadTimes = BTreeMap<u32, u64>;

/// CPU time of all threads of these processes. `None` when one of the processes is gone.
pub(crate) fn thread_times(pids: &[u32]) -> Option<ThreadTimes> {
    let mut times = ThreadTimes::new();
    for pid in pids {
        for task in fs::read_dir(format!("/proc/{pid}/task")).ok()? {
            let path = task.ok()?.path();
            let id = path.file_name()?.to_str()?.parse().ok()?;
            // A thread that ended in between takes its time with it.
            let Ok(stat) = fs::read_to_string(path.join("schedstat")) else { continue };
            times.insert(id, stat.split_whitespace().next()?.parse().ok()?);
        }
    }
    Some(times)
}

/// CPU time between two samples. Threads that began in between count from zero, those that ended not at all.
pub(crate) fn spent_ns(first: &ThreadTimes, last: &ThreadTimes) -> u64 {
    let before = |id| first.get(id).copied().unwrap_or(0);
    last.iter().map(|(id, time)| time.saturating_sub(before(id))).sum()
}

/// CPU time of the calling thread.
pub(crate) fn own_thread_ns() -> Option<u64> {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    stat.split_whitespace().next()?.parse().ok()
}

/// Time that a core did not idle, interrupts included; without what the hypervisor took.
pub(crate) fn core_busy_ns(core: usize) -> Option<u64> {
    core_busy_of(&fs::read_to_string("/proc/stat").ok()?, core)
}

fn core_busy_of(stat: &str, core: usize) -> Option<u64> {
    let name = format!("cpu{core}");
    let line = stat.lines().find(|line| line.split_whitespace().next() == Some(&name))?;
    let ticks: Vec<u64> =
        line.split_whitespace().skip(1).map(str::parse).collect::<Result<_, _>>().ok()?;
    // user nice system idle iowait irq softirq steal ..
    let [user, nice, system, _, _, irq, softirq, ..] = ticks[..] else { return None };
    Some((user + nice + system + irq + softirq) * TICK_NS)
}

/// Datagrams that the kernel dropped at the sockets of these local addresses, because nobody took them in time.
pub(crate) fn socket_drops(addresses: &[SocketAddr]) -> u64 {
    let ports: Vec<u16> = addresses.iter().map(SocketAddr::port).collect();
    let tables = ["/proc/net/udp", "/proc/net/udp6"].map(fs::read_to_string);
    tables.iter().flatten().map(|table| drops_of(table, &ports)).sum()
}

fn drops_of(table: &str, ports: &[u16]) -> u64 {
    let drops = table.lines().skip(1).filter_map(|line| {
        let mut columns = line.split_whitespace();
        let port = columns.nth(1)?.rsplit(':').next()?;
        let port = u16::from_str_radix(port, 16).ok()?;
        ports.contains(&port).then(|| columns.last()?.parse::<u64>().ok()).flatten()
    });
    drops.sum()
}

/// Processor and kernel, in one line.
pub(crate) fn description() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let cores = cpu.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{cores} x {}, Linux {}", model.unwrap_or("unknown processor"), kernel.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_is_busy_with_all_but_idling_waiting_and_being_away() {
        let stat =
            "cpu  1 1 1 1 1 1 1 1 0 0\ncpu0 9 9 9 9 9 9 9 9 0 0\ncpu1 1 2 4 8 16 32 64 128 0 0\n";
        assert_eq!(core_busy_of(stat, 1), Some((1 + 2 + 4 + 32 + 64) * TICK_NS));
        assert_eq!(core_busy_of(stat, 7), None);
    }

    #[test]
    fn drops_are_those_of_the_named_ports() {
        let table = "sl local_address rem_address .. inode ref pointer drops\n\
            1: 0100007F:13C4 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 1 2 0 17\n\
            2: 0100007F:13C5 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 1 2 0 5\n";
        assert_eq!(drops_of(table, &[0x13c4]), 17);
        assert_eq!(drops_of(table, &[0x13c4, 0x13c5, 9]), 22);
    }

    #[test]
    fn own_time_grows() {
        let own = || thread_times(&[std::process::id()]).expect("we are here");
        let before = own();
        let mut number = 1_u64;
        while spent_ns(&before, &own()) < 1_000_000 {
            number = std::hint::black_box(number.rotate_left(1));
        }
        assert!(thread_times(&[u32::MAX]).is_none());
    }

    #[test]
    fn threads_come_and_go() {
        let first = ThreadTimes::from([(1, 100), (2, 50)]);
        let last = ThreadTimes::from([(1, 130), (3, 7)]);
        assert_eq!(spent_ns(&first, &last), 37);
    }
}
