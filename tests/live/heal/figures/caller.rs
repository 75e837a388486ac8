//! A phone in this thread: INVITE, ACK and BYE at a fixed rate, each retransmitted as RFC 3261 17.1 says.
//!
//! Owns: the schedule and what became of each call. Times are microseconds since the first call was due.
#![expect(clippy::disallowed_methods, reason = "it measures how long answers take")]

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::time::Instant;

use super::{KEYS, LOOK_EVERY, lines, widen};
use crate::harness::{free_address, loopback};

/// First and longest retransmission interval, and when a request is given up (64 T1 would be 32 s).
const T1_US: u64 = 500_000;
const T2_US: u64 = 4_000_000;
const GIVE_UP_US: u64 = 12_000_000;
/// A repeated INVITE follows the first after this time: longer than an answer takes, about half of a reload's interval.
const REPEAT_AFTER_US: u64 = 60_000;
/// One in so many calls repeats its INVITE.
const REPEATS_ONE_OF: u32 = 4;

pub(super) struct Plan {
    pub(super) edge: SocketAddr,
    pub(super) calls: u32,
    /// Calls per second.
    pub(super) rate: u32,
    /// Some INVITEs are sent again although they were answered, as if the answer had been lost.
    pub(super) repeats: bool,
}

/// A call.
#[derive(Debug, Default)]
pub(super) struct Call {
    pub(super) key: u32,
    pub(super) call_id: String,
    /// How often its INVITE was sent.
    pub(super) invites: usize,
    pub(super) repeated: bool,
    pub(super) begun_us: u64,
    pub(super) answered_us: Option<u64>,
    pub(super) ended_us: Option<u64>,
    invite: String,
    /// ACK and BYE, once it was answered.
    rest: Option<(String, String)>,
    interval_us: u64,
    byes_us: u64,
}

/// Makes the calls; `meanwhile` is told the time again and again.
pub(super) fn run(plan: &Plan, mut meanwhile: impl FnMut(u64)) -> Vec<Call> {
    let socket = UdpSocket::bind(free_address(loopback(1))).expect("a free address");
    widen(&socket);
    socket.set_read_timeout(Some(LOOK_EVERY)).expect("a time");
    let mut phone = Phone {
        local: socket.local_addr().expect("bound"),
        edge: plan.edge,
        socket,
        calls: Vec::with_capacity(plan.calls as usize),
        due: BTreeMap::new(),
        open: 0,
    };
    let start = Instant::now();
    let end_us = u64::from(plan.calls) * 1_000_000 / u64::from(plan.rate) + GIVE_UP_US;
    loop {
        let now_us = u64::try_from(start.elapsed().as_micros()).expect("short runs");
        let due = now_us * u64::from(plan.rate) / 1_000_000;
        while (phone.calls.len() as u64) < due.min(u64::from(plan.calls)) {
            phone.begin(now_us, plan.repeats);
        }
        phone.retransmit(now_us);
        meanwhile(now_us);
        let is_over = phone.calls.len() == plan.calls as usize && phone.open == 0;
        if (is_over && phone.due.is_empty()) || now_us > end_us {
            break;
        }
        phone.receive(&|| u64::try_from(start.elapsed().as_micros()).expect("short runs"));
    }
    phone.calls
}

struct Phone {
    socket: UdpSocket,
    local: SocketAddr,
    edge: SocketAddr,
    calls: Vec<Call>,
    /// What is to be sent again: when, and of which call.
    due: BTreeMap<(u64, usize), Again>,
    /// Calls that have no end.
    open: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Again {
    Invite,
    /// Although it was answered.
    Repeat,
    Bye,
}

impl Phone {
    fn begin(&mut self, now_us: u64, repeats: bool) {
        let index = self.calls.len();
        let number = u32::try_from(index).expect("less than 2^32 calls");
        let key = number % KEYS;
        let local = self.local;
        let call_id = format!("{number}-{}@{local}", std::process::id());
        let invite = format!(
            "INVITE sip:callee-{key}@example.test SIP/2.0\r\n\
             Via: SIP/2.0/UDP {local};rport;branch=z9hG4bK{number}i\r\nMax-Forwards: 70\r\n\
             From: <sip:caller@example.test>;tag={number}\r\nTo: <sip:callee-{key}@example.test>\r\n\
             Call-ID: {call_id}\r\nCSeq: 1 INVITE\r\nContact: <sip:caller@{local}>\r\n\
             Content-Length: 0\r\n\r\n"
        );
        self.send(&invite);
        let repeated = repeats && number.is_multiple_of(REPEATS_ONE_OF);
        if repeated {
            self.due.insert((now_us + REPEAT_AFTER_US, index), Again::Repeat);
        }
        self.due.insert((now_us + T1_US, index), Again::Invite);
        self.open += 1;
        self.calls.push(Call {
            key,
            call_id,
            invites: 1,
            repeated,
            begun_us: now_us,
            invite,
            interval_us: T1_US,
            ..Call::default()
        });
    }

    fn retransmit(&mut self, now_us: u64) {
        while let Some(entry) = self.due.first_entry().filter(|entry| entry.key().0 <= now_us) {
            let ((_, index), again) = entry.remove_entry();
            let call = &mut self.calls[index];
            let (text, first_us) = match (again, &call.rest) {
                (Again::Repeat, _) => (call.invite.clone(), now_us),
                (Again::Invite, None) => (call.invite.clone(), call.begun_us),
                (Again::Bye, Some((_, bye))) if call.ended_us.is_none() => {
                    (bye.clone(), call.byes_us)
                }
                _ => continue,
            };
            if again != Again::Bye {
                call.invites += 1;
            }
            if again != Again::Repeat {
                if now_us > first_us + GIVE_UP_US {
                    continue;
                }
                call.interval_us = call.interval_us.saturating_mul(2);
                if again == Again::Bye {
                    call.interval_us = call.interval_us.min(T2_US);
                }
                self.due.insert((now_us + call.interval_us, index), again);
            }
            self.send(&text);
        }
    }

    /// Takes what has come, and waits a little when nothing has.
    fn receive(&mut self, now: &dyn Fn() -> u64) {
        const AT_ONCE_MAX: usize = 64;
        let mut buffer = [0; 4_096];
        for _ in 0..AT_ONCE_MAX {
            let Ok(count) = self.socket.recv(&mut buffer) else { return };
            self.on_response(&String::from_utf8_lossy(&buffer[..count]), now());
        }
    }

    fn on_response(&mut self, text: &str, now_us: u64) {
        let call_id = lines(text, "Call-ID").next().unwrap_or_default();
        let number = call_id.trim_start_matches("Call-ID: ").split('-').next();
        let Some(index) = number.and_then(|number| number.parse::<usize>().ok()) else { return };
        let is_invite = lines(text, "CSeq").any(|line| line.ends_with("INVITE"));
        let Some(call) = self.calls.get_mut(index).filter(|_| text.starts_with("SIP/2.0 200"))
        else {
            return;
        };
        if !is_invite {
            if call.ended_us.is_none() {
                call.ended_us = Some(now_us);
                self.open -= 1;
            }
            return;
        }
        if let Some((ack, _)) = call.rest.clone() {
            return self.send(&ack);
        }
        call.answered_us = Some(now_us);
        (call.byes_us, call.interval_us) = (now_us, T1_US);
        let (ack, bye) =
            (self.in_dialog(text, index, 1, "ACK"), self.in_dialog(text, index, 2, "BYE"));
        self.send(&ack);
        self.send(&bye);
        self.due.insert((now_us + T1_US, index), Again::Bye);
        self.calls[index].rest = Some((ack, bye));
    }

    fn in_dialog(&self, response: &str, index: usize, cseq: u32, method: &str) -> String {
        let local = self.local;
        let contact = lines(response, "Contact").next().unwrap_or_default();
        let target = contact.split(['<', '>']).nth(1).unwrap_or_default();
        let mut text = format!(
            "{method} {target} SIP/2.0\r\nVia: SIP/2.0/UDP {local};rport;branch=z9hG4bK{index}{method}\r\n\
             Max-Forwards: 70\r\n"
        );
        for line in lines(response, "Record-Route") {
            text.push_str(line.trim_start_matches("Record-"));
            text.push_str("\r\n");
        }
        for field in ["From", "To", "Call-ID"] {
            for line in lines(response, field) {
                text.push_str(line);
                text.push_str("\r\n");
            }
        }
        text.push_str(&format!("CSeq: {cseq} {method}\r\nContent-Length: 0\r\n\r\n"));
        text
    }

    fn send(&self, text: &str) {
        self.socket.send_to(text.as_bytes(), self.edge).expect("loopback takes it");
    }
}
