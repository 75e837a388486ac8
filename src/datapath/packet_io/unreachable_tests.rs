//! Ports that nobody hears, both I/O ways: their ICMP errors are told, and cost nobody else a datagram.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use super::tests::{Bench, datagram, elapsed, with_both};
use crate::datapath::clock::Clock;
use crate::datapath::icmp::ENTRIES_MAX;
use crate::sip::{ListenerId, Now, Target};

const PATIENCE: Duration = Duration::from_secs(10);
const ROUNDS: usize = 200;
/// Datagrams of a round to each of the two.
const PAIRS: usize = 16;

/// A port that nobody hears any more.
fn deaf_port(address: &str) -> SocketAddr {
    UdpSocket::bind(address).expect("a port").local_addr().expect("bound")
}

impl Bench {
    fn push(&mut self, destination: SocketAddr, bytes: &[u8]) {
        let transmit = Target::datagram(ListenerId(0), destination);
        let pushed = self.io.queue().push((Now(0), 0), transmit, |out| {
            out.get_mut(..bytes.len())?.copy_from_slice(bytes);
            Some(bytes.len())
        });
        pushed.expect("room");
    }

    /// A turn of a shard; counts the errors by destination.
    fn turn(&mut self, errors: &mut BTreeMap<SocketAddr, usize>, timeout: Duration) {
        self.io.wait(timeout).expect("waits");
        self.io.receive(|_, _| ());
        self.io.send().expect("sends");
        self.io.sweep(|address| *errors.entry(address).or_default() += 1);
    }
}

/// What waits at `live`: how often each number was seen.
fn take(live: &UdpSocket, seen: &mut BTreeMap<usize, usize>) {
    let mut buffer = [0; 64];
    while let Ok(size) = live.recv(&mut buffer) {
        assert!(size >= 8);
        let number = usize::from_le_bytes(buffer[..8].try_into().expect("eight"));
        *seen.entry(number).or_default() += 1;
    }
}

fn alternate(mut bench: Bench, address: &str) {
    let deaf = deaf_port(address);
    let live = UdpSocket::bind(address).expect("a port");
    live.set_nonblocking(true).expect("a socket");
    let there = live.local_addr().expect("bound");
    let mut errors = BTreeMap::new();
    for round in 0..ROUNDS {
        // An error that no call has met yet when the round is sent.
        bench.push(deaf, b"anybody there?");
        bench.io.send().expect("sends");
        for pair in 0..PAIRS {
            let bytes = datagram(round * PAIRS + pair, 40);
            let both = if round % 2 == 0 { [deaf, there] } else { [there, deaf] };
            both.into_iter().for_each(|destination| bench.push(destination, &bytes));
        }
        bench.io.send().expect("sends");
        // A ring says in the next turn that a send failed.
        let (mut seen, clock) = (BTreeMap::new(), Clock::start());
        while seen.len() < PAIRS && elapsed(clock) < PATIENCE {
            bench.turn(&mut errors, Duration::ZERO);
            take(&live, &mut seen);
        }
        let first = round * PAIRS;
        let all: BTreeMap<_, _> = (first..first + PAIRS).map(|number| (number, 1)).collect();
        assert_eq!(seen, all, "{} in round {round}", bench.name);
    }
    // What the last turns left.
    for _ in 0..5 {
        bench.turn(&mut errors, Duration::ZERO);
    }
    assert_eq!(errors.keys().collect::<Vec<_>>(), [&deaf], "{}: only the deaf one", bench.name);
    let counts = bench.io.counts();
    assert_eq!(counts.send_failed, 0, "{}", bench.name);
    assert_eq!(counts.receive_errors, 0, "{}", bench.name);
    let told = u64::try_from(errors[&deaf]).expect("few");
    assert_eq!(counts.icmp_errors, told, "{}", bench.name);
    assert!(told >= 20, "{}: {told} errors only; the kernel answers more", bench.name);
    assert_eq!(bench.io.queue().in_flight(), 0, "{}", bench.name);
}

#[test]
fn errors_of_one_destination_lose_nothing_of_another() {
    with_both("127.0.0.1:0", 64, 64, |bench| alternate(bench, "127.0.0.1:0"));
}

#[test]
fn errors_of_one_destination_lose_nothing_of_another_over_ipv6() {
    with_both("[::1]:0", 64, 64, |bench| alternate(bench, "[::1]:0"));
}

/// Nobody sends or receives any more: the errors alone must wake the loop, and all of them be told.
#[test]
fn errors_wake_a_loop_that_is_idle() {
    with_both("127.0.0.1:0", 256, 64, |mut bench| {
        let mut errors = BTreeMap::new();
        let deaf = deaf_port("127.0.0.1:0");
        bench.push(deaf, b"anybody there?");
        bench.io.send().expect("sends");
        let clock = Clock::start();
        while errors.is_empty() && elapsed(clock) < PATIENCE {
            bench.turn(&mut errors, PATIENCE);
        }
        assert!(elapsed(clock) < PATIENCE / 2, "{} slept through it", bench.name);
        assert_eq!(errors, BTreeMap::from([(deaf, 1)]), "{}", bench.name);
        // And then it is quiet: an error that is not taken would wake it for ever.
        bench.turn(&mut errors, Duration::from_millis(20));
        let clock = Clock::start();
        bench.turn(&mut errors, Duration::from_millis(50));
        assert!(elapsed(clock) >= Duration::from_millis(40), "{} does not rest", bench.name);
    });
}

/// More errors than one sweep takes: the next one takes the rest, without another event.
#[test]
fn errors_beyond_the_bound_of_a_turn_are_told_later() {
    with_both("127.0.0.1:0", 256, 64, |mut bench| {
        let deaf: Vec<_> = (0..4).map(|_| deaf_port("127.0.0.1:0")).collect();
        for _ in 0..25 {
            deaf.iter().for_each(|&port| bench.push(port, b"anybody there?"));
        }
        bench.io.send().expect("sends");
        let mut errors = BTreeMap::new();
        bench.turn(&mut errors, PATIENCE);
        let first: usize = errors.values().sum();
        assert!(first <= ENTRIES_MAX, "{}: {first}", bench.name);
        for _ in 0..10 {
            bench.turn(&mut errors, Duration::ZERO);
        }
        let all: usize = errors.values().sum();
        assert_eq!(bench.io.counts().icmp_errors, u64::try_from(all).expect("few"));
        assert!(all > 20 && errors.len() == 4, "{}: {errors:?}", bench.name);
    });
}
