//! How much of what is new each member gets: what an operator is told.
//!
//! Owns: the counting, over what [`Balance::compile`] made and not over the weights that it was given. Knows nothing of
//! slow starts, load and latency: where these decide there is no share to tell. A share is a part of 1.

use super::rendezvous::SLOTS;
use super::{BackendSet, Balance, Kind};

/// Up to so many members each slot of a rendezvous is asked; beyond, one of [`SLOTS_STEP`].
const MEMBERS_ALL_SLOTS: u16 = 64;
/// A share is then off by some hundredths of itself.
const SLOTS_STEP: usize = 16;

impl Balance {
    /// The share of each member while these are usable; nothing where load or latency decide. Allocates: not for the hot
    /// path.
    #[must_use]
    pub fn shares(&self, usable: &BackendSet) -> Option<Vec<f64>> {
        let count = self.count;
        let mut parts = vec![0_u32; usize::from(count)];
        let mut add = |picked: Option<u16>, part: u32| {
            if let Some(sum) = picked.and_then(|member| parts.get_mut(usize::from(member))) {
                *sum += part;
            }
        };
        match &self.kind {
            Kind::Rendezvous(rendezvous) => {
                let step = if count > MEMBERS_ALL_SLOTS { SLOTS_STEP } else { 1 };
                let key = |slot: usize| slot as u64 * (u64::MAX / SLOTS as u64 + 1);
                let slots = (0..SLOTS).step_by(step);
                slots.for_each(|slot| add(rendezvous.pick(key(slot), usable), 1));
            }
            Kind::RoundRobin | Kind::Random => {
                usable.ring(0, count).for_each(|member| add(Some(member), 1));
            }
            Kind::First => add(usable.next_in_ring(0, count), 1),
            Kind::Weight(schedule) => {
                let turns = schedule.turns().iter().filter(|member| usable.contains(**member));
                turns.for_each(|member| add(Some(*member), 1));
            }
            Kind::Kamailio(dispatcher) => dispatcher.deal(usable, &mut add)?,
            Kind::LeastLoad(_) | Kind::Latency(_) => return None,
        }
        let sum = f64::from(parts.iter().sum::<u32>().max(1));
        Some(parts.into_iter().map(|part| f64::from(part) / sum).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Member, Rotation, Spec, hash_key};
    use super::*;

    fn balance(spec: &str, weights: &[(u32, u32)]) -> Balance {
        let names: Vec<String> = (0..weights.len()).map(|n| format!("sip:10.0.0.{n}")).collect();
        let members: Vec<Member<'_>> = names
            .iter()
            .zip(weights)
            .map(|(name, &(weight, rweight))| Member { identity: name.as_bytes(), weight, rweight })
            .collect();
        Balance::compile(&Spec::parse(spec).expect("a balance"), &members, 1).expect("compiles")
    }

    fn shown(spec: &str, weights: &[(u32, u32)], usable: &BackendSet) -> Vec<u32> {
        let shares = balance(spec, weights).shares(usable).expect("shares");
        let percent = |share: &f64| format!("{:.0}", share * 100.0).parse().expect("a number");
        shares.iter().map(percent).collect()
    }

    fn weights(weights: &[u32]) -> Vec<(u32, u32)> {
        weights.iter().map(|&weight| (weight, weight)).collect()
    }

    /// The picks of Kamailio 5.6.3. Members are in its memory order: the entry that a list writes first is the last.
    #[test]
    fn kamailio_deals_100_slots_and_the_last_takes_the_rest() {
        let rows: [(&[u32], &[u32]); 9] = [
            (&[50, 50], &[50, 50]),
            (&[20, 30], &[20, 80]),
            (&[50, 100], &[50, 50]),
            (&[50, 50, 50], &[50, 50, 0]),
            (&[60, 60, 60], &[60, 40, 0]),
            (&[2, 1, 1], &[2, 1, 97]),
            (&[0, 30, 70], &[0, 0, 0]),
            (&[30, 0, 70], &[30, 0, 70]),
            (&[100, 100], &[100, 0]),
        ];
        for (given, expected) in rows {
            let full = BackendSet::full(given.len());
            let expected = if given[0] == 0 { &[100, 0, 0][..] } else { expected };
            assert_eq!(shown("kamailio:9", &weights(given), &full), expected, "{given:?}");
        }
        // Who is out gives all its slots to one neighbour.
        let two: BackendSet = [0_u16, 2].into_iter().collect();
        assert_eq!(shown("kamailio:9", &weights(&[50, 30, 20]), &two), [50, 0, 50]);
    }

    #[test]
    fn kamailio_11_looks_at_the_relative_weights_alone() {
        let full = BackendSet::full(2);
        assert_eq!(shown("kamailio:11", &[(90, 10), (10, 90)], &full), [10, 90]);
        assert_eq!(shown("kamailio:11", &[(1, 50), (1, 50)], &full), [50, 50]);
        assert_eq!(shown("kamailio:11", &[(1, 1), (1, 2)], &full), [33, 67]);
        assert_eq!(shown("kamailio:11", &[(50, 0), (50, 0)], &full), [100, 0]);
    }

    #[test]
    fn the_default_of_kamailio_gets_something_when_nobody_else_can() {
        let given = weights(&[1, 1, 1]);
        for spec in ["kamailio:0:use_default", "kamailio:4:use_default"] {
            assert_eq!(shown(spec, &given, &BackendSet::full(3)), [50, 50, 0], "{spec}");
            assert_eq!(shown(spec, &given, &[2_u16].into_iter().collect()), [0, 0, 100], "{spec}");
        }
    }

    #[test]
    fn what_is_told_is_what_is_picked() {
        const PICKS: u32 = 40_000;
        let given = [(50, 20), (30, 30), (20, 10), (10, 40)];
        let three: BackendSet = [0_u16, 2, 3].into_iter().collect();
        for spec in [
            "rendezvous",
            "round-robin",
            "random",
            "first",
            "weight",
            "kamailio:0",
            "kamailio:4",
            "kamailio:6",
            "kamailio:8",
            "kamailio:9",
            "kamailio:11",
            "kamailio:0:use_default",
        ] {
            let balance = balance(spec, &given);
            for usable in [&BackendSet::full(4), &three, &BackendSet::empty()] {
                let told = balance.shares(usable).expect("shares");
                let (mut rotation, mut counts) = (Rotation::new(5), [0_u32; 4]);
                for number in 0..PICKS {
                    let key = Some(hash_key(&[&number.to_be_bytes()]));
                    if let Some(picked) = balance.pick(key, usable, &mut rotation) {
                        counts[usize::from(picked)] += 1;
                    }
                }
                for (told, count) in told.iter().zip(counts) {
                    let seen = f64::from(count) / f64::from(PICKS);
                    assert!((told - seen).abs() < 0.012, "{spec}: told {told}, seen {seen}");
                }
            }
        }
        for spec in ["least-load", "latency", "kamailio:10", "kamailio:13"] {
            assert_eq!(balance(spec, &given).shares(&three), None, "{spec}");
        }
    }
}
