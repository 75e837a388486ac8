//! What the metrics say of traces: what each sink got and what it lost.
//!
//! Owns: names and labels. What the shards could not copy in time is a counter of theirs.

use std::fmt;

use super::Writer;
use crate::trace::TraceCounts;

/// All sinks, whether they are configured or not: a dashboard finds them.
pub(super) fn write(w: &mut Writer<'_>, counts: &TraceCounts) -> fmt::Result {
    let TraceCounts { hep_sent, hep_lost, captured, decisions, file_errors } = *counts;
    let name = "sipedge_trace_records_total";
    w.family(name, "counter", "Records of [trace], by where they went.")?;
    for (sink, count) in [("hep", hep_sent), ("pcap", captured), ("decisions", decisions)] {
        w.sample(name, &[("sink", &sink)], count)?;
    }
    let name = "sipedge_trace_records_lost_total";
    w.family(
        name,
        "counter",
        "Records that were not written: the HEP sink's socket or a file refused them.",
    )?;
    for (sink, count) in [("hep", hep_lost), ("file", file_errors)] {
        w.sample(name, &[("sink", &sink)], count)?;
    }
    Ok(())
}
