//! The command line: arguments, exit codes, where the log goes.
//!
//! Owns: what can be asked of the program. Each command's work is elsewhere.
//! Exit codes: 0 fine, 1 failed, 2 wrong usage or configuration.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::problem::{Problems, Severity};
use crate::config::{self, Config};
use crate::control::resolve::look::look;
use crate::control::{compile, explain, summary};
use crate::run;
use crate::{ctl, demo};

/// Wrong usage or configuration.
pub const EXIT_USAGE: u8 = 2;
/// It could not be done.
pub const EXIT_FAILED: u8 = 1;

#[derive(Debug, Parser)]
#[command(name = "sipedge", version, about = "A SIP edge and load balancer")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the edge until SIGTERM or SIGINT.
    Run(RunArguments),
    /// Reads a configuration and says what would run, or all that is wrong with it.
    Check(ConfigArguments),
    /// Says where a message would go, and why, with the same core that forwards.
    Explain(ExplainArguments),
    /// Asks a running node, or changes it: state, drain, reload.
    Ctl(ctl::Arguments),
    /// Shows a running node in the terminal, once a second.
    #[cfg(feature = "top")]
    Top(ctl::top::Arguments),
    /// Shows it at work: the edge, three backends and a caller on loopback, and a backend that leaves half way.
    Demo(demo::Args),
}

#[derive(Debug, clap::Args)]
struct ConfigArguments {
    /// The configuration file.
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    config: PathBuf,
}

#[derive(Debug, clap::Args)]
struct RunArguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// What to log: error, warn, info, debug, trace. Without it RUST_LOG counts, then info.
    #[arg(long, value_name = "LEVEL")]
    log: Option<tracing::Level>,
}

#[derive(Debug, clap::Args)]
struct ExplainArguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// Who sends the message: IP:PORT, or an IP address with port 5060.
    #[arg(long, value_name = "ADDRESS", value_parser = source)]
    from: SocketAddr,
    /// The listener that it comes in by; the first of the right IP family when left out.
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
    /// A file with one SIP message, or - for standard input.
    #[arg(value_name = "MESSAGE.sip")]
    message: PathBuf,
}

/// Reads the arguments of this process and does what they say.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are no errors and go to standard output; clap knows which is which.
            let _ = error.print();
            return if error.use_stderr() { EXIT_USAGE.into() } else { ExitCode::SUCCESS };
        }
    };
    match arguments.command {
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Ctl(arguments) => ctl::run(&arguments),
        #[cfg(feature = "top")]
        Command::Top(arguments) => ctl::top::run(&arguments),
        Command::Run(arguments) => {
            log_to_stderr(arguments.log);
            let path = &arguments.config.config;
            with_config(path, |config, problems| {
                run::run(path, config, &problems).map_or_else(failed, |()| ExitCode::SUCCESS)
            })
        }
        Command::Check(arguments) => with_config(&arguments.config, |config, mut problems| {
            // What only shows when the table is made must not wait for `run`.
            if let Err(message) = compile::table(&config, config.node.shards.unwrap_or(1)) {
                eprintln!("error: {message}");
                return EXIT_USAGE.into();
            }
            let names = look(&config.names(), &config.node.dns);
            summary::warn_of_names(&config, &names, &mut problems);
            if !problems.sorted().is_empty() {
                eprintln!("{problems}");
            }
            print!("{}{}", summary::text(&config), summary::names_text(&names));
            let (warnings, path) = (problems.count(Severity::Warning), arguments.config.display());
            println!("\n{path} can run: 0 errors, {warnings} warnings");
            ExitCode::SUCCESS
        }),
        Command::Explain(arguments) => with_config(&arguments.config.config, |config, _| {
            let question = explain::Question {
                source: arguments.from,
                listener: arguments.listener.as_deref(),
                message: &arguments.message,
            };
            match explain::explain(&config, &question) {
                Ok(text) => {
                    print!("{text}");
                    ExitCode::SUCCESS
                }
                Err(explain::Refused::Usage(message)) => {
                    eprintln!("sipedge: {message}");
                    EXIT_USAGE.into()
                }
                Err(explain::Refused::Failed(message)) => failed(message),
            }
        }),
    }
}

fn with_config(path: &Path, then: impl FnOnce(Config, Problems) -> ExitCode) -> ExitCode {
    match config::load(path) {
        Ok((config, problems)) => then(config, problems),
        Err(problems) => {
            eprint!("{problems}");
            EXIT_USAGE.into()
        }
    }
}

fn failed(message: String) -> ExitCode {
    eprintln!("sipedge: {message}");
    EXIT_FAILED.into()
}

fn source(text: &str) -> Result<SocketAddr, String> {
    if let Some(ip) = config::address::literal(text) {
        return Ok(SocketAddr::new(ip, config::address::SIP_PORT));
    }
    text.parse().map_err(|_| "write 192.0.2.7:5060, 192.0.2.7 or [2001:db8::7]:5060".to_owned())
}

fn log_to_stderr(level: Option<tracing::Level>) {
    let from_environment = || std::env::var("RUST_LOG").ok().and_then(|level| level.parse().ok());
    let level = level.or_else(from_environment).unwrap_or(tracing::Level::INFO);
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
}
