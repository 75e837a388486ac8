//! Probes on their way out, and what health says on its way into the table.
//!
//! Owns: which listener and which shard send a probe, and the translation between health and fleet. States are health's.

use tracing::warn;

use super::Node;
use crate::control::fleet::{Member, Pool, SHARE_ALL, Standing};
use crate::control::health::{BackendSpec, Health, PoolSpec, Probe};
use crate::datapath::Outgoing;
use crate::sip::Now;
use crate::sip::probe as sip_probe;

use super::silence::Count;

impl Node {
    /// Sends what is due.
    pub(super) fn send_probes(&mut self, now: Now) {
        while let Some(probe) = self.health.poll(now) {
            match self.send_probe(&probe) {
                Ok(transaction) => self.health.sent(probe.target, transaction),
                Err(why) => {
                    warn!("pool {}: a probe of {} was not sent: {why}", probe.pool, probe.uri);
                    self.health.not_sent(probe.target, now);
                }
            }
        }
    }

    fn send_probe(&mut self, probe: &Probe) -> Result<u64, String> {
        let pool = self.config.pools.iter().find(|pool| pool.name == *probe.pool);
        let listener = pool.and_then(|pool| self.config.probe_listener(pool, probe.address));
        let listener = listener.ok_or("no unicast listener reaches it")?;
        // All through one shard: they are few, and their order is kept.
        let shard = 0;
        let request = probe.request(listener, shard);
        let mut bytes = Vec::new();
        let transaction = sip_probe::write(&self.table, &request, &mut bytes);
        let decision = sip_probe::decision(&request, transaction);
        let outgoing = Outgoing { listener, destination: probe.address, decision, bytes };
        self.shards.send(usize::from(shard), outgoing).map_err(|error| error.to_string())?;
        Ok(transaction)
    }

    /// Tells health who got requests and said nothing.
    pub(super) fn listen_for_silence(&mut self, now: Now) {
        let Ok(snapshot) = self.snapshot() else { return };
        let sum = snapshot.merged();
        for pool in self.fleet.pools() {
            for member in &pool.members {
                let place = usize::try_from(member.meter).unwrap_or(usize::MAX);
                let Some(traffic) = sum.traffic.backends.get(place) else { continue };
                let responses = traffic.responses.iter().sum();
                let count = Count { requests: traffic.requests, responses };
                let silence = self.silence.look(member.meter, count, now);
                // Nothing answers an ACK: those alone are no silence.
                let waits = traffic.last_request > traffic.last_response;
                if let Some((requests, since)) = silence.filter(|_| waits) {
                    self.health.on_silence(now, member.of.address, requests, since);
                }
            }
        }
    }
}

/// What is to be probed.
pub(super) fn specs(pools: &[Pool]) -> Vec<PoolSpec> {
    let spec = |pool: &Pool| PoolSpec {
        name: pool.config.name.clone(),
        probe: pool.config.probe.clone(),
        slow_start_us: u64::from(pool.config.slow_start_s) * 1_000_000,
        match_source_ip: pool.config.match_source_ip,
        eased_max_percent: pool.config.eased_max_percent,
        backends: pool.members.iter().map(backend_spec).collect(),
    };
    pools.iter().map(spec).collect()
}

fn backend_spec(member: &Member) -> BackendSpec {
    BackendSpec {
        identity: member.uri().to_owned(),
        uri: member.uri().to_owned(),
        address: member.of.address,
        from: member.config.ping_from.clone(),
        probed: member.config.probed,
        declared: member.config.declared,
    }
}

/// What a member may get.
pub(super) fn standing(health: &Health, pool: &Pool, member: &Member, now: Now) -> Standing {
    let Some(known) = health.standing(&pool.config.name, member.uri()) else {
        return Standing::declared(member);
    };
    let share = u16::try_from(known.share(now)).unwrap_or(SHARE_ALL);
    Standing { takes_new: known.takes_new, is_down: known.down, share }
}

/// How long a member takes to answer probes. Microseconds; none before its first answer.
pub(super) fn latency_us(health: &Health, pool: &Pool, member: &Member) -> Option<u32> {
    let estimate_us = health.standing(&pool.config.name, member.uri())?.latency_us?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a latency is not negative, and what is beyond an hour is an hour"
    )]
    let whole_us = estimate_us.min(3.6e9) as u32;
    Some(whole_us)
}
