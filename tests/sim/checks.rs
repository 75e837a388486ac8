//! The judgement of one message at one edge: what came, what was decided, what went.
//!
//! Owns: the checks that need no memory but the ledger's. Reads messages with the model's own reader only.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use sipedge::sip::{Cause, DropReason, Verdict};

use super::edge::{Outcome, Sent};
use super::invariants::{Invariant, Judged, must};
use super::kept::{self, Allowed};
use super::ledger::{Ledger, Promises, Way};
use super::plan::{PUBLIC, Plan, address};
use super::text::{Text, sent_by};

/// More Vias of ours than any way through this world needs, even while keys are changed.
const OWN_VIAS_MAX: usize = 8;

/// One message at one edge.
pub(crate) struct Pass<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) bytes: &'a [u8],
    pub(crate) text: Option<&'a Text>,
    pub(crate) from: SocketAddr,
    pub(crate) outcome: &'a Outcome,
    pub(crate) edge: usize,
    pub(crate) epoch: u32,
    pub(crate) setup: (usize, u8),
    pub(crate) at_local: u64,
    /// Nothing was evicted from its memory.
    pub(crate) keeps: bool,
    /// Members of the pool that is installed there, for this request, that may get new ones.
    pub(crate) usable: &'a BTreeSet<SocketAddr>,
    /// Backends that are known there to be dead.
    pub(crate) down: &'a BTreeSet<SocketAddr>,
    /// All backends of the world.
    pub(crate) backends: &'a BTreeSet<SocketAddr>,
}

impl Pass<'_> {
    fn is_from_backend(&self) -> bool {
        self.backends.contains(&self.from)
    }

    fn show(&self) -> String {
        let went = self.outcome.sent.as_ref();
        format!(
            "edge{}, {:?}, from {}:\n{}\nsent: {}",
            self.edge,
            self.outcome.verdict,
            self.from,
            String::from_utf8_lossy(self.bytes),
            went.map_or("nothing".to_owned(), |s| {
                format!("to {} from {}\n{}", s.to, s.from, String::from_utf8_lossy(&s.bytes))
            })
        )
    }

    pub(crate) fn check(
        &self,
        ledger: &mut Ledger,
        lives_at: &dyn Fn(SocketAddr) -> bool,
    ) -> Judged {
        must(!self.outcome.is_inconsistent, Invariant::Counters, || self.show())?;
        let Some(text) = self.text else {
            let is_absorbed = self.outcome.verdict == Verdict::Absorb;
            return must(is_absorbed, Invariant::NoDrop, || {
                format!("a keep-alive: {}", self.show())
            });
        };
        let is_forged = !text.one("X-Forged").is_empty();
        if is_forged {
            let stopped = self.outcome.verdict != Verdict::Forward;
            must(stopped, Invariant::Forgery, || self.show())?;
            ledger.count("forgery stopped");
        }
        match (self.outcome.verdict, &self.outcome.sent) {
            (Verdict::Forward, Some(sent)) => self.forwarded(ledger, text, sent, lives_at),
            (Verdict::Respond, Some(sent)) => self.responded(ledger, text, sent, is_forged),
            (Verdict::Drop(reason), _) => self.dropped(ledger, text, reason, is_forged),
            _ => self.absorbed(ledger, text),
        }
    }

    fn absorbed(&self, ledger: &mut Ledger, text: &Text) -> Judged {
        let is_terse = text.status() == 100 && text.all("Via").len() == 1;
        if is_terse && self.is_from_backend() {
            ledger.count("100 with one Via");
            ledger.answered_as(&text.branch(), (self.edge, self.epoch), self.at_local);
            return Ok(());
        }
        ledger.count("ACK of our own answer");
        must(text.method() == "ACK" && text.is_request(), Invariant::NoDrop, || self.show())
    }

    fn dropped(
        &self,
        ledger: &mut Ledger,
        text: &Text,
        reason: DropReason,
        is_forged: bool,
    ) -> Judged {
        let is_ack = text.is_request() && text.method() == "ACK";
        let is_lost = reason == DropReason::AckUnroutable && self.is_forgotten(ledger, text);
        let nobody = self.usable.is_empty() && reason == DropReason::AckUnroutable;
        let may = is_forged || is_ack && (is_lost || nobody);
        if may && !is_forged {
            ledger.count("ACK dropped: nothing is promised for it");
            ledger.lose(&text.transaction(), text.call_id());
            ledger.exempt(&text.transaction(), text.call_id());
        }
        must(may, Invariant::NoDrop, || self.show())
    }

    fn responded(&self, ledger: &mut Ledger, text: &Text, sent: &Sent, is_forged: bool) -> Judged {
        let may = text.is_request() && text.method() != "ACK";
        must(may, Invariant::AckSilence, || self.show())?;
        let back = sent.to.ip() == self.from.ip() && sent.bytes.len() <= self.bytes.len() * 3 / 2;
        must(back, Invariant::Amplification, || self.show())?;
        let answer = Text::read(&sent.bytes).unwrap_or_default();
        let is_copy = answer.transaction() == text.transaction()
            && answer.all("Via").len() == text.all("Via").len()
            && ["From", "Call-ID", "CSeq"].iter().all(|name| answer.one(name) == text.one(name));
        must(is_copy, Invariant::BytesKept, || self.show())?;
        if is_forged {
            return must(answer.status() >= 400, Invariant::Forgery, || self.show());
        }
        let vias = text.all("Via");
        let own = self.plan.own();
        let passed = vias.iter().filter(|via| own.iter().any(|own| sent_by(via) == own)).count();
        let is_lost = text.method() == "CANCEL" && self.is_forgotten(ledger, text);
        let holds = match answer.status() {
            // RFC 3261 11.2: what an INVITE would get. With two pools the other one may serve it.
            200 => {
                let serves = !self.usable.is_empty() || self.plan.is_split;
                text.method() == "OPTIONS" && !text.uri().contains('@') && serves
            }
            483 => text.one("Max-Forwards") == "0",
            482 => passed >= 2,
            503 => self.usable.is_empty() && !self.is_from_backend(),
            481 => is_lost,
            _ => false,
        };
        let what = match answer.status() {
            200 => "own answer: 200 to OPTIONS",
            483 => "own answer: 483",
            482 => "own answer: 482, a loop",
            503 => "own answer: 503, nobody is usable",
            _ => "own answer: 481, no key and forgotten",
        };
        ledger.count(what);
        if matches!(answer.status(), 481 | 482 | 503) {
            ledger.exempt(&text.transaction(), text.call_id());
        }
        must(holds, Invariant::OwnAnswer, || self.show())
    }

    /// An ACK or a CANCEL without a key, and the edge need not remember the backend of its INVITE.
    fn is_forgotten(&self, ledger: &Ledger, text: &Text) -> bool {
        let edge = (self.edge, self.epoch);
        let remembers = self.keeps && ledger.remembers(&text.branch(), edge, self.at_local);
        !self.plan.picks_by_key(text.method()) && !remembers
    }

    fn forwarded(
        &self,
        ledger: &mut Ledger,
        text: &Text,
        sent: &Sent,
        lives_at: &dyn Fn(SocketAddr) -> bool,
    ) -> Judged {
        let own = self.plan.own();
        let allowed = Allowed { own: &own, source: self.from };
        kept::check(self.bytes, &sent.bytes, &allowed).or_else(|what| {
            must(false, Invariant::BytesKept, || format!("{what}\n{}", self.show()))
        })?;
        must(lives_at(sent.to), Invariant::NotHis, || {
            format!("nobody lives there: {}", self.show())
        })?;
        let side =
            if self.backends.contains(&sent.to) { self.plan.private() } else { address(PUBLIC) };
        if sent.from != side {
            // A response to a backend leaves by the listener that the backend sent its request to.
            let is_backend = self.backends.contains(&sent.to);
            let is_chosen = is_backend && !text.is_request();
            must(is_chosen, Invariant::RightListener, || self.show())?;
        }
        let went = Text::read(&sent.bytes).unwrap_or_default();
        if !text.is_request() {
            ledger.count("response sent on");
            if text.method() == "INVITE" && self.is_from_backend() {
                ledger.answered(&went.branch(), (self.edge, self.epoch), self.at_local);
            }
            return Ok(());
        }
        ledger.count("request sent on");
        let passed = went.all("Via").iter().filter(|via| via.contains("branch=z9hG4bK~e~")).count();
        must(passed <= OWN_VIAS_MAX, Invariant::LoopsEnd, || self.show())?;
        self.way(ledger, text, sent, &went)
    }

    fn way(&self, ledger: &mut Ledger, text: &Text, sent: &Sent, went: &Text) -> Judged {
        let has_token = text.all("Route").iter().any(|route| route.contains("~e~"));
        let is_balanced = !self.is_from_backend() && !has_token;
        if is_balanced && self.outcome.cause != Cause::Transaction {
            let is_usable = self.usable.contains(&sent.to);
            must(is_usable, Invariant::InPool, || self.show())?;
        }
        let way = Way {
            edge: self.edge,
            epoch: self.epoch,
            setup: self.setup,
            at_local: self.at_local,
            to: sent.to,
            branch: went.branch(),
            method: text.method().to_owned(),
            is_balanced,
            is_picked: self.outcome.cause != Cause::Transaction,
            by_key: self.plan.picks_by_key(text.method()) && !self.outcome.is_capped,
        };
        if self.outcome.is_capped {
            ledger.count("moved by a load cap");
            let begins =
                !matches!(text.method(), "ACK" | "CANCEL") && !text.one("To").contains(";tag=");
            must(begins && is_balanced, Invariant::SameWay, || self.show())?;
        }
        let promises =
            Promises { keeps: self.keeps, down: self.down, has_choice: !self.usable.is_empty() };
        if ledger.way(&text.branch(), way, &promises)? {
            ledger.exempt(&text.transaction(), text.call_id());
        }
        Ok(())
    }
}
