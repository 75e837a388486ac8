//! Nothing is allocated when transactions are looked up, leave a dead backend, or meet a ramp.

use std::sync::Arc;

use sipedge::sip::balance::Ramp;
use sipedge::sip::core::Core;
use sipedge::sip::outbox::Outbox;
use sipedge::sip::{Cause, ListenerId, Now, Received, Verdict};

use crate::{allocations, messages};

#[test]
fn no_failover_allocates() {
    let invite = messages::all().into_iter().find(|m| m.name == "INVITE").expect("there is one");
    let answer = messages::all().into_iter().find(|m| m.name == "200 OK").expect("there is one");
    let (mut core, mut outbox) = (Core::new(Arc::new(messages::table()), 1, 0), Outbox::new());
    let mut handle = |core: &mut Core, message: &messages::Message| {
        let (bytes, source) = (&message.bytes[..], message.source);
        let received = Received { bytes, source, listener: ListenerId(0), truncated: false };
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
