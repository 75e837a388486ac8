//! What steering costs, to send and to receive one datagram over loopback. Run by hand:
//! `cargo test --release --test ebpf measure -- --ignored --nocapture`.

use std::net::UdpSocket;

use sipedge::datapath;

use crate::group::{bind, clients, message, now};

const ROUNDS: usize = 7;
const DATAGRAMS: u32 = 2_000;

#[test]
#[ignore = "a measurement, not a check"]
fn steering_cost_by_offset_of_the_call_id() {
    for (offset, size) in [
        (0, 400),
        (214, 400),
        (600, 800),
        (1_000, 1_300),
        (4_000, 4_200),
        (8_000, 8_200),
        (16_000, 16_200),
        (16_384, 60_000),
    ] {
        let datagram = message("Call-ID: a84b4c76e66710@pc33.atlanta.example.com", offset, size);
        let (plain, steered) = (bind("127.0.0.1:0", 4), bind("127.0.0.1:0", 4));
        let Ok(_program) = datapath::steer(&steered) else {
            return println!("skipped: needs CAP_BPF");
        };
        let (mut best_plain, mut best_steered) = (f64::MAX, f64::MAX);
        for _ in 0..ROUNDS {
            best_plain = best_plain.min(round_trip_ns(&plain, &datagram));
            best_steered = best_steered.min(round_trip_ns(&steered, &datagram));
        }
        println!(
            "Call-ID at {offset:>5} of {:>5} bytes: kernel hash {best_plain:>6.0} ns, eBPF {best_steered:>6.0} ns, {:+.0}",
            datagram.len(),
            best_steered - best_plain
        );
    }
}

/// Nanoseconds to send a datagram and read it from where it landed.
fn round_trip_ns(group: &[UdpSocket], datagram: &[u8]) -> f64 {
    let client = clients(group[0].local_addr().expect("bound")).swap_remove(0);
    let mut buffer = vec![0; 65_536];
    client.send(datagram).expect("sends");
    let landed = group.iter().find(|socket| socket.recv(&mut buffer).is_ok()).expect("it arrived");
    let started = now();
    for _ in 0..DATAGRAMS {
        client.send(datagram).expect("sends");
        landed.recv(&mut buffer).expect("it arrived");
    }
    started.elapsed().as_secs_f64() * 1e9 / f64::from(DATAGRAMS)
}
