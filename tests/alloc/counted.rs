//! Nothing is allocated when a pool counts what is under way, is capped by it, or looks at latencies.

use std::sync::Arc;

use sipedge::sip::balance::{Balance, LoadCap, Member, Ramp, Spec};
use sipedge::sip::core::Core;
use sipedge::sip::outbox::Outbox;
use sipedge::sip::route::table::KeySource;
use sipedge::sip::{ListenerId, Now, Received, Verdict};

use crate::{allocations, messages};

#[test]
fn no_count_allocates() {
    let find = |name| messages::all().into_iter().find(|m| m.name == name).expect("there is one");
    let (invite, answer) = (find("INVITE"), find("200 OK"));
    for name in ["least-load", "latency", "kamailio:10", "kamailio:13"] {
        let mut table = messages::table();
        let pool = &mut table.pools[0];
        let member = |b: &'_ sipedge::sip::route::table::Backend| b.uri.clone().into_bytes();
        let uris: Vec<Vec<u8>> = pool.backends.iter().map(member).collect();
        let members: Vec<Member<'_>> =
            uris.iter().map(|uri| Member { identity: uri, weight: 1, rweight: 0 }).collect();
        let spec = Spec::parse(name).expect("a balance");
        pool.balance = Arc::new(Balance::compile(&spec, &members, 1).expect("these members"));
        pool.ramp = vec![Ramp { backend: 0, share: 30_000 }];
        table.counts_requests = name == "least-load";
        table.counts_calls = name == "kamailio:10";
        let (mut core, mut outbox) = (Core::new(Arc::new(table), 1, 0), Outbox::new());
        let counted = allocations(|| {
            for message in [&invite, &invite, &answer] {
                let (bytes, source) = (&message.bytes[..], message.source);
                let received = Received::datagram(bytes, source, ListenerId(0));
                let verdict = core.handle(Now(1_000_000), &received, &mut outbox);
                assert_eq!(verdict, Verdict::Forward, "{name}");
            }
        });
        assert_eq!(counted, 0, "{name}");
    }
}

#[test]
fn no_cap_allocates() {
    let mut invite =
        messages::all().into_iter().find(|m| m.name == "INVITE").expect("there is one");
    let mut table = messages::table();
    let pool = &mut table.pools[0];
    pool.load_cap = Some(LoadCap::of_thousandths(1_250));
    pool.key = KeySource::To;
    pool.ramp = vec![Ramp { backend: 0, share: 30_000 }];
    table.counts_requests = true;
    let behind = |bytes: &[u8], what: &[u8]| {
        bytes.windows(what.len()).position(|at| at == what).expect("it stands there") + what.len()
    };
    let branch = behind(&invite.bytes, b"branch=z9hG4bK");
    let (mut core, mut outbox) = (Core::new(Arc::new(table), 1, 0), Outbox::new());
    let mut moved = 0;
    let counted = allocations(|| {
        for number in 0..26 {
            // Each is a transaction of its own, and none is answered.
            invite.bytes[branch] = b'a' + number;
            let (bytes, source) = (&invite.bytes[..], invite.source);
            let received = Received::datagram(bytes, source, ListenerId(0));
            assert_eq!(core.handle(Now(1_000_000), &received, &mut outbox), Verdict::Forward);
            moved += u32::from(outbox.decision().is_capped);
        }
    });
    assert_eq!(counted, 0);
    assert!(moved > 10, "{moved} of 26: the cap did not act");
}
