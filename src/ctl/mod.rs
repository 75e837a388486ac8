//! `sipedge ctl` and `sipedge top`: what an operator asks a running node, over its unix socket or over TCP.
//!
//! Owns: the commands and their exit codes (0 done, 1 refused or failed, 2 wrong usage). It knows the node by its JSON only and
//! names nothing else of the crate but `secret`, so that it can ask a node of another version.

use std::path::Path;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::Value;

mod drain;
pub mod http;
mod show;
mod table;
#[cfg(feature = "top")]
pub mod top;

use crate::secret::Secret;
use http::{Answer, Target, encoded};

const EXIT_FAILED: u8 = 1;
const EXIT_USAGE: u8 = 2;

/// Where a node is looked for when nobody says.
const SOCKET_DEFAULT: &str = "/run/sipedge/sipedge.sock";
const ADDRESS_DEFAULT: &str = "127.0.0.1:9060";

/// Which node, and as whom.
#[derive(Debug, Args)]
pub struct Which {
    /// The node: its socket's path or http://HOST:PORT. Default: SIPEDGE_ADMIN, else /run/sipedge/sipedge.sock when it is
    /// there, else http://127.0.0.1:9060.
    #[arg(short = 's', long = "server", value_name = "SOCKET|URL", global = true)]
    server: Option<String>,
    /// The token, to change something over TCP: env:NAME or file:PATH. Default: what SIPEDGE_TOKEN holds.
    #[arg(long = "token", value_name = "env:NAME|file:PATH", global = true)]
    token_from: Option<String>,
}

/// `sipedge ctl`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    which: Which,
    /// Prints the answer as it came, as JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

/// What can be asked.
#[derive(Debug, Subcommand)]
enum Command {
    /// The node: state, configuration, pools.
    Status,
    /// The pools.
    Pools,
    /// All backends, or those of a pool: state, share, rate, latency.
    Backends {
        /// The pool.
        pool: Option<String>,
    },
    /// One backend with its last probes, in all its pools.
    Backend {
        /// Its URI as configured.
        uri: String,
    },
    /// Gives a backend no new keys; its dialogs and transactions go on. Shows what is left.
    Drain {
        #[command(flatten)]
        backend: OfPool,
        /// Watches until no request went to it for ten seconds.
        #[arg(long)]
        wait: bool,
        /// With --wait: gives up after this many seconds (exit code 1; the backend goes on draining).
        #[arg(long, value_name = "SECONDS", default_value_t = 3_600)]
        timeout: u32,
    },
    /// Takes a backend out: no new keys and no probes, whatever it answers.
    Disable(OfPool),
    /// Puts a backend in use again, as health says.
    Enable(OfPool),
    /// Reads the configuration again and shows what changes.
    Reload,
    /// Ends the node's work in order, then the node.
    DrainNode,
    /// What went nowhere, by reason.
    Drops,
    /// The shards.
    Shards,
    /// The last seconds.
    Rates,
    /// The last decisions.
    Decisions,
    /// The document that describes the API.
    Openapi,
}

/// A backend of a pool.
#[derive(Debug, Args)]
struct OfPool {
    /// The pool.
    pool: String,
    /// Its URI as configured.
    uri: String,
}

/// Why a command ends with an error.
enum Failure {
    Usage(String),
    Failed(String),
}

impl From<String> for Failure {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

/// A node that can be asked.
pub(crate) struct Node {
    target: Target,
    token: Option<Secret>,
}

/// Does what the arguments say.
#[must_use]
pub fn run(arguments: &Arguments) -> ExitCode {
    finish(Node::new(&arguments.which).and_then(|node| command(&node, arguments)))
}

fn finish(result: Result<String, Failure>) -> ExitCode {
    let (message, code) = match result {
        Ok(text) => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
        Err(Failure::Usage(message)) => (message, EXIT_USAGE),
        Err(Failure::Failed(message)) => (message, EXIT_FAILED),
    };
    eprintln!("sipedge: {message}");
    code.into()
}

fn command(node: &Node, arguments: &Arguments) -> Result<String, Failure> {
    let shown = |answer: Value, show: &dyn Fn(&Value) -> String| -> String {
        if arguments.json { format!("{answer:#}\n") } else { show(&answer) }
    };
    let read = |path: &str, show: &dyn Fn(&Value) -> String| Ok(shown(node.read(path)?, show));
    let act = |path: &str| Ok(shown(node.act(path)?, &show::done));
    let of_pool = |backend: &OfPool, action: &str| act(&backend.path(action));
    match &arguments.command {
        Command::Status => read("node", &show::status),
        Command::Pools => read("pools", &|answer| show::pools(&answer["pools"])),
        Command::Backends { pool: None } => {
            read("pools", &|answer| show::backends(show::list(&answer["pools"])))
        }
        Command::Backends { pool: Some(pool) } => {
            read(&format!("pools/{}", encoded(pool)), &|pool| {
                show::backends(std::slice::from_ref(pool))
            })
        }
        Command::Backend { uri } => one_backend(node, uri, arguments.json),
        Command::Drain { backend, wait, timeout } => {
            let done = node.act(&backend.path("drain"))?;
            let left = drain::left(node, &backend.pool, &backend.uri)?;
            if arguments.json && !wait {
                return Ok(format!("{:#}\n", drain::json(&done, &left)));
            }
            print!("{}", show::done(&done));
            if *wait {
                drain::watch(node, backend, *timeout, &left)
            } else {
                Ok(drain::text(&left))
            }
        }
        Command::Disable(backend) => of_pool(backend, "disable"),
        Command::Enable(backend) => of_pool(backend, "enable"),
        Command::Reload => act("reload"),
        Command::DrainNode => act("drain"),
        Command::Drops => read("drops", &show::drops),
        Command::Shards => read("shards", &show::shards),
        Command::Rates => read("rates", &show::rates),
        Command::Decisions => read("decisions", &show::decisions),
        Command::Openapi => read("openapi.json", &|document| format!("{document:#}\n")),
    }
}

fn one_backend(node: &Node, uri: &str, is_json: bool) -> Result<String, Failure> {
    let answer = node.read("pools")?;
    let mut found = Vec::new();
    let mut known = Vec::new();
    for pool in show::list(&answer["pools"]) {
        for backend in show::list(&pool["backends"]) {
            if backend["uri"] == uri {
                found.push((pool, backend));
            }
            known.push(show::text(&backend["uri"]));
        }
    }
    if found.is_empty() {
        return Err(Failure::Failed(format!(
            "no backend has the URI \"{uri}\"; known: {}",
            known.join(", ")
        )));
    }
    if is_json {
        let list: Vec<&Value> = found.iter().map(|(_, backend)| *backend).collect();
        return Ok(format!("{:#}\n", Value::from_iter(list.into_iter().cloned())));
    }
    Ok(found.iter().map(|(pool, backend)| show::backend(pool, backend)).collect())
}

impl OfPool {
    fn path(&self, action: &str) -> String {
        format!("pools/{}/backends/{}/{action}", encoded(&self.pool), encoded(&self.uri))
    }
}

impl Node {
    fn new(which: &Which) -> Result<Self, Failure> {
        let server = which.server.clone().or_else(|| std::env::var("SIPEDGE_ADMIN").ok());
        let server = server.unwrap_or_else(|| {
            let default =
                if Path::new(SOCKET_DEFAULT).exists() { SOCKET_DEFAULT } else { ADDRESS_DEFAULT };
            default.to_owned()
        });
        let target = Target::parse(&server).map_err(Failure::Usage)?;
        let token = match &which.token_from {
            None => std::env::var("SIPEDGE_TOKEN").ok().map(Secret::new),
            Some(text) => Some(token(text).map_err(Failure::Usage)?),
        };
        Ok(Self { target, token })
    }

    /// A part of the state.
    pub(crate) fn read(&self, path: &str) -> Result<Value, String> {
        let answer = self.target.ask("GET", &format!("/api/v1/{path}"), None)?;
        parsed(&self.target, &answer)
    }

    fn act(&self, path: &str) -> Result<Value, String> {
        let answer = self.target.ask(
            "POST",
            &format!("/api/v1/{path}"),
            self.token.as_ref().map(Secret::expose),
        )?;
        parsed(&self.target, &answer)
    }
}

fn token(text: &str) -> Result<Secret, String> {
    const FORM: &str = "write --token env:NAME or --token file:PATH: what stands on a command line, others can read";
    if let Some(name) = text.strip_prefix("env:") {
        return std::env::var(name)
            .map(Secret::new)
            .map_err(|_| format!("the environment variable {name} is not set"));
    }
    let path = text.strip_prefix("file:").ok_or_else(|| FORM.to_owned())?;
    let read = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let read = Secret::new(read);
    Ok(Secret::from(read.expose().trim_end()))
}

/// The JSON of an answer; what was refused, with what to do.
fn parsed(target: &Target, answer: &Answer) -> Result<Value, String> {
    let json: Value = serde_json::from_slice(&answer.body).map_err(|_| {
        format!(
            "{target} answered {} and no JSON: is this the admin listener of a node?",
            answer.status
        )
    })?;
    if answer.status < 300 {
        return Ok(json);
    }
    let (error, help) = (show::text(&json["error"]), show::text(&json["help"]));
    Err(format!("{error}\n  help: {help}"))
}
