//! `sipedge-compare`: runs the scenarios of `perf/scenarios` against the targets of `perf/targets`, side by side.
//!
//! Owns: the command line and the order of the steps. Everything that a comparison consists of is data
//! (`perf/plan.toml`); the load itself comes from `sipedge-load`, a program of its own.

mod clock;
mod generator;
mod machine;
mod network;
mod plan;
mod process;
mod progress;
mod ready;
mod record;
mod report;
mod rounds;
mod stats;
mod summary;
mod target;
mod template;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Parser;
use nix::fcntl::{Flock, FlockArg};

use plan::{Filter, Plan};
use record::Results;
use rounds::Setting;

/// Fewer rounds than this are a look, not a result: they are written beside what was built.
const ROUNDS_OF_A_RESULT: u32 = 5;

/// Compares sipedge with its peers and with programs that parse nothing.
#[derive(Debug, Parser)]
#[command(name = "sipedge-compare")]
struct Arguments {
    /// The root of the repository.
    #[arg(long, default_value = ".")]
    root: PathBuf,
    /// Rounds; each has every run once, in the same order.
    #[arg(long, default_value_t = ROUNDS_OF_A_RESULT)]
    rounds: u32,
    /// Seconds of each run; default: what the plan says for each series.
    #[arg(long)]
    seconds: Option<f64>,
    /// Only these targets (names, with commas).
    #[arg(long, value_delimiter = ',')]
    targets: Vec<String>,
    /// Only series of these scenarios (names, with commas).
    #[arg(long, value_delimiter = ',')]
    scenarios: Vec<String>,
    /// Only these series (names, with commas).
    #[arg(long, value_delimiter = ',')]
    series: Vec<String>,
    /// The load generator; default: the one built here.
    #[arg(long)]
    generator: Option<PathBuf>,
    /// The core of the load generator.
    #[arg(long, default_value_t = 0)]
    generator_core: usize,
    /// The core of the target.
    #[arg(long, default_value_t = 1)]
    target_core: usize,
    /// Where tables and plots go; default: perf/results for a full comparison, target/perf for anything less. What they are
    /// made of stays in target/perf.
    #[arg(long)]
    results: Option<PathBuf>,
    /// Only writes tables and plots again, from the results.json in this folder: there, or to where `--results` says.
    #[arg(long, value_name = "FOLDER")]
    render: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sipedge-compare: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), String> {
    if let Some(folder) = &arguments.render {
        let into = arguments.results.as_ref().unwrap_or(folder);
        return report::write_all(into, &Results::read(&folder.join("results.json"))?);
    }
    let root = fs::canonicalize(&arguments.root)
        .map_err(|error| format!("{}: {error}", arguments.root.display()))?;
    let built = root.join("target");
    fs::create_dir_all(&built).map_err(|error| format!("{}: {error}", built.display()))?;
    let _lock = lock(&built.join("perf.lock"))?;
    let filter = Filter {
        targets: arguments.targets.clone(),
        scenarios: arguments.scenarios.clone(),
        series: arguments.series.clone(),
    };
    let plan = Plan::read(&root.join("perf/plan.toml"))?.filtered(&filter)?;
    let setting = Setting {
        generator: arguments
            .generator
            .clone()
            .unwrap_or_else(|| built.join("release/sipedge-load")),
        generator_core: arguments.generator_core,
        target_core: arguments.target_core,
        rounds: arguments.rounds,
        seconds: arguments.seconds,
        interrupted: interrupted()?,
        root,
    };
    let whole = filter.is_empty() && arguments.rounds >= ROUNDS_OF_A_RESULT;
    let results = arguments.results.clone().unwrap_or_else(|| {
        if whole { setting.root.join("perf/results") } else { built.join("perf") }
    });
    let machine = machine::Machine::look(&setting.root)?;
    let (folder, raw) = (results.join(machine.folder()), built.join("perf").join(machine.folder()));
    for folder in [&folder, &raw] {
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let done = rounds::run(&setting, plan, machine, &raw)?;
    report::write_all(&folder, &done)?;
    write(&results.join("latest.md"), &report::short_table(&done))?;
    println!("results: {}; each answer: {}", folder.display(), raw.join("results.json").display());
    Ok(())
}

/// Two comparisons at a time would measure each other.
fn lock(path: &Path) -> Result<Flock<File>, String> {
    let file = File::create(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock)
        .map_err(|_| format!("another comparison is running here ({} is locked)", path.display()))
}

/// Set by the first SIGINT or SIGTERM: the run in progress is ended in order.
fn interrupted() -> Result<Arc<AtomicBool>, String> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&flag)).map_err(|e| e.to_string())?;
    }
    Ok(flag)
}

/// Writes a file, or says which one could not be written.
fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}
