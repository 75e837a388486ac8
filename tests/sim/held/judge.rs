//! What must hold at an edge that fails over, as an onlooker sees it who reads all that comes and goes.
//!
//! Owns: the books of each request. Knows nothing of how the edge decides. Times are microseconds.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use crate::Counts;
use crate::effects::SECOND_US;
use crate::invariants::{Invariant, Judged, must};
use crate::text::Text;

/// How long one that was given up may ring after the edge knew: its CANCEL may get lost some times.
const RINGS_ON_US: u64 = 15 * SECOND_US;

#[derive(Debug)]
struct Attempt {
    branch: String,
    backend: SocketAddr,
    is_answered: bool,
    has_ended: bool,
    /// When the edge knew that it rings and should not.
    unwanted_since: Option<u64>,
}

/// One request.
#[derive(Debug, Default)]
struct Book {
    attempts: Vec<Attempt>,
    /// Final answers that the caller was sent: status and To tag.
    finals: Vec<(u16, String)>,
    is_cancelled: bool,
    /// The edges that have seen something of it.
    edges: BTreeSet<usize>,
    /// One of them has died since.
    is_orphan: bool,
    /// The edge that the caller has told that he has its own answer.
    acknowledged: Option<usize>,
}

impl Book {
    /// It went through two edges, or its edge has died: then little is promised (`tests/sim/README.md`).
    fn is_split(&self) -> bool {
        self.edges.len() > 1 || self.is_orphan
    }
}

/// All books.
#[derive(Debug, Default)]
pub(super) struct Judge {
    books: BTreeMap<String, Book>,
    tries: usize,
    pub(super) counts: Counts,
    pub(super) trace: Vec<String>,
}

impl Judge {
    pub(super) fn new(tries: usize) -> Self {
        Self { tries, ..Self::default() }
    }

    pub(super) fn count(&mut self, what: &'static str, count: u64) {
        if count > 0 {
            *self.counts.entry(what).or_default() += count;
        }
    }

    pub(super) fn note(&mut self, now: u64, what: &str, peer: SocketAddr, text: &Text) {
        let (seconds, millis) = (now / SECOND_US, now / 1_000 % 1_000);
        self.trace.push(format!(
            "{seconds:4}.{millis:03} {what} {peer}  {}  [{}] {} {}",
            text.start,
            text.one("CSeq"),
            text.branch(),
            text.transaction()
        ));
    }

    /// What has to hold where it is promised, and is counted where it is not.
    pub(super) fn promised(
        &mut self,
        about: &Text,
        holds: bool,
        invariant: Invariant,
        show: impl FnOnce() -> String,
    ) -> Judged {
        let is_split = self.book_of(about).is_some_and(Book::is_split);
        self.judged(is_split, holds, invariant, show)
    }

    fn judged(
        &mut self,
        is_split: bool,
        holds: bool,
        invariant: Invariant,
        show: impl FnOnce() -> String,
    ) -> Judged {
        if is_split && !holds {
            self.count("unpromised", 1);
            return Ok(());
        }
        must(holds, invariant, show)
    }

    /// By the transaction of the caller; what an edge made has only a branch of its own.
    fn book_of(&self, text: &Text) -> Option<&Book> {
        let branch = text.branch();
        let has = |book: &&Book| book.attempts.iter().any(|attempt| attempt.branch == branch);
        self.books.get(&text.transaction()).or_else(|| self.books.values().find(has))
    }

    /// An edge is gone with all that it knew.
    pub(super) fn edge_died(&mut self, edge: usize) {
        for book in self.books.values_mut().filter(|book| book.edges.contains(&edge)) {
            book.is_orphan = true;
        }
    }

    /// The edge has taken the ACK of an answer of its own.
    pub(super) fn own_answer_acknowledged(&mut self, edge: usize, text: &Text) {
        self.books.entry(text.transaction()).or_default().acknowledged = Some(edge);
    }

    /// It was answered by an edge.
    pub(super) fn has_own_answer(&self, text: &Text) -> bool {
        self.book_of(text).is_some_and(|book| book.finals.iter().any(|(status, _)| *status == 408))
    }

    /// Of transactions, how many went which way.
    pub(super) fn sum_up(&mut self) {
        let split = self.books.values().filter(|book| book.is_split()).count() as u64;
        let is_whole = |book: &&Book| !book.is_split() && !book.edges.is_empty();
        let whole = self.books.values().filter(is_whole).count() as u64;
        self.count("transaction of two edges, or of a dead one", split);
        self.count("transaction of one edge", whole);
    }

    /// The edge has received this.
    pub(super) fn came(&mut self, now: u64, edge: usize, text: &Text) {
        let is_own = text.all("Via").len() == 1 && !text.is_request();
        if is_own && text.status() != 100 {
            return;
        }
        let branch = text.branch();
        let has = |book: &Book| book.attempts.iter().any(|attempt| attempt.branch == branch);
        let of_branch = || self.books.iter().find(|(_, b)| has(b)).map(|(name, _)| name.clone());
        let name = if is_own { of_branch() } else { Some(text.transaction()) };
        let Some(name) = name else { return };
        let book = self.books.entry(name).or_default();
        book.edges.insert(edge);
        if text.is_request() {
            book.is_cancelled |= text.method() == "CANCEL";
            return;
        }
        let is_over = book.finals.iter().any(|(status, _)| *status < 300);
        let last = book.attempts.len().wrapping_sub(1);
        let mut attempts = book.attempts.iter_mut().enumerate();
        let Some((place, attempt)) = attempts.find(|(_, a)| a.branch == branch) else { return };
        if text.method() == "CANCEL" {
            return;
        }
        attempt.is_answered |= text.status() < 200;
        attempt.has_ended |= text.status() >= 200;
        if text.status() < 200 && (place != last || is_over) {
            attempt.unwanted_since.get_or_insert(now);
        }
    }

    /// The edge has sent this.
    pub(super) fn went(&mut self, edge: usize, to: SocketAddr, text: &Text) -> Judged {
        match (text.is_request(), text.method()) {
            (true, "ACK" | "CANCEL") => self.follow_up(to, text),
            (true, _) => self.request(edge, to, text),
            (false, "CANCEL") => Ok(()),
            (false, _) => self.response(edge, text),
        }
    }

    fn request(&mut self, edge: usize, to: SocketAddr, text: &Text) -> Judged {
        let book = self.books.entry(text.transaction()).or_default();
        book.edges.insert(edge);
        let (is_split, tries) = (book.is_split(), self.tries * book.edges.len());
        let branch = text.branch();
        let mut known = book.attempts.iter().filter(|a| a.branch == branch);
        if known.clone().any(|known| known.backend == to) {
            return Ok(());
        }
        let is_same_way = known.next().is_none();
        let show = format!("{} [{branch}] goes to {to}, before: {book:?}", text.start);
        let rings = book.attempts.iter().any(|a| a.is_answered && !a.has_ended);
        let is_only_one = text.method() != "INVITE" || !rings;
        let is_wanted = book.finals.is_empty() && !book.is_cancelled;
        let is_new = book.attempts.iter().all(|a| a.backend != to);
        let is_bounded = book.attempts.len() < tries;
        book.attempts.push(Attempt {
            branch,
            backend: to,
            is_answered: false,
            has_ended: false,
            unwanted_since: None,
        });
        self.judged(is_split, is_same_way, Invariant::SameWay, || show.clone())?;
        self.judged(is_split, is_only_one && is_wanted, Invariant::OneRings, || show.clone())?;
        self.judged(is_split, is_new, Invariant::Bounds, || show.clone())?;
        must(is_bounded, Invariant::Bounds, || show)
    }

    /// ACK and CANCEL; those of the edge have one Via.
    fn follow_up(&mut self, to: SocketAddr, text: &Text) -> Judged {
        let is_own = text.all("Via").len() == 1;
        let branch = text.branch();
        let mut all = self.books.values().flat_map(|book| &book.attempts);
        let found = all.find(|a| a.branch == branch && a.backend == to);
        let is_due = found.is_some_and(|found| match text.method() {
            "ACK" => found.has_ended,
            _ => found.is_answered || !is_own,
        });
        if is_own && text.method() == "ACK" {
            self.count("failure acknowledged by the edge", 1);
        }
        let show = || format!("{} to {to} as {branch}", text.start);
        self.promised(text, is_due, Invariant::SameWay, show)
    }

    /// To the caller.
    fn response(&mut self, edge: usize, text: &Text) -> Judged {
        must(text.all("Via").len() == 1, Invariant::ResponseToCaller, || format!("{text:?}"))?;
        let status = text.status();
        if status < 200 {
            return Ok(());
        }
        let is_invite = text.method() == "INVITE";
        let book = self.books.entry(text.transaction()).or_default();
        book.edges.insert(edge);
        let is_split = book.is_split();
        let new = (status, text.tag_of_to().to_owned());
        if book.finals.contains(&new) {
            let is_late = status == 408 && book.acknowledged == Some(edge);
            self.count("answer of ours, once more", u64::from(status == 408));
            let show = || format!("408 after its ACK: {}", text.transaction());
            return self.judged(is_split, !is_late, Invariant::OneFinal, show);
        }
        // RFC 3261 16.7 step 5: a 2xx to an INVITE is sent on always.
        let may = book.finals.is_empty() || is_invite && status < 300;
        let show = format!("{new:?} after {:?}", book.finals);
        book.finals.push(new);
        let what = match status {
            200..300 => "success",
            408 => "answer of ours: 408",
            _ => "failure for the caller",
        };
        self.count(what, 1);
        self.judged(is_split, may, Invariant::OneFinal, || show)
    }

    /// A 2xx of an attempt that was given up.
    pub(super) fn is_late(&self, transaction: &str, branch: &str) -> bool {
        let last = self.books.get(transaction).and_then(|book| book.attempts.last());
        last.is_some_and(|last| last.branch != branch)
    }

    /// A backend has rung to the end, and nobody cancelled it.
    pub(super) fn rang_out(&mut self, now: u64, transaction: &str, branch: &str) -> Judged {
        let attempts = self.books.get(transaction).map(|book| &book.attempts);
        let attempt = attempts.and_then(|all| all.iter().find(|a| a.branch == branch));
        let since = attempt.and_then(|attempt| attempt.unwanted_since);
        let is_in_time = since.is_none_or(|since| now < since + RINGS_ON_US);
        let show = format!("{attempt:?} rings until {now}");
        let is_split = self.books.get(transaction).is_some_and(Book::is_split);
        self.judged(is_split, is_in_time, Invariant::GivenUpEnds, || show)
    }
}
