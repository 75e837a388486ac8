//! Median, spread and ratios over rounds.
//!
//! Owns: what a figure of several rounds is. A ratio is taken within each round, because the machine's speed changes
//! between rounds; the ratio of two medians would mix rounds.

use serde::{Deserialize, Serialize};

/// The middle, and how far the rounds lie apart.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    /// Rounds that had a value.
    pub(crate) rounds: usize,
}

impl Spread {
    /// Of the values that are there; `None` when there are none.
    pub(crate) fn of(values: impl IntoIterator<Item = Option<f64>>) -> Option<Self> {
        let mut values: Vec<f64> =
            values.into_iter().flatten().filter(|value| value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            f64::midpoint(values[middle - 1], values[middle])
        };
        Some(Self { median, min, max, rounds: values.len() })
    }

    /// Of the quotients of the rounds in which both are there.
    pub(crate) fn of_ratios(above: &[Option<f64>], below: &[Option<f64>]) -> Option<Self> {
        Self::of(above.iter().zip(below).map(|(above, below)| match (above, below) {
            (Some(above), Some(below)) if *below != 0.0 => Some(above / below),
            _ => None,
        }))
    }

    /// Of the differences of the rounds in which both are there.
    pub(crate) fn of_differences(of: &[Option<f64>], less: &[Option<f64>]) -> Option<Self> {
        Self::of(of.iter().zip(less).map(|(of, less)| Some((*of)? - (*less)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(values: &[f64], median: f64, min: f64, max: f64) {
        let spread = Spread::of(values.iter().copied().map(Some)).expect("there are values");
        assert_eq!(spread, Spread { median, min, max, rounds: values.len() });
    }

    #[test]
    fn the_median_is_in_the_middle() {
        check(&[3.0], 3.0, 3.0, 3.0);
        check(&[9.0, 1.0, 2.0], 2.0, 1.0, 9.0);
        check(&[4.0, 1.0, 2.0, 100.0], 3.0, 1.0, 100.0);
        assert_eq!(Spread::of([None, None]), None);
        assert_eq!(Spread::of([Some(f64::NAN)]), None);
    }

    #[test]
    fn ratios_are_taken_within_rounds() {
        // The second round was twice as slow for both: the ratio does not see it.
        let (ours, theirs) = ([Some(1.0), Some(2.0), Some(5.0)], [Some(3.0), Some(6.0), None]);
        let ratio = Spread::of_ratios(&ours, &theirs).expect("two rounds have both");
        assert_eq!(ratio.rounds, 2);
        assert!((ratio.median - 1.0 / 3.0).abs() < 1e-9 && (ratio.min - ratio.max).abs() < 1e-9);
        assert_eq!(Spread::of_ratios(&ours, &[None, None, Some(0.0)]), None);
        let difference = Spread::of_differences(&theirs, &ours).expect("two rounds have both");
        assert_eq!((difference.min, difference.max), (2.0, 4.0));
    }
}
