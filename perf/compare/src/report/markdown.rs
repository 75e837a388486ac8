//! The tables of a comparison, in Markdown.
//!
//! Owns: what stands in which column, and how a figure with its spread is written.

use std::fmt::Write as _;

use crate::plan::Kind;
use crate::record::Results;
use crate::stats::Spread;
use crate::summary::{self, Figure, Group, Marks, Metric, Row};

const LEGEND: &str = "\
Each cell: the median over the rounds, with lowest and highest in brackets. `K` is the ratio to {peer}, `F` the ratio \
to {floor}: the median of the ratios within each round, with lowest and highest. CPU figures are for each message \
that the target forwarded, requests and responses alike. *Process*: CPU time of all its processes. *Core*: all that \
the core was busy with, soft interrupts included.\n\n\
Marks: **G**n: in n rounds the generator was the limit, so the figure is a lower bound of what the target can do. \
**U**n: in n rounds the target had less than 90 % of its core, so it was not saturated. \
**S**: the target shares a core with the generator. **L**n: in n rounds more than 0.1 % was lost at this rate. \
**W**n: in n rounds the generator saw duplicates, a wrong backend or wrong bytes. **X**n: n runs failed.\n";

/// The whole document.
pub(super) fn tables(results: &Results, groups: &[Group<'_>]) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "# Comparison of {}\n", results.machine.date);
    machine(&mut text, results);
    let legend =
        LEGEND.replace("{peer}", &results.plan.peer).replace("{floor}", &results.plan.floor);
    let _ = writeln!(text, "{legend}");
    if super::plots::cpu(results, groups).is_some() {
        let _ = writeln!(text, "![CPU for each message](cpu.svg)\n");
    }
    if groups.iter().any(|group| group.series.kind == Kind::Rate) {
        let _ = writeln!(text, "![Latency](latency.svg)\n");
    }
    if super::plots::below_saturation(results, groups).is_some() {
        let _ = writeln!(text, "![CPU and latency over load](load.svg)\n");
    }
    for group in groups {
        table(&mut text, group);
    }
    targets(&mut text, results);
    commands(&mut text, results);
    failures(&mut text, results);
    text
}

fn machine(text: &mut String, results: &Results) {
    let machine = &results.machine;
    let rows = [
        ("machine", format!("{}, {} cores, {}", machine.cpu, machine.cores, machine.memory)),
        ("system", format!("{}, {}", machine.kernel, machine.system)),
        ("network", "loopback, in a network namespace of its own for each run".to_owned()),
        (
            "cores",
            format!("generator on {}, target on {}", results.generator_core, results.target_core),
        ),
        ("sipedge", format!("commit {}, {}", machine.commit, machine.rustc)),
        ("rounds", format!("{}, interleaved, {:.0} s in all", results.rounds, results.seconds)),
        ("load before", format!("{:.2}{}", machine.load_before, busy(results))),
        ("command", format!("`{}`", machine.command)),
    ];
    let _ = writeln!(text, "| | |\n|---|---|");
    for (name, value) in rows {
        let _ = writeln!(text, "| {name} | {} |", cell(&value));
    }
    let _ = writeln!(text);
}

fn busy(results: &Results) -> &'static str {
    if results.machine.is_busy() { ": the machine was not quiet" } else { "" }
}

fn table(text: &mut String, group: &Group<'_>) {
    let series = group.series;
    let share = group.percent.map_or_else(String::new, |percent| {
        let rate = group.rate.map_or_else(|| "unknown".into(), |rate| format!("{rate:.0}/s"));
        format!(", {percent} % of the highest rate of {} ({rate})", series.percent_of.join(" and "))
    });
    let _ = writeln!(text, "## {}{share}\n", series.title);
    let _ = writeln!(
        text,
        "Scenario `{}`, {} s for each {} after {} s of warm-up.\n",
        series.scenario,
        series.seconds,
        if series.kind == Kind::Search { "step" } else { "run" },
        series.warmup_seconds
    );
    if let Some(peer) = &series.peer {
        let _ = writeln!(text, "`K` is the ratio to {peer} here.\n");
    }
    let metrics = Metric::of(series.kind);
    let names: Vec<&str> = metrics.iter().map(|metric| heading(*metric)).collect();
    let _ = writeln!(text, "| target | {} | marks |", names.join(" | "));
    let _ = writeln!(text, "|---|{}---|", "--:|".repeat(metrics.len()));
    for row in &group.rows {
        let cells: Vec<String> = row.figures.iter().map(figure).collect();
        let _ =
            writeln!(text, "| {} | {} | {} |", row.target, cells.join(" | "), marks(&row.marks));
    }
    let _ = writeln!(text);
}

fn heading(metric: Metric) -> &'static str {
    match metric {
        Metric::Cpu => "process, ns/message",
        Metric::Core => "core, ns/message",
        Metric::Throughput => "messages/s",
        Metric::P50 => "p50, us",
        Metric::P99 => "p99, us",
        Metric::P99BetweenStalls => "p99 between stalls, us",
        Metric::P999 => "p99.9, us",
        Metric::MaxRate => "highest rate, /s",
    }
}

fn figure(figure: &Figure) -> String {
    let Some(spread) = figure.spread else { return "-".into() };
    let mut text = range(&spread, 0);
    if let Some(added) = figure.added {
        let _ = write!(text, "<br>added {}", range(&added, 0));
    }
    for (ratio, name) in [(figure.to_peer, "K"), (figure.to_floor, "F")] {
        if let Some(ratio) = ratio {
            let _ = write!(text, "<br>{} {name}", range(&ratio, 2));
        }
    }
    text
}

/// `median (lowest-highest)`.
fn range(spread: &Spread, digits: usize) -> String {
    let Spread { median, min, max, .. } = spread;
    format!("{median:.digits$} ({min:.digits$}-{max:.digits$})")
}

fn marks(marks: &Marks) -> String {
    let counted = [
        ("G", marks.generator_limited),
        ("U", marks.not_full),
        ("L", marks.lost),
        ("W", marks.wrong),
        ("X", marks.failed),
    ];
    let mut words: Vec<String> = counted
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(letter, count)| format!("**{letter}**{count}"))
        .collect();
    if marks.shares_core {
        words.push("**S**".into());
    }
    words.join(" ")
}

fn targets(text: &mut String, results: &Results) {
    let _ = writeln!(text, "## Targets\n\n| target | what | job | version |\n|---|---|---|---|");
    for (target, version) in &results.targets {
        let words = [&target.what, &target.job, version].map(|word| cell(word));
        let _ = writeln!(text, "| {} | {} |", target.name, words.join(" | "));
    }
    for (name, why) in &results.left_out {
        let _ = writeln!(text, "| {name} | left out | {} | |", cell(why));
    }
    let _ = writeln!(text);
}

/// The commands of the first run of each target in each series.
fn commands(text: &mut String, results: &Results) {
    let _ = writeln!(text, "## Commands\n\nAs they were in the first round.\n\n```sh");
    for run in results.runs.iter().filter(|run| run.round <= 1) {
        let percent = run.percent.map_or_else(String::new, |percent| format!(" {percent}%"));
        let _ = writeln!(text, "# {}{percent}: {}", run.series, run.target);
        for command in [&run.target_command, &run.generator_command] {
            if !command.is_empty() {
                let _ = writeln!(text, "{}", without_root(command, results));
            }
        }
    }
    let _ = writeln!(text, "```\n");
}

/// Paths from the root of the repository.
fn without_root(command: &str, results: &Results) -> String {
    if results.machine.root.is_empty() {
        return command.to_owned();
    }
    command.replace(&format!("{}/", results.machine.root), "")
}

fn failures(text: &mut String, results: &Results) {
    let failed: Vec<_> = results.runs.iter().filter(|run| run.failure.is_some()).collect();
    if failed.is_empty() {
        return;
    }
    let _ = writeln!(text, "## Runs that failed\n");
    let mut told = vec![];
    for run in &failed {
        let what = (&run.series, &run.target, &run.failure);
        if told.contains(&what) {
            continue;
        }
        told.push(what);
        let alike = failed.iter().filter(|run| (&run.series, &run.target, &run.failure) == what);
        let rounds: Vec<String> = alike.map(|run| run.round.to_string()).collect();
        let rounds = match rounds.as_slice() {
            [one] => format!("round {one}"),
            [first, .., last] => format!("{} rounds from {first} to {last}", rounds.len()),
            [] => continue,
        };
        let why = run.failure.as_deref().unwrap_or("");
        let _ = writeln!(text, "* {rounds}, {}, {}: {}", run.series, run.target, cell(why));
    }
    let _ = writeln!(text);
}

/// Text for one line of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ").replace('<', "&lt;")
}

/// The table for the project's README: one row for each target of the short series.
pub(crate) fn short_table(results: &Results) -> String {
    let groups = summary::groups(results);
    let is_short = |group: &&Group<'_>| results.plan.short.contains(&group.series.name);
    let short: Vec<&Group<'_>> = groups.iter().filter(is_short).collect();
    let mut text = String::new();
    let mut names: Vec<&str> = vec![];
    for row in short.iter().flat_map(|group| &group.rows) {
        if !names.contains(&row.target.as_str()) {
            names.push(&row.target);
        }
    }
    let _ = write!(text, "| target |");
    for group in &short {
        let _ = match group.series.kind {
            Kind::Saturated => write!(
                text,
                " {}: CPU, ns/message | less than {} | of {} |",
                group.series.title, results.plan.peer, results.plan.floor
            ),
            Kind::Rate => write!(text, " {}: p50 added, us |", group.series.title),
            Kind::Search => write!(text, " {} |", group.series.title),
        };
    }
    let columns: usize =
        short.iter().map(|g| if g.series.kind == Kind::Saturated { 3 } else { 1 }).sum();
    let _ = writeln!(text, "\n|---|{}", "--:|".repeat(columns));
    for name in names {
        let _ = write!(text, "| {name} |");
        for group in &short {
            let row = group.rows.iter().find(|row| row.target == name);
            short_cells(&mut text, group, row);
        }
        let _ = writeln!(text);
    }
    let _ = writeln!(
        text,
        "\nMedian of {} interleaved rounds (lowest-highest) on {}, {} cores, loopback, {}; {}{}. G: the generator was \
         the limit. Method: `perf/README.md`.",
        results.rounds,
        results.machine.cpu,
        results.machine.cores,
        results.machine.kernel,
        results.machine.date,
        busy(results)
    );
    text
}

fn short_cells(text: &mut String, group: &Group<'_>, row: Option<&Row>) {
    let limited = row.is_some_and(|row| row.marks.generator_limited > 0);
    let mark = if limited { " G" } else { "" };
    let figure = |metric| row.and_then(|row| row.figure(metric));
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    let _ = match group.series.kind {
        Kind::Saturated => {
            let cpu = figure(Metric::Cpu);
            let spread = cpu.and_then(|cpu| cpu.spread).map(|spread| range(&spread, 0));
            // Turned round: how many times less CPU than the peer.
            let less = cpu.and_then(|cpu| cpu.to_peer).map(|ratio| {
                let Spread { median, min, max, .. } = ratio;
                format!("{:.1}x ({:.1}-{:.1})", 1.0 / median, 1.0 / max, 1.0 / min)
            });
            let floor = cpu.and_then(|cpu| cpu.to_floor).map(|ratio| range(&ratio, 2));
            write!(text, " {}{mark} | {} | {} |", or_none(spread), or_none(less), or_none(floor))
        }
        Kind::Rate => {
            let added = figure(Metric::P50).and_then(|p50| p50.added.or(p50.spread));
            write!(text, " {}{mark} |", or_none(added.map(|added| range(&added, 0))))
        }
        Kind::Search => {
            let rate = figure(Metric::MaxRate).and_then(|rate| rate.spread);
            write!(text, " {}{mark} |", or_none(rate.map(|rate| range(&rate, 0))))
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::tests::made_up;

    fn has(text: &str, part: &str) {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }

    #[test]
    fn the_tables_say_it_all() {
        let results = made_up();
        let text = tables(&results, &summary::groups(&results));
        has(&text, "| ours | 4500 (3000-6000)<br>0.33 (0.33-0.33) K<br>1.20 (1.20-1.20) F | - |");
        has(&text, "## Half, 50 % of the highest rate of kamailio (50000/s)");
        has(&text, "24 (16-32)<br>added 9 (6-12)<br>0.53");
        has(&text, "| **G**1 **W**2 **S** |");
        has(&text, "| ours | &lt;ours> & co | its \\| job | ours 1.0 |");
        has(&text, "| glommio | left out | does not build | |");
        assert!(!text.contains("Runs that failed"));
        has(&text, "](cpu.svg)");
        let mut without = results;
        without.plan.series.retain(|series| series.kind != Kind::Saturated);
        let text = tables(&without, &summary::groups(&without));
        assert!(!text.contains("](cpu.svg)"), "there is no such plot");
    }

    #[test]
    fn a_failed_run_is_told() {
        let mut results = made_up();
        results.runs[0].answer = None;
        results.runs[0].failure = Some("it\ndied".into());
        let text = tables(&results, &summary::groups(&results));
        has(&text, "* round 1, full, ours: it died");
        has(&text, "| ours | 6000 (6000-6000)");
        has(&text, "| **X**1 |");
        let again = results.runs.iter_mut().find(|run| run.round == 2 && run.target == "ours");
        again.expect("two rounds").failure = Some("it\ndied".into());
        let text = tables(&results, &summary::groups(&results));
        has(&text, "* 2 rounds from 1 to 2, full, ours: it died");
    }

    #[test]
    fn the_short_table_says_how_many_times_less() {
        let text = short_table(&made_up());
        has(&text, "| ours | 4500 (3000-6000) | 3.0x (3.0-3.0) | 1.20 (1.20-1.20) | 9 (6-12) |");
        has(&text, "| floor | 3750 (2500-5000) G |");
        has(&text, "| direct | - | - | - | 0 (0-0) |");
    }
}
