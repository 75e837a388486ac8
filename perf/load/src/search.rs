//! The search for the highest rate with little loss, by bisection.
//!
//! Owns: which rates are tried. Rates are flows per second.

use std::io::Write as _;

use crate::report::{SearchReport, SearchStep};
use crate::run::{Rate, Setup, run};

/// How to search.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// The lowest rate.
    pub low: f64,
    /// The highest rate.
    pub high: f64,
    /// Runs within these bounds, after one at each of them.
    pub steps: u32,
    /// The loss that is too much, as a share.
    pub loss_max: f64,
    /// Length of the run at half of the rate that was found.
    pub half_seconds: f64,
}

/// A run that the generator spoiled, by a stall of the machine perhaps, is made again so often.
const RETRIES_MAX: u32 = 2;

/// What a run at one rate says about the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed,
    /// Nothing: the generator was the limit.
    Spoiled,
}

/// Searches.
///
/// # Errors
/// When a run cannot be made.
pub fn search(setup: &Setup, bounds: Bounds) -> std::io::Result<SearchReport> {
    let mut steps = Vec::new();
    let mut attempt = |rate: f64| -> std::io::Result<Outcome> {
        let report = run(&Setup { rate: Rate::PerSecond(rate), ..setup.clone() })?;
        let passed =
            report.loss < bounds.loss_max && report.faults() == 0 && !report.generator_limited;
        if setup.progress {
            let verdict = if passed { "passed" } else { "failed" };
            let limit = if report.generator_limited { ": the generator was the limit" } else { "" };
            let loss = report.loss * 100.0;
            let _ = writeln!(
                std::io::stderr(),
                "step {}: {rate:.0}/s, {loss:.4} % lost: {verdict}{limit}",
                steps.len() + 1
            );
        }
        steps.push(SearchStep {
            rate,
            sent: report.sent,
            lost: report.lost + report.responses.lost,
            loss: report.loss,
            passed,
            generator_limited: report.generator_limited,
        });
        Ok(match (passed, report.generator_limited) {
            (true, _) => Outcome::Passed,
            (false, true) => Outcome::Spoiled,
            (false, false) => Outcome::Failed,
        })
    };
    let mut stubborn = |rate: f64| -> std::io::Result<bool> {
        for _ in 0..RETRIES_MAX {
            match attempt(rate)? {
                Outcome::Passed => return Ok(true),
                Outcome::Failed => return Ok(false),
                Outcome::Spoiled => {}
            }
        }
        Ok(attempt(rate)? == Outcome::Passed)
    };
    let found = bisect(bounds, &mut stubborn)?;
    // What ended the search is the lowest rate that failed for good; without one, the upper bound did.
    let max_rate = found.unwrap_or(0.0);
    let failed = steps.iter().filter(|step| !step.passed && step.rate > max_rate);
    let lowest = failed.min_by(|one, other| one.rate.total_cmp(&other.rate));
    let generator_limited = lowest.is_some_and(|step| step.generator_limited);
    let at_half = found
        .map(|rate| {
            let rate = Rate::PerSecond(rate / 2.0);
            run(&Setup { rate, seconds: bounds.half_seconds, ..setup.clone() })
        })
        .transpose()?;
    Ok(SearchReport {
        scenario: setup.scenario.name.clone(),
        max_rate,
        bound_reached: max_rate >= bounds.high,
        loss_max: bounds.loss_max,
        at_half,
        steps,
        generator_limited,
    })
}

/// The highest rate that passes, within the bounds.
fn bisect<E>(
    bounds: Bounds,
    attempt: &mut impl FnMut(f64) -> Result<bool, E>,
) -> Result<Option<f64>, E> {
    let Bounds { mut low, mut high, steps, .. } = bounds;
    if attempt(high)? {
        return Ok(Some(high));
    }
    if !attempt(low)? {
        return Ok(None);
    }
    let mut found = low;
    for _ in 0..steps {
        let middle = f64::midpoint(low, high);
        if attempt(middle)? {
            found = middle;
            low = middle;
        } else {
            high = middle;
        }
    }
    Ok(Some(found))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn found(limit: f64) -> Option<f64> {
        let bounds =
            Bounds { low: 100.0, high: 900.0, steps: 8, loss_max: 0.001, half_seconds: 1.0 };
        bisect(bounds, &mut |rate| Ok::<_, Infallible>(rate <= limit)).expect("infallible")
    }

    #[test]
    fn bisection_finds_the_limit_or_says_that_it_is_outside() {
        let rate = found(437.0).expect("within");
        assert!((433.0..=437.0).contains(&rate), "{rate}");
        assert_eq!(found(1_000.0), Some(900.0));
        assert_eq!(found(99.0), None);
    }
}
