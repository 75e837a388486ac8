//! Promises of the balance as a whole: who moves, how even, who agrees.

use super::rendezvous::SLOTS;
use super::*;

const KEYS: usize = 60_000;

/// Identities as an operator writes them.
fn uris(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("sip:10.0.{}.{}:5060", n / 250, n % 250 + 1)).collect()
}

fn members<'a>(uris: &'a [String], weights: &[u32]) -> Vec<Member<'a>> {
    let weights = weights.iter().copied().cycle();
    uris.iter()
        .zip(weights)
        .map(|(uri, weight)| Member { identity: uri.as_bytes(), weight, rweight: 0 })
        .collect()
}

fn rendezvous(uris: &[String], weights: &[u32]) -> Balance {
    Balance::compile(&Spec::Rendezvous, &members(uris, weights), 0).expect("distinct members")
}

/// Call-IDs as phones, SIPp and Kamailio write them.
fn call_id_keys() -> Vec<u64> {
    let key = |n: u64| {
        let a = rotation::mix(n);
        let call_id = match n % 4 {
            0 => format!("{}-{}@198.51.100.{}", n, 40_000 + n % 77, n % 250),
            1 => format!("{a:016x}{n:08x}@pc{}.example.com", n % 33),
            2 => format!("{:08x}-{:04x}-4{:03x}", a >> 32, (a >> 16) & 0xffff, n & 0xfff),
            _ => format!("{}@call.example.net", 1_700_000_000 + n),
        };
        hash_key(&[call_id.as_bytes()])
    };
    (0..KEYS as u64).map(key).collect()
}

/// A key in the middle of each slot.
fn slot_keys() -> impl Iterator<Item = u64> {
    let width = u64::MAX / SLOTS as u64 + 1;
    (0..SLOTS as u64).map(move |slot| slot * width + width / 2)
}

fn picks(balance: &Balance, keys: &[u64], usable: &BackendSet) -> Vec<u16> {
    let mut rotation = Rotation::new(1);
    keys.iter()
        .map(|key| balance.pick(Some(*key), usable, &mut rotation).expect("usable"))
        .collect()
}

fn shares(picks: &[u16], count: usize) -> Vec<usize> {
    let mut shares = vec![0; count];
    for picked in picks {
        shares[usize::from(*picked)] += 1;
    }
    shares
}

/// Takes out the first, a middle and the last of N: (largest moved share, hottest of the rest against their mean).
fn removal(count: usize) -> (f64, f64) {
    let keys = call_id_keys();
    let all = uris(count);
    let before = picks(&rendezvous(&all, &[100]), &keys, &BackendSet::full(count));
    let mut worst = (0.0f64, 0.0f64);
    for out in [0, count / 2, count - 1] {
        let mut rest = all.clone();
        rest.remove(out);
        let after = picks(&rendezvous(&rest, &[100]), &keys, &BackendSet::full(count - 1));
        let same = |(was, is): (&u16, &u16)| all[usize::from(*was)] == rest[usize::from(*is)];
        let moved = before.iter().zip(&after).filter(|pair| !same(*pair)).count();
        let hottest = shares(&after, count - 1).into_iter().max().expect("some are left");
        let heat = hottest as f64 * (count - 1) as f64 / KEYS as f64;
        worst = (worst.0.max(moved as f64 / KEYS as f64), worst.1.max(heat));
    }
    worst
}

#[test]
fn taking_one_out_moves_its_share_and_heats_nobody() {
    for count in [2, 3, 5, 10, 20, 50] {
        let (moved, heat) = removal(count);
        println!("{count} backends: moved {moved:.4}, hottest {heat:.3} of the mean");
        assert!(moved <= 1.0 / count as f64 + 0.005, "{count} backends: moved {moved}");
        assert!(heat <= 1.1, "{count} backends: hottest {heat} times the mean");
    }
}

#[test]
#[cfg_attr(debug_assertions, ignore = "takes half a minute without optimisation")]
fn with_very_many_backends_chance_shows_in_the_load() {
    // 60 keys for each backend: their own chance makes the hottest about 1.4 times the mean, the slots add to it.
    let (moved, heat) = removal(1_000);
    println!("1000 backends: moved {moved:.4}, hottest {heat:.3} of the mean");
    assert!(moved <= 0.001 + 0.005 && heat < 1.8, "moved {moved}, hottest {heat}");
}

#[test]
fn only_the_keys_of_the_removed_move() {
    for weights in [&[100u32][..], &[100, 50, 1, 30]] {
        let all = uris(9);
        let full = rendezvous(&all, weights);
        let mut kept = members(&all, weights);
        kept.remove(4);
        let without = Balance::compile(&Spec::Rendezvous, &kept, 0).expect("distinct members");
        let mut usable = BackendSet::full(9);
        usable.remove(4);
        let mut rotation = Rotation::new(1);
        for key in slot_keys() {
            let mut pick = |balance: &Balance, usable: &BackendSet| {
                balance.pick(Some(key), usable, &mut rotation).expect("usable")
            };
            let before = pick(&full, &BackendSet::full(9));
            let down = pick(&full, &usable);
            let after = pick(&without, &BackendSet::full(8));
            let after = if after >= 4 { after + 1 } else { after };
            assert_eq!(down, after, "not usable and not there are the same");
            assert!(before == after || before == 4, "{before} lost a key to {after}");
        }
    }
}

#[test]
fn shares_follow_the_weights() {
    let weights = [100, 50, 25, 200, 125];
    let balance = rendezvous(&uris(5), &weights);
    let keys: Vec<u64> = slot_keys().collect();
    let shares = shares(&picks(&balance, &keys, &BackendSet::full(5)), 5);
    for (share, weight) in shares.iter().zip(weights) {
        let expected = f64::from(weight) / 500.0;
        let found = *share as f64 / SLOTS as f64;
        // Four standard deviations of the slots.
        let noise = 4.0 * (expected * (1.0 - expected) / SLOTS as f64).sqrt();
        assert!((found - expected).abs() < noise, "weight {weight}: {found} against {expected}");
    }
}

#[test]
fn a_member_of_weight_zero_is_the_last_resort() {
    let balance = rendezvous(&uris(3), &[10, 0, 5]);
    let keys: Vec<u64> = slot_keys().step_by(16).collect();
    assert_eq!(shares(&picks(&balance, &keys, &BackendSet::full(3)), 3)[1], 0);
    let only: BackendSet = [1].into_iter().collect();
    assert_eq!(shares(&picks(&balance, &keys, &only), 3)[1], keys.len());
    // A list without weights: all alike.
    let balance = rendezvous(&uris(3), &[0]);
    let shares = shares(&picks(&balance, &keys, &BackendSet::full(3)), 3);
    assert!(shares.iter().all(|share| *share > keys.len() / 4), "{shares:?}");
}

#[test]
fn the_order_of_the_file_does_not_matter() {
    let forward = uris(12);
    let backward: Vec<_> = forward.iter().rev().cloned().collect();
    let weights = [7, 3, 9, 9, 1, 4];
    let reversed: Vec<_> = (0..12).rev().map(|n| weights[n % 6]).collect();
    let (one, other) = (rendezvous(&forward, &weights), rendezvous(&backward, &reversed));
    let keys: Vec<u64> = slot_keys().collect();
    let everybody = BackendSet::full(12);
    for (a, b) in picks(&one, &keys, &everybody).iter().zip(picks(&other, &keys, &everybody)) {
        assert_eq!(*a, 11 - b);
    }
}

/// Rendezvous as the textbook says it, in floating point: the member with the smallest -ln(u) / weight.
fn naive(slot: u64, members: &[Member<'_>]) -> u16 {
    let wait = |member: &Member<'_>| {
        let hash = rotation::mix(hash_key(&[member.identity]) ^ rotation::mix(slot));
        -((hash as f64 + 1.0) / 2f64.powi(64)).ln() / f64::from(member.weight)
    };
    let waits = members.iter().map(wait);
    let best = (0u16..).zip(waits).min_by(|a, b| a.1.total_cmp(&b.1));
    best.expect("members").0
}

#[test]
fn the_table_is_what_the_textbook_says() {
    let mut rotation = Rotation::new(1);
    for weights in [&[100u32][..], &[100, 50, 1, 30, 65_000]] {
        let uris = uris(7);
        let members = members(&uris, weights);
        let balance = rendezvous(&uris, weights);
        let everybody = BackendSet::full(7);
        let mut differ = 0;
        for (slot, key) in (0u64..).zip(slot_keys()) {
            let picked = balance.pick(Some(key), &everybody, &mut rotation);
            differ += usize::from(picked != Some(naive(slot, &members)));
            if slot % 64 == 0 {
                // No short cut here: the short cuts of the compiled table must not show.
                let order = balance.candidates(Some(key), &everybody, &rotation);
                assert_eq!(picked, order.first().map(|best| best.backend));
                assert!(order.is_sorted_by(|a, b| a.score >= b.score), "{order:?}");
                assert_eq!(order.len(), 7);
            }
        }
        // The integer logarithm may settle a near tie the other way.
        assert!(differ < SLOTS / 1_000, "{differ} slots differ");
    }
}

#[test]
fn nodes_agree_on_every_machine() {
    let digest = |weights: &[u32]| {
        let balance = rendezvous(&uris(10), weights);
        let keys: Vec<u64> = slot_keys().collect();
        picks(&balance, &keys, &BackendSet::full(10))
            .iter()
            .fold(0, |sum, picked| rotation::mix(sum ^ u64::from(*picked)))
    };
    // A new value here moves the keys of every pool between versions: never without saying so to operators.
    assert_eq!(hash_key(&[b"a84b4c76e66710@pc33.example.com"]), 17_926_325_768_441_515_346);
    let known = (6_534_965_624_981_848_773, 16_136_044_417_899_616_501);
    assert_eq!((digest(&[100]), digest(&[100, 50, 30])), known);
}

#[test]
fn key_parts_do_not_run_together() {
    assert_ne!(hash_key(&[b"ab", b"c"]), hash_key(&[b"a", b"bc"]));
    assert_ne!(hash_key(&[b"ab"]), hash_key(&[b"ab", b""]));
}

#[test]
fn keyless_ways() {
    let uris = uris(4);
    let members = members(&uris, &[1]);
    let usable: BackendSet = [1, 3].into_iter().collect();
    let check = |spec: Spec, expected: &[u16]| {
        let balance = Balance::compile(&spec, &members, 1).expect("four members");
        assert_eq!(balance.key_use(), KeyUse::None);
        let mut rotation = Rotation::new(3);
        for expected in expected {
            let foretold = balance.candidates(None, &usable, &rotation);
            assert_eq!(foretold.len(), 2);
            assert_eq!(foretold[0].backend, *expected, "{spec}");
            assert_eq!(balance.pick(None, &usable, &mut rotation), Some(*expected), "{spec}");
        }
        assert_eq!(balance.pick(None, &BackendSet::empty(), &mut rotation), None);
    };
    check(Spec::First, &[1, 1, 1]);
    check(Spec::RoundRobin, &[1, 3, 1, 3]);
    check(Spec::Weight, &[1, 3, 1, 3]);
    let random = Balance::compile(&Spec::Random, &members, 1).expect("four members");
    let mut rotation = Rotation::new(3);
    let picks: Vec<_> =
        (0..1_000).filter_map(|_| random.pick(None, &usable, &mut rotation)).collect();
    let shares = shares(&picks, 4);
    assert_eq!((shares[0], shares[2]), (0, 0));
    assert!(shares[1] > 400 && shares[3] > 400, "{shares:?}");
}

#[test]
fn a_missing_key() {
    let uris = uris(4);
    let members = members(&uris, &[1]);
    let everybody = BackendSet::full(4);
    let mut rotation = Rotation::new(3);
    let balance = rendezvous(&uris, &[1]);
    let picks: Vec<_> =
        (0..400).filter_map(|_| balance.pick(None, &everybody, &mut rotation)).collect();
    assert!(shares(&picks, 4).iter().all(|share| *share > 60), "spread by chance");
    for algorithm in [0, 1, 2, 3, 5, 7] {
        let spec = Spec::Kamailio { algorithm, use_default: false };
        let balance = Balance::compile(&spec, &members, 1).expect("four members");
        let mut rotation = Rotation::new(3);
        let picks = [(); 3].map(|()| balance.pick(None, &everybody, &mut rotation));
        let expected = if algorithm == 5 { [Some(0), Some(1), Some(2)] } else { [None; 3] };
        assert_eq!(picks, expected, "kamailio:{algorithm}");
    }
}

#[test]
fn what_cannot_be_compiled() {
    let many = uris(1_025);
    let compile = |spec, uris: &[String]| Balance::compile(&spec, &members(uris, &[1]), 0).err();
    assert_eq!(compile(Spec::First, &many), Some(CompileError::TooMany { count: 1_025 }));
    assert_eq!(compile(Spec::First, &many[..1_024]), None);
    let twice = ["a", "b", "a"].map(String::from);
    let same = CompileError::SameIdentity { first: 0, second: 2 };
    assert_eq!(compile(Spec::Rendezvous, &twice), Some(same));
    assert_eq!(compile(Spec::RoundRobin, &twice), None);
    let later = Spec::Kamailio { algorithm: 12, use_default: false };
    assert_eq!(compile(later, &twice), Some(CompileError::Algorithm(12)));
}

#[test]
fn an_empty_pool_picks_nobody() {
    let kamailio = [0, 4, 6, 8, 9, 10, 11, 13]
        .map(|algorithm| Spec::Kamailio { algorithm, use_default: true });
    let own = [
        Spec::Rendezvous,
        Spec::RoundRobin,
        Spec::Random,
        Spec::First,
        Spec::Weight,
        Spec::LeastLoad,
        Spec::Latency,
    ];
    for spec in own.into_iter().chain(kamailio) {
        let balance = Balance::compile(&spec, &[], 0).expect("empty is fine");
        let mut rotation = Rotation::new(1);
        // More usable than there are members: indices beyond the pool are nobody.
        let usable = BackendSet::full(9);
        assert_eq!(balance.pick(Some(1), &usable, &mut rotation), None, "{spec}");
        assert_eq!(balance.candidates(Some(1), &usable, &rotation), [], "{spec}");
    }
}
