//! Who answers faster gets more: by chance (`latency`), or in an order (`kamailio:13`).
//!
//! Owns: what a latency does to a weight and to a priority. Latencies come in when it is compiled, in microseconds:
//! whoever measures compiles it anew when they have changed. Chance never starves a slow member, so that it is
//! measured by real requests too; an order does.

use std::cmp::Reverse;

use super::{BackendSet, Detail, Member, Rotation};

/// Faster than this is not better: it is noise of the network stack. Microseconds.
const LATENCY_MIN_US: u64 = 100;
/// Slower than this is not worse: so that no share falls to nothing. Microseconds.
const LATENCY_MAX_US: u64 = 10_000_000;
/// How often a draw may fall on a member that is not usable before the usable ones are summed up.
const DRAWS_MAX: u32 = 4;

/// Chance in proportion to weight / latency.
#[derive(Debug, Clone)]
pub(super) struct Swift {
    /// The sum of the shares up to and including each member.
    sums: Box<[u64]>,
}

impl Swift {
    /// A member without a latency counts as the mean of those that have one.
    pub(super) fn compile(members: &[Member<'_>], details: &[Detail]) -> Self {
        let known = |detail: &Detail| {
            let latency_us = u64::from(detail.latency_us?);
            Some(latency_us.clamp(LATENCY_MIN_US, LATENCY_MAX_US))
        };
        let (count, sum) = details
            .iter()
            .filter_map(known)
            .fold((0, 0), |(count, sum), latency| (count + 1, sum + latency));
        let mean = sum.checked_div(count).unwrap_or(LATENCY_MIN_US);
        let weightless = members.iter().all(|member| member.weight == 0);
        let mut total = 0u64;
        let sum_to = |(place, member): (usize, &Member<'_>)| {
            let latency = details.get(place).and_then(known).unwrap_or(mean);
            let weight = if weightless { 1 } else { u64::from(member.weight) };
            // At most 2^32 * 10^5, of 1,024 members 2^59; a weight of 1 is at least 1.
            total += weight * LATENCY_MAX_US / latency;
            total
        };
        Self { sums: members.iter().enumerate().map(sum_to).collect() }
    }

    pub(super) fn pick(&self, usable: &BackendSet, rotation: &mut Rotation) -> Option<u16> {
        let total = *self.sums.last()?;
        for _ in 0..DRAWS_MAX {
            let draw = scaled(rotation.random(), total);
            let place = self.sums.partition_point(|sum| *sum <= draw);
            if let Some(place) = u16::try_from(place).ok().filter(|place| usable.contains(*place)) {
                return Some(place);
            }
        }
        let count = u16::try_from(self.sums.len()).ok()?;
        let total = usable.ring(0, count).map(|member| self.share(member)).sum();
        let mut draw = scaled(rotation.random(), total);
        let drawn = usable.ring(0, count).find(|member| {
            let share = self.share(*member);
            let is_it = draw < share;
            draw = draw.saturating_sub(share);
            is_it
        });
        // Only those without a share are usable.
        drawn.or_else(|| usable.next_in_ring(0, count))
    }

    fn share(&self, member: u16) -> u64 {
        let place = usize::from(member);
        let before = place.checked_sub(1).map_or(0, |before| self.sums[before]);
        self.sums[place] - before
    }
}

/// Even over the numbers below `total`.
fn scaled(random: u64, total: u64) -> u64 {
    u64::try_from((u128::from(random) * u128::from(total)) >> 64).unwrap_or(0)
}

/// Members by their priority, of which a latency takes its part.
#[derive(Debug, Clone)]
pub(super) struct Ranking {
    /// Best first; among equals by index.
    order: Box<[(i64, u16)]>,
}

impl Ranking {
    pub(super) fn compile(details: &[Detail]) -> Self {
        let mut order: Vec<(i64, u16)> = details.iter().map(running_priority).zip(0..).collect();
        order.sort_by_key(|(priority, index)| (Reverse(*priority), *index));
        Self { order: order.into() }
    }

    /// The best usable member below `count`; those that are as good take turns.
    pub(super) fn pick(
        &self,
        usable: &BackendSet,
        count: u16,
        rotation: &mut Rotation,
    ) -> Option<u16> {
        let mut open =
            self.order.iter().filter(|(_, index)| *index < count && usable.contains(*index));
        let (best, first) = *open.next()?;
        let turn = rotation.position(count);
        let equals = open.take_while(|(priority, _)| *priority == best).map(|(_, index)| *index);
        let picked = std::iter::once(first).chain(equals).find(|index| *index >= turn);
        let picked = picked.unwrap_or(first);
        rotation.set_position(picked + 1);
        Some(picked)
    }

    /// All usable members below `count`, `picked` first.
    pub(super) fn failover(&self, picked: u16, usable: &BackendSet, count: u16) -> Vec<u16> {
        let others = self.order.iter().map(|(_, index)| *index).filter(|index| *index != picked);
        let others = others.filter(|index| *index < count && usable.contains(*index));
        std::iter::once(picked).chain(others).collect()
    }
}

/// A priority above 0 is an allowance in milliseconds: more latency takes off one for each time that it fits in.
fn running_priority(detail: &Detail) -> i64 {
    let priority = i64::from(detail.priority);
    let latency_ms = i64::from(detail.latency_us.unwrap_or(0) / 1_000);
    if priority > 0 && latency_ms > priority {
        (priority - latency_ms / priority).max(1)
    } else {
        priority
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detail(priority: i32, latency_us: Option<u32>) -> Detail {
        Detail { priority, latency_us, ..Detail::default() }
    }

    fn shares(weights: &[u32], latencies_us: &[Option<u32>], usable: &[u16]) -> Vec<usize> {
        let member = |weight: &u32| Member { identity: b"", weight: *weight, rweight: 0 };
        let members: Vec<_> = weights.iter().map(member).collect();
        let details: Vec<_> = latencies_us.iter().map(|us| detail(0, *us)).collect();
        let swift = Swift::compile(&members, &details);
        let usable = usable.iter().copied().collect();
        let mut rotation = Rotation::new(9);
        let mut counts = vec![0; weights.len()];
        for _ in 0..10_000 {
            counts[usize::from(swift.pick(&usable, &mut rotation).expect("somebody"))] += 1;
        }
        counts.iter().map(|count| (count + 50) / 100).collect()
    }

    fn near(found: &[usize], percents: &[usize]) {
        assert!(
            found.iter().zip(percents).all(|(a, b)| a.abs_diff(*b) <= 2),
            "{found:?} {percents:?}"
        );
    }

    #[test]
    fn shares_are_weight_by_latency() {
        near(&shares(&[1, 1], &[Some(1_000), Some(3_000)], &[0, 1]), &[75, 25]);
        near(&shares(&[1, 3], &[Some(1_000), Some(3_000)], &[0, 1]), &[50, 50]);
        // Without a latency, the mean of the others: 2 ms.
        near(&shares(&[1; 3], &[Some(1_000), None, Some(3_000)], &[0, 1, 2]), &[55, 27, 18]);
        near(&shares(&[1, 3], &[None, None], &[0, 1]), &[25, 75]);
        // Far below the noise, all are alike; weights of 0 are none at all.
        near(&shares(&[0, 0], &[Some(3), Some(90)], &[0, 1]), &[50, 50]);
    }

    #[test]
    fn the_usable_keep_their_proportions() {
        let latencies = [Some(100), Some(10_000), Some(30_000)];
        // Nearly every draw falls on the first.
        near(&shares(&[1; 3], &latencies, &[1, 2]), &[0, 75, 25]);
        near(&shares(&[1, 0, 0], &latencies, &[1, 2]), &[0, 100, 0]);
        let nobody = Swift::compile(&[], &[]).pick(&BackendSet::empty(), &mut Rotation::new(1));
        assert_eq!(nobody, None);
    }

    #[test]
    fn a_latency_takes_its_part_of_a_priority() {
        let rows = [
            (30, 45_000, 29),
            (30, 30_999, 30),
            (30, 10_000, 30),
            (10, 101_000, 1),
            (0, 90_000, 0),
            (-5, 90_000, -5),
        ];
        for (priority, latency_us, expected) in rows {
            assert_eq!(running_priority(&detail(priority, Some(latency_us))), expected);
        }
        assert_eq!(running_priority(&detail(7, None)), 7);
    }

    #[test]
    fn the_best_take_turns_and_the_rest_follow() {
        let details = [detail(30, None), detail(20, None), detail(30, None), detail(30, None)];
        let ranking = Ranking::compile(&details);
        let mut rotation = Rotation::new(1);
        let all = BackendSet::full(4);
        let mut pick = |usable: &BackendSet, count| ranking.pick(usable, count, &mut rotation);
        let picks: Vec<_> = (0..5).filter_map(|_| pick(&all, 4)).collect();
        assert_eq!(picks, [0, 2, 3, 0, 2]);
        assert_eq!(pick(&[1u16].into_iter().collect(), 4), Some(1));
        assert_eq!(pick(&[3u16].into_iter().collect(), 3), None);
        assert_eq!(ranking.failover(2, &all, 4), [2, 0, 3, 1]);
    }
}
