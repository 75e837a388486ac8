//! The edge's own counters against what the other parties saw.
//!
//! Owns: which counter must be how large after a flow. It must not know which flow ran. The edge may publish its
//! counters a moment after the last message, so every check polls.

use std::net::SocketAddr;
use std::time::Duration;

use super::edge::Edge;
use super::ledger::{Ledger, Side, Way};
use super::metrics::Metrics;
use super::wait_until;

const PUBLISH_DEADLINE: Duration = Duration::from_secs(3);
/// Counters that stay zero when nothing goes wrong.
const QUIET: [&str; 4] = [
    "sipedge_dropped_total",
    "sipedge_receive_errors_total",
    "sipedge_receive_buffers_exhausted_total",
    "sipedge_socket_drops_total",
];

/// The counters before a flow; empty for the stand-in, which has none.
pub(crate) struct Before(Option<Metrics>);

impl Before {
    pub(crate) fn of(edge: &Edge) -> Self {
        Self(edge.metrics())
    }

    /// Whether the edge counted what phones and (SIPp) backends logged: all messages in and out, and each backend's
    /// requests.
    pub(crate) fn agrees(
        &self,
        edge: &Edge,
        ledger: &Ledger,
        backends: &[SocketAddr],
    ) -> Result<(), String> {
        self.until_ok(edge, |grown| {
            let total = |way| ledger.events.iter().filter(|e| e.way == way).count();
            let mut faults = Vec::new();
            let mut same = |name: &str, labels: &[&str], seen: usize| {
                let counted = grown(name, labels);
                if counted != seen as u64 {
                    faults.push(format!(
                        "{name}{labels:?} grew by {counted}, the parties saw {seen}"
                    ));
                }
            };
            same("sipedge_received_total", &[], total(Way::Sent));
            same("sipedge_sent_total", &[], total(Way::Received));
            for (index, address) in backends.iter().enumerate() {
                let party = format!("backend-{}", index + 1);
                let requests = ledger
                    .of(Side::Backend, Way::Received)
                    .filter(|e| e.party == party && e.name.status == 0)
                    .count();
                let label = format!("backend=\"sip:{address}\"");
                same("sipedge_backend_messages_total", &[&label], requests);
            }
            faults
        })
    }

    /// Whether every message that came in went out, once, and nothing was dropped.
    pub(crate) fn balanced(&self, edge: &Edge) -> Result<(), String> {
        self.until_ok(edge, |grown| {
            let (received, sent) =
                (grown("sipedge_received_total", &[]), grown("sipedge_sent_total", &[]));
            if received == sent && received > 0 {
                return Vec::new();
            }
            vec![format!("the edge received {received} messages and sent {sent}")]
        })
    }

    /// Whether nothing was dropped: neither by the edge nor by the kernel in front of its sockets.
    pub(crate) fn quiet(&self, edge: &Edge) -> Result<(), String> {
        self.until_ok(edge, |_| Vec::new())
    }

    /// Polls `faults`, which is given a function that says how much a counter has grown.
    fn until_ok(
        &self,
        edge: &Edge,
        faults: impl Fn(&dyn Fn(&str, &[&str]) -> u64) -> Vec<String>,
    ) -> Result<(), String> {
        let Some(before) = &self.0 else { return Ok(()) };
        let mut found = Vec::new();
        wait_until(PUBLISH_DEADLINE, || {
            let Some(after) = edge.metrics() else { return true };
            found = faults(&|name, labels| {
                after.sum(name, labels).saturating_sub(before.sum(name, labels))
            });
            for name in QUIET {
                if after.sum(name, &[]) != before.sum(name, &[]) {
                    found.extend(after.not_zero(name));
                }
            }
            found.is_empty()
        });
        if found.is_empty() { Ok(()) } else { Err(found.join("\n  ")) }
    }
}

/// Whether both shards had work, and with `ebpf` each message came to its shard at once.
pub(crate) fn steered(edge: &Edge, steering: &str) -> Result<(), String> {
    let Some(metrics) = edge.metrics() else { return Ok(()) };
    for shard in ["shard=\"0\"", "shard=\"1\""] {
        let from_sockets = metrics.sum("sipedge_received_total", &[shard]);
        // The kernel's own hash may give all flows to one shard; the Call-ID still spreads the calls.
        let from_shards = metrics.sum("sipedge_hops_received_total", &[shard]);
        if from_sockets + from_shards == 0 {
            return Err(format!("{shard} had nothing to do"));
        }
    }
    let hops = metrics.sum("sipedge_hops_total", &[]);
    if steering == "ebpf" && hops != 0 {
        return Err(format!("{hops} messages had to hop to another shard"));
    }
    if hops != metrics.sum("sipedge_hops_received_total", &[]) {
        return Err(format!("{hops} messages hopped, another number arrived"));
    }
    Ok(())
}
