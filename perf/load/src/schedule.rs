//! When each flow is meant to start.
//!
//! Owns: the intended moments. They follow from seed, rate and kind of arrivals alone (open loop): whatever the
//! target does, or the generator fails to do, moves none of them. Nanoseconds from the start of the run.

use crate::random::Random;
use crate::scenario::Arrivals;

/// An endless sequence of intended moments.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    arrivals: Arrivals,
    gap_ns: f64,
    random: Random,
    next_ns: f64,
}

impl Schedule {
    pub(crate) fn new(arrivals: Arrivals, rate_per_second: f64, seed: u64) -> Self {
        let gap_ns = 1e9 / rate_per_second;
        let mut schedule = Self { arrivals, gap_ns, random: Random::new(seed), next_ns: 0.0 };
        schedule.advance();
        schedule
    }

    /// The next intended moment.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive time")]
    pub(crate) fn peek_ns(&self) -> u64 {
        self.next_ns as u64
    }

    /// Onto the one after it.
    pub(crate) fn advance(&mut self) {
        self.next_ns += match self.arrivals {
            Arrivals::Constant => self.gap_ns,
            Arrivals::Poisson => -self.random.unit().ln() * self.gap_ns,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(arrivals: Arrivals, seed: u64) -> Vec<u64> {
        let mut schedule = Schedule::new(arrivals, 1_000.0, seed);
        (0..10_000)
            .map(|_| {
                let moment = schedule.peek_ns();
                schedule.advance();
                moment
            })
            .collect()
    }

    #[test]
    fn constant_arrivals_are_evenly_spaced() {
        let moments = moments(Arrivals::Constant, 1);
        assert_eq!(moments[..3], [1_000_000, 2_000_000, 3_000_000]);
    }

    #[test]
    fn poisson_arrivals_have_the_rate_and_the_spread_of_their_name() {
        let moments = moments(Arrivals::Poisson, 1);
        assert_eq!(moments, self::moments(Arrivals::Poisson, 1));
        let gaps: Vec<f64> = moments.windows(2).map(|two| (two[1] - two[0]) as f64).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((0.96e6..1.04e6).contains(&mean), "mean gap {mean} ns");
        let spread = variance.sqrt() / mean;
        assert!((0.95..1.05).contains(&spread), "an exponential has 1, not {spread}");
    }
}
