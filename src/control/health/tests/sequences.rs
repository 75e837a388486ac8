//! Any sequence of events keeps what is promised, compared with a plain count of failures.

use proptest::prelude::*;

use super::*;

const B: &str = "10.0.0.2:5060";

#[derive(Debug, Clone)]
enum Event {
    Pass(u64),
    /// Answers the oldest open probe, from its address or from another one.
    Answer(u16, u32, bool),
    Unreachable(bool),
    Silent(bool),
    Busy(bool, u32),
    Disable(bool),
    Enable(bool),
    Drain(bool),
    Reload(u8),
    Lose,
}

fn event() -> impl Strategy<Value = Event> {
    let status = prop::sample::select(vec![100_u16, 200, 404, 408, 500, 503, 603]);
    let seconds = prop::sample::select(vec![0_u32, 1, 30, 100_000]);
    prop_oneof![
        6 => (0..4_000_000_u64).prop_map(Event::Pass),
        6 => (status, seconds.clone(), prop::bool::weighted(0.9))
            .prop_map(|(status, after, own)| Event::Answer(status, after, own)),
        2 => any::<bool>().prop_map(Event::Unreachable),
        1 => any::<bool>().prop_map(Event::Silent),
        1 => (any::<bool>(), seconds).prop_map(|(first, seconds)| Event::Busy(first, seconds)),
        1 => any::<bool>().prop_map(Event::Disable),
        1 => any::<bool>().prop_map(Event::Enable),
        1 => any::<bool>().prop_map(Event::Drain),
        1 => (0..6_u8).prop_map(Event::Reload),
        1 => Just(Event::Lose),
    ]
}

/// Configurations that a reload may bring: with and without probes, backends, slow start.
fn configuration(number: u8) -> Vec<PoolSpec> {
    let mut first = pool("p", if number & 1 == 0 { &[A, B] } else { &[A] });
    if number >= 4 {
        first.probe = None;
    }
    if let Some(probe) = &mut first.probe {
        probe.fall = 3;
        probe.alive = if number & 2 == 0 { Alive::Default } else { Alive::FreeSwitch };
    }
    first.slow_start_us = u64::from(number & 2) * SECOND;
    vec![first, pool("q", &[A])]
}

struct Run {
    health: Health,
    now: Now,
    transactions: u64,
    open: Vec<(u64, SocketAddr)>,
}

impl Run {
    fn poll(&mut self) {
        let mut turns = 0;
        while let Some(probe) = self.health.poll(self.now) {
            self.transactions += 1;
            self.health.sent(probe.target, self.transactions);
            self.open.push((self.transactions, probe.address));
            turns += 1;
            assert!(turns <= 3, "one probe for each target");
        }
        if let Some(next) = self.health.next_due() {
            assert!(next > self.now, "{next:?} at {:?}", self.now);
        }
    }

    fn pass(&mut self, us: u64) {
        let end = Now(self.now.0 + us);
        while let Some(next) = self.health.next_due().filter(|next| *next <= end) {
            self.now = next;
            self.poll();
        }
        self.now = end;
    }

    fn happen(&mut self, event: &Event) {
        let now = self.now;
        let at = |first: bool| address(if first { A } else { B });
        let name = |first: bool| format!("sip:{}", at(first));
        match *event {
            Event::Pass(us) => self.pass(us),
            Event::Answer(status, after, own) => {
                if self.open.is_empty() {
                    return;
                }
                let (transaction, from) = self.open.remove(0);
                let from = if own { from } else { address("10.9.9.9:5060") };
                self.health.on_reply(now, transaction, from, status, after);
            }
            Event::Unreachable(first) => self.health.on_unreachable(now, at(first)),
            Event::Silent(first) => self.health.on_silence(now, at(first), 3, now),
            Event::Busy(first, seconds) => self.health.on_busy(now, at(first), seconds),
            // A backend that has just left is unknown, and that is told.
            Event::Disable(first) => drop(self.health.disable("p", &name(first), now, "ann")),
            Event::Enable(first) => drop(self.health.enable("p", &name(first), now, "ann")),
            Event::Drain(first) => drop(self.health.drain("p", &name(first), "ann")),
            Event::Reload(number) => self.health.adopt(now, &configuration(number)),
            Event::Lose => self.open.clear(),
        }
    }

    fn check(&self) {
        let view = self.health.view(self.now);
        let count: usize = view.pools.iter().map(|pool| pool.backends.len()).sum();
        assert_eq!(self.health.targets.len(), count);
        assert!(self.health.by_transaction.len() <= view.outstanding);
        assert!(view.outstanding <= count);
        for backend in view.pools.iter().flat_map(|pool| &pool.backends) {
            assert!(backend.probes.len() <= PROBES_KEPT);
            let usable = matches!(backend.state, State::Active | State::Trying);
            assert_eq!(backend.takes_new, usable && !backend.draining && !backend.busy);
            assert!(!backend.down || backend.state == State::Inactive);
            let ended = backend.counts.good + backend.counts.full + backend.counts.bad;
            assert!(ended + backend.counts.timeouts <= backend.counts.probes);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn promises_hold_whatever_happens(events in prop::collection::vec(event(), 1..200)) {
        let mut health = Health::new(11);
        health.adopt(Now(0), &configuration(0));
        let mut run = Run { health, now: Now(0), transactions: 0, open: Vec::new() };
        for event in &events {
            let before: Vec<(String, State)> = states(&run);
            run.poll();
            run.health.take_changes();
            run.happen(event);
            let by_hand = matches!(event, Event::Disable(_) | Event::Enable(_));
            for change in run.health.take_changes() {
                if change.from == State::Disabled && change.to != State::Disabled {
                    prop_assert!(by_hand, "{change:?} by {event:?}");
                }
                if change.to == State::Inactive && change.from != State::Inactive && !by_hand {
                    let failures = failures(&run, &change.pool, &change.backend);
                    let fall = if &*change.pool == "p" { 3 } else { 2 };
                    prop_assert!(failures.is_none_or(|failures| failures >= fall), "{change:?}");
                }
                if change.from == State::Inactive && change.to == State::Active {
                    let good = matches!(change.reason, Reason::Recovered(2) | Reason::ProbingOff);
                    prop_assert!(good || by_hand, "{change:?}");
                }
            }
            if !by_hand {
                let after = states(&run);
                for (name, state) in before {
                    let now = after.iter().find(|(other, _)| *other == name);
                    let kept = now.is_none_or(|(_, now)| *now == State::Disabled);
                    prop_assert!(state != State::Disabled || kept, "{name} by {event:?}");
                }
            }
            run.check();
        }
    }
}

fn states(run: &Run) -> Vec<(String, State)> {
    let all = run.health.targets.values();
    all.map(|target| (format!("{} {}", target.pool, target.identity), target.state)).collect()
}

/// Failures since the last good answer; none when it is no longer there.
fn failures(run: &Run, pool: &str, backend: &str) -> Option<u32> {
    let found = run.health.targets.values();
    let mut found = found.filter(|t| *t.pool == *pool && *t.identity == *backend);
    found.next().map(|target| target.failures)
}
