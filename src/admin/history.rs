//! The last minutes in seconds: what was received, sent, dropped, how fast, and who got it.
//!
//! Owns: a ring of [`SAMPLES_KEPT`] samples, and how a sample is made of two readings of the counters. Counters that go
//! back (another table, another node) count as nothing for that second. Times are those of the node.

use std::collections::{HashMap, VecDeque};

use serde::Serialize;

use super::metrics::LATENCY_BUCKETS_US;
use crate::control::event::Scrape;
use crate::control::view::{self, Traffic};
use crate::datapath::counters::Counters;
use crate::datapath::traffic::BackendTraffic;
use crate::sip::DropReason;

/// Samples that are kept: five minutes.
pub(super) const SAMPLES_KEPT: usize = 300;
/// Backends whose requests are kept by second; further ones have totals only.
const BACKENDS_KEPT: usize = 4_096;
/// Seconds that a rate is the mean of.
const RATE_SECONDS: usize = 5;
/// Seconds that "just now" means, for who waits until a backend is quiet.
const RECENT_SECONDS: usize = 10;
/// Latencies are counted up to each bound, and above the last.
const BUCKETS: usize = LATENCY_BUCKETS_US.len() + 1;

/// One second.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Sample {
    /// Its end.
    pub(super) at_ms: u64,
    /// How long it was, really.
    seconds: f64,
    /// Datagrams per second.
    received_per_second: f64,
    /// Messages per second.
    sent_per_second: f64,
    /// Drops per second.
    dropped_per_second: f64,
    /// Messages sent, by how long they took: up to each bound, and above.
    latency_counts: Vec<u64>,
    /// Requests by the number of a backend's counters.
    #[serde(skip)]
    requests: HashMap<u32, u64>,
}

/// The samples, and what the next one is compared with.
#[derive(Debug, Default)]
pub(super) struct History {
    samples: VecDeque<Sample>,
    last: Option<Reading>,
}

/// The counters at a moment.
#[derive(Debug, Clone, Default)]
struct Reading {
    uptime_ms: u64,
    received: u64,
    sent: u64,
    drops: Vec<u64>,
    shards: Vec<(u64, u64)>,
    latency: Vec<u64>,
    backends: HashMap<u32, BackendTraffic>,
}

/// The drops of one reason.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Drops {
    reason: &'static str,
    total: u64,
    per_second: f64,
}

/// A shard.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Shard {
    shard: usize,
    received: u64,
    received_per_second: f64,
    sent: u64,
    sent_per_second: f64,
    hops_out: u64,
    hops_in: u64,
    socket_drops: u64,
    buffers_exhausted: u64,
    /// Requests that are held for failover now.
    held: u64,
    turns: u64,
    latency_us: Quantiles,
}

/// Of all messages since the start, in microseconds.
#[derive(Debug, Clone, Serialize)]
struct Quantiles {
    p50: u64,
    p99: u64,
    p999: u64,
    most: u64,
}

/// What a reading says beside the sample that it makes.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Totals {
    pub(super) drops: Vec<Drops>,
    pub(super) shards: Vec<Shard>,
}

/// The samples as the API shows them.
#[derive(Debug, Serialize)]
pub(super) struct Rates<'a> {
    interval_ms: u64,
    latency_bounds_us: &'static [u64],
    samples: Vec<&'a Sample>,
    backends: Vec<Series<'a>>,
}

/// Requests per second to a backend, one for each sample.
#[derive(Debug, Serialize)]
struct Series<'a> {
    pool: &'a str,
    uri: &'a str,
    requests_per_second: Vec<f64>,
}

impl History {
    /// Takes in a reading: the totals with their rates. A sample is kept from the second reading on.
    pub(super) fn take(&mut self, scrape: &Scrape) -> Totals {
        let sum = scrape.snapshot.merged();
        let reading = Reading::new(scrape, &sum);
        let before = self.last.take().unwrap_or_else(|| reading.clone());
        let seconds = reading.uptime_ms.saturating_sub(before.uptime_ms) as f64 / 1e3;
        let rate = |now: u64, before: u64| per_second(now.saturating_sub(before), seconds);
        let drops = DropReason::ALL.iter().zip(reading.drops.iter().zip(&before.drops));
        let shards = scrape.snapshot.shards.iter().enumerate();
        let totals = Totals {
            drops: drops
                .map(|(reason, (&now, &before))| Drops {
                    reason: reason.label(),
                    total: now,
                    per_second: rate(now, before),
                })
                .collect(),
            shards: shards
                .map(|(index, counters)| {
                    let (received, sent) = before.shards.get(index).copied().unwrap_or_default();
                    Shard::new(
                        index,
                        counters,
                        rate(counters.received, received),
                        rate(counters.sent, sent),
                    )
                })
                .collect(),
        };
        if seconds > 0.0 {
            if self.samples.len() == SAMPLES_KEPT {
                self.samples.pop_front();
            }
            self.samples.push_back(reading.since(&before, scrape.view.at_ms, seconds));
        }
        self.last = Some(reading);
        totals
    }

    /// The newest sample.
    pub(super) fn newest(&self) -> Option<&Sample> {
        self.samples.back()
    }

    /// The samples, with those of the backends that `node` has.
    pub(super) fn rates<'a>(&'a self, node: &'a view::Node) -> Rates<'a> {
        let all = node
            .pools
            .iter()
            .flat_map(|pool| pool.backends.iter().map(move |backend| (pool, backend)));
        let series = all.take(BACKENDS_KEPT).map(|(pool, backend)| Series {
            pool: &pool.name,
            uri: &backend.uri,
            requests_per_second: self.samples.iter().map(|s| s.rate(backend.meter)).collect(),
        });
        Rates {
            interval_ms: 1_000,
            latency_bounds_us: &LATENCY_BUCKETS_US,
            samples: self.samples.iter().collect(),
            backends: series.collect(),
        }
    }

    /// Writes into `node` what its backends get.
    pub(super) fn fill(&self, node: &mut view::Node) {
        for pool in &mut node.pools {
            for backend in &mut pool.backends {
                backend.traffic = Some(self.traffic(backend.meter));
            }
            for leaving in &mut pool.leaving {
                leaving.traffic = Some(self.traffic(leaving.meter));
            }
        }
    }

    fn traffic(&self, meter: u32) -> Traffic {
        let newest = |count: usize| self.samples.iter().rev().take(count);
        let requests = |count: usize| newest(count).map(|s| s.requests_of(meter)).sum::<u64>();
        let seconds: f64 = newest(RATE_SECONDS).map(|sample| sample.seconds).sum();
        let counted = self.last.as_ref().and_then(|last| last.backends.get(&meter));
        let counted = counted.copied().unwrap_or_default();
        Traffic {
            requests: counted.requests,
            responses: counted.responses.iter().sum(),
            failures: counted.responses.iter().skip(5).sum(),
            requests_per_second: per_second(requests(RATE_SECONDS), seconds),
            requests_recent: requests(RECENT_SECONDS),
        }
    }
}

impl Reading {
    fn new(scrape: &Scrape, sum: &Counters) -> Self {
        Self {
            uptime_ms: scrape.view.uptime_ms,
            received: sum.received,
            sent: sum.sent,
            drops: DropReason::ALL.iter().map(|&reason| sum.dropped(reason)).collect(),
            shards: scrape.snapshot.shards.iter().map(|c| (c.received, c.sent)).collect(),
            latency: buckets(sum),
            backends: by_meter(&scrape.view, sum),
        }
    }

    fn since(&self, before: &Self, at_ms: u64, seconds: f64) -> Sample {
        let more = |now: u64, before: u64| now.saturating_sub(before);
        let dropped = |reading: &Self| reading.drops.iter().sum::<u64>();
        let latency = self.latency.iter().zip(&before.latency);
        let backends = self.backends.iter().take(BACKENDS_KEPT);
        Sample {
            at_ms,
            seconds,
            received_per_second: per_second(more(self.received, before.received), seconds),
            sent_per_second: per_second(more(self.sent, before.sent), seconds),
            dropped_per_second: per_second(more(dropped(self), dropped(before)), seconds),
            latency_counts: latency.map(|(&now, &before)| more(now, before)).collect(),
            requests: backends
                .map(|(&meter, now)| {
                    (meter, more(now.requests, before.requests_of(meter, now.requests)))
                })
                .filter(|&(_, count)| count > 0)
                .collect(),
        }
    }
}

impl Reading {
    /// Who is new was counted from zero on, or had a life before that is not this second's.
    fn requests_of(&self, meter: u32, unknown: u64) -> u64 {
        self.backends.get(&meter).map_or(unknown, |backend| backend.requests)
    }
}

impl Sample {
    fn requests_of(&self, meter: u32) -> u64 {
        self.requests.get(&meter).copied().unwrap_or_default()
    }

    fn rate(&self, meter: u32) -> f64 {
        per_second(self.requests_of(meter), self.seconds)
    }
}

impl Shard {
    fn new(
        shard: usize,
        counters: &Counters,
        received_per_second: f64,
        sent_per_second: f64,
    ) -> Self {
        let latency = &counters.latency_us;
        Self {
            shard,
            received: counters.received,
            received_per_second,
            sent: counters.sent,
            sent_per_second,
            hops_out: counters.hops_out,
            hops_in: counters.hops_in,
            socket_drops: counters.socket_drops,
            buffers_exhausted: counters.buffers_exhausted,
            held: counters.held_now,
            turns: counters.turns,
            latency_us: Quantiles {
                p50: latency.value_at_quantile(0.5),
                p99: latency.value_at_quantile(0.99),
                p999: latency.value_at_quantile(0.999),
                most: latency.max(),
            },
        }
    }
}

/// To one decimal: what is shown is read by people, and sent to many.
fn per_second(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { (count as f64 / seconds * 10.0).round() / 10.0 } else { 0.0 }
}

/// How many messages took how long: not cumulative, the last one is above all bounds.
fn buckets(sum: &Counters) -> Vec<u64> {
    let mut counts = vec![0; BUCKETS];
    for at in sum.latency_us.iter_recorded() {
        let place = LATENCY_BUCKETS_US.partition_point(|&bound| bound < at.value_iterated_to());
        counts[place.min(BUCKETS - 1)] += at.count_at_value();
    }
    counts
}

/// What each backend of `node` got and gave, by the number of its counters; those that leave among them.
fn by_meter(node: &view::Node, sum: &Counters) -> HashMap<u32, BackendTraffic> {
    let meters = node.pools.iter().flat_map(|pool| {
        let leaving = pool.leaving.iter().map(|leaving| leaving.meter);
        pool.backends.iter().map(|backend| backend.meter).chain(leaving)
    });
    let counted = |meter: u32| sum.traffic.backends.get(usize::try_from(meter).ok()?).copied();
    meters.map(|meter| (meter, counted(meter).unwrap_or_default())).collect()
}

#[cfg(test)]
mod tests;
