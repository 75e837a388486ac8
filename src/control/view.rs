//! What an operator is shown of the node: the shapes behind the JSON API, `ctl`, `top` and the page.
//!
//! Owns: names and units of what is shown; a name here is a promise to whoever reads the API. Knows nothing of how it is
//! found out. Moments are milliseconds since 1970, durations say their unit.

use serde::Serialize;

use super::health::{BackendView, ProbingView};

/// The whole node.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Node {
    /// Its name in the configuration.
    pub name: String,
    /// Of the program.
    pub version: &'static str,
    /// Whether it takes part, or ends its work.
    pub state: State,
    /// When this was so.
    pub at_ms: u64,
    /// Since the start.
    pub uptime_ms: u64,
    /// What it runs by.
    pub configuration: Configuration,
    /// What the shards run on, a line each.
    pub runs_on: Vec<String>,
    /// Listeners in the order of the file.
    pub listeners: Vec<Listener>,
    /// Pools in the order of the file.
    pub pools: Vec<Pool>,
    /// Routes in the order of the file, in words.
    pub routes: Vec<String>,
}

/// Whether the node takes part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It does.
    #[default]
    Running,
    /// It ends its work.
    Draining,
}

/// The configuration that runs.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Configuration {
    /// Where it was read.
    pub file: String,
    /// When it was taken over.
    pub loaded_at_ms: u64,
    /// Reloads that were taken over since the start.
    pub reloads: u64,
    /// Reloads that were refused since the start.
    pub reloads_refused: u64,
    /// What the last reload came to; nothing before the first.
    pub last_reload: Option<Reload>,
}

/// A reload.
#[derive(Debug, Clone, Serialize)]
pub struct Reload {
    /// When.
    pub at_ms: u64,
    /// It was taken over; else nothing has changed.
    pub taken: bool,
    /// What changed, or why it was refused.
    pub lines: Vec<String>,
}

/// A listener.
#[derive(Debug, Clone, Serialize)]
pub struct Listener {
    /// Its name.
    pub name: String,
    /// The address that its sockets are bound to.
    pub address: String,
    /// How it is written into messages.
    pub advertise: String,
}

/// A pool.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// What a request is keyed by.
    pub key: String,
    /// How a key finds its backend.
    pub balance: String,
    /// No backend gets more than so many times the mean load; nothing where there is no cap.
    pub load_cap: Option<f64>,
    /// On what it goes on to another backend, in words; nothing when it does not.
    pub failover: Option<String>,
    /// How it is probed; nothing when it is not.
    pub probe: Option<ProbingView>,
    /// A 503 to a request lowers a share; not while it speaks against too many backends.
    pub believes_traffic: bool,
    /// A route names it.
    pub is_routed: bool,
    /// The number of its counters.
    pub meter: u32,
    /// Members in the order that the balance counts them.
    pub backends: Vec<Backend>,
    /// Who has left and still has dialogs perhaps.
    pub leaving: Vec<Leaving>,
}

/// A member of a pool.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Backend {
    /// Its URI as configured.
    pub uri: String,
    /// Where it is reached.
    pub address: String,
    /// Its weight: the one that the balance looks at.
    pub weight: u32,
    /// Its priority.
    pub priority: i32,
    /// The number of its counters.
    pub meter: u32,
    /// New keys go to it.
    pub takes_new: bool,
    /// How much of 1 of what is new it gets now; nothing where load or latency decide.
    pub share: Option<f64>,
    /// State, reason, probes, latency.
    pub health: Option<BackendView>,
    /// What it gets; filled in by who reads the counters.
    pub traffic: Option<Traffic>,
}

/// What a backend gets.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Traffic {
    /// Requests since the start.
    pub requests: u64,
    /// Responses since the start.
    pub responses: u64,
    /// Of these, 5xx and 6xx.
    pub failures: u64,
    /// Requests per second, the mean of the last five.
    pub requests_per_second: f64,
    /// Requests in the last ten seconds.
    pub requests_recent: u64,
}

/// A member that has left.
#[derive(Debug, Clone, Serialize)]
pub struct Leaving {
    /// Its URI as configured.
    pub uri: String,
    /// Where it is reached.
    pub address: String,
    /// The number of its counters.
    pub meter: u32,
    /// How long ago it left.
    pub left_ms: u64,
    /// What it still gets; filled in by who reads the counters.
    pub traffic: Option<Traffic>,
}
