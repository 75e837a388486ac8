//! A name that is kept fresh, and what is told of it.
//!
//! Owns: the way from a URI to events, as `sipedge run` goes it.

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use sipedge::config::{Target, address};
use sipedge::control::resolve::{Families, Name, Names, Outcome, Resolution, Settings, State};

use crate::server::PATIENCE;

/// Keeps one name fresh.
pub(crate) struct Asker {
    names: Names,
    told: Receiver<Resolution>,
}

/// Answers hold for a moment, whatever their TTL: changes are seen soon.
pub(crate) fn hasty(servers: &[SocketAddr]) -> Settings {
    Settings {
        servers: servers.to_vec(),
        ttl_min: Duration::from_millis(50),
        ttl_max: Duration::from_millis(100),
        stale_max: Duration::from_secs(3_600),
    }
}

/// The name in `uri`, for IPv4 listeners.
pub(crate) fn name(uri: &str) -> Name {
    match address::backend(uri) {
        Ok(Target::Name(name)) => Name { families: Families { ipv4: true, ipv6: false }, ..name },
        other => panic!("{uri}: {other:?}"),
    }
}

impl Asker {
    pub(crate) fn start(name: &Name, settings: &Settings) -> Self {
        let (sender, told) = channel();
        let tell = Box::new(move |resolution| drop(sender.send(resolution)));
        let names = Names::start([name.clone()].into(), settings.clone(), tell);
        Self { names: names.expect("a thread"), told }
    }

    /// The next thing that is told.
    pub(crate) fn next(&self) -> Outcome {
        self.told.recv_timeout(PATIENCE).expect("something is told in time").outcome
    }

    /// Goes on to the first outcome for which `wanted` holds.
    pub(crate) fn until(&self, wanted: impl Fn(&Outcome) -> bool) -> Outcome {
        loop {
            let outcome = self.next();
            if wanted(&outcome) {
                return outcome;
            }
        }
    }

    pub(crate) fn names(&self) -> &Names {
        &self.names
    }
}

/// `priority address share`, a line each.
pub(crate) fn lines(outcome: &Outcome) -> Vec<String> {
    let line = |one: &sipedge::control::resolve::Resolved| {
        format!("{} {} {}", one.priority, one.address, one.share)
    };
    outcome.found.iter().map(line).collect()
}

pub(crate) fn is_stale(outcome: &Outcome) -> bool {
    matches!(outcome.state, State::Stale(_))
}

/// Why nothing is known.
pub(crate) fn failure(outcome: &Outcome) -> &str {
    match &outcome.state {
        State::Failed(why) => why,
        other => panic!("{other:?}"),
    }
}
