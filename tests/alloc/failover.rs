//! Nothing is allocated when transactions are looked up, leave a dead backend, meet a ramp, or are held.

use std::sync::Arc;

use sipedge::sip::balance::Ramp;
use sipedge::sip::core::Core;
use sipedge::sip::outbox::Outbox;
use sipedge::sip::route::failover::{Failover, StatusSet};
use sipedge::sip::{Cause, ListenerId, Now, Received, Verdict};

use crate::{allocations, messages};

#[test]
fn no_failover_allocates() {
    let invite = messages::all().into_iter().find(|m| m.name == "INVITE").expect("there is one");
    let answer = messages::all().into_iter().find(|m| m.name == "200 OK").expect("there is one");
    let (mut core, mut outbox) = (Core::new(Arc::new(messages::table()), 1, 0), Outbox::new());
    let mut handle = |core: &mut Core, message: &messages::Message| {
        let (bytes, source) = (&message.bytes[..], message.source);
        let received = Received::datagram(bytes, source, ListenerId(0));
        assert_eq!(core.handle(Now(1_000_000), &received, &mut outbox), Verdict::Forward);
        *outbox.decision()
    };
    let first = handle(&mut core, &invite).backend.expect("it was balanced");
    let mut table = messages::table();
    let pool = &mut table.pools[0];
    pool.usable.remove(first.backend);
    pool.down.insert(first.backend);
    pool.ramp = (0..10).map(|backend| Ramp { backend, share: 30_000 }).collect();
    core.install(Arc::new(table));
    let counted = allocations(|| {
        let moved = handle(&mut core, &invite);
        assert!(moved.cause == Cause::Balanced && moved.backend != Some(first), "{moved:?}");
        assert_eq!(handle(&mut core, &invite).cause, Cause::Transaction);
        handle(&mut core, &answer);
    });
    assert_eq!(counted, 0);
}

/// The request as it was sent, turned into a response: all that is looked at stands in both.
fn respond(sent: &[u8], status: &str) -> Vec<u8> {
    let line_end = sent.iter().position(|&b| b == b'\n').expect("it has a first line") + 1;
    [format!("SIP/2.0 {status}\r\n").as_bytes(), &sent[line_end..]].concat()
}

#[test]
fn nothing_held_allocates() {
    let invite = messages::all().into_iter().find(|m| m.name == "INVITE").expect("there is one");
    let mut table = messages::table();
    let statuses = StatusSet::of(&[503]);
    table.pools[0].failover = Some(Failover { statuses, timeout_us: 2_000_000, tries: 3 });
    let backends: Vec<_> = table.pools[0].backends.iter().map(|b| b.address).collect();
    let (mut core, mut outbox) = (Core::new(Arc::new(table), 1, 0), Outbox::new());
    let received = |bytes, source| Received::datagram(bytes, source, ListenerId(0));
    let first = received(&invite.bytes[..], invite.source);
    assert_eq!(core.handle(Now(1_000_000), &first, &mut outbox), Verdict::Forward);
    let mut buffer = vec![0; 65_535];
    let size = outbox.write_to(&invite.bytes, &mut buffer).expect("fits");
    let failure = respond(&buffer[..size], "503 Service Unavailable");
    let late = respond(&buffer[..size], "180 Ringing");
    let counted = allocations(|| {
        let copy = received(&invite.bytes[..], invite.source);
        assert_eq!(core.handle(Now(1_000_000), &copy, &mut outbox), Verdict::Forward);
        let failure = received(&failure[..], backends[0]);
        assert_eq!(core.handle(Now(1_100_000), &failure, &mut outbox), Verdict::Absorb);
        assert_eq!(outbox.extras().count(), 2, "an ACK, and the request for another");
        core.handle_timeout(Now(3_100_000), &mut outbox);
        assert_eq!(outbox.extras().count(), 1, "silence");
        let late = received(&late[..], backends[0]);
        assert_eq!(core.handle(Now(3_200_000), &late, &mut outbox), Verdict::Absorb);
        while let Some((due, _)) = core.poll_timeout() {
            core.handle_timeout(due, &mut outbox);
        }
    });
    assert_eq!(counted, 0);
    assert!(core.held().is_some_and(|hold| hold.is_empty() && hold.counts.failed_over == 2));
}
