//! What must hold at an edge that fails over, as an onlooker sees it who reads all that comes and goes.
//!
//! Owns: the books of each request. Knows nothing of how the edge decides. Times are microseconds.

use std::collections::BTreeMap;
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

    /// The edge has received this.
    pub(super) fn came(&mut self, now: u64, text: &Text) {
        let book = self.books.entry(text.transaction()).or_default();
        if text.is_request() {
            book.is_cancelled |= text.method() == "CANCEL";
            return;
        }
        let is_over = book.finals.iter().any(|(status, _)| *status < 300);
        let last = book.attempts.len().wrapping_sub(1);
        let branch = text.branch();
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
    pub(super) fn went(&mut self, to: SocketAddr, text: &Text) -> Judged {
        match (text.is_request(), text.method()) {
            (true, "ACK" | "CANCEL") => self.follow_up(to, text),
            (true, _) => self.request(to, text),
            (false, "CANCEL") => Ok(()),
            (false, _) => self.response(text),
        }
    }

    fn request(&mut self, to: SocketAddr, text: &Text) -> Judged {
        let tries = self.tries;
        let book = self.books.entry(text.transaction()).or_default();
        let branch = text.branch();
        if let Some(known) = book.attempts.iter().find(|a| a.branch == branch) {
            return must(known.backend == to, Invariant::SameWay, || {
                format!("{branch} goes to {to}, before: {known:?}")
            });
        }
        let rings = book.attempts.iter().find(|a| a.is_answered && !a.has_ended);
        let is_invite = text.method() == "INVITE";
        must(!is_invite || rings.is_none(), Invariant::OneRings, || {
            format!("{} goes to {to} while another rings: {rings:?}", text.start)
        })?;
        must(book.finals.is_empty() && !book.is_cancelled, Invariant::OneRings, || {
            format!("{} goes to {to}, and nobody waits for it: {book:?}", text.start)
        })?;
        let is_new = book.attempts.iter().all(|a| a.backend != to);
        must(is_new && book.attempts.len() < tries, Invariant::Bounds, || {
            format!("{} goes to {to}, before: {:?}", text.start, book.attempts)
        })?;
        book.attempts.push(Attempt {
            branch,
            backend: to,
            is_answered: false,
            has_ended: false,
            unwanted_since: None,
        });
        Ok(())
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
        must(is_due, Invariant::SameWay, || format!("{} to {to} as {branch}", text.start))
    }

    /// To the caller.
    fn response(&mut self, text: &Text) -> Judged {
        must(text.all("Via").len() == 1, Invariant::ResponseToCaller, || format!("{text:?}"))?;
        let status = text.status();
        if status < 200 {
            return Ok(());
        }
        let is_invite = text.method() == "INVITE";
        let book = self.books.entry(text.transaction()).or_default();
        let new = (status, text.tag_of_to().to_owned());
        if book.finals.contains(&new) {
            return Ok(());
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
        must(may, Invariant::OneFinal, || show)
    }

    /// A 2xx of an attempt that was given up.
    pub(super) fn is_late(&self, transaction: &str, branch: &str) -> bool {
        let last = self.books.get(transaction).and_then(|book| book.attempts.last());
        last.is_some_and(|last| last.branch != branch)
    }

    /// A backend has rung to the end, and nobody cancelled it.
    pub(super) fn rang_out(&self, now: u64, transaction: &str, branch: &str) -> Judged {
        let attempts = self.books.get(transaction).map(|book| &book.attempts);
        let attempt = attempts.and_then(|all| all.iter().find(|a| a.branch == branch));
        let since = attempt.and_then(|attempt| attempt.unwanted_since);
        let is_in_time = since.is_none_or(|since| now < since + RINGS_ON_US);
        must(is_in_time, Invariant::GivenUpEnds, || format!("{attempt:?} rings until {now}"))
    }
}
