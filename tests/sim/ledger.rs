//! What really happened, as only the world knows it: losses, deaths, the ways that requests took, who rang.
//!
//! Owns: the books, and the exact limits of what a stateless edge promises (see `Ledger::way`). Times are microseconds.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::effects::{Fact, SECOND_US};
use super::invariants::{Failure, Invariant, Judged, must};

/// A second less than the core's own, which counts whole ones: INVITE, and all else.
const REMEMBERED_US: [u64; 2] = [218 * SECOND_US, 38 * SECOND_US];

/// From when the core may have forgotten until it must have.
const FADING_US: u64 = 4 * SECOND_US;

/// How one copy of a request went on.
#[derive(Debug, Clone)]
pub(crate) struct Way {
    pub(crate) edge: usize,
    pub(crate) epoch: u32,
    /// Pool version and sealing key: what the pick and the branch are functions of.
    pub(crate) setup: (usize, u8),
    /// By the clock of that edge.
    pub(crate) at_local: u64,
    pub(crate) to: SocketAddr,
    pub(crate) branch: String,
    pub(crate) method: String,
    /// A pool was to pick; else a token, a Route or the Request-URI named the next hop.
    pub(crate) is_balanced: bool,
    /// The pool did pick; else the core remembered an earlier pick.
    pub(crate) is_picked: bool,
    /// The pool picks by key, and no load cap moved this one.
    pub(crate) by_key: bool,
}

impl Way {
    /// Its edge remembers it: a backend was picked, and ACK and CANCEL begin nothing.
    fn starts_memory(&self) -> bool {
        self.is_picked && !matches!(self.method.as_str(), "ACK" | "CANCEL")
    }

    fn remembered_us(&self) -> u64 {
        REMEMBERED_US[usize::from(self.method != "INVITE")]
    }
}

/// What the edge of a way can be held to.
#[derive(Debug)]
pub(crate) struct Promises<'a> {
    /// Nothing was evicted from its memory.
    pub(crate) keeps: bool,
    /// Backends that it knows to be dead.
    pub(crate) down: &'a BTreeSet<SocketAddr>,
    /// Some backend may get new requests.
    pub(crate) has_choice: bool,
}

/// The books of a world.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) counts: BTreeMap<&'static str, u64>,
    /// By transaction and by Call-ID: datagrams that did not arrive.
    losses: BTreeMap<String, u32>,
    /// When something was down.
    pub(crate) outages: Vec<(u64, u64)>,
    /// Transactions and Call-IDs for which nothing was promised, and that went two ways.
    exempt: BTreeSet<String>,
    /// By the branch that came in.
    ways: BTreeMap<String, Vec<Way>>,
    rings: BTreeMap<String, BTreeSet<(usize, String)>>,
    pub(crate) rang_last: Option<usize>,
    /// Edge and epoch that saw a backend answer the INVITE with this branch, and when, by its clock.
    answers: BTreeMap<(String, (usize, u32)), u64>,
}

impl Ledger {
    pub(crate) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    pub(crate) fn lose(&mut self, transaction: &str, call_id: &str) {
        *self.losses.entry(transaction.to_owned()).or_default() += 1;
        *self.losses.entry(call_id.to_owned()).or_default() += 1;
    }

    pub(crate) fn exempt(&mut self, transaction: &str, call_id: &str) {
        self.exempt.insert(transaction.to_owned());
        self.exempt.insert(call_id.to_owned());
    }

    pub(crate) fn answered(&mut self, came: &str, by_edge: (usize, u32), at_local: u64) {
        self.answers.insert((came.to_owned(), by_edge), at_local);
    }

    /// An answer that shows nothing but the branch of an edge.
    pub(crate) fn answered_as(&mut self, branch: &str, by_edge: (usize, u32), at_local: u64) {
        let went = |ways: &[Way]| ways.iter().any(|w| w.branch == branch && w.method == "INVITE");
        let came = self.ways.iter().find(|(_, ways)| went(ways)).map(|(came, _)| came.clone());
        came.into_iter().for_each(|came| self.answered(&came, by_edge, at_local));
    }

    fn lost(&self, name: &str) -> u32 {
        self.losses.get(name).copied().unwrap_or(0)
    }

    fn had_outage(&self, from: u64, to: u64) -> bool {
        self.outages.iter().any(|&(start, end)| start <= to && end >= from)
    }

    /// Judges what a party says.
    pub(crate) fn judge(&mut self, now: u64, node: usize, fact: Fact) -> Judged {
        match fact {
            Fact::Count(what) => self.count(what),
            Fact::TimedOut { transaction, call_id, method, sent, started } => {
                self.count("time-out with a reason");
                let all_lost = self.lost(&transaction) * 2 >= sent;
                let final_lost = method == "INVITE" && sent < 7 && self.lost(&call_id) > 0;
                let is_exempt =
                    self.exempt.contains(&transaction) || self.exempt.contains(&call_id);
                let holds = all_lost || final_lost || is_exempt || self.had_outage(started, now);
                let lost = self.lost(&transaction);
                must(holds, Invariant::RequestEnds, || {
                    format!(
                        "{method} {transaction} of node {node} timed out: {sent} sent, {lost} lost"
                    )
                })?;
            }
            Fact::Unacknowledged { call_id, since } => {
                let holds = self.lost(&call_id) > 0
                    || self.exempt.contains(&call_id)
                    || self.had_outage(since, now);
                must(holds, Invariant::RequestEnds, || format!("no ACK came for call {call_id}"))?;
            }
            Fact::Rings { transaction, branch } => {
                self.count("ringing");
                self.rang_last = Some(node);
                let rings = self.rings.entry(transaction.clone()).or_default();
                rings.insert((node, branch));
                let rings = rings.clone();
                let is_exempt = self.exempt.contains(&transaction)
                    || self.had_outage(now.saturating_sub(64 * SECOND_US), now);
                must(rings.len() == 1 || is_exempt, Invariant::OneCall, || {
                    format!("INVITE {transaction} rings at {rings:?}")
                })?;
            }
            Fact::ForeignResponse { start, branch } => {
                return must(false, Invariant::ResponseToCaller, || {
                    format!("node {node} got `{start}` for {branch}, which it never sent")
                });
            }
            Fact::WrongAnswer { wanted, found } => {
                return must(false, Invariant::OwnAnswer, || {
                    format!("{found} where {wanted} was due")
                });
            }
        }
        Ok(())
    }

    /// This edge has picked a backend for this transaction in this life, and has to know it still.
    pub(crate) fn remembers(&self, came: &str, edge: (usize, u32), at_local: u64) -> bool {
        let ways = self.ways.get(came).into_iter().flatten();
        let is_its = |w: &&Way| w.starts_memory() && (w.edge, w.epoch) == edge;
        ways.filter(is_its).any(|w| at_local.saturating_sub(w.at_local) < w.remembered_us())
    }

    /// The promise for copies of one request (its retransmissions and duplicates; for an INVITE also its CANCEL and the
    /// ACK of a failure). Two copies take the same way, with the same branch, when one of these holds:
    /// 1. A token or a Route names the next hop. The way is always the same, the branch while the sealing key is.
    /// 2. The same edge picked for an earlier copy, has not lost its memory since (restart, eviction, time), and the
    ///    earlier copy was no ACK or CANCEL: those are not remembered.
    /// 3. An edge with the same pool and the same sealing key picked for an earlier copy, the pool picks by key, and no load
    ///    cap moved one of the two.
    ///
    /// A death that the edge knows of breaks rule 2 for an INVITE that it saw no answer to, and for all else but ACK and
    /// CANCEL: that goes to another backend, and from then on stays there.
    ///
    /// What the core says to have from its memory is no pick: it follows from an older one, and is compared with that one
    /// (2.) and with no other edge's (3.).
    ///
    /// So a new sealing key gives a new branch to the copies of a request along a token: the far end takes the second one
    /// for a merged request (RFC 3261 8.2.2.2), and a CANCEL or the ACK of a failure does not match.
    ///
    /// Nothing is promised when none holds: the route flapped (or the edge died) between two copies *and* a pool edit
    /// or a new sealing key had reached only one of the two edges, or the pool picks by turns, or its load cap moved one of
    /// them: edges see different loads. Such ways are counted.
    pub(crate) fn way(
        &mut self,
        came: &str,
        mut way: Way,
        promises: &Promises<'_>,
    ) -> Result<bool, Failure> {
        let &Promises { keeps, down, has_choice } = promises;
        let answered = self.answers.get(&(came.to_owned(), (way.edge, way.epoch))).copied();
        let earlier = self.ways.entry(came.to_owned()).or_default();
        let window = way.remembered_us();
        let is_same_node =
            |w: &&Way| w.starts_memory() && (w.edge, w.epoch) == (way.edge, way.epoch);
        let remembered = earlier.iter().rev().find(is_same_node).map(|w| {
            let window = window.min(w.remembered_us());
            (w, window, way.at_local.saturating_sub(w.at_local))
        });
        let memory = remembered.filter(|(_, window, age)| keeps && age < window).map(|(w, ..)| w);
        let kept = off_the_dead(memory, &way, down, answered, has_choice, &mut self.counts)?;
        let has_moved = memory.is_some() && kept.is_none();
        let memory = kept;
        // Whether it still remembers, only the core knows.
        let is_fading =
            !has_moved && remembered.is_some_and(|(_, window, age)| age < window + FADING_US);
        let by_key = |w: &Way| w.is_picked && w.by_key;
        let is_by_key = by_key(&way);
        let by_pick = || earlier.iter().find(|w| is_by_key && by_key(w) && w.setup == way.setup);
        let promised = if way.is_balanced { memory.or_else(by_pick) } else { earlier.first() };
        let mut split = false;
        if let Some(first) = promised {
            let may_rebranch = !way.is_balanced && first.setup.1 != way.setup.1;
            split = may_rebranch && first.branch != way.branch;
            if split {
                *self.counts.entry("unpromised: another branch along a token").or_default() += 1;
            }
            let same_branch = may_rebranch || first.branch == way.branch;
            must(first.to == way.to && same_branch, Invariant::SameWay, || {
                format!("{came}: {} to {} as {}, before: {first:?}", way.method, way.to, way.branch)
            })?;
        } else if has_moved {
            // Its first way is over.
        } else if let Some(other) =
            earlier.iter().find(|w| (w.to, &w.branch) != (way.to, &way.branch))
        {
            split = true;
            let moved = other.to != way.to;
            let what =
                if moved { "unpromised: another backend" } else { "unpromised: another branch" };
            *self.counts.entry(what).or_default() += 1;
        } else if !earlier.is_empty() {
            *self.counts.entry("unpromised, and the same way").or_default() += 1;
        }
        way.is_picked &= way.is_balanced && !is_fading;
        if way.is_balanced && memory.is_some() {
            let is_edited = memory.is_some_and(|w| w.setup != way.setup);
            let what = if is_edited {
                "kept by memory across an edit"
            } else {
                "repeated at the same edge"
            };
            *self.counts.entry(what).or_default() += 1;
        } else if way.is_balanced && promised.is_some() {
            *self.counts.entry("kept by another edge").or_default() += 1;
        }
        earlier.push(way);
        Ok(split)
    }
}

/// What is left of the memory when its backend is known to be dead.
fn off_the_dead<'a>(
    memory: Option<&'a Way>,
    way: &Way,
    down: &BTreeSet<SocketAddr>,
    answered: Option<u64>,
    has_choice: bool,
    counts: &mut BTreeMap<&'static str, u64>,
) -> Result<Option<&'a Way>, Failure> {
    let Some(first) = memory.filter(|first| way.is_balanced && down.contains(&first.to)) else {
        return Ok(memory);
    };
    let mut count = |what| *counts.entry(what).or_default() += 1;
    let show = || format!("{} to {}, before: {first:?}", way.method, way.to);
    match way.method.as_str() {
        "ACK" | "CANCEL" => Ok(memory),
        // Its clock has stepped over what it remembers of an answer that came before the INVITE did: what it still knows, only
        // the core can tell.
        "INVITE"
            if answered.is_some_and(|at| way.at_local.saturating_sub(at) >= REMEMBERED_US[1]) =>
        {
            count("answered, and perhaps forgotten");
            Ok(None)
        }
        "INVITE" if answered.is_some() => {
            count("answered, and stays with the dead");
            must(first.to == way.to, Invariant::AnsweredStays, show)?;
            Ok(memory)
        }
        _ if !has_choice => Ok(memory),
        _ => {
            count("moved off a dead backend");
            must(way.is_picked && !down.contains(&way.to), Invariant::FailsOver, show)?;
            Ok(None)
        }
    }
}
