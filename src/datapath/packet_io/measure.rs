//! Both ways through the seam side by side: CPU time per echoed datagram. Run by hand, in release:
//! `cargo test --release --lib packet_io::measure -- --ignored --nocapture`.

use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::*;
use crate::datapath::clock::Clock;
use crate::datapath::sockets::bind_group;
use crate::datapath::sys::{EventFd, force_receive_buffer};
use crate::sip::{Now, Target};

const ROUNDS: usize = 5;
const DATAGRAMS: usize = 200_000;
const SIZE: usize = 800;

#[test]
#[ignore = "a measurement, not a check"]
fn echo_with_both_ways() {
    // Datagrams under way at a time: one (a ping-pong), a few, and enough to keep the batches full.
    for window in [1, 8, 64] {
        for round in 0..ROUNDS {
            let datagrams = if window == 1 { DATAGRAMS / 10 } else { DATAGRAMS };
            let mmsg = echo(false, window, datagrams);
            let uring = echo(true, window, datagrams);
            println!(
                "window {window:>2}, round {round}: recvmmsg {:.0} ns CPU {:.0} ns wall, io_uring {:.0} ns CPU \
                 {:.0} ns wall, ratio {:.2}",
                mmsg.0,
                mmsg.1,
                uring.0,
                uring.1,
                uring.0 / mmsg.0
            );
        }
    }
}

/// Nanoseconds of CPU of the echoing thread and of wall time, per datagram.
fn echo(ring: bool, window: usize, datagrams: usize) -> (f64, f64) {
    core_affinity::set_for_current(core_affinity::CoreId { id: 1 });
    let (group, _) = bind_group("127.0.0.1:0".parse().expect("an address"), vec![], 1, 8 << 20)
        .expect("sockets");
    let server = group[0].local_addr().expect("bound");
    let wake = Arc::new(EventFd::new().expect("an eventfd"));
    let mut io = if ring {
        PacketIo::Uring(Box::new(Uring::new(group, wake, 1024, 256).expect("a ring")))
    } else {
        PacketIo::Mmsg(Box::new(Mmsg::new(group, wake, 1024).expect("buffers")))
    };
    let done = Arc::new(AtomicBool::new(false));
    let ended = Arc::clone(&done);
    let generator = thread::spawn(move || {
        core_affinity::set_for_current(core_affinity::CoreId { id: 0 });
        let client = UdpSocket::bind("127.0.0.1:0").expect("a client");
        force_receive_buffer(client.as_fd(), 8 << 20).expect("a right");
        client.connect(server).expect("connects");
        let mut buffer = [0; 2048];
        for _ in 0..datagrams / window {
            for _ in 0..window {
                client.send(&[b'x'; SIZE]).expect("sends");
            }
            for _ in 0..window {
                client.recv(&mut buffer).expect("an echo");
            }
        }
        ended.store(true, Ordering::Relaxed);
    });
    let (clock, before) = (Clock::start(), cpu_ns());
    let mut seen = 0;
    while !done.load(Ordering::Relaxed) {
        io.wait(Duration::from_millis(10)).expect("waits");
        seen += io.receive(|received, queue| {
            let transmit = Target::Flow(received.flow);
            let pushed = queue.push((Now(0), 0), transmit, |out| {
                out[..received.bytes.len()].copy_from_slice(received.bytes);
                Some(received.bytes.len())
            });
            assert_eq!(pushed, Ok(()));
        });
        io.send().expect("sends");
        io.queue().take_runs(|_| ());
        io.sweep(|_| ());
    }
    let seen = u32::try_from(seen).map(f64::from).expect("few");
    let spent = (cpu_ns() - before, Duration::from_micros(clock.now().0).as_secs_f64() * 1e9);
    generator.join().expect("it ended");
    (spent.0 / seen, spent.1 / seen)
}

/// CPU time of this thread.
fn cpu_ns() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("the kernel's count");
    text.split_whitespace().next().and_then(|n| n.parse().ok()).expect("a number")
}
