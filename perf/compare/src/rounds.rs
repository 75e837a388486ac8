//! The runs of a comparison, in their order: A B C, A B C, and so on, so that what the machine does to one round
//! it does to all targets.
//!
//! Owns: building, the searches that give the rates, the rounds, and one run from start to stop.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::Signal;

use crate::generator::{self, Mode, Order};
use crate::machine::{self, Machine};
use crate::plan::{Kind, Plan, Series};
use crate::process::Process;
use crate::progress::Progress;
use crate::record::{Results, Run};
use crate::target::{BACKENDS, Stop, Target, backends};
use crate::{network, ready, write};

/// Expected seconds for start and end of a run; steps of a search.
const AROUND_SECONDS: f64 = 1.5;
const SEARCH_STEPS: f64 = 11.0;

/// Where and how it is run.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) root: PathBuf,
    pub(crate) generator: PathBuf,
    pub(crate) generator_core: usize,
    pub(crate) target_core: usize,
    pub(crate) rounds: u32,
    pub(crate) seconds: Option<f64>,
    pub(crate) interrupted: Arc<AtomicBool>,
}

/// One run that is to be done.
#[derive(Debug, Clone)]
struct Step<'a> {
    round: u32,
    series: &'a Series,
    target: &'a str,
    kind: Kind,
    percent: Option<u32>,
}

/// Rates found before the rounds, by scenario and target.
type Rates = BTreeMap<(String, String), f64>;

/// Does all of `plan`. What was measured so far is on disk after each round.
pub(crate) fn run(
    setting: &Setting,
    mut plan: Plan,
    machine: Machine,
    folder: &Path,
) -> Result<Results, String> {
    if machine.is_busy() {
        eprintln!(
            "the machine is not quiet (load {}): take the figures as a look",
            machine.load_before
        );
    }
    if let Some(seconds) = setting.seconds {
        plan.series.iter_mut().for_each(|series| series.seconds = seconds);
    }
    let (targets, left_out) = prepare_targets(setting, &plan)?;
    for series in &mut plan.series {
        series.targets.retain(|name| !left_out.contains_key(name));
    }
    let mut results = Results {
        machine,
        rounds: setting.rounds,
        seconds: 0.0,
        generator_core: setting.generator_core,
        target_core: setting.target_core,
        plan: plan.clone(),
        targets,
        left_out,
        runs: vec![],
    };
    let steps = steps(&plan, setting.rounds);
    let expected = steps.iter().map(Step::expected_seconds).sum();
    let mut progress = Progress::new(steps.len(), expected);
    let mut rates = Rates::new();
    for (index, step) in steps.iter().enumerate() {
        let run = do_step(setting, step, &mut results, &mut rates, &mut progress)?;
        results.runs.push(run);
        results.seconds = progress.seconds();
        if steps.get(index + 1).is_none_or(|next| next.round != step.round) {
            let text = serde_json::to_string_pretty(&results).map_err(|e| e.to_string())?;
            // Where this tree lies on this machine is nobody's business.
            let text = text.replace(&*setting.root.to_string_lossy(), ".");
            write(&folder.join("results.json"), &text)?;
        }
    }
    Ok(results)
}

/// All runs in order. Round 0 are the searches for the rates.
fn steps(plan: &Plan, rounds: u32) -> Vec<Step<'_>> {
    let mut steps: Vec<Step<'_>> = vec![];
    for series in &plan.series {
        for target in &series.percent_of {
            let there =
                |step: &Step<'_>| step.target == target && step.series.scenario == series.scenario;
            if !steps.iter().any(there) {
                steps.push(Step { round: 0, series, target, kind: Kind::Search, percent: None });
            }
        }
    }
    for round in 1..=rounds {
        for series in &plan.series {
            let percents = series.percents.iter().copied().map(Some);
            let percents: Vec<_> =
                if series.kind == Kind::Rate { percents.collect() } else { vec![None] };
            for percent in percents {
                let step = |target| Step { round, series, target, kind: series.kind, percent };
                steps.extend(series.targets.iter().map(|target| step(target.as_str())));
            }
        }
    }
    steps
}

impl Step<'_> {
    fn expected_seconds(&self) -> f64 {
        let run = self.series.seconds + self.series.warmup_seconds;
        match self.kind {
            Kind::Search => AROUND_SECONDS + SEARCH_STEPS * run,
            Kind::Saturated | Kind::Rate => AROUND_SECONDS + run,
        }
    }

    /// The lowest of the rates that it refers to, and its share of that.
    fn rate(&self, rates: &Rates) -> Option<f64> {
        let percent = f64::from(self.percent?);
        let of = |target: &String| rates.get(&(self.series.scenario.clone(), target.clone()));
        let found: Option<Vec<f64>> =
            self.series.percent_of.iter().map(|target| of(target).copied()).collect();
        Some(found?.into_iter().fold(f64::INFINITY, f64::min) * percent / 100.0)
    }
}

fn do_step(
    setting: &Setting,
    step: &Step<'_>,
    results: &mut Results,
    rates: &mut Rates,
    progress: &mut Progress,
) -> Result<Run, String> {
    let target = results.target(step.target).ok_or_else(|| format!("no target {}", step.target))?;
    let percent = step.percent.map_or_else(String::new, |percent| format!(" {percent}%"));
    let round = if step.round == 0 { "rate".into() } else { format!("round {}", step.round) };
    progress.begin(&format!("{round} {}{percent} {}", step.series.name, step.target));
    let mut run = Run {
        round: step.round,
        series: step.series.name.clone(),
        scenario: step.series.scenario.clone(),
        target: step.target.to_owned(),
        percent: step.percent,
        rate: step.rate(rates),
        target_command: String::new(),
        generator_command: String::new(),
        answer: None,
        failure: None,
    };
    let mode = match (step.kind, run.rate) {
        (Kind::Search, _) => Ok(Mode::Search),
        (Kind::Saturated, _) => Ok(Mode::Saturate),
        (Kind::Rate, Some(rate)) => Ok(Mode::Rate(rate)),
        (Kind::Rate, None) => Err("the rate that this is a share of was not found".to_owned()),
    };
    match mode.and_then(|mode| measure(setting, step, target, mode, &mut run)) {
        Ok(answer) => run.answer = Some(answer),
        Err(failure) => run.failure = Some(failure),
    }
    if setting.interrupted.load(Ordering::Relaxed) {
        return Err("interrupted; what was measured before this round is in results.json".into());
    }
    if step.round == 0 {
        let rate = match run.found() {
            Some(found) => Some(found.max_rate),
            None => saturated_rate(setting, step, target, &mut run),
        };
        rates.extend(rate.map(|rate| ((run.scenario.clone(), run.target.clone()), rate)));
    }
    progress.end(step.expected_seconds(), &outcome(&run));
    Ok(run)
}

/// What a search that found nothing is replaced with, and told: a machine with stalls fails every step.
fn saturated_rate(
    setting: &Setting,
    step: &Step<'_>,
    target: &Target,
    run: &mut Run,
) -> Option<f64> {
    let full = Run {
        answer: Some(measure(setting, step, target, Mode::Saturate, &mut run.clone()).ok()?),
        ..run.clone()
    };
    let measured = full.measured().filter(|measured| measured.completed > 0.0)?;
    let rate = measured.completed / measured.seconds;
    run.failure = Some(format!(
        "the search found no rate; shares are taken of {rate:.0}/s, what a saturated run carried"
    ));
    Some(rate)
}

/// A run in a few words.
fn outcome(run: &Run) -> String {
    if let Some(failure) = &run.failure {
        return format!("FAILED: {failure}");
    }
    if let Some(measured) = run.measured() {
        let cpu =
            measured.cpu_ns_per_message.map_or_else(|| "-".into(), |ns| format!("{ns:.0} ns"));
        let p50 = measured.latency_us.map_or(0.0, |latency| latency.p50);
        let share = 100.0 * measured.lost / measured.sent.max(1.0);
        return format!(
            "{:.0}/s, {cpu} per message, p50 {p50:.0} us, {share:.2} % lost",
            measured.rate_forwarded
        );
    }
    match run.found() {
        Some(found) => format!("at most {:.0}/s", found.max_rate),
        None => "no figure in the answer".into(),
    }
}

/// One run: a network of its own, the target on its cores, the generator on its own, and the end of both.
fn measure(
    setting: &Setting,
    step: &Step<'_>,
    target: &Target,
    mode: Mode,
    run: &mut Run,
) -> Result<serde_json::Value, String> {
    let folder = setting.root.join("target/perf/run");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    network::in_a_new_one(|| {
        let mut process = start(setting, target, &folder, run)?;
        network::pin(&[setting.generator_core])?;
        let json = folder.join("answer.json");
        let order = Order {
            mode,
            scenario: setting.root.join(format!("perf/scenarios/{}.toml", step.series.scenario)),
            target: target.address().into(),
            backends: BACKENDS.map(str::to_owned).to_vec(),
            seconds: step.series.seconds,
            warmup_seconds: step.series.warmup_seconds,
            core: setting.generator_core,
            target_core: setting.target_core,
            pids: process.as_ref().map_or_else(Vec::new, Process::pids),
            seed: u64::from(step.round),
            burst: step.series.burst,
        };
        let command = generator::command(&setting.generator, &order, &json);
        run.generator_command = command.join(" ");
        let answer = generator::run(&command, &order, &folder, &json, &setting.interrupted);
        if let Some(process) = &mut process {
            if let Some(status) = process.ended() {
                let log = process.log_tail();
                return Err(format!("the target ended during the run ({status}):\n{log}"));
            }
            process.stop(match target.stop {
                Stop::Term => Signal::SIGTERM,
                Stop::Quit => Signal::SIGQUIT,
            });
        }
        answer
    })
}

/// Starts the target on its cores and waits until it forwards.
fn start(
    setting: &Setting,
    target: &Target,
    folder: &Path,
    run: &mut Run,
) -> Result<Option<Process>, String> {
    if target.is_direct() {
        return Ok(None);
    }
    let cores = [setting.target_core, setting.generator_core];
    network::pin(&cores[..target.cores])?;
    let prepared = target.prepare(&setting.root, folder)?;
    run.target_command = prepared.command.join(" ");
    let mut process =
        Process::start(&prepared.command, &prepared.folder, folder.join("target.log"))?;
    let address = target.address().parse().expect("our own address is valid");
    ready::wait(&mut process, address, &backends())?;
    Ok(Some(process))
}

/// The targets that take part, with versions, and those that do not.
type Prepared = (Vec<(Target, String)>, BTreeMap<String, String>);

/// Builds what has to be built and asks each for its version.
fn prepare_targets(setting: &Setting, plan: &Plan) -> Result<Prepared, String> {
    if !setting.generator.exists() {
        return Err(format!(
            "{}: there is no generator; build it first",
            setting.generator.display()
        ));
    }
    let mut built: BTreeMap<Vec<String>, Result<(), String>> = BTreeMap::new();
    let mut targets = vec![];
    let mut left_out = BTreeMap::new();
    for name in plan.target_names() {
        let target = Target::read(&setting.root, name)?;
        let done = built
            .entry(target.build.clone())
            .or_insert_with(|| build(&setting.root, &target.build))
            .clone();
        let version = machine::output(&setting.root, &expanded_version(&target, setting)?);
        let done = done.and_then(|()| {
            let silent = !target.version.is_empty() && version.is_empty();
            if silent { Err(format!("{} cannot be run", target.version[0])) } else { Ok(()) }
        });
        match done {
            Ok(()) => targets.push((target, version)),
            Err(error) if target.optional => {
                eprintln!("target {name} is left out: {error}");
                left_out.insert(name.clone(), error);
            }
            Err(error) => return Err(format!("target {name}: {error}")),
        }
    }
    Ok((targets, left_out))
}

fn expanded_version(target: &Target, setting: &Setting) -> Result<Vec<String>, String> {
    target.version.iter().map(|word| target.expand(word, &setting.root)).collect()
}

fn build(root: &Path, command: &[String]) -> Result<(), String> {
    let Some((program, arguments)) = command.split_first() else { return Ok(()) };
    eprintln!("building: {}", command.join(" "));
    let done =
        Command::new(program).args(arguments).current_dir(root).stdin(Stdio::null()).status();
    match done {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{}` failed ({status})", command.join(" "))),
        Err(error) => Err(format!("{program}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(name: &str, kind: Kind, percents: &[u32]) -> Series {
        Series {
            name: name.into(),
            title: name.into(),
            scenario: "mix".into(),
            kind,
            peer: None,
            targets: vec!["a".into(), "b".into()],
            seconds: 2.0,
            warmup_seconds: 1.0,
            burst: None,
            percents: percents.to_vec(),
            percent_of: if percents.is_empty() { vec![] } else { vec!["k".into(), "l".into()] },
        }
    }

    #[test]
    fn rounds_are_interleaved() {
        let series =
            vec![series("one", Kind::Saturated, &[]), series("two", Kind::Rate, &[10, 50])];
        let plan = Plan { peer: "k".into(), floor: "a".into(), short: vec![], series };
        let steps = steps(&plan, 2);
        let line: Vec<String> = steps
            .iter()
            .map(|step| format!("{}{}{}", step.round, step.target, step.percent.unwrap_or(0)))
            .collect();
        assert_eq!(
            line.join(" "),
            "0k0 0l0 1a0 1b0 1a10 1b10 1a50 1b50 2a0 2b0 2a10 2b10 2a50 2b50"
        );
        let rate_of = |rates: &Rates| steps[4].rate(rates);
        let key = |target: &str| ("mix".to_owned(), target.to_owned());
        let mut rates = Rates::from([(key("k"), 1000.0)]);
        assert_eq!(rate_of(&rates), None, "one of two is missing");
        rates.insert(key("l"), 600.0);
        assert_eq!(rate_of(&rates), Some(60.0));
    }
}
