//! Whole shards on loopback, both I/O ways, with and without the steering program.

use std::collections::HashSet;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use sipedge::datapath::{InstallError, Io, Options, Shards, StartError, Steering};
use sipedge::sip::DropReason;
use sipedge::sip::route::table::{Key, Listener, Parts, Table};

use crate::group::now;

const PATIENCE: Duration = Duration::from_secs(5);
/// Requests on their way at a time.
const WINDOW: usize = 40;

fn table(addresses: &[SocketAddr], shards: usize) -> Arc<Table> {
    let listener = |address: &SocketAddr| Listener {
        name: address.to_string(),
        address: *address,
        host: match address {
            SocketAddr::V4(v4) => v4.ip().to_string(),
            SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
        },
        port: address.port(),
    };
    Arc::new(Table::new(Parts {
        shards: u8::try_from(shards).expect("at most 64"),
        listeners: addresses.iter().map(listener).collect(),
        keys: vec![Key { id: 1, secret: [7; 32] }],
        aliases: vec!["edge.example.com".into()],
        is_draining: false,
        ..Parts::default()
    }))
}

/// An address to listen on; the kernel chooses the port.
fn any_port(address: &str) -> SocketAddr {
    address.parse().expect("an address")
}

/// Both ways to move datagrams; only recvmmsg, and a word about it, where io_uring does not work.
fn both() -> Vec<Io> {
    let address = any_port("127.0.0.1:0");
    let ring = options(1, Io::IoUring, Steering::Kernel);
    match Shards::start(&ring, &table(&[address], 1), 7) {
        Ok(shards) => {
            shards.stop();
            vec![Io::IoUring, Io::Recvmmsg]
        }
        Err(error) => {
            println!("skipped: {error}");
            vec![Io::Recvmmsg]
        }
    }
}

fn options(shards: usize, io: Io, steering: Steering) -> Options {
    Options { shards, io, steering, ..Options::default() }
}

/// An OPTIONS to the edge itself, which it answers.
fn request(server: SocketAddr, call: &str, size: usize) -> Vec<u8> {
    let mut text = format!(
        "OPTIONS sip:edge.example.com SIP/2.0\r\nVia: SIP/2.0/UDP {server};branch=z9hG4bK{call};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:a@example.com>;tag=1\r\nTo: <sip:edge.example.com>\r\n\
         Call-ID: {call}\r\nCSeq: 1 OPTIONS\r\n"
    );
    let rest = size.saturating_sub(text.len() + 30);
    text.push_str(&format!("Content-Length: {rest}\r\n\r\n{}", "b".repeat(rest)));
    text.into_bytes()
}

/// The Call-ID of an answer.
fn call_of(answer: &[u8]) -> String {
    let text = String::from_utf8_lossy(answer);
    let line = text.lines().find_map(|line| line.strip_prefix("Call-ID: ")).expect("a Call-ID");
    line.to_owned()
}

fn client(server: SocketAddr) -> UdpSocket {
    let client = UdpSocket::bind(SocketAddr::new(server.ip(), 0)).expect("a client");
    client.connect(server).expect("connects");
    client.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    client
}

/// Sends `count` requests from eight ports and takes every answer once.
fn exchange(server: SocketAddr, count: usize) {
    let clients: Vec<_> = (0..8).map(|_| client(server)).collect();
    let mut buffer = vec![0; 65_536];
    for first in (0..count).step_by(WINDOW) {
        let mut waiting = HashSet::new();
        for number in first..(first + WINDOW).min(count) {
            let call = format!("{number}-call@host");
            clients[number % 8].send(&request(server, &call, 400)).expect("sends");
            waiting.insert(call);
        }
        for number in first..(first + WINDOW).min(count) {
            let size = clients[number % 8].recv(&mut buffer).expect("an answer to each");
            assert!(waiting.remove(&call_of(&buffer[..size])), "an answer came twice");
        }
    }
}

fn check(io: Io, steering: Steering, addresses: &[&str]) {
    let addresses: Vec<_> = addresses.iter().map(|address| any_port(address)).collect();
    let started = Shards::start(&options(2, io, steering), &table(&addresses, 2), 7);
    let mut shards = match started {
        Ok(shards) => shards,
        Err(error @ (StartError::IoUring(_) | StartError::Ebpf(_))) => {
            return println!("skipped: {error}");
        }
        Err(error) => panic!("{error}"),
    };
    println!("{}", shards.report().lines().join("\n"));
    let bound: Vec<_> = shards.addresses().collect();
    for address in bound {
        exchange(address, 2_000);
    }
    let snapshot = shards.snapshot().expect("all answer");
    let sum = snapshot.merged();
    let total = 2_000 * u64::try_from(addresses.len()).expect("few");
    assert_eq!((sum.received, sum.sent, sum.drops.iter().sum::<u64>()), (total, total, 0));
    assert_eq!(sum.hops_out, sum.hops_in);
    assert_eq!(sum.latency_us.len(), total);
    assert!(snapshot.shards.iter().all(|shard| shard.sent > total / 4), "both shards work");
    if shards.report().ebpf {
        assert_eq!(sum.hops_out, 0, "the kernel chose the right shard each time");
        let picked: u64 = snapshot.picks.iter().flatten().map(|picks| picks.call_id).sum();
        assert_eq!(picked, total);
    } else {
        assert!(sum.hops_out > 0, "the kernel's hash is no Call-ID hash");
    }
    let last = shards.stop().merged();
    assert_eq!(last.sent, total);
}

#[test]
fn recvmmsg_with_ebpf() {
    check(Io::Recvmmsg, Steering::Ebpf, &["127.0.0.1:0", "[::1]:0"]);
}

#[test]
fn recvmmsg_without_ebpf_hops() {
    check(Io::Recvmmsg, Steering::Kernel, &["127.0.0.1:0", "[::1]:0"]);
}

#[test]
fn io_uring_with_ebpf() {
    check(Io::IoUring, Steering::Ebpf, &["127.0.0.1:0", "[::1]:0"]);
}

#[test]
fn io_uring_without_ebpf_hops() {
    check(Io::IoUring, Steering::Kernel, &["127.0.0.1:0", "[::1]:0"]);
}

#[test]
fn a_datagram_of_60_kilobytes_is_answered_by_its_owner() {
    for io in both() {
        let address = any_port("127.0.0.1:0");
        let mut shards = Shards::start(&options(3, io, Steering::Kernel), &table(&[address], 3), 7)
            .expect("it starts");
        let address = shards.addresses().next().expect("one");
        let client = client(address);
        let mut buffer = vec![0; 65_536];
        for call in 0..12 {
            client.send(&request(address, &format!("{call}-large"), 60_000)).expect("sends");
            let size = client.recv(&mut buffer).expect("an answer");
            assert_eq!(call_of(&buffer[..size]), format!("{call}-large"));
        }
        let sum = shards.snapshot().expect("all answer").merged();
        assert_eq!((sum.received, sum.sent), (12, 12));
        assert!(sum.received_bytes > 12 * 59_000);
        assert!(sum.hops_in > 0, "one port, three shards: most calls hop");
    }
}

#[test]
fn a_drain_handles_what_waits_and_ends() {
    for io in both() {
        let address = any_port("127.0.0.1:0");
        let shards = Shards::start(&options(2, io, Steering::Auto), &table(&[address], 2), 7)
            .expect("it starts");
        let address = shards.addresses().next().expect("one");
        let client = client(address);
        for call in 0..100 {
            client.send(&request(address, &format!("{call}"), 400)).expect("sends");
        }
        let started = now();
        let sum = shards.drain(PATIENCE).merged();
        assert!(started.elapsed() < PATIENCE, "it waited for nothing");
        assert_eq!((sum.received, sum.sent), (100, 100), "{io:?}");
        for _ in 0..100 {
            client.recv(&mut [0; 2048]).expect("an answer to each");
        }
        UdpSocket::bind(address).expect("the port is free again");
    }
}

#[test]
fn stops_and_starts_leave_nothing_behind() {
    let mut address = any_port("127.0.0.1:0");
    for round in 0..10 {
        let io = *both().get(round % 2).unwrap_or(&Io::Recvmmsg);
        let shards = Shards::start(&options(2, io, Steering::Auto), &table(&[address], 2), 7)
            .expect("the port is free");
        assert!(shards.all_running());
        // The same port in each round.
        address = shards.addresses().next().expect("one");
        drop(shards);
    }
}

#[test]
fn what_cannot_start_says_why() {
    let address = any_port("127.0.0.1:0");
    let start = |shards, table: &Arc<Table>| {
        let options = options(shards, Io::Recvmmsg, Steering::Kernel);
        Shards::start(&options, table, 7).map(drop)
    };
    assert!(matches!(start(0, &table(&[address], 1)), Err(StartError::ShardCount(0))));
    assert!(matches!(start(65, &table(&[address], 1)), Err(StartError::ShardCount(65))));
    assert!(matches!(start(1, &table(&[], 1)), Err(StartError::NoListener)));
    let taken = UdpSocket::bind(address).expect("free");
    let address = taken.local_addr().expect("bound");
    let Err(error) = start(1, &table(&[address], 1)) else { panic!("the port is taken") };
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    drop(taken);
    let any = any_port("127.0.0.1:0");
    let running = Shards::start(&options(1, Io::Auto, Steering::Auto), &table(&[any], 1), 7)
        .expect("it starts");
    let address = running.addresses().next().expect("one");
    let Err(error) = start(1, &table(&[address], 1)) else { panic!("another edge has the port") };
    assert!(error.to_string().contains("ss -lunp"), "{error}");
    drop(running);
    let cores = Options { cores: Some(vec![4_000]), ..options(1, Io::Auto, Steering::Auto) };
    let Err(error) = Shards::start(&cores, &table(&[address], 1), 7) else {
        panic!("no such core")
    };
    assert!(matches!(error, StartError::Core(4_000)), "{error}");
}

#[test]
fn tables_are_exchanged_while_running() {
    let address = any_port("127.0.0.1:0");
    let mut shards = Shards::start(&options(2, Io::Auto, Steering::Auto), &table(&[address], 2), 7)
        .expect("it starts");
    for _ in 0..50 {
        shards.install(&table(&[address], 2)).expect("the same listeners");
    }
    exchange(shards.addresses().next().expect("one"), 200);
    let other = table(&[any_port("[::1]:0")], 2);
    assert_eq!(shards.install(&other), Err(InstallError::ListenersChanged));
    assert_eq!(shards.snapshot().expect("all answer").merged().sent, 200);
}

#[test]
fn a_full_send_queue_is_counted_and_every_message_accounted_for() {
    for io in both() {
        let options = Options { send_queue_max: 1, ..options(1, io, Steering::Auto) };
        let mut shards =
            Shards::start(&options, &table(&[any_port("127.0.0.1:0")], 1), 7).expect("it starts");
        let address = shards.addresses().next().expect("one");
        let client = client(address);
        let (mut sent, mut dropped) = (0, 0);
        // A turn that finds two messages drops one: soon, in a burst of fifty.
        while dropped == 0 {
            assert!(sent < 100_000, "one slot was always enough");
            for call in 0..50 {
                client.send(&request(address, &format!("{call}"), 400)).expect("sends");
            }
            sent += 50;
            let started = now();
            loop {
                let sum = shards.snapshot().expect("it answers").merged();
                dropped = sum.dropped(DropReason::SendQueueFull);
                if sum.sent + dropped == sent {
                    assert_eq!(sum.received, sent);
                    break;
                }
                assert!(started.elapsed() < PATIENCE, "{} of {sent}", sum.sent + dropped);
            }
        }
    }
}
