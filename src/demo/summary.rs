//! The end of the demo: the summary in words and what the plot is drawn from.
//!
//! Owns: how results are put. What was promised and whether it held is decided elsewhere.

use std::fmt::Write as _;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::plot::{Figure, Point, duration_label};
use super::promises::{Evidence, Judgement, percent};
use super::tally::Tally;
use super::{Args, name_of};
use crate::datapath::counters::Counters;

/// The summary.
pub(super) fn text(
    tally: &Tally,
    evidence: &Evidence,
    counted: &Counters,
    judgements: &[Judgement],
    colored: bool,
) -> String {
    let mut out = String::new();
    write_text(&mut out, tally, evidence, counted, judgements, colored)
        .expect("writing to a string cannot fail");
    out
}

fn write_text(
    out: &mut String,
    tally: &Tally,
    evidence: &Evidence,
    counted: &Counters,
    judgements: &[Judgement],
    colored: bool,
) -> std::fmt::Result {
    writeln!(
        out,
        "calls      {} started, {} completed, {} failed",
        tally.started, tally.completed, tally.failed
    )?;
    write_backends(out, evidence)?;
    writeln!(
        out,
        "latency    INVITE to 200, from the intended start  {}",
        quantiles(&tally.latency)
    )?;
    writeln!(
        out,
        "           within the edge, receive to send        {}",
        quantiles(&counted.latency_us)
    )?;
    writeln!(
        out,
        "the edge   {} datagrams received, {} sent, {} over to the other shard",
        counted.received, counted.sent, counted.hops_out
    )?;
    for (reason, count) in evidence.drops.iter().filter(|(_, count)| *count > 0) {
        writeln!(out, "           dropped {count}: {reason}")?;
    }
    writeln!(out, "\npromises")?;
    for judgement in judgements {
        let word = match (judgement.held, colored) {
            (true, false) => "PASS",
            (false, false) => "FAIL",
            (true, true) => "\x1b[32mPASS\x1b[0m",
            (false, true) => "\x1b[1;31mFAIL\x1b[0m",
        };
        writeln!(out, "  {word}  {}: {}", judgement.promise, judgement.found)?;
    }
    Ok(())
}

/// New calls of each backend before and after the removal.
fn write_backends(out: &mut String, evidence: &Evidence) -> std::fmt::Result {
    let Some(removal) = &evidence.removal else { return Ok(()) };
    let count = |backend: Option<usize>, after: bool| {
        let is_it = |r: &&super::record::Record| {
            (backend.is_none() || r.backend == backend) && (r.sent > removal.effective) == after
        };
        evidence.records.iter().filter(is_it).count() as u64
    };
    let (before, after) = (count(None, false), count(None, true));
    writeln!(out, "backends   before {} left      after", name_of(removal.backend))?;
    for backend in 0..evidence.books.len() {
        let (was, is) = (count(Some(backend), false), count(Some(backend), true));
        writeln!(
            out,
            "  {}        {was:>6} ({:>6})   {is:>6} ({:>6})",
            name_of(backend),
            percent(was, before),
            percent(is, after)
        )?;
    }
    let keys = removal.keys;
    writeln!(
        out,
        "keys       {} of {} sampled keys moved ({}); {} of them were not {}'s",
        keys.moved,
        keys.sampled,
        percent(keys.moved, keys.sampled),
        keys.moved_of_others,
        name_of(removal.backend)
    )
}

fn quantiles(histogram: &Histogram<u64>) -> String {
    let at = |quantile| duration_label(histogram.value_at_quantile(quantile) as f64);
    format!("p50 {}, p99 {}, p99.9 {}", at(0.5), at(0.99), at(0.999))
}

/// What the plot is drawn from.
pub(super) fn figure<'a>(
    tally: &'a Tally,
    evidence: &Evidence,
    counted: &'a Counters,
    args: &Args,
) -> Figure<'a> {
    let since_start = |moment: Duration| moment.saturating_sub(tally.origin()).as_secs_f64();
    let points = tally.seconds.iter().enumerate().filter(|(_, second)| !second.latency.is_empty());
    let point = |(index, second): (usize, &super::tally::Second)| {
        let latency = &second.latency;
        let point = Point {
            p50_us: latency.value_at_quantile(0.5),
            p99_us: latency.value_at_quantile(0.99),
            max_us: latency.max(),
            by_backend: second.by_backend.clone(),
        };
        (index as f64, point)
    };
    Figure {
        subtitle: format!(
            "{} calls/s for {} s through one edge to three backends, all in one process on loopback; open loop",
            args.rate, args.seconds
        ),
        duration_seconds: args.seconds as f64,
        points: points.map(point).collect(),
        backends: (0..evidence.books.len()).map(|b| format!("backend {}", name_of(b))).collect(),
        removal: evidence.removal.as_ref().map(|removal| {
            let label = format!("backend {} leaves the pool", name_of(removal.backend));
            (since_start(removal.effective), label)
        }),
        caller_us: &tally.latency,
        edge_us: &counted.latency_us,
    }
}
