//! States, and why a backend is in its state: in words.
//!
//! Owns: the words that logs, the API and the page show. Decides nothing.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// The state of a backend, as operators know them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It takes new keys.
    Active,
    /// It takes new keys, and something spoke against it: probes come faster.
    Trying,
    /// It takes no new keys; good probes make it active again.
    Inactive,
    /// It takes no new keys, by hand: no evidence changes that, and it is not probed.
    Disabled,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Active => "active",
            Self::Trying => "trying",
            Self::Inactive => "inactive",
            Self::Disabled => "disabled",
        })
    }
}

/// Why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// Nothing is known of it yet.
    New,
    /// The configuration says so.
    Declared,
    /// A probe was answered with this status, and that is good.
    Answered(u16),
    /// So many good probes in a row.
    Recovered(u32),
    /// A probe was answered with this status, and that is bad.
    Refused(u16),
    /// A probe was not answered within so many milliseconds.
    Timeout(u64),
    /// A probe was answered, but from elsewhere: so it was not answered by the backend.
    AnsweredFrom {
        /// Who answered.
        source: SocketAddr,
        /// Who was asked.
        asked: SocketAddr,
    },
    /// The network says that nobody is there (ICMP).
    Unreachable,
    /// Requests to it were not answered.
    Silent {
        /// How many.
        requests: u32,
        /// For how many milliseconds.
        for_ms: u64,
    },
    /// It said 503 with Retry-After: this many seconds.
    Busy(u32),
    /// A request was answered so: half its keys for this many seconds, unless a probe says better.
    Eased(u32),
    /// It takes its whole share again.
    NoLongerEased,
    /// It is full, and does not say for how long.
    Full,
    /// It takes new keys again.
    NoLongerBusy,
    /// Somebody disabled it.
    DisabledBy(Arc<str>),
    /// Somebody enabled it.
    EnabledBy(Arc<str>),
    /// Somebody drains it.
    DrainedBy(Arc<str>),
    /// The configuration turned its probes off, so nothing could bring it back.
    ProbingOff,
    /// Its slow start is over.
    Ramped,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::New => f.write_str("not probed yet"),
            Self::Declared => f.write_str("so in the configuration"),
            Self::Answered(status) => write!(f, "{status} to a probe"),
            Self::Recovered(1) => f.write_str("a good probe"),
            Self::Recovered(count) => write!(f, "{count} good probes in a row"),
            Self::Refused(status) => write!(f, "{status} to a probe"),
            Self::Timeout(ms) => write!(f, "no answer to a probe within {ms} ms"),
            Self::AnsweredFrom { source, asked } if source.ip() == asked.ip() => write!(
                f,
                "the probe to {asked} was answered from port {}: match_source = \"address\" takes any port",
                source.port()
            ),
            Self::AnsweredFrom { source, asked } => write!(
                f,
                "the probe to {asked} was answered by {source}: that is another address, which no match_source takes"
            ),
            Self::Unreachable => f.write_str("unreachable, says the network"),
            Self::Silent { requests, for_ms } => {
                write!(f, "no response to {requests} requests for {for_ms} ms")
            }
            Self::Busy(seconds) => write!(f, "503: no new keys for {seconds} s"),
            Self::Eased(seconds) => {
                write!(f, "503 to a request: half its share for {seconds} s, or until a good probe")
            }
            Self::NoLongerEased => f.write_str("takes its whole share again"),
            Self::Full => f.write_str("503: full, no new keys before a better probe"),
            Self::NoLongerBusy => f.write_str("takes new keys again"),
            Self::DisabledBy(who) => write!(f, "disabled by {who}"),
            Self::EnabledBy(who) => write!(f, "enabled by {who}"),
            Self::DrainedBy(who) => write!(f, "drained by {who}"),
            Self::ProbingOff => f.write_str("no longer probed"),
            Self::Ramped => f.write_str("slow start is over"),
        }
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Something that happened to a backend. When `from` and `to` are the same, a mark changed: busy, draining, slow start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The pool.
    pub pool: Arc<str>,
    /// The identity of the backend.
    pub backend: Arc<str>,
    /// The state before.
    pub from: State,
    /// The state now.
    pub to: State,
    /// Why.
    pub reason: Reason,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_the_same_word_in_text_and_in_json() {
        for state in [State::Active, State::Trying, State::Inactive, State::Disabled] {
            assert_eq!(serde_json::to_string(&state).unwrap(), format!("\"{state}\""));
        }
        let reason = Reason::Silent { requests: 12, for_ms: 3200 };
        assert_eq!(
            serde_json::to_string(&reason).unwrap(),
            "\"no response to 12 requests for 3200 ms\""
        );
    }
}
