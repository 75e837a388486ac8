//! Backends that are sent requests and say nothing.
//!
//! Owns: what counts as silence. It compares the counters of one look with those of the last; a backend that got requests in
//! both spans and gave no response in either is silent. It is a hint, not a verdict: health sends a probe.

use std::collections::BTreeMap;

use crate::sip::Now;

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
    /// When it had answered everything, or we began to look.
    since: Now,
    /// There were some at the last look, too.
    is_waiting: bool,
}

impl Silence {
    /// Looks at a backend once more; says how many requests it left unanswered and since when, when that is a silence.
    pub(super) fn look(&mut self, meter: u32, count: Count, now: Now) -> Option<(u32, Now)> {
        let fresh = Seen { count, unanswered: 0, since: now, is_waiting: false };
        let seen = self.seen.entry(meter).or_insert(fresh);
        let requests = count.requests.saturating_sub(seen.count.requests);
        if count.responses != seen.count.responses {
            *seen = fresh;
            return None;
        }
        if seen.unanswered == 0 && requests == 0 {
            seen.since = now;
        }
        seen.count = count;
        seen.unanswered = seen.unanswered.saturating_add(requests);
        let is_silence = seen.is_waiting && seen.unanswered >= REQUESTS_MIN;
        seen.is_waiting = seen.unanswered > 0;
        if !is_silence {
            return None;
        }
        let unanswered = std::mem::take(&mut seen.unanswered);
        let since = std::mem::replace(&mut seen.since, now);
        seen.is_waiting = false;
        Some((u32::try_from(unanswered).unwrap_or(u32::MAX), since))
    }

    /// Forgets all but these.
    pub(super) fn keep(&mut self, is_kept: impl Fn(u32) -> bool) {
        self.seen.retain(|&meter, _| is_kept(meter));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks once a second.
    struct Looks(Silence, u64);

    impl Looks {
        fn new() -> Self {
            Self(Silence::default(), 0)
        }

        fn look(&mut self, requests: u64, responses: u64) -> Option<(u32, u64)> {
            self.1 += 1;
            let count = Count { requests, responses };
            let silence = self.0.look(1, count, Now(self.1 * 1_000_000));
            silence.map(|(requests, since)| (requests, since.0 / 1_000_000))
        }
    }

    #[test]
    fn silence_is_several_requests_over_two_looks_without_any_response() {
        let mut looks = Looks::new();
        assert_eq!(looks.look(100, 90), None, "nothing is known before");
        assert_eq!(looks.look(110, 90), None, "they are on their way");
        assert_eq!(looks.look(110, 90), Some((10, 1)));
        assert_eq!(looks.look(110, 90), None, "said once");
        assert_eq!(looks.look(112, 90), None);
        assert_eq!(looks.look(114, 90), None, "too few");
        assert_eq!(looks.look(116, 90), Some((6, 4)));
    }

    #[test]
    fn any_response_ends_it() {
        let mut looks = Looks::new();
        looks.look(0, 0);
        assert_eq!(looks.look(50, 0), None);
        assert_eq!(looks.look(90, 1), None);
        assert_eq!(looks.look(99, 1), None);
        assert_eq!(looks.0.look(2, Count { requests: 99, responses: 0 }, Now(0)), None, "another");
        assert_eq!(looks.look(99, 1), Some((9, 3)));
        looks.0.keep(|_| false);
        assert_eq!(looks.look(200, 1), None);
    }
}
