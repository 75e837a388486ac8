//! Two by chance, and of these the one that has less to do.
//!
//! Owns: the choice of `least-load`. Looking at two spreads almost as evenly as looking at all, costs the same for any
//! number of members, and shards that do not know of each other's load do not all rush to the same idle one.
//! Knows nothing of how a load is measured.

use super::{BackendSet, Member, Rotation};

/// The weights of the members.
#[derive(Debug, Clone)]
pub(super) struct LeastLoad {
    weights: Box<[u32]>,
}

impl LeastLoad {
    /// Weights of 0 get something only when nobody else can, unless all are 0: then all are alike.
    pub(super) fn compile(members: &[Member<'_>]) -> Self {
        let weightless = members.iter().all(|member| member.weight == 0);
        let weight = |member: &Member<'_>| if weightless { 1 } else { member.weight };
        Self { weights: members.iter().map(weight).collect() }
    }

    /// `load` says how much is under way at a member.
    pub(super) fn pick(
        &self,
        usable: &BackendSet,
        rotation: &mut Rotation,
        load: &mut dyn FnMut(u16) -> u32,
    ) -> Option<u16> {
        let count = u16::try_from(self.weights.len()).ok()?;
        let one = usable.nth_below(rotation.random(), count)?;
        let mut others = usable.clone();
        others.remove(one);
        let Some(other) = others.nth_below(rotation.random(), count) else { return Some(one) };
        let weight = |member: u16| u64::from(self.weights[usize::from(member)]);
        let (weight_one, weight_other) = (weight(one), weight(other));
        if weight_one == 0 || weight_other == 0 {
            return Some(if weight_one == 0 { other } else { one });
        }
        let left = u64::from(load(one)) * weight_other;
        let right = u64::from(load(other)) * weight_one;
        Some(match left.cmp(&right) {
            std::cmp::Ordering::Less => one,
            std::cmp::Ordering::Greater => other,
            // Equally idle: the weights decide how often.
            std::cmp::Ordering::Equal => {
                if rotation.random() % (weight_one + weight_other) < weight_one {
                    one
                } else {
                    other
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn least_load(weights: &[u32]) -> LeastLoad {
        let member = |weight: &u32| Member { identity: b"", weight: *weight, rweight: 0 };
        LeastLoad::compile(&weights.iter().map(member).collect::<Vec<_>>())
    }

    fn counts(weights: &[u32], usable: &BackendSet, loads: &[u32], picks: usize) -> Vec<usize> {
        let balance = least_load(weights);
        let mut rotation = Rotation::new(3);
        let mut counts = vec![0; weights.len()];
        for _ in 0..picks {
            let load = &mut |member| loads[usize::from(member)];
            let picked = balance.pick(usable, &mut rotation, load).expect("somebody");
            counts[usize::from(picked)] += 1;
        }
        counts
    }

    #[test]
    fn the_busier_of_two_gets_nothing() {
        assert_eq!(counts(&[1, 1], &BackendSet::full(2), &[4, 3], 100), [0, 100]);
        // Twice the weight carries twice the load.
        assert_eq!(counts(&[2, 1], &BackendSet::full(2), &[5, 3], 100), [100, 0]);
        assert_eq!(counts(&[2, 1], &BackendSet::full(2), &[7, 3], 100), [0, 100]);
        assert_eq!(counts(&[0, 1], &BackendSet::full(2), &[0, 90], 100), [0, 100]);
        // Of three the busiest is always the worse of two.
        let three = counts(&[1, 1, 1], &BackendSet::full(3), &[9, 1, 1], 3_000);
        assert!(
            three[0] == 0 && three[1..].iter().all(|n| (1_350..1_650).contains(n)),
            "{three:?}"
        );
    }

    #[test]
    fn idle_members_share_by_weight_and_only_usable_ones() {
        let idle = counts(&[3, 1], &BackendSet::full(2), &[0, 0], 4_000);
        assert!((2_850..3_150).contains(&idle[0]), "{idle:?}");
        let alike = counts(&[0, 0, 0], &BackendSet::full(3), &[0; 3], 3_000);
        assert!(alike.iter().all(|n| (900..1_100).contains(n)), "{alike:?}");
        let usable: BackendSet = [0u16, 2].into_iter().collect();
        assert_eq!(counts(&[1, 1, 1], &usable, &[5, 0, 4], 100), [0, 0, 100]);
        let nobody = least_load(&[1]).pick(&BackendSet::empty(), &mut Rotation::new(1), &mut |_| 0);
        assert_eq!(nobody, None);
    }

    #[test]
    fn a_slow_member_is_left_in_peace() {
        // Ten members; what goes to member 0 is never done, the others are done at once.
        let balance = least_load(&[1; 10]);
        let (mut rotation, mut stuck) = (Rotation::new(5), 0u32);
        for _ in 0..10_000 {
            let load = &mut |member| if member == 0 { stuck } else { 0 };
            stuck += u32::from(balance.pick(&BackendSet::full(10), &mut rotation, load) == Some(0));
        }
        assert!(stuck <= 1, "{stuck}");
    }
}
