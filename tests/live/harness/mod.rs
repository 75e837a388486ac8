//! The parties of a live test as child processes, and the ledger that compares what they saw.
//!
//! Owns: starting, readiness, ending, logs. It must not know which flow is tested. Waiting is always polling with a
//! deadline; times are `Duration`.

pub(crate) mod counts;
pub(crate) mod edge;
pub(crate) mod kamailio;
pub(crate) mod ledger;
pub(crate) mod metrics;
pub(crate) mod need;
pub(crate) mod netns;
pub(crate) mod party;
pub(crate) mod sipp;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often a condition is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Waits until `condition` holds; false when `deadline` passed first.
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

/// An address with a port that nobody has, for UDP and TCP, and that no earlier call gave.
pub(crate) fn free_address(ip: IpAddr) -> SocketAddr {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let udp = UdpSocket::bind((ip, 0)).expect("an address of this machine");
        let address = udp.local_addr().expect("a bound socket has an address");
        let unused = TcpListener::bind(address).is_ok();
        if unused && GIVEN.lock().unwrap_or_else(PoisonError::into_inner).insert(address.port()) {
            return address;
        }
    }
}
