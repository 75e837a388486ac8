//! Turns by weight: a schedule in which each member stands as often as its weight says, spread out evenly.
//!
//! Owns: the order of turns. A turn of a member that is not usable is passed over and the round goes on behind it, so
//! that the rest keep the proportions that their weights have among each other.

use super::{BackendSet, Member, Rotation};

/// Most turns of a round. Weights that would need more are scaled down; nobody with a weight falls below one turn.
const TURNS_MAX: u64 = 8_192;
const _: () = assert!(TURNS_MAX >= super::BACKENDS_MAX as u64 && TURNS_MAX < u16::MAX as u64);

/// One round of turns.
#[derive(Debug, Clone)]
pub(super) struct Schedule {
    turns: Box<[u16]>,
}

impl Schedule {
    /// Weights of 0 get no turn, unless all are 0: then all are alike.
    pub(super) fn compile(members: &[Member<'_>]) -> Self {
        let weightless = members.iter().all(|member| member.weight == 0);
        let weights: Vec<u64> = members
            .iter()
            .map(|member| if weightless { 1 } else { u64::from(member.weight) })
            .collect();
        let counts = turn_counts(&weights);
        let mut turns: Vec<(u64, u64, u16)> = Vec::new();
        for (index, count) in (0u16..).zip(&counts) {
            turns.extend((0..*count).map(|turn| (2 * turn + 1, 2 * count, index)));
        }
        // Turn k of a member with n turns stands at (2k + 1) / 2n of the round.
        turns.sort_by(|a, b| (a.0 * b.1).cmp(&(b.0 * a.1)).then(a.2.cmp(&b.2)));
        Self { turns: turns.into_iter().map(|(_, _, index)| index).collect() }
    }

    /// The member of each turn of a round.
    pub(super) fn turns(&self) -> &[u16] {
        &self.turns
    }

    pub(super) fn pick(&self, usable: &BackendSet, rotation: &mut Rotation) -> Option<u16> {
        let count = u16::try_from(self.turns.len()).ok()?;
        let start = rotation.position(count);
        let turn = (start..count)
            .chain(0..start)
            .find(|turn| usable.contains(self.turns[usize::from(*turn)]))?;
        rotation.set_position(turn + 1);
        Some(self.turns[usize::from(turn)])
    }
}

/// How many turns each weight gets: as small as the proportions allow.
fn turn_counts(weights: &[u64]) -> Vec<u64> {
    let divisor = weights.iter().fold(0, |a, b| gcd(a, *b)).max(1);
    let sum: u64 = weights.iter().map(|weight| weight / divisor).sum();
    if sum <= TURNS_MAX {
        return weights.iter().map(|weight| weight / divisor).collect();
    }
    // Room for the members that are lifted to one turn.
    let room = TURNS_MAX - weights.len() as u64;
    let total: u64 = weights.iter().sum();
    let scaled = |weight: &u64| match weight {
        0 => 0,
        _ => (weight * room / total).max(1),
    };
    weights.iter().map(scaled).collect()
}

const fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(weights: &[u32]) -> Schedule {
        let members: Vec<_> = weights
            .iter()
            .map(|weight| Member { identity: b"", weight: *weight, rweight: 0 })
            .collect();
        Schedule::compile(&members)
    }

    fn counts(schedule: &Schedule, usable: &BackendSet, picks: usize) -> Vec<usize> {
        let mut rotation = Rotation::new(1);
        let mut counts = vec![0; 4];
        for _ in 0..picks {
            if let Some(picked) = schedule.pick(usable, &mut rotation) {
                counts[usize::from(picked)] += 1;
            }
        }
        counts
    }

    #[test]
    fn turns_are_spread_out() {
        assert_eq!(&*schedule(&[100, 50]).turns, [0, 1, 0]);
        assert_eq!(&*schedule(&[4, 2, 2]).turns, [0, 1, 2, 0]);
        assert_eq!(&*schedule(&[0, 0, 0]).turns, [0, 1, 2]);
        assert_eq!(&*schedule(&[0, 7, 0]).turns, [1]);
        assert!(schedule(&[]).turns.is_empty());
    }

    #[test]
    fn the_rest_keep_their_proportions() {
        let schedule = schedule(&[50, 30, 20, 10]);
        assert_eq!(counts(&schedule, &BackendSet::full(4), 1_100), [500, 300, 200, 100]);
        let rest: BackendSet = [1u16, 2, 3].into_iter().collect();
        assert_eq!(counts(&schedule, &rest, 600), [0, 300, 200, 100]);
        assert_eq!(counts(&schedule, &BackendSet::empty(), 10), [0, 0, 0, 0]);
    }

    #[test]
    fn huge_weights_fit_a_round() {
        let schedule = schedule(&[u32::MAX, u32::MAX / 2, 1, 0]);
        assert!(schedule.turns.len() as u64 <= TURNS_MAX);
        let round = counts(&schedule, &BackendSet::full(4), schedule.turns.len());
        assert_eq!((round[2], round[3]), (1, 0));
        let ratio = round[0] as f64 / round[1] as f64;
        assert!((1.99..2.01).contains(&ratio), "{ratio}");
    }
}
