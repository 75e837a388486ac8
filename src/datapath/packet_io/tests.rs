//! Both ways through the seam against real sockets on loopback: every test runs with both.

use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::sync::Arc;

use super::*;
use crate::datapath::clock::Clock;
use crate::datapath::send_queue::Refused;
use crate::datapath::sockets::bind_group;
use crate::datapath::sys::EventFd;
use crate::datapath::uring::probe;
use crate::sip::{ListenerId, Now, Target};

const TURN: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(10);

/// One end under test, bound to one address, and a plain client.
pub(super) struct Bench {
    pub(super) io: PacketIo,
    wake: Arc<EventFd>,
    client: UdpSocket,
    pub(super) name: &'static str,
}

/// Runs `test` with recvmmsg, and with io_uring where it works.
pub(super) fn with_both(
    address: &str,
    send_queue_max: usize,
    receive_buffers: usize,
    test: fn(Bench),
) {
    for name in ["recvmmsg", "io_uring"] {
        if name == "io_uring" && probe().is_err() {
            println!("skipped: io_uring does not work here");
            continue;
        }
        let address = address.parse().expect("an address");
        let (group, _) = bind_group(address, vec![], 1, 8 << 20).expect("sockets");
        let server = group[0].local_addr().expect("bound");
        let client = UdpSocket::bind(address).expect("a client");
        crate::datapath::sys::force_receive_buffer(client.as_fd(), 8 << 20).unwrap_or_default();
        client.connect(server).expect("connects");
        client.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let wake = Arc::new(EventFd::new().expect("an eventfd"));
        let io = if name == "io_uring" {
            let ring = Uring::new(group, Arc::clone(&wake), send_queue_max, receive_buffers);
            PacketIo::Uring(Box::new(ring.expect("a ring")))
        } else {
            let mmsg = Mmsg::new(group, Arc::clone(&wake), send_queue_max);
            PacketIo::Mmsg(Box::new(mmsg.expect("buffers")))
        };
        test(Bench { io, wake, client, name });
    }
}

impl Bench {
    /// Turns until `count` datagrams were echoed, or patience ends. Answers how many were, and how many refused.
    fn echo(&mut self, count: usize) -> (usize, usize) {
        let (mut seen, mut refused) = (0, 0);
        let clock = Clock::start();
        while seen < count && elapsed(clock) < PATIENCE {
            self.io.wait(TURN).expect("waits");
            seen += self.io.receive(|received, queue| {
                assert!(!received.is_cut());
                refused += usize::from(echo_one(received, queue).is_err());
            });
            self.io.send().expect("sends");
            self.io.sweep(|_| ());
        }
        (seen, refused)
    }
}

pub(super) fn elapsed(clock: Clock) -> Duration {
    Duration::from_micros(clock.now().0)
}

fn echo_one(received: &Received<'_>, queue: &mut SendQueue) -> Result<(), Refused> {
    let transmit = Target::Flow(received.flow);
    queue.push((Now(0), 0), transmit, |out| {
        out.get_mut(..received.bytes.len())?.copy_from_slice(received.bytes);
        Some(received.bytes.len())
    })
}

pub(super) fn datagram(number: usize, size: usize) -> Vec<u8> {
    let mut bytes = vec![b'x'; size.max(8)];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    bytes
}

#[test]
fn twenty_thousand_datagrams_come_back_unchanged_and_once() {
    with_both("127.0.0.1:0", 256, 128, |mut bench| {
        const WINDOW: usize = 50;
        let mut seen = vec![0_u8; 20_000];
        let mut buffer = vec![0; 65_536];
        for first in (0..seen.len()).step_by(WINDOW) {
            for number in first..first + WINDOW {
                let sent = datagram(number, 8 + number % 1400);
                bench.client.send(&sent).expect("sends");
            }
            assert_eq!(bench.echo(WINDOW), (WINDOW, 0), "{} at {first}", bench.name);
            for _ in 0..WINDOW {
                let size = bench.client.recv(&mut buffer).expect("an echo");
                let number = usize::from_le_bytes(buffer[..8].try_into().expect("eight"));
                assert_eq!(buffer[..size], datagram(number, 8 + number % 1400), "{}", bench.name);
                seen[number] += 1;
            }
        }
        assert!(seen.iter().all(|&times| times == 1), "{}", bench.name);
        assert_eq!(bench.io.counts(), IoCounts::default(), "{}", bench.name);
    });
}

#[test]
fn the_largest_datagrams_pass_both_ways() {
    for (address, size) in [("127.0.0.1:0", 65_507), ("[::1]:0", 65_487)] {
        with_both(address, 4, 8, if size == 65_507 { largest_v4 } else { largest_v6 });
    }
}

fn largest_v4(bench: Bench) {
    largest(bench, 65_507);
}

fn largest_v6(bench: Bench) {
    largest(bench, 65_487);
}

fn largest(mut bench: Bench, size: usize) {
    // More rounds than buffers, so that each is used twice.
    for number in 0..200 {
        let sent = datagram(number, size);
        bench.client.send(&sent).expect("sends");
        assert_eq!(bench.echo(1), (1, 0), "{}", bench.name);
        let mut buffer = vec![0; 65_536];
        let got = bench.client.recv(&mut buffer).expect("an echo");
        assert_eq!(buffer[..got], sent[..], "{}", bench.name);
    }
}

#[test]
fn empty_datagrams_are_datagrams() {
    with_both("127.0.0.1:0", 4, 8, |mut bench| {
        bench.client.send(&[]).expect("sends");
        assert_eq!(bench.echo(1), (1, 0), "{}", bench.name);
        assert_eq!(bench.client.recv(&mut [0; 8]).expect("an echo"), 0, "{}", bench.name);
    });
}

#[test]
fn a_full_send_queue_refuses_and_recovers() {
    with_both("127.0.0.1:0", 3, 64, |mut bench| {
        for round in 0..3 {
            for number in 0..40 {
                bench.client.send(&datagram(number, 100)).expect("sends");
            }
            let (seen, refused) = bench.echo(40);
            assert_eq!(seen, 40, "{} in round {round}", bench.name);
            assert!(
                refused > 0,
                "{}: forty datagrams of one turn fitted into three slots",
                bench.name
            );
            for _ in 0..40 - refused {
                bench.client.recv(&mut [0; 200]).expect("an echo");
            }
        }
    });
}

#[test]
fn more_datagrams_than_receive_buffers_are_not_lost() {
    with_both("127.0.0.1:0", 1024, 8, |mut bench| {
        for number in 0..500 {
            bench.client.send(&datagram(number, 100)).expect("sends");
        }
        assert_eq!(bench.echo(500), (500, 0), "{}", bench.name);
        if bench.name == "io_uring" {
            assert!(bench.io.counts().buffers_exhausted > 0, "eight buffers held five hundred");
        }
    });
}

#[test]
fn what_the_kernel_refuses_is_counted_and_the_rest_goes() {
    with_both("127.0.0.1:0", 16, 8, |mut bench| {
        let queue = bench.io.queue();
        let good = bench.client.local_addr().expect("bound");
        // No route: an IPv6 destination from an IPv4 socket. EINVAL: port 0. No socket: a listener that is not.
        for (destination, listener) in
            [("[::1]:9", 0), ("127.0.0.1:0", 0), ("127.0.0.1:9", 7), (&good.to_string(), 0)]
        {
            let destination = destination.parse().expect("an address");
            let transmit = Target::datagram(ListenerId(listener), destination);
            queue.push((Now(0), 0), transmit, |_| Some(20)).expect("room");
        }
        bench.io.send().expect("sends");
        assert_eq!(bench.client.recv(&mut [0; 100]).expect("the good one"), 20, "{}", bench.name);
        assert_eq!(bench.echo(0), (0, 0));
        bench.io.wait(Duration::ZERO).expect("waits");
        bench.io.receive(|_, _| ());
        assert_eq!(bench.io.counts().send_failed, 3, "{}", bench.name);
        assert_eq!(bench.io.queue().in_flight(), 0, "{}", bench.name);
    });
}

#[test]
fn a_port_that_nobody_hears_does_not_stop_the_loop() {
    with_both("127.0.0.1:0", 16, 8, |mut bench| {
        // The ICMP error of the first comes back to the socket before the second.
        let deaf = UdpSocket::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
        for _ in 0..4 {
            let transmit = Target::datagram(ListenerId(0), deaf);
            bench.io.queue().push((Now(0), 0), transmit, |_| Some(20)).expect("room");
            bench.io.send().expect("sends");
            bench.client.send(b"still there?").expect("sends");
            assert_eq!(bench.echo(1), (1, 0), "{}", bench.name);
            assert_eq!(bench.client.recv(&mut [0; 100]).expect("an echo"), 12, "{}", bench.name);
        }
    });
}

#[test]
fn mail_wakes_and_silence_times_out() {
    with_both("127.0.0.1:0", 16, 8, |mut bench| {
        for _ in 0..5 {
            let clock = Clock::start();
            bench.wake.signal();
            bench.io.wait(PATIENCE).expect("waits");
            assert!(elapsed(clock) < PATIENCE / 2, "{} slept through its mail", bench.name);
            assert_eq!(bench.io.receive(|_, _| ()), 0);
            bench.io.sweep(|_| ());
        }
        let clock = Clock::start();
        bench.io.wait(TURN).expect("waits");
        assert!(elapsed(clock) >= TURN / 2, "{} did not wait", bench.name);
    });
}

#[test]
fn dropping_with_sends_and_receives_in_flight_is_safe() {
    for _ in 0..20 {
        with_both("127.0.0.1:0", 64, 64, |mut bench| {
            for number in 0..64 {
                bench.client.send(&datagram(number, 1000)).expect("sends");
            }
            bench.io.wait(TURN).expect("waits");
            bench.io.receive(|received, queue| {
                let _ = echo_one(received, queue);
            });
            bench.io.send().expect("sends");
        });
    }
}
