//! The state machine, event by event: every way from state to state, and what it must not do.

use super::*;

mod bounds;
mod reload;
mod sequences;
mod soft;
mod transitions;

pub(super) const SECOND: u64 = 1_000_000;
pub(super) const A: &str = "10.0.0.1:5060";

pub(super) fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

pub(super) fn backend(at: &str) -> BackendSpec {
    BackendSpec {
        identity: format!("sip:{at}"),
        uri: format!("sip:{at}"),
        address: address(at),
        from: None,
        probed: true,
        declared: Declared::Active,
    }
}

pub(super) fn pool(name: &str, backends: &[&str]) -> PoolSpec {
    PoolSpec {
        name: name.to_owned(),
        probe: Some(Settings::default()),
        slow_start_us: 0,
        match_source_ip: false,
        eased_max_percent: EASED_MAX_PERCENT,
        backends: backends.iter().map(|at| backend(at)).collect(),
    }
}

/// One backend under observation, on a clock that the test turns.
pub(super) struct Bench {
    pub(super) health: Health,
    pub(super) now: Now,
    transactions: u64,
    pub(super) asked: Vec<(u64, SocketAddr)>,
    /// The last probe waits for the test to look at it.
    fresh: bool,
}

impl Bench {
    pub(super) fn new(pools: &[PoolSpec]) -> Self {
        let mut health = Health::new(7);
        health.adopt(Now(SECOND), pools);
        Self { health, now: Now(SECOND), transactions: 0, asked: Vec::new(), fresh: false }
    }

    pub(super) fn one(change: impl FnOnce(&mut PoolSpec)) -> Self {
        let mut spec = pool("p", &[A]);
        change(&mut spec);
        Self::new(&[spec])
    }

    /// Sends whatever is due now; the answers are the test's affair.
    pub(super) fn poll(&mut self) -> usize {
        let before = self.asked.len();
        while let Some(probe) = self.health.poll(self.now) {
            self.transactions += 1;
            self.health.sent(probe.target, self.transactions);
            self.asked.push((self.transactions, probe.address));
            self.fresh = true;
        }
        let next = self.health.next_due();
        assert!(next.is_none_or(|next| next > self.now), "{next:?} at {:?}", self.now);
        self.asked.len() - before
    }

    /// Turns the clock to the next probe, unless one has just left; the time that it took, in microseconds.
    pub(super) fn until_probe(&mut self) -> u64 {
        let start = self.now;
        if std::mem::take(&mut self.fresh) && self.health.view(start).outstanding > 0 {
            return 0;
        }
        for _ in 0..1_000 {
            if self.poll() > 0 {
                self.fresh = false;
                return self.now.0 - start.0;
            }
            self.now = self.health.next_due().expect("something is due");
        }
        panic!("no probe within 1,000 events");
    }

    /// Turns the clock on and does what falls due on the way, unanswered.
    pub(super) fn pass(&mut self, us: u64) {
        let end = Now(self.now.0 + us);
        while let Some(next) = self.health.next_due().filter(|next| *next <= end) {
            self.now = next.max(self.now);
            self.poll();
        }
        self.now = end;
        self.poll();
    }

    /// Answers the last probe, a millisecond after it was sent.
    pub(super) fn answer(&mut self, status: u16, retry_after_seconds: u32) {
        let (transaction, from) = *self.asked.last().expect("a probe was sent");
        self.fresh = false;
        self.now.0 += 1_000;
        self.health.on_reply(self.now, transaction, from, status, retry_after_seconds);
    }

    pub(super) fn last_transaction(&self) -> u64 {
        self.asked.last().expect("a probe was sent").0
    }

    /// A probe that is answered so, when it is due.
    pub(super) fn probed(&mut self, status: u16) {
        self.until_probe();
        self.answer(status, 0);
    }

    /// A probe that nobody answers.
    pub(super) fn unanswered(&mut self) {
        self.until_probe();
        self.now.0 += 2 * SECOND;
        self.poll();
    }

    pub(super) fn unreachable(&mut self) {
        self.health.on_unreachable(self.now, address(A));
    }

    pub(super) fn standing(&self) -> Standing {
        self.health.standing("p", &format!("sip:{A}")).expect("it is there")
    }

    pub(super) fn state(&self) -> State {
        self.standing().state
    }

    pub(super) fn reason(&self) -> String {
        self.health.view(self.now).pools[0].backends[0].reason.clone()
    }

    /// `from>to: reason` of what happened since the last time.
    pub(super) fn changes(&mut self) -> Vec<String> {
        let changes = self.health.take_changes();
        changes.iter().map(|c| format!("{}>{}: {}", c.from, c.to, c.reason)).collect()
    }

    /// In the state that two failures in a row lead to.
    pub(super) fn dead(change: impl FnOnce(&mut PoolSpec)) -> Self {
        let mut bench = Self::one(change);
        bench.unanswered();
        bench.unanswered();
        assert_eq!(bench.state(), State::Inactive);
        bench.changes();
        bench
    }
}
