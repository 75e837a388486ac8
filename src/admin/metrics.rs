//! `/metrics`: the counters of the shards as Prometheus text (exposition format 0.0.4).
//!
//! Owns: names, labels and bucket bounds. Every series that can be named beforehand stands there from the start with
//! 0, so that a dashboard and an alert see a drop reason before it happens. Times are seconds.

use std::fmt::{self, Display, Write};

use crate::control::event::Scrape;
use crate::control::view;
use crate::datapath::Snapshot;
use crate::datapath::counters::{Counters, VERDICTS};
use crate::sip::DropReason;
use crate::sip::message::Method;

mod fleet;
mod traces;
mod traffic;

pub use traffic::{BackendLabels, PoolLabels, Use};

/// The names of what is counted, in the order of the table.
#[derive(Debug, Clone, Default)]
pub struct Labels {
    /// The name of the node.
    pub node: String,
    /// The names of the listeners.
    pub listeners: Vec<String>,
    /// The pools.
    pub pools: Vec<PoolLabels>,
    /// How many rules there are; they have no names but their place, from 1.
    pub rules: usize,
}

impl Labels {
    /// The names of what `node` counts.
    #[must_use]
    pub fn new(node: &view::Node) -> Self {
        Self {
            node: node.name.clone(),
            listeners: node.listeners.iter().map(|listener| listener.name.clone()).collect(),
            pools: node.pools.iter().map(PoolLabels::new).collect(),
            rules: node.routes.len(),
        }
    }
}

/// Upper bounds of the latency buckets, in microseconds.
pub(super) const LATENCY_BUCKETS_US: [u64; 16] = [
    10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000,
    500_000, 1_000_000,
];

/// The whole page; `streams` event streams are open.
#[must_use]
pub fn page(scrape: &Scrape, draining: bool, streams: usize) -> String {
    let mut out = String::with_capacity(32 << 10);
    let mut writer = Writer { out: &mut out };
    write_all(&mut writer, &Labels::new(&scrape.view), draining, &scrape.snapshot)
        .and_then(|()| fleet::write(&mut writer, &scrape.view, streams))
        .and_then(|()| traces::write(&mut writer, &scrape.traces))
        .expect("writing to a string cannot fail");
    out
}

fn write_all(
    w: &mut Writer<'_>,
    labels: &Labels,
    draining: bool,
    snapshot: &Snapshot,
) -> fmt::Result {
    let (shards, sum) = (&snapshot.shards, snapshot.merged());
    w.family("sipedge_build_info", "gauge", "What runs; always 1.")?;
    let version = env!("CARGO_PKG_VERSION");
    w.sample("sipedge_build_info", &[("node", &labels.node), ("version", &version)], 1)?;
    w.family("sipedge_shards", "gauge", "Shards that run.")?;
    w.sample("sipedge_shards", &[], shards.len())?;
    w.family("sipedge_draining", "gauge", "1 while the node ends its work.")?;
    w.sample("sipedge_draining", &[], u8::from(draining))?;
    messages(w, &sum)?;
    rules(w, labels.rules, &sum)?;
    traffic::write(w, &labels.pools, &sum.traffic)?;
    responses(w, &sum)?;
    for shard in SHARD_COUNTERS {
        w.family(shard.name, "counter", shard.help)?;
        for (index, counters) in shards.iter().enumerate() {
            w.sample(shard.name, &[("shard", &index)], (shard.read)(counters))?;
        }
    }
    let name = "sipedge_held";
    w.family(
        name,
        "gauge",
        "Requests that are held for failover at this moment; [limits] held_max bounds them.",
    )?;
    for (index, counters) in shards.iter().enumerate() {
        w.sample(name, &[("shard", &index)], counters.held_now)?;
    }
    steering(w, &labels.listeners, snapshot)?;
    latency(w, shards)
}

/// A counter that is shown for each shard.
struct ShardCounter {
    name: &'static str,
    help: &'static str,
    read: fn(&Counters) -> u64,
}

const SHARD_COUNTERS: [ShardCounter; 23] = [
    ShardCounter {
        name: "sipedge_received_total",
        help: "Datagrams read from sockets.",
        read: |c| c.received,
    },
    ShardCounter {
        name: "sipedge_received_bytes_total",
        help: "Bytes of them.",
        read: |c| c.received_bytes,
    },
    ShardCounter {
        name: "sipedge_sent_total",
        help: "Messages handed to the kernel to send.",
        read: |c| c.sent,
    },
    ShardCounter {
        name: "sipedge_control_sent_total",
        help: "Probes handed to the kernel to send; their answers are received and absorbed.",
        read: |c| c.control_sent,
    },
    ShardCounter {
        name: "sipedge_hops_total",
        help: "Messages that this shard sent over to the shard that owns them.",
        read: |c| c.hops_out,
    },
    ShardCounter {
        name: "sipedge_hops_received_total",
        help: "Messages that came over from another shard.",
        read: |c| c.hops_in,
    },
    ShardCounter {
        name: "sipedge_receive_buffers_exhausted_total",
        help: "Times that the ring had no receive buffer left; raise receive_buffers.",
        read: |c| c.buffers_exhausted,
    },
    ShardCounter {
        name: "sipedge_receive_errors_total",
        help: "Receive calls that failed.",
        read: |c| c.receive_errors,
    },
    ShardCounter {
        name: "sipedge_icmp_errors_total",
        help: "ICMP errors that our datagrams brought back.",
        read: |c| c.icmp_errors,
    },
    ShardCounter {
        name: "sipedge_reports_lost_total",
        help: "Observations about backends that control did not take in time.",
        read: |c| c.reports_lost,
    },
    ShardCounter {
        name: "sipedge_traces_lost_total",
        help: "Messages that were to be traced and were not: the writer of the traces came not after.",
        read: |c| c.traces_lost,
    },
    ShardCounter {
        name: "sipedge_socket_drops_total",
        help: "Datagrams that the kernel dropped before us; raise socket_buffer_bytes.",
        read: |c| c.socket_drops,
    },
    ShardCounter {
        name: "sipedge_transactions_evicted_total",
        help: "Recent transactions forgotten early because their table was full; raise transactions_max.",
        read: |c| c.transactions_evicted,
    },
    ShardCounter {
        name: "sipedge_held_total",
        help: "Requests that were held for failover.",
        read: |c| c.hold.held,
    },
    ShardCounter {
        name: "sipedge_held_refused_total",
        help: "Requests that went without failover: too many were held, or too large; raise held_max or held_bytes_max.",
        read: |c| c.hold.refused,
    },
    ShardCounter {
        name: "sipedge_failed_over_total",
        help: "Held requests that were sent on to a further backend.",
        read: |c| c.hold.failed_over,
    },
    ShardCounter {
        name: "sipedge_failover_given_up_total",
        help: "Backends that were given up for a held request because they were silent.",
        read: |c| c.hold.given_up,
    },
    ShardCounter {
        name: "sipedge_failover_cancelled_total",
        help: "CANCELs to backends that were given up.",
        read: |c| c.hold.cancelled,
    },
    ShardCounter {
        name: "sipedge_failover_answered_total",
        help: "Callers that got 408 from the edge because no backend answered their held request.",
        read: |c| c.hold.answered,
    },
    ShardCounter {
        name: "sipedge_extras_total",
        help: "Messages made for held requests: to further backends, repeated, ACK, CANCEL, 408; part of what is sent.",
        read: |c| c.extras,
    },
    ShardCounter {
        name: "sipedge_calls_uncounted_total",
        help: "Calls that kamailio:10 could not count, because too many were under way.",
        read: |c| c.calls_uncounted,
    },
    ShardCounter {
        name: "sipedge_answers_lost_total",
        help: "Answers to INVITEs that found no room: when their backend dies, another may ring; raise transactions_max.",
        read: |c| c.answers_lost,
    },
    ShardCounter {
        name: "sipedge_turns_total",
        help: "Turns of the shard's loop.",
        read: |c| c.turns,
    },
];

fn messages(w: &mut Writer<'_>, sum: &Counters) -> fmt::Result {
    let name = "sipedge_messages_total";
    w.family(
        name,
        "counter",
        "Messages by method (of the CSeq for responses) and what became of them.",
    )?;
    for method in Method::ALL {
        for (verdict, count) in VERDICTS.iter().zip(sum.messages[method.index()]) {
            w.sample(name, &[("method", &method.label()), ("verdict", verdict)], count)?;
        }
    }
    let name = "sipedge_dropped_total";
    w.family(name, "counter", "Messages that went nowhere, by reason.")?;
    for reason in DropReason::ALL {
        w.sample(name, &[("reason", &reason.label())], sum.dropped(reason))?;
    }
    Ok(())
}

fn rules(w: &mut Writer<'_>, rules: usize, sum: &Counters) -> fmt::Result {
    let name = "sipedge_rule_total";
    w.family(name, "counter", "Requests that matched a [[route]], by its place in the file.")?;
    for (place, count) in (1..=rules).zip(padded_counts(&sum.rules)) {
        w.sample(name, &[("rule", &place)], count)?;
    }
    Ok(())
}

fn padded_counts(counts: &[u64]) -> impl Iterator<Item = u64> {
    counts.iter().copied().chain(std::iter::repeat(0))
}

/// The classes of our own responses are there from the start, single statuses once they happened.
fn responses(w: &mut Writer<'_>, sum: &Counters) -> fmt::Result {
    let name = "sipedge_responses_total";
    w.family(
        name,
        "counter",
        "Responses by class: passed on from a backend or phone, or made by the edge.",
    )?;
    let mut own = [0_u64; 7];
    for (status, count) in sum.own_statuses() {
        own[usize::from(status / 100).min(6)] += count;
    }
    for (origin, classes) in [("backend", &sum.response_classes), ("edge", &own)] {
        for (class, count) in classes.iter().enumerate().skip(1) {
            let class = format_args!("{class}xx").to_string();
            w.sample(name, &[("class", &class), ("origin", &origin)], count)?;
        }
    }
    let name = "sipedge_own_responses_total";
    w.family(name, "counter", "Responses made by the edge, by status.")?;
    for (status, count) in sum.own_statuses() {
        w.sample(name, &[("status", &status)], count)?;
    }
    Ok(())
}

/// What the steering program went by; nothing where the kernel's own hash steers.
fn steering(w: &mut Writer<'_>, listeners: &[String], snapshot: &Snapshot) -> fmt::Result {
    let name = "sipedge_steered_total";
    w.family(name, "counter", "Datagrams that the eBPF program steered, by what it went by.")?;
    for (listener, picks) in listeners.iter().zip(&snapshot.picks) {
        let Some(picks) = picks else { continue };
        let by = [
            ("mark", picks.mark),
            ("call_id", picks.call_id),
            ("none", picks.none),
            ("refused", picks.refused),
        ];
        for (by, count) in by {
            w.sample(name, &[("listener", listener), ("by", &by)], count)?;
        }
    }
    Ok(())
}

fn latency(w: &mut Writer<'_>, shards: &[Box<Counters>]) -> fmt::Result {
    let name = "sipedge_latency_seconds";
    w.family(
        name,
        "histogram",
        "From the turn that reads a message to the system call that sends it.",
    )?;
    for (shard, counters) in shards.iter().enumerate() {
        let histogram = &counters.latency_us;
        for bound_us in LATENCY_BUCKETS_US {
            let count = histogram.count_between(0, bound_us);
            let bound = seconds(bound_us);
            w.sample(
                "sipedge_latency_seconds_bucket",
                &[("shard", &shard), ("le", &bound)],
                count,
            )?;
        }
        let count = histogram.len();
        w.sample("sipedge_latency_seconds_bucket", &[("shard", &shard), ("le", &"+Inf")], count)?;
        let sum = histogram.iter_recorded().fold(0.0, |sum, at| {
            sum + seconds(at.value_iterated_to()) * at.count_at_value() as f64
        });
        w.sample("sipedge_latency_seconds_sum", &[("shard", &shard)], sum)?;
        w.sample("sipedge_latency_seconds_count", &[("shard", &shard)], count)?;
    }
    Ok(())
}

fn seconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1e6
}

/// Writes families and samples.
struct Writer<'a> {
    out: &'a mut String,
}

impl Writer<'_> {
    fn family(&mut self, name: &str, kind: &str, help: &str) -> fmt::Result {
        writeln!(self.out, "# HELP {name} {help}\n# TYPE {name} {kind}")
    }

    fn sample(
        &mut self,
        name: &str,
        labels: &[(&str, &dyn Display)],
        value: impl Display,
    ) -> fmt::Result {
        self.out.write_str(name)?;
        for (index, (label, text)) in labels.iter().enumerate() {
            let open = if index == 0 { '{' } else { ',' };
            write!(self.out, "{open}{label}=\"{}\"", escaped(&text.to_string()))?;
        }
        let close = if labels.is_empty() { "" } else { "}" };
        writeln!(self.out, "{close} {value}")
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests;
