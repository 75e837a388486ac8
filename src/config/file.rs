//! The configuration as it stands in the file: every value with its place, nothing judged yet.
//!
//! Owns: the plain structs between `read` (shape and types) and `check` (meaning).
//! A value that is not written is `None`; no default is known here.

use std::ops::Range;

use crate::secret::Secret;

/// A value and the bytes that it was read from.
#[derive(Debug, Clone)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub span: Range<usize>,
}

/// The whole file.
#[derive(Debug, Default)]
pub struct File {
    /// `[node]`.
    pub node: Node,
    /// `[[listen]]`.
    pub listen: Vec<Listen>,
    /// `[[pool]]`.
    pub pool: Vec<Pool>,
    /// `[[route]]`.
    pub route: Vec<Route>,
    /// `[limits]`.
    pub limits: Limits,
    /// `[admin]`.
    pub admin: Admin,
    /// `[trace]`.
    pub trace: Trace,
}

/// `[admin]`.
#[derive(Debug, Default)]
pub struct Admin {
    /// `listen`.
    pub listen: Option<At<String>>,
    /// `socket`.
    pub socket: Option<At<String>>,
    /// `token`.
    pub token: Option<At<Secret>>,
    /// `hosts`.
    pub hosts: Option<At<Vec<At<String>>>>,
    /// `ready_needs`.
    pub ready_needs: Option<At<String>>,
}

/// `[node]`.
#[derive(Debug, Default)]
pub struct Node {
    /// `name`.
    pub name: Option<At<String>>,
    /// `shards`, as text or number.
    pub shards: Option<At<Count>>,
    /// `cores`.
    pub cores: Option<At<Vec<At<i64>>>>,
    /// `keys`.
    pub keys: Option<At<Vec<Key>>>,
    /// `io`.
    pub io: Option<At<String>>,
    /// `steering`.
    pub steering: Option<At<String>>,
    /// `aliases`.
    pub aliases: Option<At<Vec<At<String>>>>,
    /// `drain_seconds`.
    pub drain_seconds: Option<At<i64>>,
    /// `drain_hook`.
    pub drain_hook: Option<At<Vec<At<String>>>>,
    /// `watch_config`.
    pub watch_config: Option<At<bool>>,
    /// `dns`.
    pub dns: Option<At<Vec<At<String>>>>,
    /// `dns_ttl_min_seconds`.
    pub dns_ttl_min_seconds: Option<At<i64>>,
    /// `dns_ttl_max_seconds`.
    pub dns_ttl_max_seconds: Option<At<i64>>,
    /// `dns_stale_max_seconds`.
    pub dns_stale_max_seconds: Option<At<i64>>,
}

/// A number, or a word in its place.
#[derive(Debug, Clone)]
pub enum Count {
    /// `"auto"`, or another word.
    Word(String),
    /// A number.
    Number(i64),
}

/// One entry of `keys`.
#[derive(Debug)]
pub struct Key {
    /// The whole entry.
    pub span: Range<usize>,
    /// `id`.
    pub id: Option<At<i64>>,
    /// `secret`.
    pub secret: Option<At<Secret>>,
}

/// `[[listen]]`.
#[derive(Debug)]
pub struct Listen {
    /// The header of the section.
    pub span: Range<usize>,
    /// `name`.
    pub name: Option<At<String>>,
    /// `address`.
    pub address: Option<At<String>>,
    /// `advertise`.
    pub advertise: Option<At<String>>,
    /// `anycast`.
    pub anycast: Option<At<bool>>,
    /// `side`.
    pub side: Option<At<String>>,
    /// `networks`.
    pub networks: Option<At<Vec<At<String>>>>,
}

/// `[[pool]]`.
#[derive(Debug)]
pub struct Pool {
    /// The header of the section.
    pub span: Range<usize>,
    /// `name`.
    pub name: Option<At<String>>,
    /// `key`.
    pub key: Option<At<String>>,
    /// `balance`.
    pub balance: Option<At<String>>,
    /// `send_from`.
    pub send_from: Option<At<String>>,
    /// `match_source`.
    pub match_source: Option<At<String>>,
    /// `backends`.
    pub backends: Option<At<Vec<Backend>>>,
    /// `list`.
    pub list: Option<At<String>>,
    /// `set`.
    pub set: Option<At<i64>>,
    /// `probe`.
    pub probe: Option<Probe>,
    /// `slow_start_s`.
    pub slow_start_s: Option<At<i64>>,
    /// `eased_max_percent`.
    pub eased_max_percent: Option<At<i64>>,
    /// `failover`.
    pub failover: Option<Failover>,
    /// `load_cap`.
    pub load_cap: Option<At<f64>>,
}

/// `probe`: a word, or `[pool.probe]`.
#[derive(Debug)]
pub enum Probe {
    /// `"off"`, or another word.
    Word(At<String>),
    /// How to probe.
    Table(Box<ProbeTable>),
}

/// `[pool.probe]`.
#[derive(Debug)]
pub struct ProbeTable {
    /// The whole table, or its header.
    pub span: Range<usize>,
    /// `interval_ms`.
    pub interval_ms: Option<At<i64>>,
    /// `timeout_ms`.
    pub timeout_ms: Option<At<i64>>,
    /// `rise`.
    pub rise: Option<At<i64>>,
    /// `fall`.
    pub fall: Option<At<i64>>,
    /// `method`.
    pub method: Option<At<String>>,
    /// `from`.
    pub from: Option<At<String>>,
    /// `alive`.
    pub alive: Option<At<Vec<At<Count>>>>,
    /// `send_from`.
    pub send_from: Option<At<String>>,
}

/// `failover = { .. }`.
#[derive(Debug)]
pub struct Failover {
    /// The whole table.
    pub span: Range<usize>,
    /// `on`: words and numbers.
    pub on: Option<At<Vec<At<Count>>>>,
    /// `tries`.
    pub tries: Option<At<i64>>,
    /// `timeout_ms`.
    pub timeout_ms: Option<At<i64>>,
}

/// One entry of `backends`.
#[derive(Debug)]
pub struct Backend {
    /// The whole entry.
    pub span: Range<usize>,
    /// `uri`.
    pub uri: Option<At<String>>,
    /// `weight`.
    pub weight: Option<At<i64>>,
    /// `priority`.
    pub priority: Option<At<i64>>,
    /// `max_load`.
    pub max_load: Option<At<i64>>,
}

/// `[[route]]`.
#[derive(Debug)]
pub struct Route {
    /// The header of the section.
    pub span: Range<usize>,
    /// `when`.
    pub when: When,
    /// `pool`.
    pub pool: Option<At<String>>,
    /// `reply`.
    pub reply: Option<At<i64>>,
    /// `drop`.
    pub drop: Option<At<bool>>,
    /// `mode`.
    pub mode: Option<At<String>>,
    /// `in_dialog`.
    pub in_dialog: Option<At<String>>,
    /// `record_route`.
    pub record_route: Option<At<bool>>,
    /// `path`.
    pub path: Option<At<Word>>,
}

/// A value that is a word or a truth: `path = "always"`, `path = false`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// `true` or `false`.
    Boolean(bool),
    /// A text.
    Text(String),
}

/// `when = { .. }`.
#[derive(Debug, Default)]
pub struct When {
    /// `method`.
    pub method: Option<At<Vec<At<String>>>>,
    /// `listen`.
    pub listen: Option<At<Vec<At<String>>>>,
    /// `domain`.
    pub domain: Option<At<Vec<At<String>>>>,
}

/// `[limits]`.
#[derive(Debug, Default)]
pub struct Limits {
    /// `message_bytes_max`.
    pub message_bytes_max: Option<At<i64>>,
    /// `transactions_max`.
    pub transactions_max: Option<At<i64>>,
    /// `send_queue_max`.
    pub send_queue_max: Option<At<i64>>,
    /// `receive_buffers`.
    pub receive_buffers: Option<At<i64>>,
    /// `socket_buffer_bytes`.
    pub socket_buffer_bytes: Option<At<i64>>,
    /// `retry_after_seconds`.
    pub retry_after_seconds: Option<At<i64>>,
    /// `held_max`.
    pub held_max: Option<At<i64>>,
    /// `held_bytes_max`.
    pub held_bytes_max: Option<At<i64>>,
}

/// `[trace]`.
#[derive(Debug, Default)]
pub struct Trace {
    /// `hep`.
    pub hep: Option<Hep>,
    /// `pcap`.
    pub pcap: Option<Pcap>,
    /// `decisions`.
    pub decisions: Option<Decisions>,
}

/// Which messages a trace has.
#[derive(Debug, Default)]
pub struct Choice {
    /// `sample`.
    pub sample: Option<At<i64>>,
    /// `pool`.
    pub pool: Option<At<Vec<At<String>>>>,
    /// `call_id`.
    pub call_id: Option<At<String>>,
    /// `aor`.
    pub aor: Option<At<String>>,
}

/// `hep = { .. }`.
#[derive(Debug)]
pub struct Hep {
    /// The whole entry.
    pub span: Range<usize>,
    /// `sink`.
    pub sink: Option<At<String>>,
    /// `node_id`.
    pub node_id: Option<At<i64>>,
    /// `password`.
    pub password: Option<At<Secret>>,
    /// Which messages.
    pub choice: Choice,
}

/// `pcap = { .. }`.
#[derive(Debug)]
pub struct Pcap {
    /// The whole entry.
    pub span: Range<usize>,
    /// `folder`.
    pub folder: Option<At<String>>,
    /// `file_bytes_max`.
    pub file_bytes_max: Option<At<i64>>,
    /// `files`.
    pub files: Option<At<i64>>,
    /// Which messages.
    pub choice: Choice,
}

/// `decisions = { .. }`.
#[derive(Debug)]
pub struct Decisions {
    /// `file`.
    pub file: Option<At<String>>,
    /// `per_second_max`.
    pub per_second_max: Option<At<i64>>,
}
