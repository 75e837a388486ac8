//! What control makes of soft evidence: a 503 with Retry-After that a backend sent on, whoever made it.
//!
//! Owns: the real state machine of health, which hears what the edges report, and probes that every living backend
//! answers well. Deaths are the business of `control.rs`: here a backend that does not live is not asked.

use std::net::SocketAddr;

use sipedge::control::health::{
    BackendSpec, Declared, EASED_MAX_PERCENT, Health, PoolSpec, Settings,
};
use sipedge::sip::Now;

use super::control::Shape;
use super::effects::SECOND_US;
use super::invariants::{Invariant, Judged, must};
use super::plan::Plan;
use super::world::{Event, World};

/// The share of a backend that takes all its keys.
const WHOLE: u32 = 65_536;
/// How long a probe and its answer take.
const PROBE_US: u64 = 5_000;

/// What is believed of the backends.
pub(crate) struct Soft {
    health: Health,
    probes: u64,
    revision: u64,
    /// When control wakes up next.
    wakes_at: Option<u64>,
}

impl Soft {
    pub(crate) fn new(plan: &Plan, seed: u64) -> Self {
        let mut health = Health::new(seed);
        let in_pool = plan.backends - usize::from(plan.is_split);
        health.adopt(Now(0), &[spec("pool", 0..in_pool), spec("last", in_pool..plan.backends)]);
        let revision = health.revision();
        Self { health, probes: 0, revision, wakes_at: None }
    }
}

fn spec(name: &str, backends: std::ops::Range<usize>) -> PoolSpec {
    let backend = |index: usize| BackendSpec {
        identity: index.to_string(),
        uri: format!("sip:{}", Plan::backend(index)),
        address: Plan::backend(index),
        from: None,
        probed: true,
        declared: Declared::Active,
    };
    PoolSpec {
        name: name.to_owned(),
        probe: Some(Settings::default()),
        slow_start_us: 0,
        match_source_ip: false,
        eased_max_percent: EASED_MAX_PERCENT,
        backends: backends.map(backend).collect(),
    }
}

impl World {
    /// An edge reports that this backend said 503 with Retry-After.
    pub(crate) fn soft_evidence(&mut self, backend: SocketAddr, seconds: u32) -> Judged {
        self.ledger.count("503 with Retry-After reported");
        self.soft.health.on_busy(Now(self.now), backend, seconds);
        self.soft_due()
    }

    /// Sends the probes that are due; what is believed becomes a version of the pool.
    pub(crate) fn soft_due(&mut self) -> Judged {
        while let Some(probe) = self.soft.health.poll(Now(self.now)) {
            let lives = |node: &super::backend::BackendNode| {
                node.is_up && node.agent.address == probe.address
            };
            if !self.backends.iter().any(lives) {
                self.soft.health.not_sent(probe.target, Now(self.now));
                continue;
            }
            self.soft.probes += 1;
            let number = self.soft.probes;
            self.soft.health.sent(probe.target, number);
            self.at(self.now + PROBE_US, Event::ProbeAnswered(number, probe.address));
        }
        self.soft_wake();
        self.soft_believed()
    }

    pub(crate) fn probe_answered(&mut self, number: u64, backend: SocketAddr) -> Judged {
        self.soft.health.on_reply(Now(self.now), number, backend, 200, 0);
        self.soft_due()
    }

    fn soft_wake(&mut self) {
        // When nothing new is begun, nobody needs to be asked any more: the world comes to its end.
        let next = self.soft.health.next_due().filter(|next| next.0 < super::world::ACTIONS_END_US);
        let next = next.map(|next| next.0.max(self.now + 1));
        if next.is_some() && next != self.soft.wakes_at {
            self.soft.wakes_at = next;
            next.into_iter().for_each(|next| self.at(next, Event::Soft));
        }
    }

    fn soft_believed(&mut self) -> Judged {
        let revision = self.soft.health.revision();
        if std::mem::replace(&mut self.soft.revision, revision) == revision {
            return Ok(());
        }
        let (mut busy, mut eased) = (Vec::new(), Vec::new());
        for index in 0..self.plan.backends {
            let is_last = self.plan.is_split && index == self.plan.backends - 1;
            let pool = if is_last { "last" } else { "pool" };
            let known = self.soft.health.standing(pool, &index.to_string());
            let Some(standing) = known else { continue };
            if !standing.takes_new {
                busy.push(index);
            }
            let share = standing.share(Now(self.now));
            if share < WHOLE {
                self.ledger.count("share lowered by soft evidence");
                eased.push((index, u16::try_from(share).unwrap_or(u16::MAX)));
            }
        }
        self.reshape(SECOND_US / 5, |shape| {
            shape.busy = busy.into_iter().collect();
            shape.eased = eased.into_iter().collect();
        });
        let shape = self.shape();
        must(has_choice(&shape), Invariant::SoftEvidence, || {
            format!("backends that answer their probes are left, and none is usable: {shape:?}")
        })
    }
}

/// A member that is not known to be dead, or drained, may be given new keys.
fn has_choice(shape: &Shape) -> bool {
    let alive = Shape { busy: Default::default(), ..shape.clone() };
    let any = |shape: &Shape| shape.members.iter().any(|(member, _)| shape.is_usable(*member));
    any(shape) || !any(&alive)
}
