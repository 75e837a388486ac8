//! What counts as what, and that counts follow the meter.

use super::*;
use crate::sip::HopId;
use crate::sip::balance::{Balance, Member, Spec};
use crate::sip::route::table::{Backend, Key, KeySource, Parts, Pool};

/// Two pools with two backends each; meters are not places.
fn table(meters: [(u32, [u32; 2]); 2]) -> Table {
    let pool = |(meter, backends): (u32, [u32; 2])| {
        let address = "192.0.2.1:5060".parse().expect("an address");
        let members = [b"a", b"b"].map(|identity| Member { identity, weight: 1, rweight: 0 });
        let balance = Balance::compile(&Spec::RoundRobin, &members, 1).expect("these members");
        let backends = backends
            .map(|meter| Backend { hop: HopId(meter), ..Backend::new("sip:b".into(), address) });
        Pool { meter, ..Pool::new("pool".into(), KeySource::CallId, balance, backends.into()) }
    };
    Table::new(Parts {
        shards: 1,
        pools: meters.map(pool).into(),
        keys: vec![Key { id: 1, secret: [7; 32] }],
        ..Parts::default()
    })
}

fn there(pool: u16, backend: u16) -> Option<BackendRef> {
    Some(BackendRef { pool, backend })
}

fn request(method: Method) -> Decision {
    Decision { method, backend: there(1, 0), ..Decision::default() }
}

fn response(status: u16) -> Decision {
    Decision { method: Method::Invite, origin: there(1, 0), status, ..Decision::default() }
}

#[test]
fn messages_are_counted_for_the_backend_and_the_pool_of_their_meter() {
    let table = table([(3, [9, 8]), (1, [5, 4])]);
    let mut traffic = Traffic::default();
    traffic.fit(&table);
    assert_eq!((traffic.backends.len(), traffic.pools.len()), (10, 4));
    let mut count = |at, decision| traffic.on_verdict(Now(at), Verdict::Forward, &decision, &table);
    assert_eq!(count(10, request(Method::Invite)), 1);
    assert_eq!(count(20, response(183)), 1);
    assert_eq!(count(30, response(200)), 1);
    // Nobody answers an ACK: it is no sign that a response is due.
    assert_eq!(count(40, request(Method::Ack)), 1);
    // One that a cap moved counts for the pool, too.
    assert_eq!(count(45, Decision { is_capped: true, ..request(Method::Info) }), 1);
    // From a backend to a phone, and the answer.
    let out = Decision { method: Method::Bye, origin: there(0, 1), ..Decision::default() };
    assert_eq!(count(50, out), 3);
    let back = Decision { backend: there(0, 1), status: 200, origin: None, ..out };
    assert_eq!(count(60, back), 3);
    // From a pool to another: both count it, the latency is the receiver's.
    assert_eq!(count(70, Decision { backend: there(1, 1), ..out }), 1);
    assert_eq!(count(80, Decision { backend: there(7, 7), ..request(Method::Info) }), NO_POOL);

    let (bye, invite) = (Method::Bye.index(), Method::Invite.index());
    let expected = BackendTraffic {
        requests: 3,
        responses: [0, 1, 1, 0, 0, 0, 0],
        last_request: Now(45),
        last_response: Now(30),
    };
    assert_eq!(traffic.backends[5], expected);
    assert_eq!(traffic.backends[4].requests, 1);
    assert_eq!(traffic.backends[8], BackendTraffic::default());
    let ways = |pool: usize, method: usize| traffic.pools[pool].messages.map(|way| way[method]);
    assert_eq!(ways(1, invite), [1, 2, 0, 0]);
    assert_eq!(ways(1, bye), [1, 0, 0, 0]);
    assert_eq!(ways(3, bye), [0, 0, 2, 1]);
    assert_eq!((traffic.pools[1].capped, traffic.pools[3].capped), (1, 0));
}

#[test]
fn what_is_not_sent_on_is_no_traffic() {
    let table = table([(0, [0, 1]), (1, [2, 3])]);
    let mut traffic = Traffic::default();
    traffic.fit(&table);
    for verdict in [Verdict::Absorb, Verdict::Respond] {
        assert_eq!(traffic.on_verdict(Now(1), verdict, &request(Method::Invite), &table), NO_POOL);
        assert_eq!(traffic.on_verdict(Now(1), verdict, &response(503), &table), NO_POOL);
    }
    assert!(traffic.backends.iter().all(|backend| *backend == BackendTraffic::default()));
}

#[test]
fn what_is_absorbed_for_failover_is_an_answer_and_no_request() {
    let table = table([(0, [0, 1]), (1, [2, 3])]);
    let mut traffic = Traffic::default();
    traffic.fit(&table);
    // The backend that gets the request now is named, but it is sent besides, and counted then.
    let absorbed = Decision { cause: Cause::Held, backend: there(1, 1), ..response(503) };
    assert_eq!(traffic.on_verdict(Now(7), Verdict::Absorb, &absorbed, &table), 1);
    let copy = Decision { cause: Cause::Held, ..request(Method::Invite) };
    assert_eq!(traffic.on_verdict(Now(8), Verdict::Absorb, &copy, &table), NO_POOL);
    let expected = BackendTraffic {
        responses: [0, 0, 0, 0, 0, 1, 0],
        last_response: Now(7),
        ..BackendTraffic::default()
    };
    assert_eq!(traffic.backends[2..], [expected, BackendTraffic::default()]);
    assert_eq!(traffic.pools[1].messages.map(|way| way[Method::Invite.index()]), [0, 1, 0, 0]);
}

#[test]
fn counts_stay_with_the_meter_and_a_meter_beyond_the_bound_is_left_out() {
    let before = table([(0, [0, 1]), (1, [2, 3])]);
    let mut traffic = Traffic::default();
    traffic.fit(&before);
    traffic.on_verdict(Now(1), Verdict::Forward, &request(Method::Invite), &before);
    let after = table([(1, [2, 3]), (METERS_MAX, [METERS_MAX, u32::MAX])]);
    traffic.fit(&after);
    assert_eq!((traffic.backends.len(), traffic.pools.len()), (4, 2));
    let same = Decision { backend: there(0, 0), ..request(Method::Invite) };
    traffic.on_verdict(Now(2), Verdict::Forward, &same, &after);
    assert_eq!(traffic.backends[2].requests, 2);
    assert_eq!(
        traffic.on_verdict(Now(3), Verdict::Forward, &request(Method::Invite), &after),
        METERS_MAX
    );
    traffic.on_sent(METERS_MAX, 10, 1);
    traffic.on_sent(NO_POOL, 10, 1);
}

#[test]
fn shards_add_up_and_copies_are_equal() {
    let table = table([(0, [0, 1]), (1, [2, 3])]);
    let shard = |at| {
        let mut traffic = Traffic::default();
        traffic.fit(&table);
        traffic.on_verdict(Now(at), Verdict::Forward, &request(Method::Invite), &table);
        traffic.on_verdict(Now(at + 1), Verdict::Forward, &response(200), &table);
        traffic.pools[1].capped = at;
        traffic.on_sent(1, at, 2);
        traffic
    };
    let mut sum = Traffic::default();
    sum.add(&shard(30));
    sum.add(&shard(10));
    // What the copy held before is gone.
    let mut copy = shard(50);
    copy.fit_counts(9, 9);
    copy.copy_from(&sum);
    let expected = BackendTraffic {
        requests: 2,
        responses: [0, 0, 2, 0, 0, 0, 0],
        last_request: Now(30),
        last_response: Now(31),
    };
    assert_eq!(copy.backends[2], expected);
    assert_eq!((copy.backends.len(), copy.pools.len()), (4, 2));
    assert_eq!(copy.pools[1].messages[0][Method::Invite.index()], 2);
    assert_eq!((copy.pools[0].capped, copy.pools[1].capped), (0, 40));
    let latency_us = &copy.pools[1].latency_us;
    assert_eq!((latency_us.count(), latency_us.sum(), latency_us.quantile(0.5)), (4, 80, 10));
}
