//! How a change is told: values in the words of the configuration, secrets not at all.
//!
//! Owns: the wording of single values. Which keys there are and what becomes of them is the business of `reload`.

use crate::config::{Config, Io, ReadyNeeds, Steering};
use crate::sip::ListenerId;

/// Keeps the running value of a key that needs a restart, and says so when another one is written.
pub(super) fn keep<T: Clone + PartialEq>(
    key: &str,
    running: &T,
    new: &mut T,
    restart: &mut Vec<String>,
    shown: impl Fn(&T) -> String,
) {
    if running != new {
        restart.push(format!("{key}: {} runs, {} is written", shown(running), shown(new)));
        new.clone_from(running);
    }
}

/// As [`keep`], of what is not shown.
pub(super) fn keep_unsaid<T: Clone + PartialEq>(
    key: &str,
    running: &T,
    new: &mut T,
    restart: &mut Vec<String>,
) {
    if running != new {
        restart.push(format!("{key}: changed"));
        new.clone_from(running);
    }
}

/// How I/O is done, as it is written.
pub(super) const fn io_word(io: Io) -> &'static str {
    match io {
        Io::Auto => "auto",
        Io::IoUring => "io_uring",
        Io::Recvmmsg => "recvmmsg",
    }
}

/// How a shard is found, as it is written.
pub(super) const fn steering_word(steering: Steering) -> &'static str {
    match steering {
        Steering::Auto => "auto",
        Steering::Ebpf => "ebpf",
        Steering::Kernel => "kernel",
    }
}

/// What `/healthz` wants to see, as it is written.
pub(super) const fn needs_word(needs: ReadyNeeds) -> &'static str {
    match needs {
        ReadyNeeds::Nothing => "nothing",
        ReadyNeeds::APool => "a-pool",
        ReadyNeeds::EveryPool => "every-pool",
    }
}

/// Values as they are written, or `none`.
pub(super) fn list<T: std::fmt::Display>(values: &[T], none: &str) -> String {
    if values.is_empty() {
        return none.to_owned();
    }
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The name of a listener.
pub(super) fn listener_name(config: &Config, id: Option<ListenerId>) -> &str {
    let listener = id.and_then(|id| config.listeners.get(usize::from(id.0)));
    listener.map_or("any listener that fits", |listener| &listener.name)
}

/// The DNS servers and how long answers hold.
pub(super) fn dns_text(dns: &crate::config::dns::Settings) -> String {
    format!(
        "{}, answers hold {} to {} s, stale ones {} s more",
        list(&dns.servers, "those of resolv.conf"),
        dns.ttl_min.as_secs(),
        dns.ttl_max.as_secs(),
        dns.stale_max.as_secs()
    )
}

/// A program and its arguments.
pub(super) fn list_words(words: &[String]) -> String {
    if words.is_empty() { "none".to_owned() } else { words.join(" ") }
}
