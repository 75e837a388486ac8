//! Where a comparison stands: one line for each run, with the time that is left.
//!
//! Owns: the estimate and the lines on stderr.

use crate::clock::Moment;

/// How long the runs were expected to take, and did.
#[derive(Debug)]
pub(crate) struct Progress {
    start: Moment,
    /// Expected seconds of all runs, and of those that are done.
    whole: f64,
    done: f64,
    count: usize,
    number: usize,
}

impl Progress {
    pub(crate) fn new(count: usize, expected_seconds: f64) -> Self {
        eprintln!("{count} runs, about {}", minutes(expected_seconds));
        Self { start: Moment::now(), whole: expected_seconds, done: 0.0, count, number: 0 }
    }

    /// A run begins.
    pub(crate) fn begin(&mut self, what: &str) {
        self.number += 1;
        let left = minutes(left(self.start.seconds_since(), self.done, self.whole));
        eprint!("[{}/{}, {left} left] {what}", self.number, self.count);
    }

    /// It is over.
    pub(crate) fn end(&mut self, expected_seconds: f64, result: &str) {
        self.done += expected_seconds;
        eprintln!(": {result}");
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.start.seconds_since()
    }
}

/// What is left, if the rest deviates from what was expected as much as what is done.
fn left(elapsed: f64, done: f64, whole: f64) -> f64 {
    let pace = if done > 0.0 { elapsed / done } else { 1.0 };
    (whole - done).max(0.0) * pace
}

fn minutes(seconds: f64) -> String {
    let seconds = seconds.round();
    format!("{:.0}:{:02.0}", (seconds / 60.0).floor(), seconds % 60.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_goes_on_at_the_pace_so_far() {
        assert_eq!(left(0.0, 0.0, 60.0), 60.0);
        assert_eq!(left(20.0, 10.0, 60.0), 100.0);
        assert_eq!(left(20.0, 70.0, 60.0), 0.0);
        assert_eq!(minutes(125.2), "2:05");
    }
}
