//! The parties of a live test as child processes, and the ledger that compares what they saw.
//!
//! Owns: starting, readiness, ending, logs. It must not know which flow is tested. Waiting is always polling with a
//! deadline; times are `Duration`.

pub(crate) mod asterisk;
pub(crate) mod baresip;
pub(crate) mod counts;
pub(crate) mod edge;
pub(crate) mod kamailio;
pub(crate) mod ledger;
pub(crate) mod metrics;
pub(crate) mod need;
pub(crate) mod netns;
pub(crate) mod party;
pub(crate) mod sipp;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::ops::Range;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// How often a condition is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Waits until `condition` holds; false when `deadline` passed first.
#[expect(clippy::disallowed_methods, reason = "waits for other programs, which tell nobody when")]
pub(crate) fn wait_until(deadline: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    loop {
        if condition() {
            return true;
        }
        if started.elapsed() > deadline {
            return false;
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// The loopback address of a role: 127.0.0.`last`.
pub(crate) fn loopback(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))
}

/// Ports below those that the kernel gives to outgoing connections: those would be taken between our look and the bind.
const PORTS: Range<u16> = 20_000..32_000;

/// An address with a port that nobody has, for UDP and TCP, and that no earlier call gave.
pub(crate) fn free_address(ip: IpAddr) -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let count = PORTS.end - PORTS.start;
    // Two runs at the same time start at different places.
    let first = u16::try_from(std::process::id() % u32::from(count)).expect("below the count");
    (0..count)
        .find_map(|_| {
            let step = first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % count;
            let address = SocketAddr::new(ip, PORTS.start + step);
            let free = UdpSocket::bind(address).is_ok() && TcpListener::bind(address).is_ok();
            free.then_some(address)
        })
        .expect("some of 12,000 ports is free")
}
