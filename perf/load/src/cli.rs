//! The command line: what can be asked, where results go, exit codes.
//!
//! Exit codes: 0 done (whatever the figures say), 1 could not be done, 2 wrong usage or scenario.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand};
use serde::Serialize;

use crate::headroom::headroom;
use crate::picture;
use crate::run::{Rate, Setup, Target, run};
use crate::scenario::Scenario;
use crate::search::{Bounds, search};

const EXIT_FAILED: u8 = 1;
const EXIT_USAGE: u8 = 2;

#[derive(Debug, Parser)]
#[command(name = "sipedge-load", version, about = "An open-loop SIP load generator")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Loads one target at one rate.
    Run(RunArguments),
    /// Finds the highest rate with little loss, and measures latency at half of it.
    Search(SearchArguments),
    /// Measures what the generator carries alone.
    Headroom(HeadroomArguments),
}

#[derive(Debug, Args)]
struct Common {
    /// What traffic to make.
    #[arg(long, value_name = "FILE")]
    scenario: PathBuf,
    /// Where the own backends listen.
    #[arg(
        long,
        value_name = "ADDRESSES",
        value_delimiter = ',',
        default_value = "127.0.0.1:7001,127.0.0.1:7002,127.0.0.1:7003,127.0.0.1:7004"
    )]
    backends: Vec<SocketAddr>,
    /// The callers' address; their ports are the system's choice.
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    callers: IpAddr,
    /// Length of the measured window.
    #[arg(long, value_name = "S", default_value_t = 10.0, value_parser = seconds)]
    seconds: f64,
    /// Length of the warm-up before it.
    #[arg(long, value_name = "S", default_value_t = 2.0, value_parser = seconds)]
    warmup: f64,
    /// The generator's core; it is fully used.
    #[arg(long, value_name = "N")]
    core: Option<usize>,
    /// A core whose busy time counts as the target's.
    #[arg(long, value_name = "N")]
    target_core: Option<usize>,
    /// Of messages and schedule.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Longest burst of equal datagrams in one send call; 1 when the target has several sockets for one address.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=64))]
    burst: u16,
    /// Where to write all figures.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// No progress on stderr.
    #[arg(long)]
    quiet: bool,
}

#[derive(Debug, Args)]
struct OfTarget {
    /// The server under load.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5060")]
    target: SocketAddr,
    /// A process of the target; may be repeated.
    #[arg(long = "pid", value_name = "PID")]
    pids: Vec<u32>,
    /// Where to draw the latency.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct RunArguments {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    of_target: OfTarget,
    /// Flows (requests, or calls) per second, or `max`: as many as the target takes.
    #[arg(long, value_name = "N|max")]
    rate: Pace,
    /// With `--rate max`: flows under way at once.
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    window: u64,
    /// Measure first what the generator carries alone, 3 seconds for each of two runs.
    #[arg(long)]
    headroom: bool,
}

#[derive(Debug, Args)]
struct SearchArguments {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    of_target: OfTarget,
    /// The lowest rate.
    #[arg(long, value_name = "N", default_value_t = 10_000.0, value_parser = rate)]
    low: f64,
    /// The highest rate.
    #[arg(long, value_name = "N", default_value_t = 600_000.0, value_parser = rate)]
    high: f64,
    /// Runs between them.
    #[arg(long, value_name = "N", default_value_t = 8)]
    steps: u32,
    /// The loss that is too much, as a share.
    #[arg(long, value_name = "SHARE", default_value_t = 0.001)]
    loss: f64,
    /// Length of the run at half of the rate; default as `--seconds`.
    #[arg(long, value_name = "S", value_parser = seconds)]
    half_seconds: Option<f64>,
}

#[derive(Debug, Args)]
struct HeadroomArguments {
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Clone, Copy)]
enum Pace {
    PerSecond(f64),
    Max,
}

impl FromStr for Pace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "max" { Ok(Self::Max) } else { rate(text).map(Self::PerSecond) }
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "must be a number or `max`".to_owned())?;
    if (1.0..=10_000_000.0).contains(&rate) { Ok(rate) } else { Err("1 to 10000000".to_owned()) }
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "must be a number".to_owned())?;
    if (0.0..=3_600.0).contains(&seconds) { Ok(seconds) } else { Err("0 to 3600".to_owned()) }
}

/// Parses the arguments and does what they say.
#[must_use]
pub fn main() -> ExitCode {
    match work(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, message)) => {
            let _ = writeln!(std::io::stderr(), "sipedge-load: {message}");
            ExitCode::from(code)
        }
    }
}

type Failure = (u8, String);

fn failed(error: impl ToString) -> Failure {
    (EXIT_FAILED, error.to_string())
}

fn work(command: Command) -> Result<(), Failure> {
    match command {
        Command::Run(arguments) => {
            let pace = match arguments.rate {
                Pace::PerSecond(rate) => Rate::PerSecond(rate),
                Pace::Max => Rate::Saturate { window: arguments.window },
            };
            let setup = setup(&arguments.common, Some(&arguments.of_target), pace)?;
            let alone = arguments
                .headroom
                .then(|| headroom(&Setup { seconds: 3.0, ..setup.clone() }))
                .transpose()
                .map_err(failed)?;
            let mut report = run(&setup).map_err(failed)?;
            report.headroom = alone;
            write_json(arguments.common.json.as_deref(), &report)?;
            write_picture(arguments.of_target.svg.as_deref(), || picture::draw(&[&report]))?;
            say(&report.markdown())
        }
        Command::Search(arguments) => {
            let setup = setup(&arguments.common, Some(&arguments.of_target), Rate::PerSecond(1.0))?;
            let bounds = Bounds {
                low: arguments.low,
                high: arguments.high,
                steps: arguments.steps,
                loss_max: arguments.loss,
                half_seconds: arguments.half_seconds.unwrap_or(setup.seconds),
            };
            let report = search(&setup, bounds).map_err(failed)?;
            write_json(arguments.common.json.as_deref(), &report)?;
            let runs: Vec<_> = report.at_half.iter().collect();
            write_picture(arguments.of_target.svg.as_deref(), || picture::draw(&runs))?;
            say(&report.markdown())
        }
        Command::Headroom(arguments) => {
            let setup = setup(&arguments.common, None, Rate::Unbounded)?;
            let report = headroom(&setup).map_err(failed)?;
            write_json(arguments.common.json.as_deref(), &report)?;
            say(&format!(
                "| scenario | direct, with all checks/s | its CPU ns/msg | datagrams per send | discarded/s |\n\
                 | --- | --- | --- | --- | --- |\n| {} | {:.0} | {:.0} | {:.1} | {:.0} |\n",
                setup.scenario.name,
                report.direct_rate,
                report.direct_ns_per_message,
                report.direct_burst_mean,
                report.discard_rate
            ))
        }
    }
}

fn setup(common: &Common, of_target: Option<&OfTarget>, rate: Rate) -> Result<Setup, Failure> {
    let scenario =
        Scenario::read(&common.scenario).map_err(|error| (EXIT_USAGE, error.to_string()))?;
    if !(1..=64).contains(&common.backends.len()) {
        return Err((EXIT_USAGE, "--backends: 1 to 64 addresses".to_owned()));
    }
    Ok(Setup {
        scenario,
        target: of_target.map_or(Target::Direct, |of| Target::Address(of.target)),
        backends: common.backends.clone(),
        callers: common.callers,
        rate,
        seconds: common.seconds,
        warmup: common.warmup,
        core: common.core,
        pids: of_target.map(|of| of.pids.clone()).unwrap_or_default(),
        target_core: common.target_core,
        seed: common.seed,
        burst_max: usize::from(common.burst),
        progress: !common.quiet,
    })
}

fn write_json(path: Option<&Path>, report: &impl Serialize) -> Result<(), Failure> {
    let Some(path) = path else { return Ok(()) };
    let text = serde_json::to_string_pretty(report).map_err(failed)?;
    write(path, &(text + "\n"))
}

fn write_picture(path: Option<&Path>, draw: impl FnOnce() -> String) -> Result<(), Failure> {
    path.map_or(Ok(()), |path| write(path, &draw()))
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|error| failed(format!("{}: {error}", path.display())))
}

fn say(text: &str) -> Result<(), Failure> {
    std::io::stdout().write_all(text.as_bytes()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
        let parse = |text: &str| Arguments::try_parse_from(text.split(' '));
        assert!(parse("sipedge-load run --scenario a --rate max --pid 1 --pid 2").is_ok());
        assert!(parse("sipedge-load run --scenario a --rate 1e5 --burst 1").is_ok());
        for wrong in ["--rate 0", "--rate fast", "--rate 5 --burst 65", "--rate 5 --seconds -1"] {
            assert!(parse(&format!("sipedge-load run --scenario a {wrong}")).is_err(), "{wrong}");
        }
    }
}
