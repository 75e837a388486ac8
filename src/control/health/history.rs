//! The last probes of a backend.
//!
//! Owns: a ring of [`PROBES_KEPT`]. Judges nothing.

use serde::Serialize;

use crate::config::alive::Judgement;
use crate::sip::Now;

/// How many probes are remembered.
pub const PROBES_KEPT: usize = 10;

/// How a probe ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was answered.
    Answer { status: u16, after_us: u64, judgement: Judgement },
    /// It was not answered in time.
    Timeout,
    /// The network said that nobody is there.
    Unreachable,
    /// It did not leave this node.
    NotSent,
}

/// One probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Probed {
    pub(super) at: Now,
    pub(super) outcome: Outcome,
}

/// The last probes, oldest first.
#[derive(Debug, Clone, Default)]
pub(super) struct History {
    probes: Vec<Probed>,
}

/// What an operator sees of a probe.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProbeView {
    /// How long ago it was sent. Milliseconds.
    pub ago_ms: u64,
    /// `good`, `full`, `bad`, `timeout`, `unreachable`, `not sent`.
    pub outcome: &'static str,
    /// The status of its answer.
    pub status: Option<u16>,
    /// How long the answer took. Microseconds.
    pub after_us: Option<u64>,
}

impl History {
    pub(super) fn push(&mut self, probed: Probed) {
        if self.probes.len() == PROBES_KEPT {
            self.probes.remove(0);
        }
        self.probes.push(probed);
    }

    /// The newest first.
    pub(super) fn view(&self, now: Now) -> Vec<ProbeView> {
        self.probes.iter().rev().map(|probed| probed.view(now)).collect()
    }
}

impl Probed {
    fn view(&self, now: Now) -> ProbeView {
        let (outcome, status, after_us) = match self.outcome {
            Outcome::Answer { status, after_us, judgement } => {
                let word = match judgement {
                    Judgement::Provisional => "provisional",
                    Judgement::Good => "good",
                    Judgement::Full => "full",
                    Judgement::Bad => "bad",
                };
                (word, Some(status), Some(after_us))
            }
            Outcome::Timeout => ("timeout", None, None),
            Outcome::Unreachable => ("unreachable", None, None),
            Outcome::NotSent => ("not sent", None, None),
        };
        ProbeView { ago_ms: now.0.saturating_sub(self.at.0) / 1_000, outcome, status, after_us }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ten_are_kept_newest_first() {
        let mut history = History::default();
        for n in 0..25 {
            let outcome = Outcome::Answer { status: 200, after_us: n, judgement: Judgement::Good };
            history.push(Probed { at: Now(n * 1_000), outcome });
        }
        let view = history.view(Now(30_000));
        assert_eq!(view.len(), PROBES_KEPT);
        assert_eq!((view[0].ago_ms, view[0].after_us), (6, Some(24)));
        assert_eq!((view[9].ago_ms, view[9].after_us), (15, Some(15)));
    }
}
