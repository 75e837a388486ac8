//! Requests that are held: what goes out besides is counted where it goes, and copied for who wants it.

use super::*;
use crate::datapath::tap::Taken;
use crate::datapath::tap_filter::TapFilter;
use crate::sip::message::Method;
use crate::sip::route::failover::{Failover, StatusSet};
use crate::sip::{HopId, Verdict};

/// A pool of two in turns that fails over on 503.
fn failing_over(backends: &[SocketAddr]) -> Arc<Table> {
    let one = table(backends);
    let mut pool = one.pools[0].clone();
    pool.failover = Some(Failover { statuses: StatusSet::of(&[503]), timeout_us: 0, tries: 2 });
    for (place, backend) in (0..).zip(&mut pool.backends) {
        backend.hop = HopId(place);
    }
    Arc::new(Table::new(Parts {
        shards: 1,
        listeners: one.listeners.clone(),
        pools: vec![pool],
        rules: one.rules.clone(),
        keys: vec![Key { id: 1, secret: [7; 32] }],
        ..Parts::default()
    }))
}

fn receive(there: &UdpSocket) -> String {
    let mut buffer = vec![0; 65_536];
    let (size, _) = there.recv_from(&mut buffer).expect("a message");
    String::from_utf8_lossy(&buffer[..size]).into_owned()
}

#[test]
fn what_goes_out_besides_is_counted_and_copied() {
    let (one, other, phone) = (socket(), socket(), socket());
    let table = failing_over(&[address(&one), address(&other)]);
    let options =
        Options { shards: 1, io: Io::Recvmmsg, steering: Steering::Kernel, ..Options::default() };
    let mut shards = Shards::start(&options, &table, 7).expect("a shard");
    let (mut reports, mut taps) = (shards.reports(), shards.taps());
    let both = TapFilter { is_both_ways: true, ..TapFilter::default() };
    shards.trace(&[both, TapFilter::default()]).expect("it reads its mail");
    shards.snapshot().expect("an answer");

    let invite = format!(
        "INVITE sip:a@example.com SIP/2.0\r\nVia: SIP/2.0/UDP {};branch=z9hG4bKa;rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:b@example.com>;tag=1\r\nTo: <sip:a@example.com>\r\n\
         Call-ID: held\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n",
        address(&phone)
    );
    let edge = shards.addresses().next().expect("one listener");
    phone.send_to(invite.as_bytes(), edge).expect("sends");
    answer(&one, "503 Busy\r\nRetry-After: 7");
    assert!(receive(&one).starts_with("ACK "), "the failure is acknowledged");
    let report = next(&mut reports);
    let [Report::Busy { backend, retry_after_seconds: 7, .. }] = report[..] else {
        panic!("{report:?}");
    };
    assert_eq!(backend, address(&one));
    // The absorbed failure is waited for: copies of it may come.
    answer(&other, "486 Busy");
    assert!(receive(&phone).starts_with("SIP/2.0 486 "));
    let sum = shards.snapshot().expect("an answer").merged();
    assert_eq!((sum.held_now, sum.hold.held, sum.hold.failed_over), (1, 1, 1));

    let sum = shards.stop().merged();
    assert_eq!((sum.received, sum.sent, sum.extras), (3, 4, 2));
    let counts = |place: usize| {
        let traffic = sum.traffic.backends[place];
        (traffic.requests, traffic.responses[4], traffic.responses[5])
    };
    assert_eq!((counts(0), counts(1)), ((2, 0, 1), (1, 1, 0)));
    let invites = sum.traffic.pools[0].messages.map(|way| way[Method::Invite.index()]);
    assert_eq!(invites, [2, 2, 0, 0]);

    let mut seen = Vec::new();
    taps.drain(|taken, bytes| {
        let Taken { is_sent, verdict, wanted, backend, .. } = *taken;
        let start = String::from_utf8_lossy(&bytes[..11]).into_owned();
        seen.push((start, is_sent, verdict, wanted, backend));
    });
    let (forward, absorb) = (Verdict::Forward, Verdict::Absorb);
    // What came is for both filters, what was sent for one; what was sent besides is news for both.
    let expected = [
        ("INVITE sip:", false, forward, 0b11, Some(0)),
        ("INVITE sip:", true, forward, 0b01, Some(0)),
        ("SIP/2.0 503", false, absorb, 0b11, Some(0)),
        ("INVITE sip:", true, forward, 0b11, Some(1)),
        ("ACK sip:a@e", true, forward, 0b11, Some(0)),
        ("SIP/2.0 486", false, forward, 0b11, Some(1)),
        ("SIP/2.0 486", true, forward, 0b01, Some(1)),
    ];
    let expected = expected.map(|(start, sent, verdict, wanted, backend)| {
        (start.to_owned(), sent, verdict, wanted, backend)
    });
    assert_eq!(seen, expected);
}
