//! What a configuration means, in the words of an operator: what `check` prints and `run` logs.
//!
//! Owns: the wording. Decides nothing.

use std::fmt::{self, Write};
use std::time::Duration;

use super::compile::{self, uses_weights};
use super::health::{Alive, Settings};
use super::resolve::{Known, SHARE_ONE, State, members};
use crate::config::problem::Problems;
use crate::config::{Admin, Backend, Config, Io, Pool, Steering, Target};
use crate::sip::ListenerId;
use crate::sip::balance::Spec;
use crate::sip::message::Method;
use crate::sip::route::table::{Action, KeySource, PathPolicy, Pool as TablePool, Rule};

/// Backends of a pool that are listed one by one.
const BACKENDS_SHOWN_MAX: usize = 20;

/// The whole configuration, a line for each thing that runs.
#[must_use]
pub fn text(config: &Config) -> String {
    let mut out = String::new();
    write_all(&mut out, config).expect("writing to a string cannot fail");
    out
}

fn write_all(out: &mut String, config: &Config) -> fmt::Result {
    let node = &config.node;
    let shards = match node.shards {
        None => "one shard for each core".to_owned(),
        Some(1) => "1 shard".to_owned(),
        Some(count) => format!("{count} shards"),
    };
    let io = match node.io {
        Io::Auto => "recvmmsg",
        Io::IoUring => "io_uring",
        Io::Recvmmsg => "recvmmsg",
    };
    let steering = match node.steering {
        Steering::Auto => "eBPF where allowed, else the kernel's hash",
        Steering::Ebpf => "eBPF",
        Steering::Kernel => "the kernel's hash",
    };
    writeln!(out, "node {}: {shards}; I/O by {io}; steering by {steering}", node.name)?;
    if node.keys_by_chance {
        writeln!(out, "keys: none configured, one is made by chance at each start")?;
    } else {
        let ids: Vec<String> = node.keys.iter().map(|key| key.id.to_string()).collect();
        writeln!(out, "keys: {} seals, known: {}", ids[0], ids.join(", "))?;
    }
    for listener in &config.listeners {
        let (name, address) = (&listener.name, listener.address);
        writeln!(
            out,
            "listener {name}: udp {address}, written as {}:{}",
            listener.host, listener.port
        )?;
    }
    // What the balances make of the weights, not the weights.
    let table = compile::table(config, 1).map_or_else(|_| Vec::new(), |parts| parts.pools);
    for (index, pool) in config.pools.iter().enumerate() {
        write_pool(out, config, pool, table.get(index))?;
    }
    for (index, rule) in config.rules.iter().enumerate() {
        writeln!(out, "route {}: {}", index + 1, rule_text(config, rule))?;
    }
    let Admin { listen, socket, token, .. } = &config.admin;
    match listen {
        Some(address) => {
            let writes = if token.is_some() { "with the token" } else { "refused: no token" };
            writeln!(
                out,
                "admin: http://{address}/ and /metrics, /healthz, /api/v1; changes: {writes}"
            )?;
        }
        None => writeln!(out, "admin: off")?,
    }
    socket.iter().try_for_each(|path| writeln!(out, "admin: {}", path.display()))
}

/// What the names of backends stand for at this moment, a line for each address.
#[must_use]
pub fn names_text(names: &Known) -> String {
    let mut out = String::new();
    for (name, outcome) in names.iter() {
        let count = outcome.found.len();
        let plural = if count == 1 { "address" } else { "addresses" };
        out.push_str(&format!("name {name}: {count} {plural} now\n"));
        for one in outcome.found.iter().take(BACKENDS_SHOWN_MAX) {
            let share = f64::from(one.share) / f64::from(SHARE_ONE);
            let (address, via, priority) = (one.address, &one.via, one.priority);
            out.push_str(&format!("  {address}  priority {priority}, share {share:.2}  ({via})\n"));
        }
        if count > BACKENDS_SHOWN_MAX {
            out.push_str(&format!("  and {} more\n", count - BACKENDS_SHOWN_MAX));
        }
    }
    out
}

/// What an operator should know of names before anything runs.
pub fn warn_of_names(config: &Config, names: &Known, problems: &mut Problems) {
    for (name, outcome) in names.iter() {
        let backends = config.pools.iter().flat_map(|pool| &pool.backends);
        let uri =
            backends.filter(|backend| matches!(&backend.target, Target::Name(of) if of == name));
        let uri = uri.map(|backend| backend.uri.as_str()).next().unwrap_or_default();
        if let State::Failed(why) = &outcome.state {
            let help = "it runs; the name has no backend until it resolves. Look at the DNS, and at `dns` in [node]";
            problems.warning_at_uri(uri, format!("{name} does not resolve now: {why}"), help);
        }
        for note in &outcome.notes {
            let help = "look at its records in the DNS";
            problems.warning_at_uri(uri, format!("{name}: {note}"), help);
        }
    }
    for pool in &config.pools {
        let members = members::of_pool(pool, names, |address| config.is_ours(address));
        for left_out in members.left_out {
            let help = "look at its records in the DNS, or at the backends of the pool";
            problems.warning_in_file(format!("pool {}: {left_out}", pool.name), help);
        }
    }
}

fn write_pool(
    out: &mut String,
    config: &Config,
    pool: &Pool,
    table: Option<&TablePool>,
) -> fmt::Result {
    let by = match pool.balance {
        Spec::Rendezvous => format!(" by {}", key_text(&pool.key)),
        _ => String::new(),
    };
    let count = pool.backends.len();
    let plural = if count == 1 { "" } else { "s" };
    write!(out, "pool {}: {}{by}, {count} backend{plural}", pool.name, pool.balance)?;
    if let Some(listener) = pool.send_from.and_then(|id| config.listeners.get(usize::from(id.0))) {
        write!(out, ", sent from {}", listener.name)?;
    }
    if let Some(cap) = pool.load_cap {
        write!(out, ", none above {cap} times the mean load")?;
    }
    if let Some(failover) = pool.failover {
        write!(out, ", fails over {failover}")?;
    }
    writeln!(out, ", {}", probe_text(pool))?;
    let shares = table.and_then(|table| shares(pool, table));
    for (place, backend) in pool.backends.iter().enumerate().take(BACKENDS_SHOWN_MAX) {
        write!(out, "  {}", backend.uri)?;
        if uses_weights(pool.balance) {
            match pool.balance {
                Spec::Kamailio { algorithm: 11, .. } => {
                    write!(out, "  rweight {}", backend.rweight)?;
                }
                _ => write!(out, "  weight {}", backend.weight)?,
            }
            if let Some(share) = shares.as_ref().and_then(|shares| shares.get(place)) {
                write!(out, " ({:.1} %)", share * 100.0)?;
            }
        }
        writeln!(out, "{}", if backend.usable { "" } else { "  out of use by its flags" })?;
    }
    if count > BACKENDS_SHOWN_MAX {
        writeln!(out, "  and {} more", count - BACKENDS_SHOWN_MAX)?;
    }
    Ok(())
}

/// The share of each backend while all are well; nothing where names, loads or latencies decide.
fn shares(pool: &Pool, table: &TablePool) -> Option<Vec<f64>> {
    let is_address = |backend: &Backend| matches!(backend.target, Target::Address(_));
    let are_members = table.backends.len() == pool.backends.len();
    let is_known = are_members && pool.backends.iter().all(is_address);
    table.balance.shares(&table.usable).filter(|_| is_known)
}

/// How a pool is probed.
fn probe_text(pool: &Pool) -> String {
    let Some(probe) = &pool.probe else { return "not probed".to_owned() };
    let seconds = |us: u64| format!("{} s", Duration::from_micros(us).as_secs_f64());
    let Settings { rise, fall, .. } = probe;
    let mut text = format!(
        "probed by {} every {}: out after {fall}, back after {rise}",
        probe.method,
        seconds(probe.interval_us)
    );
    if probe.alive != Alive::Default {
        text += &format!("; good is {}", probe.alive);
    }
    if pool.slow_start_s > 0 {
        text += &format!("; slow start of {} s", pool.slow_start_s);
    }
    text
}

/// A key source as it is written in the configuration.
#[must_use]
pub fn key_text(key: &KeySource) -> String {
    match key {
        KeySource::CallId => "call-id".to_owned(),
        KeySource::From => "from".to_owned(),
        KeySource::To => "to".to_owned(),
        KeySource::RequestUri => "request-uri".to_owned(),
        KeySource::Aor => "aor".to_owned(),
        KeySource::Presentity => "presentity".to_owned(),
        KeySource::AuthUser => "auth-user".to_owned(),
        KeySource::Source => "source".to_owned(),
        KeySource::Header(name) => format!("header:{name}"),
    }
}

/// Whom a listener shares its side with, and the networks that it leads to.
#[must_use]
pub fn side_text(config: &Config, id: ListenerId) -> String {
    let side = config.sides.side(id);
    let mates = (0..).map(ListenerId).zip(&config.listeners);
    let mates = mates.filter(|&(other, _)| other != id && config.sides.side(other) == side);
    let mates: Vec<&str> = mates.map(|(_, listener)| listener.name.as_str()).collect();
    let mut out = match mates.as_slice() {
        [] => "a side of its own".to_owned(),
        mates => format!("on one side with {}", mates.join(", ")),
    };
    let networks = config.sides.networks().filter(|network| network.listener == id);
    let networks: Vec<String> =
        networks.map(|network| format!("{}/{}", network.address, network.bits)).collect();
    if !networks.is_empty() {
        out.push_str(&format!(", leads to {}", networks.join(" ")));
    }
    out
}

/// What a rule matches and does.
#[must_use]
pub fn rule_text(config: &Config, rule: &Rule) -> String {
    let mut out = String::new();
    let known = rule.methods.iter().filter(|&&method| method != Method::Other);
    let methods: Vec<&str> = known
        .map(|method| method.label())
        .chain(rule.other_methods.iter().map(String::as_str))
        .collect();
    out.push_str(&if methods.is_empty() { "any request".to_owned() } else { methods.join(" or ") });
    if !rule.listeners.is_empty() {
        let name = |id: &ListenerId| {
            config.listeners.get(usize::from(id.0)).map_or("?", |listener| &listener.name)
        };
        let names: Vec<&str> = rule.listeners.iter().map(name).collect();
        out.push_str(&format!(" by {}", names.join(" or ")));
    }
    if !rule.domains.is_empty() {
        let domains: Vec<String> = rule.domains.iter().map(ToString::to_string).collect();
        out.push_str(&format!(" for {}", domains.join(" or ")));
    }
    out.push_str(" -> ");
    match rule.action {
        Action::Pool(pool) => {
            let name = config.pools.get(usize::from(pool)).map_or("?", |pool| &pool.name);
            out.push_str(&format!("pool {name}"));
            if rule.needs_token {
                out.push_str(", in dialogs with a token only");
            }
            if !rule.record_route {
                out.push_str(", not record-routed");
            }
            match rule.path {
                PathPolicy::Never => out.push_str(", no Path"),
                PathPolicy::Supported => {}
                PathPolicy::Always => out.push_str(", Path for all"),
            }
        }
        Action::Reply(status) => out.push_str(&format!("reply {status}")),
        Action::Drop => out.push_str("drop"),
    }
    out
}
