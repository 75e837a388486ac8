//! From runs to figures: medians, spreads and ratios for each series, share of load and target.
//!
//! Owns: which figures a kind of series has, and the marks that say what a figure is not. Times are nanoseconds or
//! microseconds as the metric says.

use crate::generator::Measured;
use crate::plan::{Kind, Series};
use crate::record::{Results, Run};
use crate::stats::Spread;
use crate::target::{Check, Target};

/// Above this share of lost messages a run at a rate that all carry is marked.
const LOST_SHARE_MAX: f64 = 0.001;
/// Below this share of its cores' time a target was not full.
const FULL_SHARE_MIN: f64 = 0.9;

/// Beyond this a run of some seconds has too few messages to tell.
const PERCENTILE_MAX: f64 = 99.991;

/// A figure of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Metric {
    /// CPU time of the target's processes for each message that it forwarded.
    Cpu,
    /// Busy time of the target's core, with all soft interrupts.
    Core,
    /// Messages that it forwarded, for each second.
    Throughput,
    P50,
    P99,
    /// The median of the 99th percentiles of all tenths of a second.
    P99BetweenStalls,
    P999,
    /// The highest rate with less than 0.1 % lost.
    MaxRate,
}

impl Metric {
    /// The metrics of a kind of series; the first is what ratios are first read for.
    pub(crate) fn of(kind: Kind) -> &'static [Self] {
        match kind {
            Kind::Saturated => &[Self::Cpu, Self::Core, Self::Throughput],
            Kind::Rate => {
                &[Self::P50, Self::P99, Self::P99BetweenStalls, Self::P999, Self::Cpu, Self::Core]
            }
            Kind::Search => &[Self::MaxRate],
        }
    }

    fn read(self, run: &Run) -> Option<f64> {
        if self == Self::MaxRate {
            return run.found().map(|found| found.max_rate);
        }
        let measured = run.measured()?;
        match self {
            Self::Cpu => measured.cpu_ns_per_message,
            Self::Core => measured.core_ns_per_message,
            Self::Throughput => Some(measured.rate_forwarded),
            Self::P50 => Some(measured.latency_us?.p50),
            Self::P99 => Some(measured.latency_us?.p99),
            Self::P99BetweenStalls => measured.latency_p99_between_stalls_us,
            Self::P999 => Some(measured.latency_us?.p999),
            Self::MaxRate => None,
        }
    }
}

/// One metric of one target.
#[derive(Debug, Clone)]
pub(crate) struct Figure {
    pub(crate) metric: Metric,
    pub(crate) spread: Option<Spread>,
    pub(crate) to_peer: Option<Spread>,
    pub(crate) to_floor: Option<Spread>,
    /// What is more than without a target; only for p50.
    pub(crate) added: Option<Spread>,
}

/// What a figure is not. Each counts rounds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Marks {
    pub(crate) generator_limited: usize,
    pub(crate) not_full: usize,
    pub(crate) shares_core: bool,
    pub(crate) wrong: usize,
    pub(crate) lost: usize,
    pub(crate) failed: usize,
}

/// One target in one group.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) target: String,
    pub(crate) figures: Vec<Figure>,
    pub(crate) marks: Marks,
    /// Percentile and microseconds: medians over the rounds.
    pub(crate) curve: Vec<(f64, f64)>,
}

/// A series, or one share of load of a series.
#[derive(Debug, Clone)]
pub(crate) struct Group<'a> {
    pub(crate) series: &'a Series,
    pub(crate) percent: Option<u32>,
    pub(crate) rate: Option<f64>,
    pub(crate) rows: Vec<Row>,
}

impl Row {
    pub(crate) fn figure(&self, metric: Metric) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.metric == metric)
    }
}

/// All groups in the order of the plan.
pub(crate) fn groups(results: &Results) -> Vec<Group<'_>> {
    let mut groups = vec![];
    for series in &results.plan.series {
        let percents: Vec<Option<u32>> = match series.kind {
            Kind::Rate => series.percents.iter().copied().map(Some).collect(),
            Kind::Saturated | Kind::Search => vec![None],
        };
        groups.extend(percents.into_iter().map(|percent| group(results, series, percent)));
    }
    groups
}

fn group<'a>(results: &Results, series: &'a Series, percent: Option<u32>) -> Group<'a> {
    let of = |target: &str| -> Vec<Option<&Run>> {
        let found = |round| {
            results.runs.iter().find(|run| {
                run.round == round
                    && run.series == series.name
                    && run.percent == percent
                    && run.target == target
            })
        };
        (1..=results.rounds).map(found).collect()
    };
    let direct = results.targets.iter().map(|(target, _)| target).find(|t| t.is_direct());
    let direct = direct.map(|target| of(&target.name));
    let peer = of(series.peer.as_ref().unwrap_or(&results.plan.peer));
    let floor = of(&results.plan.floor);
    let rows = series.targets.iter().map(|name| {
        let runs = of(name);
        let figure = |&metric: &Metric| figure(metric, &runs, &peer, &floor, direct.as_deref());
        Row {
            target: name.clone(),
            figures: Metric::of(series.kind).iter().map(figure).collect(),
            marks: marks(results.target(name), series.kind, &runs),
            curve: curve(&runs),
        }
    });
    let rows = rows.collect();
    let rate = results.runs.iter().find(|r| r.series == series.name && r.percent == percent);
    Group { series, percent, rate: rate.and_then(|run| run.rate), rows }
}

fn values(metric: Metric, runs: &[Option<&Run>]) -> Vec<Option<f64>> {
    runs.iter().map(|run| run.and_then(|run| metric.read(run))).collect()
}

fn figure(
    metric: Metric,
    runs: &[Option<&Run>],
    peer: &[Option<&Run>],
    floor: &[Option<&Run>],
    direct: Option<&[Option<&Run>]>,
) -> Figure {
    let mine = values(metric, runs);
    let added = direct
        .filter(|_| metric == Metric::P50)
        .and_then(|direct| Spread::of_differences(&mine, &values(metric, direct)));
    Figure {
        metric,
        spread: Spread::of(mine.iter().copied()),
        to_peer: Spread::of_ratios(&mine, &values(metric, peer)),
        to_floor: Spread::of_ratios(&mine, &values(metric, floor)),
        added,
    }
}

fn marks(target: Option<&Target>, kind: Kind, runs: &[Option<&Run>]) -> Marks {
    let mut marks = Marks { shares_core: target.is_some_and(|t| t.cores > 1), ..Marks::default() };
    for run in runs.iter().flatten() {
        marks.failed += usize::from(run.failure.is_some());
        if let Some(found) = run.found().filter(|_| kind == Kind::Search) {
            marks.generator_limited += usize::from(found.generator_limited);
        } else if let Some(measured) = run.measured() {
            marks.generator_limited += usize::from(measured.generator_limited);
            let share = measured.target_cpu_share.unwrap_or(1.0);
            let full = share >= FULL_SHARE_MIN * target.map_or(1, |t| t.cores) as f64;
            marks.not_full += usize::from(kind == Kind::Saturated && !full);
            marks.wrong += usize::from(target.is_some_and(|target| is_wrong(target, &measured)));
            let lost = measured.lost > measured.sent * LOST_SHARE_MAX;
            marks.lost += usize::from(kind == Kind::Rate && lost);
        }
    }
    marks
}

/// Whether the generator saw what must not be.
fn is_wrong(target: &Target, measured: &Measured) -> bool {
    [
        (Check::Duplicated, measured.duplicated),
        (Check::WrongBackend, measured.wrong_backend),
        (Check::WrongBytes, measured.wrong_bytes),
        (Check::WrongCaller, measured.wrong_caller),
        (Check::Bypassed, measured.bypassed),
        (Check::Unexpected, measured.unexpected),
    ]
    .into_iter()
    .any(|(check, count)| count > 0.0 && !target.unchecked.contains(&check))
}

/// Medians of the latencies at the generator's own percentiles.
fn curve(runs: &[Option<&Run>]) -> Vec<(f64, f64)> {
    let rounds: Vec<Vec<(f64, f64)>> =
        runs.iter().flatten().filter_map(|run| Some(run.measured()?.histogram)).collect();
    let Some(first) = rounds.first() else { return vec![] };
    let median = |(place, &(percentile, _)): (usize, &(f64, f64))| {
        let values = rounds.iter().map(|round| round.get(place).map(|(_, us)| *us));
        Some((percentile, Spread::of(values)?.median))
    };
    first.iter().enumerate().filter_map(median).filter(|(p, _)| *p <= PERCENTILE_MAX).collect()
}

#[cfg(test)]
pub(crate) mod tests;
