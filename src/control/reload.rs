//! From the running configuration to an edited one: what changes, what has to wait for a restart, and which keys move.
//!
//! Owns: which keys are live and which need a restart (`config/sipedge.toml` marks them, a test compares), and how a change is
//! told. It decides on values only; installing is done by who asked.

use std::fmt::Write as _;

use super::summary::{key_text, rule_text, side_text};
use crate::config::Config;
use crate::sip::balance::{Detail, LoadCap, Spec};
use crate::sip::route::domain::Domain;

mod moved;
mod words;

pub use moved::moved_keys;
use words::{
    dns_text, io_word, keep, keep_unsaid, list, list_words, listener_name, needs_word,
    steering_word,
};

#[cfg(test)]
mod marks;
#[cfg(test)]
mod tests;

/// Lines that are told of one pool.
const LINES_MAX: usize = 20;

/// What an edited configuration comes to.
#[derive(Debug, Clone)]
pub struct Edit {
    /// What to run: the edited one, where keys that need a restart have the running values.
    pub config: Config,
    /// Keys that were changed and need a restart, with what runs and what is written.
    pub restart: Vec<String>,
    /// What changes now, a line each.
    pub lines: Vec<String>,
}

/// Compares `new` with what runs.
///
/// # Errors
/// When `new` cannot run without a restart: listeners are bound at start, and routes and pools name them.
pub fn plan(running: &Config, new: &Config) -> Result<Edit, String> {
    let addresses =
        |config: &Config| -> Vec<_> { config.listeners.iter().map(|l| l.address).collect() };
    if addresses(running) != addresses(new) {
        let list = |config: &Config| {
            addresses(config).iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        };
        return Err(format!(
            "the addresses of the listeners cannot change while running ({} -> {}): restart to change them",
            list(running),
            list(new)
        ));
    }
    let mut edit = Edit { config: new.clone(), restart: Vec::new(), lines: Vec::new() };
    edit.keep_what_needs_a_restart(running);
    edit.keep_keys_by_chance(running);
    edit.keep_keys_that_are_out(running);
    edit.tell_node(running);
    edit.tell_listeners(running);
    edit.tell_anycast(running);
    edit.tell_sides(running);
    edit.tell_pools(running);
    edit.tell_routes(running);
    Ok(edit)
}

impl Edit {
    /// Nothing changes, now or later.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.restart.is_empty()
    }

    fn keep_what_needs_a_restart(&mut self, running: &Config) {
        let Self { config: new, restart, .. } = self;
        let (old, node) = (&running.node, &mut new.node);
        keep("[node] shards", &old.shards, &mut node.shards, restart, |shards| {
            shards.map_or_else(|| "one for each core".to_owned(), |count| count.to_string())
        });
        keep("[node] cores", &old.cores, &mut node.cores, restart, |cores| list(cores, "any"));
        keep("[node] io", &old.io, &mut node.io, restart, |io| io_word(*io).to_owned());
        keep("[node] steering", &old.steering, &mut node.steering, restart, |steering| {
            steering_word(*steering).to_owned()
        });
        let (old, limits) = (&running.shard_limits, &mut new.shard_limits);
        let mut number = |name: &str, old: &usize, new: &mut usize| {
            keep(&format!("[limits] {name}"), old, new, restart, usize::to_string);
        };
        number("send_queue_max", &old.send_queue_max, &mut limits.send_queue_max);
        number("receive_buffers", &old.receive_buffers, &mut limits.receive_buffers);
        number("socket_buffer_bytes", &old.socket_buffer_bytes, &mut limits.socket_buffer_bytes);
        let (old, limits) = (&running.limits, &mut new.limits);
        number("transactions_max", &old.transactions_max, &mut limits.transactions_max);
        number("held_max", &old.held_max, &mut limits.held_max);
        number("held_bytes_max", &old.held_bytes_max, &mut limits.held_bytes_max);
        // What these say has many parts, and a password among them.
        let (old, trace) = (&running.trace, &mut new.trace);
        keep_unsaid("[trace] hep", &old.hep, &mut trace.hep, restart);
        keep_unsaid("[trace] pcap", &old.pcap, &mut trace.pcap, restart);
        keep_unsaid("[trace] decisions", &old.decisions, &mut trace.decisions, restart);
        let (old, admin) = (&running.admin, &mut new.admin);
        keep("[admin] listen", &old.listen, &mut admin.listen, restart, |listen| {
            listen.map_or_else(|| "off".to_owned(), |address| address.to_string())
        });
        keep("[admin] socket", &old.socket, &mut admin.socket, restart, |socket| {
            socket.as_ref().map_or_else(|| "none".to_owned(), |path| path.display().to_string())
        });
        keep_unsaid("[admin] token", &old.token, &mut admin.token, restart);
        keep("[admin] hosts", &old.hosts, &mut admin.hosts, restart, |hosts| list(hosts, "none"));
        keep("[admin] ready_needs", &old.ready_needs, &mut admin.ready_needs, restart, |needs| {
            needs_word(*needs).to_owned()
        });
    }

    /// A key of tokens that are out keeps its secret: under another one, none of them would open.
    fn keep_keys_that_are_out(&mut self, running: &Config) {
        let (old, new) = (&running.node, &mut self.config.node);
        if old.keys_by_chance || new.keys_by_chance {
            return;
        }
        let reused = new
            .keys
            .iter()
            .find(|key| old.keys.iter().any(|old| old.id == key.id && old.secret != key.secret));
        if let Some(key) = reused {
            self.restart.push(format!(
                "[node] keys: id {} has another secret than the one that runs, and the keys stay as they run: no token that is \
                 out under it would open. Give the new secret an id of its own and put it first; keep the old one behind it \
                 until its dialogs have ended",
                key.id
            ));
            new.keys.clone_from(&old.keys);
        }
    }

    /// A key made by chance is made once: another one would open none of the tokens that are out.
    fn keep_keys_by_chance(&mut self, running: &Config) {
        if running.node.keys_by_chance && self.config.node.keys_by_chance {
            self.config.node.keys.clone_from(&running.node.keys);
        }
    }

    fn tell_node(&mut self, running: &Config) {
        let (old, new) = (&running.node, &self.config.node);
        let ids = |node: &crate::config::Node| -> Vec<(u8, [u8; 32])> {
            node.keys.iter().map(|key| (key.id, key.secret)).collect()
        };
        let mut lines = Vec::new();
        if old.name != new.name {
            lines.push(format!("[node] name: {} -> {}", old.name, new.name));
        }
        if ids(old) != ids(new) {
            let shown = |node| {
                ids(node).iter().map(|(id, _)| id.to_string()).collect::<Vec<_>>().join(", ")
            };
            lines.push(format!("[node] keys: {} -> {}; the first seals", shown(old), shown(new)));
        }
        if old.aliases != new.aliases {
            let shown = |aliases: &[Domain]| {
                aliases.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
            };
            lines.push(format!(
                "[node] aliases: {} -> {}",
                shown(&old.aliases),
                shown(&new.aliases)
            ));
        }
        if old.drain != new.drain {
            let shown = |drain: &crate::config::Drain| {
                format!("{} s, hook {}", drain.seconds, list_words(&drain.hook))
            };
            lines.push(format!("[node] drain: {} -> {}", shown(&old.drain), shown(&new.drain)));
        }
        if old.dns != new.dns {
            lines.push(format!("[node] dns: {} -> {}", dns_text(&old.dns), dns_text(&new.dns)));
        }
        if old.watch_config != new.watch_config {
            let word = |watches| if watches { "on" } else { "off" };
            let (old, new) = (word(old.watch_config), word(new.watch_config));
            lines.push(format!("[node] watch_config: {old} -> {new}"));
        }
        let (old, new) = (&running.limits, &self.config.limits);
        let numbers = [
            ("message_bytes_max", old.message_bytes_max as u64, new.message_bytes_max as u64),
            (
                "retry_after_seconds",
                u64::from(old.retry_after_seconds),
                u64::from(new.retry_after_seconds),
            ),
        ];
        for (name, old, new) in numbers.iter().filter(|(_, old, new)| old != new) {
            lines.push(format!("[limits] {name}: {old} -> {new}"));
        }
        self.lines.extend(lines);
    }

    fn tell_listeners(&mut self, running: &Config) {
        for (old, new) in running.listeners.iter().zip(&self.config.listeners) {
            if old.name != new.name {
                self.lines.push(format!("listener {}: is called {} now", old.name, new.name));
            }
            if (&old.host, old.port) != (&new.host, new.port) {
                self.lines.push(format!(
                    "listener {}: written as {}:{} -> {}:{}",
                    new.name, old.host, old.port, new.host, new.port
                ));
            }
        }
    }

    fn tell_anycast(&mut self, running: &Config) {
        if running.anycast != self.config.anycast {
            let names = |config: &Config| {
                let name = |id: &crate::sip::ListenerId| {
                    config.listeners.get(usize::from(id.0)).map_or("?", |listener| &listener.name)
                };
                config.anycast.iter().map(name).collect::<Vec<_>>().join(", ")
            };
            let (old, new) = (names(running), names(&self.config));
            self.lines.push(format!("anycast listeners: ({old}) -> ({new})"));
        }
    }

    fn tell_sides(&mut self, running: &Config) {
        for (place, listener) in (0..).zip(&self.config.listeners) {
            let text = |config: &Config| side_text(config, crate::sip::ListenerId(place));
            let (old, new) = (text(running), text(&self.config));
            if old != new {
                self.lines.push(format!("listener {}: {old} -> {new}", listener.name));
            }
        }
    }

    fn tell_pools(&mut self, running: &Config) {
        for old in &running.pools {
            if !self.config.pools.iter().any(|new| new.name == old.name) {
                self.lines.push(format!("pool {}: gone", old.name));
            }
        }
        for new in &self.config.pools {
            let Some(old) = running.pools.iter().find(|old| old.name == new.name) else {
                self.lines.push(format!("pool {}: new, {} backends", new.name, new.backends.len()));
                continue;
            };
            let mut lines = pool_lines((running, old), (&self.config, new));
            let more = lines.len().saturating_sub(LINES_MAX);
            if more > 0 {
                lines.truncate(LINES_MAX);
                lines.push(format!("and {more} more changes"));
            }
            self.lines.extend(lines.iter().map(|line| format!("pool {}: {line}", new.name)));
        }
    }

    fn tell_routes(&mut self, running: &Config) {
        let texts = |config: &Config| -> Vec<String> {
            config.rules.iter().map(|rule| rule_text(config, rule)).collect()
        };
        let (old, new) = (texts(running), texts(&self.config));
        if old == new {
            return;
        }
        let before = self.lines.len();
        for text in old.iter().filter(|text| !new.contains(text)) {
            self.lines.push(format!("route gone: {text}"));
        }
        for (place, text) in (1..).zip(&new).filter(|(_, text)| !old.contains(text)) {
            self.lines.push(format!("route {place}: {text}"));
        }
        if self.lines.len() == before {
            self.lines.push("routes: another order".to_owned());
        }
    }
}

fn pool_lines(
    (running, old): (&Config, &crate::config::Pool),
    (config, new): (&Config, &crate::config::Pool),
) -> Vec<String> {
    let mut lines = Vec::new();
    if old.key != new.key {
        lines.push(format!("key: {} -> {}", key_text(&old.key), key_text(&new.key)));
    }
    if old.balance != new.balance {
        lines.push(format!("balance: {} -> {}", old.balance, new.balance));
    }
    if old.send_from != new.send_from {
        let old = listener_name(running, old.send_from);
        lines.push(format!("send_from: {old} -> {}", listener_name(config, new.send_from)));
    }
    if old.match_source_ip != new.match_source_ip {
        let text = |by_address| if by_address { "address" } else { "address-and-port" };
        let (old, new) = (text(old.match_source_ip), text(new.match_source_ip));
        lines.push(format!("match_source: {old} -> {new}"));
    }
    if old.probe != new.probe {
        let (old, new) = (probe_text(running, old), probe_text(config, new));
        lines.push(format!("probe: {old} -> {new}"));
    }
    if old.failover != new.failover {
        lines.push(format!("failover: {} -> {}", failover_text(old), failover_text(new)));
    }
    if old.load_cap != new.load_cap {
        let text =
            |cap: Option<LoadCap>| cap.map_or_else(|| "off".to_owned(), |cap| cap.to_string());
        lines.push(format!("load_cap: {} -> {}", text(old.load_cap), text(new.load_cap)));
    }
    if old.eased_max_percent != new.eased_max_percent {
        let (old, new) = (old.eased_max_percent, new.eased_max_percent);
        lines.push(format!("eased_max_percent: {old} -> {new}"));
    }
    if old.slow_start_s != new.slow_start_s {
        lines.push(format!("slow_start_s: {} -> {}", old.slow_start_s, new.slow_start_s));
    }
    for backend in &old.backends {
        let is_there = new.backends.iter().any(|b| b.uri == backend.uri);
        if !is_there {
            lines.push(format!("- {} (leaves: its dialogs stay)", backend.uri));
        }
    }
    for backend in &new.backends {
        let mut line = String::new();
        let Some(was) = old.backends.iter().find(|b| b.uri == backend.uri) else {
            lines.push(format!("+ {} weight {}", backend.uri, backend.weight));
            continue;
        };
        let is_relative = matches!(new.balance, Spec::Kamailio { algorithm: 11, .. });
        if is_relative && was.rweight != backend.rweight {
            let _ = write!(line, " rweight {} -> {}", was.rweight, backend.rweight);
        } else if !is_relative && was.weight != backend.weight {
            let _ = write!(line, " weight {} -> {}", was.weight, backend.weight);
        }
        if was.priority != backend.priority {
            let _ = write!(line, " priority {} -> {}", was.priority, backend.priority);
        }
        line.push_str(&detail_text(&was.detail, &backend.detail));
        if was.declared != backend.declared {
            let _ = write!(line, " declared {} -> {}", was.declared, backend.declared);
        }
        if (was.probed, &was.ping_from) != (backend.probed, &backend.ping_from) {
            let _ = write!(line, " probed in another way");
        }
        if !line.is_empty() {
            lines.push(format!("{}:{line}", backend.uri));
        }
    }
    let uris = |pool: &crate::config::Pool| -> Vec<String> {
        pool.backends.iter().map(|backend| backend.uri.clone()).collect()
    };
    if lines.is_empty() && uris(old) != uris(new) {
        lines.push("backends: another order".to_owned());
    }
    lines
}

/// What only some balances look at, by the names that a configuration and a list have for it. Its priority is told already.
fn detail_text(old: &Detail, new: &Detail) -> String {
    let mut text = String::new();
    if old.max_load != new.max_load {
        let _ = write!(text, " max_load {} -> {}", old.max_load, new.max_load);
    }
    if old.latency_us != new.latency_us {
        let ms = |us: Option<u32>| {
            us.map_or_else(|| "none".to_owned(), |us| format!("{} ms", us / 1_000))
        };
        let _ = write!(text, " latency {} -> {}", ms(old.latency_us), ms(new.latency_us));
    }
    if old.is_counted != new.is_counted {
        let duid = |is_counted| if is_counted { "with" } else { "without" };
        let _ = write!(text, " {} duid -> {}", duid(old.is_counted), duid(new.is_counted));
    }
    text
}

fn failover_text(pool: &crate::config::Pool) -> String {
    pool.failover.as_ref().map_or_else(|| "off".to_owned(), |failover| failover.to_string())
}

fn probe_text(config: &Config, pool: &crate::config::Pool) -> String {
    pool.probe.as_ref().map_or_else(
        || "off".to_owned(),
        |probe| {
            let (interval, timeout) = (probe.interval_us / 1_000, probe.timeout_us / 1_000);
            let (rise, fall, method, alive) = (probe.rise, probe.fall, &probe.method, &probe.alive);
            let from = probe.from.as_deref().unwrap_or("the listener's host");
            format!(
                "{method} every {interval} ms, {timeout} ms for an answer, rise {rise}, fall {fall}, alive {alive}, \
                 from {from}, sent from {}",
                listener_name(config, probe.send_from)
            )
        },
    )
}
