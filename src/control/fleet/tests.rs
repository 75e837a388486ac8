//! Edits of a fleet, and what a table gets to see of them.

use std::path::Path;

use super::*;

fn config(backends: &[(&str, i32)]) -> Config {
    let list: String = backends
        .iter()
        .map(|(uri, priority)| format!("{{ uri = \"{uri}\", priority = {priority} }},"))
        .collect();
    let text = format!(
        "[[listen]]\nname = \"a\"\naddress = \"udp:192.0.2.1:5060\"\n\
         [[pool]]\nname = \"p\"\nbackends = [{list}]\n[[route]]\npool = \"p\"\n"
    );
    config::parse(Path::new("a.toml"), &text).expect("it is valid").0
}

const A: &str = "sip:10.0.0.1";
const B: &str = "sip:10.0.0.2";
const C: &str = "sip:10.0.0.3";

fn good(_: &Pool, _: &Member) -> Standing {
    Standing::GOOD
}

fn table(
    fleet: &Fleet,
    config: &Config,
    standing: &dyn Fn(&Pool, &Member) -> Standing,
) -> TablePool {
    fleet.parts(config, 1, standing).pools.remove(0)
}

fn uris(pool: &TablePool) -> Vec<&str> {
    pool.backends.iter().map(|backend| backend.uri.as_str()).collect()
}

#[test]
fn who_leaves_is_known_for_a_while_and_never_picked() {
    let (before, after) = (config(&[(A, 0), (B, 0)]), config(&[(B, 0)]));
    let fleet = Fleet::new(&before, &Known::default()).unwrap();
    let mut edited = fleet.edited(&after, &Known::default(), Now(1_000_000)).unwrap();
    let pool = table(&edited, &after, &good);
    assert_eq!(uris(&pool), [B, A]);
    assert_eq!((pool.balance.count(), pool.usable.len()), (1, 1));
    let is_forgotten =
        |fleet: &mut Fleet, second: u64| fleet.forget_leavers(Now(second * 1_000_000));
    assert!(!is_forgotten(&mut edited, LEAVING_SECONDS));
    assert!(is_forgotten(&mut edited, LEAVING_SECONDS + 1));
    assert_eq!(uris(&table(&edited, &after, &good)), [B]);
}

#[test]
fn who_comes_back_is_no_leaver_and_keeps_its_counters() {
    let (both, one) = (config(&[(A, 0), (B, 0)]), config(&[(B, 0)]));
    let fleet = Fleet::new(&both, &Known::default()).unwrap();
    let meter = fleet.pools()[0].members[0].meter;
    let without = fleet.edited(&one, &Known::default(), Now(1)).unwrap();
    let again = without.edited(&both, &Known::default(), Now(2)).unwrap();
    assert!(again.pools()[0].leaving.is_empty());
    assert_eq!(again.pools()[0].members[0].meter, meter);
    // Another place in the file is nothing to the counters.
    let swapped = again.edited(&config(&[(B, 0), (A, 0)]), &Known::default(), Now(3)).unwrap();
    assert_eq!(swapped.pools()[0].members[1].meter, meter);
}

#[test]
fn a_balance_is_compiled_again_only_when_its_members_change() {
    let before = config(&[(A, 0), (B, 0)]);
    let fleet = Fleet::new(&before, &Known::default()).unwrap();
    let same = fleet.edited(&config(&[(A, 0), (B, 5)]), &Known::default(), Now(1)).unwrap();
    assert!(std::ptr::eq(fleet.pools()[0].balance(), same.pools()[0].balance()));
    let other = fleet.edited(&config(&[(A, 0), (C, 0)]), &Known::default(), Now(1)).unwrap();
    assert!(!std::ptr::eq(fleet.pools()[0].balance(), other.pools()[0].balance()));
}

#[test]
fn a_lower_priority_gets_keys_only_when_no_higher_one_can() {
    let config = config(&[(A, 10), (B, 10), (C, -1)]);
    let fleet = Fleet::new(&config, &Known::default()).unwrap();
    let usable = |out: &'static [&'static str]| {
        let standing = move |_: &Pool, member: &Member| Standing {
            takes_new: !out.contains(&member.uri()),
            ..Standing::GOOD
        };
        table(&fleet, &config, &standing).usable.iter().collect::<Vec<_>>()
    };
    assert_eq!(usable(&[]), [0, 1]);
    assert_eq!(usable(&[A]), [1]);
    assert_eq!(usable(&[A, B]), [2]);
    assert!(usable(&[A, B, C]).is_empty());
}

#[test]
fn the_dead_and_the_slow_are_marked() {
    let config = config(&[(A, 0), (B, 0)]);
    let fleet = Fleet::new(&config, &Known::default()).unwrap();
    let standing = |_: &Pool, member: &Member| match member.uri() {
        A => Standing { takes_new: false, is_down: true, share: SHARE_ALL },
        _ => Standing { share: 6_554, ..Standing::GOOD },
    };
    let pool = table(&fleet, &config, &standing);
    assert!(pool.down.contains(0) && !pool.down.contains(1));
    assert_eq!(
        pool.ramp.iter().map(|ramp| (ramp.backend, ramp.share)).collect::<Vec<_>>(),
        [(1, 6_554)]
    );
}

#[test]
fn leavers_are_bounded() {
    let many = |first: usize| -> Vec<String> {
        (first..first + 200).map(|n| format!("sip:10.1.{}.{}", n / 250, n % 250 + 1)).collect()
    };
    let listed =
        |uris: &[String]| config(&uris.iter().map(|uri| (uri.as_str(), 0)).collect::<Vec<_>>());
    let mut fleet = Fleet::new(&listed(&many(0)), &Known::default()).unwrap();
    for step in 1..5 {
        fleet =
            fleet.edited(&listed(&many(step * 200)), &Known::default(), Now(step as u64)).unwrap();
    }
    let leaving = &fleet.pools()[0].leaving;
    assert_eq!(leaving.len(), LEAVING_MAX);
    assert!(leaving.iter().all(|leaver| leaver.since >= Now(3)), "the first ones are forgotten");
}
