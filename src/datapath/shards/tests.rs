//! Whole shards on loopback, both I/O ways: what control lets them send, and what they tell unasked.

use std::net::UdpSocket;

use super::*;
use crate::datapath::options::{Io, Steering};
use crate::datapath::reports::Report;
use crate::sip::balance::{Balance, Member, Spec};
use crate::sip::route::table::{
    Action, Backend, Key, KeySource, Listener, Parts, PathPolicy, Pool, Rule,
};
use crate::sip::{Decision, ListenerId, probe};

mod held;
mod install;
mod traced;

pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Two shards behind one listener, and one pool that all requests go to.
pub(super) fn table(backends: &[SocketAddr]) -> Arc<Table> {
    let listener = Listener {
        name: "in".into(),
        address: "127.0.0.1:0".parse().expect("an address"),
        host: "127.0.0.1".into(),
        port: 5060,
    };
    let backends: Vec<_> =
        backends.iter().map(|&address| Backend::new(format!("sip:{address}"), address)).collect();
    let members: Vec<Member<'_>> = backends
        .iter()
        .map(|b| Member { identity: b.uri.as_bytes(), weight: 1, rweight: 0 })
        .collect();
    let balance = Balance::compile(&Spec::RoundRobin, &members, 1).expect("these members");
    let rule = Rule {
        needs_token: false,
        methods: vec![],
        other_methods: vec![],
        listeners: vec![],
        domains: vec![],
        action: Action::Pool(0),
        record_route: true,
        path: PathPolicy::Supported,
    };
    Arc::new(Table::new(Parts {
        shards: 2,
        listeners: vec![listener],
        pools: vec![Pool::new("pool".into(), KeySource::CallId, balance, backends)],
        rules: vec![rule],
        keys: vec![Key { id: 1, secret: [7; 32] }],
        ..Parts::default()
    }))
}

/// Runs `test` with recvmmsg, and with io_uring where it works.
pub(super) fn with_both(backends: &[SocketAddr], test: impl Fn(Shards)) {
    for io in [Io::Recvmmsg, Io::IoUring] {
        let options = Options { shards: 2, io, steering: Steering::Kernel, ..Options::default() };
        match Shards::start(&options, &table(backends), 7) {
            Ok(shards) => test(shards),
            Err(StartError::IoUring(reason)) => println!("skipped: {reason}"),
            Err(error) => panic!("{error}"),
        }
    }
}

/// A port of our own, with a bound on waiting.
pub(super) fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    socket
}

pub(super) fn address(socket: &UdpSocket) -> SocketAddr {
    socket.local_addr().expect("bound")
}

fn outgoing(destination: SocketAddr, bytes: &[u8]) -> Outgoing {
    let decision = Decision::default();
    Outgoing { listener: ListenerId(0), destination, decision, bytes: bytes.to_vec() }
}

/// The next reports, at least one.
pub(super) fn next(reports: &mut Reports) -> Vec<Report> {
    let until = reports.now().0 + micros(PATIENCE);
    let mut all = Vec::new();
    while all.is_empty() && reports.now().0 < until {
        reports.wait(PATIENCE);
        reports.drain(|report| all.push(report));
    }
    all
}

#[test]
fn what_control_gives_a_shard_is_sent_at_once() {
    with_both(&[], |mut shards| {
        let there = socket();
        let from = shards.addresses().next().expect("one listener");
        for shard in 0..2 {
            for size in [1, 500, 65_507] {
                let before = shards.now();
                let bytes = vec![b'x'; size];
                assert_eq!(shards.send(shard, outgoing(address(&there), &bytes)), Ok(()));
                let mut buffer = vec![0; 65_536];
                let (got, source) = there.recv_from(&mut buffer).expect("a datagram");
                assert_eq!((&buffer[..got], source), (&bytes[..], from));
                // A shard sleeps for a second when nothing wakes it.
                assert!(shards.now().0 - before.0 < 500_000, "it waited for the next turn");
            }
        }
        let sum = shards.stop().merged();
        assert_eq!((sum.sent, sum.control_sent), (0, 6));
    });
}

#[test]
fn what_cannot_be_sent_is_refused_or_counted() {
    with_both(&[], |mut shards| {
        let there = address(&socket());
        let mut elsewhere = outgoing(there, b"x");
        assert_eq!(shards.send(2, elsewhere.clone()), Err(SendError::Nowhere));
        elsewhere.listener = ListenerId(1);
        assert_eq!(shards.send(0, elsewhere), Err(SendError::Nowhere));
        assert_eq!(shards.send(0, outgoing(there, &[0; 65_536])), Err(SendError::TooLarge));
        // Larger than a datagram over IPv4: the kernel's word.
        assert_eq!(shards.send(0, outgoing(there, &[0; 65_535])), Ok(()));
        assert_eq!(shards.stop().merged().dropped(crate::sip::DropReason::SendFailed), 1);
    });
}

#[test]
fn a_backend_that_nobody_hears_is_reported_and_a_stranger_only_counted() {
    let deaf = address(&socket());
    with_both(&[deaf], |mut shards| {
        let mut reports = shards.reports();
        let mut second = shards.reports();
        let stranger = address(&socket());
        for shard in 0..2 {
            assert_eq!(shards.send(shard, outgoing(stranger, b"x")), Ok(()));
            assert_eq!(shards.send(shard, outgoing(deaf, b"x")), Ok(()));
            for report in next(&mut reports) {
                let Report::Unreachable { address, at } = report else { panic!("{report:?}") };
                assert_eq!(address, deaf);
                assert!(at <= shards.now());
            }
        }
        second.drain(|report| panic!("told to the second who asked: {report:?}"));
        // The stranger's error may be the last that is read.
        let until = shards.now().0 + micros(PATIENCE);
        loop {
            let sum = shards.snapshot().expect("an answer").merged();
            if sum.icmp_strangers == 2 && sum.icmp_errors == 4 {
                assert_eq!((sum.reports_lost, sum.receive_errors), (0, 0));
                assert_eq!(sum.dropped(crate::sip::DropReason::SendFailed), 0);
                break;
            }
            assert!(shards.now().0 < until, "{} strangers", sum.icmp_strangers);
        }
    });
}

/// Answers what comes to `backend` with `status`, and says who asked.
fn answer(backend: &UdpSocket, status: &str) -> SocketAddr {
    let mut buffer = vec![0; 65_536];
    let (size, from) = backend.recv_from(&mut buffer).expect("a request");
    let request = String::from_utf8_lossy(&buffer[..size]);
    let copied = |line: &&str| {
        ["Via:", "From:", "To:", "Call-ID:", "CSeq:"].iter().any(|name| line.starts_with(name))
    };
    let fields: Vec<_> = request.split("\r\n").filter(copied).collect();
    let text = format!("SIP/2.0 {status}\r\n{}\r\n\r\n", fields.join("\r\n"));
    backend.send_to(text.as_bytes(), from).expect("sends");
    from
}

#[test]
fn answers_to_probes_are_reported_whichever_shard_sent_them() {
    let backend = socket();
    with_both(&[address(&backend)], |mut shards| {
        let mut reports = shards.reports();
        for (number, shard) in (0..8).zip([0_u8, 1].into_iter().cycle()) {
            let request = probe::ProbeRequest {
                listener: ListenerId(0),
                shard,
                method: "OPTIONS",
                target: "sip:backend.example.com",
                from: None,
                user_agent: "sipedge",
                call_id: number,
                cseq: 1,
            };
            let mut bytes = Vec::new();
            let asked = probe::write(&table(&[address(&backend)]), &request, &mut bytes);
            assert_eq!(
                shards.send(usize::from(shard), outgoing(address(&backend), &bytes)),
                Ok(())
            );
            answer(&backend, "503 Full\r\nRetry-After: 9");
            let reports = next(&mut reports);
            let [Report::Probe { transaction, status, retry_after_seconds, source, .. }] =
                reports[..]
            else {
                panic!("{reports:?}");
            };
            assert_eq!((transaction, status, retry_after_seconds), (asked, 503, 9));
            assert_eq!(source, address(&backend));
        }
        let sum = shards.stop().merged();
        assert_eq!((sum.received, sum.sent, sum.control_sent), (8, 0, 8));
        assert_eq!(sum.traffic.backends[0].responses, [0; 7], "a probe is no traffic");
    });
}

#[test]
fn a_backend_that_asks_for_time_is_reported() {
    let (backend, phone) = (socket(), socket());
    with_both(&[address(&backend)], |mut shards| {
        let mut reports = shards.reports();
        let edge = shards.addresses().next().expect("one listener");
        for (call, status) in
            [(1, "503 Busy"), (2, "480 Gone\r\nRetry-After: 5"), (3, "503 Busy\r\nRetry-After: 7")]
        {
            let from = address(&phone);
            let request = format!(
                "OPTIONS sip:a@example.com SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK{call};rport\r\n\
                 Max-Forwards: 70\r\nFrom: <sip:b@example.com>;tag=1\r\nTo: <sip:a@example.com>\r\n\
                 Call-ID: {call}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
            );
            phone.send_to(request.as_bytes(), edge).expect("sends");
            answer(&backend, status);
            phone.recv(&mut [0; 2000]).expect("the answer");
        }
        let reports = next(&mut reports);
        let [Report::Busy { backend: busy, status: 503, retry_after_seconds: 7, .. }] = reports[..]
        else {
            panic!("{reports:?}");
        };
        assert_eq!(busy, address(&backend));
        let sum = shards.stop().merged();
        let traffic = sum.traffic.backends[0];
        assert_eq!((traffic.requests, traffic.responses), (3, [0, 0, 0, 0, 1, 2, 0]));
        assert!(traffic.last_request > Now(0) && traffic.last_response > traffic.last_request);
        assert_eq!(sum.traffic.pools[0].latency_us.count(), 6);
        assert_eq!(sum.reports_lost, 0);
    });
}
