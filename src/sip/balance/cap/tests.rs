//! The cap against its definition, and what it promises when one key is everything.

use super::super::rotation::mix;
use super::super::{BACKENDS_MAX, Member, Spec};
use super::*;

const CAPS: [u32; 4] = [1_050, 1_250, 2_000, 100_000];

/// Under miri, some thousand times slower, a few.
const ROUNDS: u64 = if cfg!(miri) { 60 } else { 6_000 };

fn balance(spec: &str, weights: &[u32]) -> Balance {
    let names: Vec<String> = (0..weights.len()).map(|n| format!("sip:10.0.0.{n}")).collect();
    let member = |(name, weight): (&'_ String, &u32)| (name.clone().into_bytes(), *weight);
    let owned: Vec<(Vec<u8>, u32)> = names.iter().zip(weights).map(member).collect();
    let members: Vec<Member<'_>> = owned
        .iter()
        .map(|(name, weight)| Member { identity: name, weight: *weight, rweight: 0 })
        .collect();
    let spec = Spec::parse(spec).expect("a balance");
    Balance::compile(&spec, &members, 1).expect("compiles")
}

fn placed(
    balance: &Balance,
    cap: u32,
    key: u64,
    (usable, ramp): (&BackendSet, &[Ramp]),
    loads: &[u32],
) -> Option<Placed> {
    let cap = LoadCap::of_thousandths(cap);
    let load = &mut |member| loads[usize::from(member)];
    balance.pick_capped(cap, Some(key), (usable, ramp), &mut Rotation::new(1), load)
}

/// The bound of a member as the paper writes it.
fn bound(cap: u32, total: u64, weight: u32, weights: u64) -> f64 {
    let bound = f64::from(cap) / 1_000.0 * (total + 1) as f64 * f64::from(weight) / weights as f64;
    // A whole number may come out a little above itself.
    (bound - 1e-9).ceil()
}

/// The first of the key's order that is below its bound, else the first.
fn naive(
    balance: &Balance,
    cap: u32,
    key: u64,
    usable: &BackendSet,
    (loads, weights): (&[u32], &[u32]),
) -> Option<u16> {
    let order = balance.candidates(Some(key), usable, &Rotation::new(1));
    let order: Vec<u16> = order.iter().map(|candidate| candidate.backend).collect();
    let of = |member: &u16| usize::from(*member);
    let total = order.iter().map(|member| u64::from(loads[of(member)])).sum();
    let sum = order.iter().map(|member| u64::from(weights[of(member)])).sum();
    let has_room = |member: &&u16| {
        let weight = weights[of(member)];
        f64::from(loads[of(member)]) < bound(cap, total, weight, sum)
    };
    order.iter().find(has_room).or(order.first()).copied()
}

#[test]
fn it_is_what_the_paper_says() {
    let mut moved = 0u64;
    for weights in [&[1; 7][..], &[100, 50, 1, 30, 100, 7, 9], &[3, 1]] {
        let balance = balance("rendezvous", weights);
        for n in 0..ROUNDS {
            let number = |salt: u64| mix(n * 100 + salt);
            let count = weights.len() as u64;
            let busy = [1, 4, 30, 1_000][(n % 4) as usize];
            let loads: Vec<u32> = (0..count)
                .map(|member| u32::try_from(number(member) % busy).expect("small"))
                .collect();
            let usable: BackendSet = (0..7u16)
                .filter(|member| !number(50 + u64::from(*member)).is_multiple_of(5))
                .collect();
            let (cap, key) = (CAPS[(n / 4 % 4) as usize], number(99));
            let found = placed(&balance, cap, key, (&usable, &[]), &loads);
            let wanted = naive(&balance, cap, key, &usable, (&loads, weights));
            assert_eq!(found.map(|placed| placed.member), wanted, "{cap} {loads:?} {usable:?}");
            let own = balance.pick(Some(key), &usable, &mut Rotation::new(1));
            assert_eq!(found.is_some_and(|placed| placed.is_moved), own != wanted);
            moved += u64::from(own != wanted);
        }
    }
    assert!(moved > ROUNDS / 6, "{moved}: this compares nothing");
}

/// Requests that come and go.
struct Flow<'a> {
    balance: &'a Balance,
    weights: Vec<u32>,
    loads: Vec<u32>,
    under_way: Vec<u16>,
    moved: u32,
    chance: u64,
}

impl<'a> Flow<'a> {
    fn new(balance: &'a Balance, weights: &[u32]) -> Self {
        Self {
            balance,
            weights: weights.to_vec(),
            loads: vec![0; weights.len()],
            under_way: Vec::new(),
            moved: 0,
            chance: 0,
        }
    }

    fn random(&mut self) -> u64 {
        self.chance += 1;
        mix(self.chance)
    }

    /// Gives a request to a backend; nobody may be above its bound by it.
    fn give(&mut self, cap: u32, key: u64, usable: &BackendSet, ramp: &[Ramp]) -> u16 {
        let placed = placed(self.balance, cap, key, (usable, ramp), &self.loads);
        let Placed { member, is_moved } = placed.expect("somebody is usable");
        self.loads[usize::from(member)] += 1;
        self.under_way.push(member);
        self.moved += u32::from(is_moved);
        if ramp.is_empty() {
            let total = usable.iter().map(|m| u64::from(self.loads[usize::from(m)])).sum::<u64>();
            let sum = usable.iter().map(|m| u64::from(self.weights[usize::from(m)])).sum();
            let most = bound(cap, total - 1, self.weights[usize::from(member)], sum);
            let load = self.loads[usize::from(member)];
            assert!(f64::from(load) <= most, "{member} of {:?}: at most {most}", self.loads);
        }
        member
    }

    /// One of those under way is answered.
    fn end_one(&mut self) {
        let place = usize::try_from(self.random() % self.under_way.len() as u64).expect("small");
        let member = self.under_way.swap_remove(place);
        self.loads[usize::from(member)] -= 1;
    }
}

#[test]
#[cfg_attr(miri, ignore = "statistics need many rounds")]
fn a_flood_of_one_key_is_spread_over_as_many_as_it_needs() {
    for (cap, weights) in [(1_250, &[100; 10][..]), (2_000, &[100; 10]), (1_250, &[10, 20, 5, 1])] {
        let balance = balance("rendezvous", weights);
        let mut flow = Flow::new(&balance, weights);
        let everybody = BackendSet::full(weights.len());
        for n in 0..ROUNDS {
            // Nine of ten have the one key.
            let key = if n % 10 == 0 { flow.random() } else { mix(7) };
            flow.give(cap, key, &everybody, &[]);
            if flow.under_way.len() > 400 {
                flow.end_one();
            }
        }
        let own = flow.balance.pick(Some(mix(7)), &everybody, &mut Rotation::new(1));
        let own = usize::from(own.expect("all are usable"));
        let sum: u32 = weights.iter().sum();
        let part = f64::from(weights[own]) / f64::from(sum) * 400.0;
        let has = f64::from(flow.loads[own]) / part;
        let times = f64::from(cap) / 1_000.0;
        assert!(has > times * 0.9, "the key's own backend has all that it may: {has} of {times}");
    }
}

#[test]
fn who_has_nothing_to_do_keeps_its_keys() {
    let balance = balance("rendezvous", &[1; 5]);
    let everybody = BackendSet::full(5);
    for n in 0..500 {
        let own = balance.pick(Some(mix(n)), &everybody, &mut Rotation::new(1)).expect("usable");
        let mut loads = [9; 5];
        loads[usize::from(own)] = 0;
        for loads in [[0; 5], loads] {
            let found = placed(&balance, 1_050, mix(n), (&everybody, &[]), &loads);
            assert_eq!(found, Some(Placed { member: own, is_moved: false }));
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "statistics need many rounds")]
fn without_one_member_only_its_keys_move_and_others_come_home() {
    let balance = balance("rendezvous", &[1; 6]);
    let everybody = BackendSet::full(6);
    let mut without = everybody.clone();
    without.remove(4);
    // Member 2 is at its bound of 13. Without 4, which has less than the mean, the bound is 15.
    for (hot, comes_home) in [(17, false), (14, true)] {
        let loads = [10, 12, hot, 11, 2, 10];
        let (mut gone, mut home) = (0, 0);
        for key in (0..2_000).map(mix) {
            let at = |usable: &BackendSet| {
                placed(&balance, 1_250, key, (usable, &[]), &loads).expect("usable").member
            };
            let (before, after) = (at(&everybody), at(&without));
            if before == after {
                continue;
            }
            let order = balance.candidates(Some(key), &everybody, &Rotation::new(1));
            let place = |member| order.iter().position(|candidate| candidate.backend == member);
            assert!(before == 4 || place(after) < place(before), "{before} lost a key to {after}");
            gone += u32::from(before == 4);
            home += u32::from(before != 4);
        }
        assert!(gone > 250, "{gone}");
        assert_eq!(home > 0, comes_home, "{home}");
    }
}

#[test]
#[cfg_attr(miri, ignore = "statistics need many rounds")]
fn a_member_that_starts_slowly_has_a_smaller_part() {
    let everybody = BackendSet::full(2);
    let balance = balance("rendezvous", &[1, 1]);
    for share in [6_554, 32_768, 60_000] {
        let ramp = [Ramp { backend: 1, share }];
        let mut flow = Flow::new(&balance, &[1, 1]);
        let mut plain = 0;
        let mut got = 0;
        for _ in 0..ROUNDS {
            let key = flow.random();
            let usual =
                flow.balance.pick_ramped(Some(key), &everybody, &ramp, &mut Rotation::new(1));
            plain += u32::from(usual == Some(1));
            got += u32::from(flow.give(1_250, key, &everybody, &ramp) == 1);
            if flow.under_way.len() > 200 {
                flow.end_one();
            }
        }
        let ratio = f64::from(got) / f64::from(plain);
        assert!((0.95..1.1).contains(&ratio), "{share}: {got} instead of {plain}");
        // One key alone: it is never given what it does not take.
        let refused = (0..).map(mix).find(|key| {
            !ramp::taking(Some(*key), &everybody, &ramp, &mut Rotation::new(1)).contains(1)
        });
        for _ in 0..100 {
            let member = flow.give(1_250, refused.expect("many"), &everybody, &ramp);
            assert_eq!(member, 0, "{share}");
        }
    }
}

#[test]
fn somebody_gets_it_whatever_the_loads_say() {
    let weights = [5, 0, 3];
    let capped = balance("rendezvous", &weights);
    let everybody = BackendSet::full(3);
    let own = |usable: &BackendSet| capped.pick(Some(1), usable, &mut Rotation::new(1));
    // Counts that grow while they are read: nobody has room any more.
    let mut grows = 0;
    let load = &mut |_| {
        grows += 7;
        grows
    };
    let cap = LoadCap::MIN;
    let found = capped.pick_capped(cap, Some(1), (&everybody, &[]), &mut Rotation::new(1), load);
    assert_eq!(found, Some(Placed { member: own(&everybody).expect("usable"), is_moved: false }));
    // Those without weight are the last resort, and have no bound.
    let last: BackendSet = [1].into_iter().collect();
    let found = placed(&capped, 1_050, 1, (&last, &[]), &[9, 9, 9]);
    assert_eq!(found, Some(Placed { member: 1, is_moved: false }));
    for n in 0..300 {
        let found = placed(&capped, 1_050, mix(n), (&everybody, &[]), &[u32::MAX; 3]);
        assert!(found.is_some_and(|placed| placed.member != 1));
    }
    assert_eq!(placed(&capped, 1_250, 1, (&BackendSet::empty(), &[]), &[0; 3]), None);
    // Without a key chance chooses, under the same bounds.
    let mut rotation = Rotation::new(3);
    let load = &mut |member| [40, 0, 0][usize::from(member)];
    for _ in 0..100 {
        let found = capped.pick_capped(cap, None, (&everybody, &[]), &mut rotation, load);
        assert_eq!(found.map(|placed| placed.member), Some(2));
    }
}

#[test]
fn other_balances_pick_as_ever() {
    for spec in ["kamailio:0", "first", "round-robin"] {
        let other = balance(spec, &[1; 4]);
        let everybody = BackendSet::full(4);
        let mut rotations = [Rotation::new(1), Rotation::new(1)];
        for n in 0..50 {
            let found = other.pick_capped(
                LoadCap::MIN,
                Some(n),
                (&everybody, &[]),
                &mut rotations[0],
                &mut |_| 1_000,
            );
            let own = other.pick(Some(n), &everybody, &mut rotations[1]);
            assert_eq!(
                found.map(|placed| (placed.member, placed.is_moved)),
                own.map(|m| (m, false))
            );
        }
    }
}

#[test]
fn the_largest_pool_under_the_largest_loads_does_not_overflow() {
    let balance = balance("rendezvous", &[u32::MAX; 8]);
    let everybody = BackendSet::full(BACKENDS_MAX);
    let mut loads = [u32::MAX; 8];
    loads[3] = 0;
    for n in 0..100 {
        let found = placed(&balance, 100_000, mix(n), (&everybody, &[]), &loads);
        assert!(
            found.is_some_and(|placed| !placed.is_moved),
            "a hundred times the mean is no bound"
        );
    }
    loads = [0; 8];
    loads[3] = u32::MAX;
    for n in 0..100 {
        let found = placed(&balance, 1_050, mix(n), (&everybody, &[]), &loads);
        assert_ne!(found.map(|placed| placed.member), Some(3));
    }
}

/// How many of 1,000 requests a cap moves when all keys are alike: what operators are told.
#[test]
#[cfg_attr(miri, ignore = "statistics need many rounds")]
fn what_a_cap_costs_in_affinity() {
    let balance = balance("rendezvous", &[1; 10]);
    let moved = |cap: u32, mean: usize| {
        let mut flow = Flow::new(&balance, &[1; 10]);
        let everybody = BackendSet::full(10);
        for n in 0..5_000 {
            if n == 2_000 {
                flow.moved = 0;
            }
            let key = flow.random();
            flow.give(cap, key, &everybody, &[]);
            if flow.under_way.len() > mean * 10 {
                flow.end_one();
            }
        }
        flow.moved / 3
    };
    let table: Vec<[u32; 4]> = [1_250, 1_500, 2_000]
        .iter()
        .map(|cap| [3, 10, 30, 100].map(|mean| moved(*cap, mean)))
        .collect();
    println!("of 1,000, at a mean of 3, 10, 30 and 100 under way: {table:?}");
    for row in &table {
        assert!(row.is_sorted_by(|a, b| a >= b), "more under way, fewer moved: {row:?}");
    }
    assert!(table[0][3] <= 20 && table[2][1] <= 20, "{table:?}");
}
