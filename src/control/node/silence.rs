//! Backends that are sent requests and say nothing.
//!
//! Owns: what counts as silence. It compares the counters of one look with those of the last; a backend that got requests in
//! both spans and gave no response in either is silent. It is a hint, not a verdict: health sends a probe.

use std::collections::BTreeMap;

/// Requests without any response that make a silence.
pub(super) const REQUESTS_MIN: u64 = 5;

/// What was counted of a backend.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Count {
    /// Requests sent to it.
    pub(super) requests: u64,
    /// Responses that came from it.
    pub(super) responses: u64,
}

/// What was seen of all, by the numbers of their counters.
#[derive(Debug, Default)]
pub(super) struct Silence {
    seen: BTreeMap<u32, Seen>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    count: Count,
    /// Requests since the last response.
    unanswered: u64,
    /// There were some at the last look, too.
    is_waiting: bool,
}

impl Silence {
    /// Looks at a backend once more; says how many requests it left unanswered, when that is a silence.
    pub(super) fn look(&mut self, meter: u32, count: Count) -> Option<u64> {
        let fresh = Seen { count, unanswered: 0, is_waiting: false };
        let seen = self.seen.entry(meter).or_insert(fresh);
        let requests = count.requests.saturating_sub(seen.count.requests);
        if count.responses != seen.count.responses {
            *seen = fresh;
            return None;
        }
        seen.count = count;
        seen.unanswered = seen.unanswered.saturating_add(requests);
        let is_silence = seen.is_waiting && seen.unanswered >= REQUESTS_MIN;
        seen.is_waiting = seen.unanswered > 0;
        if !is_silence {
            return None;
        }
        let unanswered = std::mem::take(&mut seen.unanswered);
        seen.is_waiting = false;
        Some(unanswered)
    }

    /// Forgets all but these.
    pub(super) fn keep(&mut self, is_kept: impl Fn(u32) -> bool) {
        self.seen.retain(|&meter, _| is_kept(meter));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(requests: u64, responses: u64) -> Count {
        Count { requests, responses }
    }

    #[test]
    fn silence_is_several_requests_over_two_looks_without_any_response() {
        let mut silence = Silence::default();
        assert_eq!(silence.look(1, count(100, 90)), None, "nothing is known before");
        assert_eq!(silence.look(1, count(110, 90)), None, "they are on their way");
        assert_eq!(silence.look(1, count(110, 90)), Some(10));
        assert_eq!(silence.look(1, count(110, 90)), None, "said once");
        assert_eq!(silence.look(1, count(112, 90)), None);
        assert_eq!(silence.look(1, count(114, 90)), None, "too few");
        assert_eq!(silence.look(1, count(116, 90)), Some(6));
    }

    #[test]
    fn any_response_ends_it() {
        let mut silence = Silence::default();
        silence.look(1, count(0, 0));
        assert_eq!(silence.look(1, count(50, 0)), None);
        assert_eq!(silence.look(1, count(90, 1)), None);
        assert_eq!(silence.look(1, count(99, 1)), None);
        assert_eq!(silence.look(2, count(99, 0)), None, "another one");
        assert_eq!(silence.look(1, count(99, 1)), Some(9));
        silence.keep(|_| false);
        assert_eq!(silence.look(1, count(200, 1)), None);
    }
}
