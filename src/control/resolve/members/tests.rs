//! Pools and outcomes as data: who is a member, with which weight and priority.

use super::super::{Families, Outcome, Resolution, State};
use super::*;
use crate::config::Declared;
use crate::config::dns::Name;
use crate::sip::balance::Detail;
use crate::sip::route::table::KeySource;

fn name(host: &str) -> Name {
    let families = Families { ipv4: true, ipv6: false };
    Name { host: host.to_owned(), port: None, transport_written: false, families }
}

fn backend(text: &str) -> Backend {
    let target = match text.parse() {
        Ok(address) => Target::Address(address),
        Err(_) => Target::Name(name(text)),
    };
    Backend {
        uri: format!("sip:{text}"),
        target,
        weight: 100,
        rweight: 7,
        priority: 0,
        usable: true,
        declared: Declared::Active,
        probed: true,
        ping_from: None,
        detail: Detail::default(),
    }
}

fn pool(balance: Spec, backends: &[&str]) -> Pool {
    Pool {
        name: "p".to_owned(),
        key: KeySource::CallId,
        balance,
        backends: backends.iter().map(|text| backend(text)).collect(),
        send_from: None,
        match_source_ip: false,
        probe: None,
        slow_start_s: 0,
        eased_max_percent: 67,
        failover: None,
        load_cap: None,
    }
}

/// An address with priority and share.
type Row<'a> = (&'a str, u16, u32);

/// Outcomes of hosts.
fn known(outcomes: &[(&str, &[Row<'_>])]) -> Known {
    let one = |&(host, found): &(&str, &[Row<'_>])| {
        let resolved = |&(address, priority, share): &Row<'_>| Resolved {
            address: address.parse().unwrap(),
            priority,
            share,
            via: format!("A {host}"),
        };
        let found = found.iter().map(resolved).collect();
        let outcome = Outcome { found, notes: Vec::new(), state: State::Fresh };
        Resolution { name: name(host), outcome }
    };
    outcomes.iter().map(one).collect()
}

/// `identity weight priority`, a line each.
fn lines(made: &Members) -> Vec<String> {
    let line = |m: &Member| format!("{} {} {}", m.identity, m.weight, m.priority);
    made.members.iter().map(line).collect()
}

#[test]
fn each_address_of_a_name_is_a_member_in_the_place_of_its_backend() {
    let pool = pool(Spec::Rendezvous, &["10.0.0.9:5060", "x", "unknown", "10.0.0.8:5060"]);
    let known =
        known(&[("x", &[("10.0.0.1:5060", 0, SHARE_ONE), ("10.0.0.2:5070", 0, SHARE_ONE)])]);
    let made = of_pool(&pool, &known, |_| false);
    assert_eq!(
        lines(&made),
        [
            "sip:10.0.0.9:5060 100 0",
            "sip:10.0.0.1:5060 100 0",
            "sip:10.0.0.2:5070 100 0",
            "sip:10.0.0.8:5060 100 0"
        ]
    );
    assert_eq!((made.members[1].backend, made.members[1].via.as_str()), (1, "A x"));
    assert_eq!((made.members[3].backend, made.members[3].rweight), (3, 7));
    assert!(made.left_out.is_empty());
}

#[test]
fn srv_shares_refine_the_weights_of_the_whole_pool() {
    let uneven: &[_] =
        &[("10.0.0.1:5060", 10, SHARE_ONE / 2), ("10.0.0.2:5060", 20, SHARE_ONE * 3 / 2)];
    let known = known(&[("x", uneven)]);
    let made = of_pool(&pool(Spec::Weight, &["10.0.0.9:5060", "x"]), &known, |_| false);
    assert_eq!(
        lines(&made),
        [
            "sip:10.0.0.9:5060 102400 0",
            "sip:10.0.0.1:5060 51200 -10",
            "sip:10.0.0.2:5060 153600 -20"
        ]
    );
    // Kamailio's weights are percents.
    let kamailio = Spec::Kamailio { algorithm: 9, use_default: false };
    let made = of_pool(&pool(kamailio, &["x"]), &known, |_| false);
    assert_eq!(lines(&made), ["sip:10.0.0.1:5060 100 -10", "sip:10.0.0.2:5060 100 -20"]);
}

#[test]
fn weights_stay_above_zero_and_within_their_type() {
    assert_eq!(weighed(1, 1), 1);
    assert_eq!(weighed(65_535, u32::MAX), u32::MAX);
    assert_eq!(weighed(100, SHARE_ONE), 102_400);
}

#[test]
fn our_own_priority_counts_before_that_of_the_dns() {
    let worst_of_ours = priority(1, u16::MAX);
    assert!(worst_of_ours > priority(0, 0));
    assert!(priority(0, 10) > priority(0, 20) && priority(0, 20) > priority(-1, 0));
    assert_eq!(priority(i32::MIN, u16::MAX), i32::MIN);
}

#[test]
fn addresses_that_cannot_be_members_are_left_out_and_told() {
    let ours: SocketAddr = "10.0.0.5:5060".parse().unwrap();
    let pool = pool(Spec::Rendezvous, &["x", "y", "10.0.0.2:5060"]);
    let known = known(&[
        ("x", &[("10.0.0.1:5060", 0, SHARE_ONE), ("10.0.0.2:5060", 0, SHARE_ONE)]),
        ("y", &[("10.0.0.1:5060", 0, SHARE_ONE), ("10.0.0.5:5060", 0, SHARE_ONE)]),
    ]);
    let made = of_pool(&pool, &known, |address| address == ours);
    assert_eq!(lines(&made), ["sip:10.0.0.1:5060 100 0", "sip:10.0.0.2:5060 100 0"]);
    assert_eq!(made.members[1].backend, 2, "what is written counts before what a name says");
    assert_eq!(
        made.left_out,
        [
            "x: 10.0.0.2:5060 is in this pool already",
            "y: 10.0.0.1:5060 is in this pool already",
            "y: 10.0.0.5:5060 is our own listener"
        ]
    );
}

#[test]
fn a_pool_stays_within_its_bound() {
    let hosts: Vec<String> = (0..10).map(|host| format!("h{host}")).collect();
    let addresses: Vec<Vec<String>> = (0..10)
        .map(|host| (0..128).map(|last| format!("10.0.{host}.{last}:5060")).collect())
        .collect();
    let rows: Vec<Vec<Row<'_>>> = addresses
        .iter()
        .map(|of_host| of_host.iter().map(|address| (address.as_str(), 0, SHARE_ONE)).collect())
        .collect();
    let outcomes: Vec<(&str, &[Row<'_>])> =
        hosts.iter().zip(&rows).map(|(host, rows)| (host.as_str(), rows.as_slice())).collect();
    let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
    let made = of_pool(&pool(Spec::Rendezvous, &hosts), &known(&outcomes), |_| false);
    assert_eq!((made.members.len(), made.left_out.len()), (BACKENDS_MAX, 256));
    assert!(made.left_out[0].contains("beyond the most backends"));
}
