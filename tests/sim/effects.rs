//! What a party wants done, and what it has to tell: the only way out of a model party.
//!
//! Owns: the lists that a party fills and the world empties. Times are microseconds of the world's clock.

use std::net::SocketAddr;

/// RFC 3261 17.1.1.1.
pub(crate) const T1_US: u64 = 500_000;
/// RFC 3261 17.1.2.2.
pub(crate) const T2_US: u64 = 4_000_000;
/// Timers B, F and H.
pub(crate) const GIVE_UP_US: u64 = 64 * T1_US;

pub(crate) const SECOND_US: u64 = 1_000_000;

/// What a party wants to be called for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Timer {
    /// A client transaction, by its branch and method.
    Client(String),
    /// A server transaction, by its key.
    Server(String),
    /// The next thing to do in a dialog.
    Dialog(String),
    /// The next REGISTER.
    Register,
    /// CRLFs that keep the NAT's port open.
    KeepAlive,
}

/// What the ledger has to know.
#[derive(Debug, Clone)]
pub(crate) enum Fact {
    /// A client transaction got no final response in time.
    TimedOut { transaction: String, call_id: String, method: String, sent: u32, started: u64 },
    /// A final response to an INVITE was never acknowledged.
    Unacknowledged { call_id: String, since: u64 },
    /// A user agent rings for a new INVITE.
    Rings { transaction: String, branch: String },
    /// A response came that belongs to no transaction of this party.
    ForeignResponse { start: String, branch: String },
    /// A probe got another answer than the RFC names.
    WrongAnswer { wanted: u16, found: u16 },
    /// Something happened that the summary counts.
    Count(&'static str),
}

/// The lists.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    pub(crate) sends: Vec<(SocketAddr, Vec<u8>)>,
    pub(crate) timers: Vec<(u64, Timer)>,
    pub(crate) facts: Vec<Fact>,
}

impl Effects {
    pub(crate) fn send(&mut self, to: SocketAddr, bytes: Vec<u8>) {
        self.sends.push((to, bytes));
    }

    pub(crate) fn at(&mut self, at: u64, timer: Timer) {
        self.timers.push((at, timer));
    }

    pub(crate) fn count(&mut self, what: &'static str) {
        self.facts.push(Fact::Count(what));
    }
}
