//! A caller of one request: its transaction by RFC 3261 17.1, and a CANCEL from some.
//!
//! Owns: what a caller sends and when. Times are microseconds.

use crate::effects::{GIVE_UP_US, T1_US, T2_US};
use crate::text::{Style, Text};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Calling,
    Proceeding,
    Over,
}

#[derive(Debug)]
pub(super) struct Caller {
    pub(super) request: Text,
    pub(super) state: State,
    pub(super) address: std::net::SocketAddr,
    /// After its first provisional answer.
    pub(super) cancels_after: Option<u64>,
    cancelled_at: Option<u64>,
    pub(super) is_cancel_answered: bool,
    started: u64,
    interval: u64,
    /// When it wants to be asked; never: `u64::MAX`.
    pub(super) due: u64,
    pub(super) status: Option<u16>,
}

impl Caller {
    pub(super) fn new(number: usize, method: &str, padding: usize, now: u64) -> Self {
        let address = format!("198.51.100.{}:5060", number % 200 + 1);
        let mut request = Text::request(method, "sip:bob@example.com");
        request.add("Via", format!("SIP/2.0/UDP {address};branch=z9hG4bKc{number}"));
        request.add("Max-Forwards", "70");
        request.add("From", format!("<sip:u{number}@example.com>;tag=f{number}"));
        request.add("To", "<sip:bob@example.com>");
        request.add("Call-ID", format!("call{number}@model"));
        request.add("CSeq", format!("1 {method}"));
        request.add("X-Padding", "x".repeat(padding));
        Self {
            request,
            state: State::Calling,
            address: address.parse().expect("an address"),
            cancels_after: None,
            cancelled_at: None,
            is_cancel_answered: false,
            started: now,
            interval: T1_US,
            due: now,
            status: None,
        }
    }

    pub(super) fn is_invite(&self) -> bool {
        self.request.method() == "INVITE"
    }

    fn follow_up(&self, method: &str, to: &str) -> Vec<u8> {
        let mut text = Text::request(method, self.request.uri());
        for name in ["Via", "Max-Forwards", "From", "Call-ID"] {
            text.add(name, self.request.one(name));
        }
        text.add("To", to);
        text.add("CSeq", format!("1 {method}"));
        text.write(Style::default())
    }

    /// What is due now.
    pub(super) fn on_time(&mut self, now: u64) -> Option<Vec<u8>> {
        self.due = u64::MAX;
        if self.state == State::Over {
            return None;
        }
        if self.is_invite() && self.state == State::Proceeding {
            self.cancels_after?;
            let since = *self.cancelled_at.get_or_insert(now);
            if self.is_cancel_answered || now >= since + GIVE_UP_US {
                return None;
            }
            self.due = now + self.interval;
            self.interval = (self.interval * 2).min(T2_US);
            return Some(self.follow_up("CANCEL", self.request.one("To")));
        }
        if now >= self.started + GIVE_UP_US {
            self.state = State::Over;
            return None;
        }
        let slow = if self.is_invite() { u64::MAX } else { T2_US };
        self.due = (now + self.interval).min(self.started + GIVE_UP_US);
        self.interval = (self.interval * 2).min(slow);
        Some(self.request.write(Style::default()))
    }

    /// The ACK, when the response asks for one.
    pub(super) fn on_response(&mut self, now: u64, response: &Text) -> Option<Vec<u8>> {
        let status = response.status();
        if response.method() == "CANCEL" {
            self.is_cancel_answered |= status >= 200;
            return None;
        }
        if status < 200 {
            if self.state == State::Calling && self.is_invite() {
                self.state = State::Proceeding;
                self.interval = T1_US;
                self.due = self.cancels_after.map_or(u64::MAX, |after| now + after);
            }
            return None;
        }
        self.state = State::Over;
        self.status.get_or_insert(status);
        (self.is_invite() && status >= 300).then(|| self.follow_up("ACK", response.one("To")))
    }

    pub(super) fn has_cancelled(&self) -> bool {
        self.cancelled_at.is_some()
    }
}
