//! Axes: from values to positions, and where the ticks stand.
//!
//! Owns: linear and logarithmic scales. Knows nothing of what is drawn; units are the caller's.

/// Maps values onto positions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    from: (f64, f64),
    to: (f64, f64),
    logarithmic: bool,
}

impl Scale {
    /// Equal differences are equal lengths. An empty range of values is widened.
    pub(super) fn linear(low: f64, high: f64, to: (f64, f64)) -> Self {
        Self { from: (low, if high > low { high } else { low + 1.0 }), to, logarithmic: false }
    }

    /// Equal ratios are equal lengths. Bounds are positive and go outwards to a half decade: 1, 3, 10, 30.
    pub(super) fn logarithmic(low: f64, high: f64, to: (f64, f64)) -> Self {
        let low = low.max(1.0);
        let high = high.max(low * 3.0);
        let below = half_decades().take_while(|&tick| tick <= low).last().unwrap_or(1.0);
        let above = half_decades().find(|&tick| tick >= high).unwrap_or(high);
        Self { from: (below, above), to, logarithmic: true }
    }

    /// The position of a value; values outside stand at the edge.
    pub(super) fn at(&self, value: f64) -> f64 {
        let (low, high) = self.from;
        let value = value.clamp(low, high);
        let share = if self.logarithmic {
            (value / low).ln() / (high / low).ln()
        } else {
            (value - low) / (high - low)
        };
        self.to.0 + share * (self.to.1 - self.to.0)
    }

    /// Values for ticks: round numbers, about `count` of them on a linear scale.
    pub(super) fn ticks(&self, count: usize) -> Vec<f64> {
        let (low, high) = self.from;
        if self.logarithmic {
            return half_decades().filter(|&t| t >= low).take_while(|&t| t <= high).collect();
        }
        let step = round_step((high - low) / count.max(1) as f64);
        let first = (low / step).ceil() * step;
        (0..).map(|n| first + f64::from(n) * step).take_while(|&t| t <= high + 1e-9).collect()
    }
}

/// 1, 3, 10, 30 and so on.
fn half_decades() -> impl Iterator<Item = f64> {
    (0..24).map(|half| 10_f64.powi(half / 2) * if half % 2 == 0 { 1.0 } else { 3.0 })
}

/// The next of 1, 2, 5 times a power of ten.
fn round_step(step: f64) -> f64 {
    let power = 10_f64.powf(step.max(1e-9).log10().floor());
    let rounded = [1.0, 2.0, 5.0, 10.0].into_iter().find(|digit| digit * power >= step - 1e-9);
    rounded.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_positions_and_ticks() {
        let scale = Scale::linear(0.0, 20.0, (100.0, 300.0));
        assert_eq!(scale.at(0.0), 100.0);
        assert_eq!(scale.at(10.0), 200.0);
        assert_eq!(scale.at(99.0), 300.0);
        assert_eq!(scale.ticks(10), (0..=10).map(|n| f64::from(n) * 2.0).collect::<Vec<_>>());
        assert!(Scale::linear(3.0, 3.0, (0.0, 1.0)).at(3.0).is_finite());
    }

    #[test]
    fn logarithmic_bounds_go_outwards() {
        let scale = Scale::logarithmic(40.0, 2_500.0, (0.0, 2.0));
        assert_eq!(scale.ticks(0), [30.0, 100.0, 300.0, 1_000.0, 3_000.0]);
        assert_eq!(scale.at(30.0), 0.0);
        assert_eq!(scale.at(1.0), 0.0);
        assert!((scale.at(300.0) - 1.0).abs() < 1e-9);
    }
}
