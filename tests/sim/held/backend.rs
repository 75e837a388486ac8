//! A backend's transaction of one attempt: it fails, rings, is late or says nothing, by a script that chance chose.
//!
//! Owns: server transactions by RFC 3261 17.2, and CANCEL (9.2). Times are microseconds.

use crate::effects::{GIVE_UP_US, SECOND_US, T1_US, T2_US};
use crate::random::Random;
use crate::text::{Style, Text};

/// How often one that rings says so again: a lost answer is none that the edge could act on.
const RINGS_AGAIN_US: u64 = 3 * SECOND_US;

/// What a backend does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Script {
    /// Until its first answer; none: it never answers.
    pub(super) answers_after: Option<u64>,
    /// It rings so long; none: its first answer is final.
    pub(super) rings: Option<u64>,
    pub(super) status: u16,
    /// So long it rings on when a CANCEL came: who rings has a leg of his own to end first.
    pub(super) rings_on: u64,
    /// It says 100 at once, with the top Via only, as FreeSWITCH does.
    pub(super) tries: bool,
}

impl Script {
    pub(super) fn new(random: &mut Random, is_invite: bool) -> Self {
        let status = random.pick(&[200, 200, 503, 503, 500, 486, 401]).unwrap_or(200);
        let rings = random.permille(450).then(|| match random.below(4) {
            0 if is_invite => 40 * SECOND_US,
            _ => random.between(100_000, 9 * SECOND_US),
        });
        let answers_after = match random.below(10) {
            0 | 1 => None,
            2 | 3 => Some(random.between(SECOND_US, 8 * SECOND_US)),
            _ => Some(random.between(1_000, 400_000)),
        };
        let rings_on = if random.permille(300) { random.below(3 * SECOND_US) } else { 0 };
        // A call that was taken is the caller's to end, so whoever says so says more later.
        let tries = is_invite && answers_after.is_some() && random.permille(300);
        Self { answers_after, rings, status, rings_on, tries }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Silent,
    Ringing,
    Final,
    Done,
}

/// One attempt at one backend.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) request: Text,
    pub(super) script: Script,
    step: Step,
    pub(super) status: u16,
    pub(super) tag: String,
    final_at: u64,
    rings_until: u64,
    interval: u64,
    pub(super) due: u64,
    /// A CANCEL ended it.
    pub(super) is_cancelled: bool,
}

impl Server {
    pub(super) fn new(request: Text, script: Script, tag: String, now: u64) -> Self {
        let due = script.answers_after.map_or(u64::MAX, |after| now + after);
        Self {
            request,
            script,
            step: Step::Silent,
            status: 0,
            tag,
            final_at: 0,
            rings_until: 0,
            interval: T1_US,
            due,
            is_cancelled: false,
        }
    }

    fn is_invite(&self) -> bool {
        self.request.method() == "INVITE"
    }

    pub(super) fn rings(&self) -> bool {
        self.step == Step::Ringing
    }

    /// A failure of an INVITE that nobody acknowledged.
    pub(super) fn waits_for_ack(&self) -> bool {
        self.is_invite() && self.step == Step::Final && self.status >= 300
    }

    fn answer(&mut self, status: u16) -> Vec<u8> {
        self.status = status;
        self.request.answer(status, &self.tag).write(Style::default())
    }

    fn end(&mut self, now: u64, status: u16) -> Vec<u8> {
        self.step = if self.is_invite() { Step::Final } else { Step::Done };
        self.final_at = now;
        self.due = if self.is_invite() { now + self.interval } else { u64::MAX };
        self.answer(status)
    }

    /// Before its first answer.
    pub(super) fn trying(&self) -> Option<Vec<u8>> {
        let is_due = self.script.tries && self.step == Step::Silent;
        is_due.then(|| {
            let mut answer = self.request.answer(100, "");
            let top = answer.all("Via")[..1].to_vec();
            answer.replace("Via", &top);
            answer.write(Style::default())
        })
    }

    /// A copy of the request: the last answer again (RFC 3261 17.2).
    pub(super) fn on_copy(&mut self) -> Option<Vec<u8>> {
        if let Some(trying) = self.trying() {
            return Some(trying);
        }
        (self.status != 0 && !(self.is_invite() && self.step == Step::Done))
            .then(|| self.answer(self.status))
    }

    pub(super) fn on_time(&mut self, now: u64) -> Option<Vec<u8>> {
        match self.step {
            Step::Silent => {
                let Some(rings) = self.script.rings else {
                    return Some(self.end(now, self.script.status));
                };
                self.step = Step::Ringing;
                self.rings_until = now + rings;
                self.due = (now + RINGS_AGAIN_US).min(self.rings_until);
                Some(self.answer(180))
            }
            Step::Ringing if now >= self.rings_until => Some(self.end(now, self.script.status)),
            Step::Ringing => {
                self.due = (now + RINGS_AGAIN_US).min(self.rings_until);
                Some(self.answer(180))
            }
            Step::Final if now < self.final_at + GIVE_UP_US - SECOND_US => {
                self.interval = (self.interval * 2).min(T2_US);
                self.due = now + self.interval;
                Some(self.answer(self.status))
            }
            Step::Final | Step::Done => {
                self.due = u64::MAX;
                None
            }
        }
    }

    pub(super) fn on_ack(&mut self) {
        if self.step == Step::Final {
            self.step = Step::Done;
            self.due = u64::MAX;
        }
    }

    /// RFC 3261 9.2: the final answer that follows, now or later. False when a final one was given, or it was cancelled before.
    pub(super) fn on_cancel(&mut self, now: u64) -> bool {
        if self.is_cancelled || !self.is_open() {
            return false;
        }
        self.is_cancelled = true;
        self.script.status = 487;
        self.rings_until = now + if self.rings() { self.script.rings_on } else { 0 };
        self.step = Step::Ringing;
        self.due = self.rings_until;
        true
    }

    fn is_open(&self) -> bool {
        matches!(self.step, Step::Silent | Step::Ringing)
    }
}
