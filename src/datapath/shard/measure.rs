//! What a message costs in a shard beside the core, for callgrind: `scripts/instructions.sh` counts the core alone.
//!
//! Run the release build of this test under `valgrind --tool=callgrind --toggle-collect='*Path*handle*'`, and look at the lines
//! of `shard.rs`, `traffic.rs`, `counters.rs` and `send_queue.rs`.

use super::*;
use crate::datapath::mailbox;
use crate::datapath::{reports, tap};
use crate::sip::ListenerId;
use crate::sip::balance::{Balance, Member, Spec};
use crate::sip::route::table::{Action, Backend, Key, KeySource, Listener, Parts, Pool, Rule};

const MESSAGES: u64 = 10_000;
const BATCH: u64 = 64;

fn table() -> Table {
    let address = |text: &str| text.parse().expect("an address");
    let member = Member { identity: b"sip:192.0.2.9", weight: 1, rweight: 0 };
    let balance = Balance::compile(&Spec::Rendezvous, &[member], 1).expect("one member");
    let backend = Backend::new("sip:192.0.2.9".into(), address("192.0.2.9:5060"));
    Table::new(Parts {
        shards: 1,
        listeners: vec![Listener {
            name: "in".into(),
            address: address("192.0.2.1:5060"),
            host: "192.0.2.1".into(),
            port: 5060,
        }],
        pools: vec![Pool::new("pool".into(), KeySource::CallId, balance, vec![backend])],
        rules: vec![Rule {
            methods: vec![],
            other_methods: vec![],
            listeners: vec![],
            domains: vec![],
            action: Action::Pool(0),
            record_route: true,
            path: true,
        }],
        keys: vec![Key { id: 1, secret: [7; 32] }],
        ..Parts::default()
    })
}

#[test]
#[ignore = "a measurement, not a check"]
fn ten_thousand_requests() {
    let clock = Clock::start();
    let (mut reporters, _reports) = reports::lines(1, clock).expect("an eventfd");
    let (mut taps, _ends) = tap::lanes(1, clock);
    let (_boxes, _desks, _control) = mailbox::mesh(1).expect("eventfds");
    let core = Core::new(Arc::new(table()), 1, 0);
    let mut counters = Counters::new();
    counters.fit(core.table());
    let mut path = Path {
        core,
        outbox: Outbox::new(),
        counters,
        reporter: reporters.remove(0),
        tap: taps.remove(0),
        index: 0,
        shards: 1,
    };
    let mut queue = SendQueue::new(128).expect("memory");
    let text = "INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bKa;rport\r\n\
        Max-Forwards: 70\r\nFrom: <sip:alice@example.com>;tag=1\r\nTo: <sip:bob@example.com>\r\n\
        Call-ID: a84b4c76e66710@example.com\r\nCSeq: 1 INVITE\r\nContact: <sip:alice@198.51.100.7>\r\n\
        Content-Length: 0\r\n\r\n";
    let source = "198.51.100.7:5060".parse().expect("an address");
    let received =
        Received { bytes: text.as_bytes(), source, listener: ListenerId(0), truncated: false };
    for number in 0..MESSAGES {
        path.handle(Now(number), Now(number / BATCH), &received, &mut queue);
        if number % BATCH == BATCH - 1 {
            (0..queue.queued().len()).for_each(|place| queue.release(queue.queued()[place]));
            queue.clear_queued();
            let counters = &mut path.counters;
            queue.take_runs(|run| counters.on_sent(run.pool, 40, run.count));
        }
    }
    assert_eq!(path.counters.traffic.backends[0].requests, MESSAGES);
}
