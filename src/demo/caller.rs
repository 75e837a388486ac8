//! The demo's caller: starts calls at a steady rate, runs each to its end, and tells what happens as events.
//!
//! Owns: one socket and two threads. The *pacer* only sends INVITEs at their intended moments, whatever the
//! answers do (open loop), so that a slow answer cannot hide by slowing the caller. The *follower* receives,
//! keeps the timers, and owns the calls. Knows nothing of the edge but its address.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io;
use std::net::UdpSocket;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::DATAGRAM_BYTES_MAX;
use super::call::{Call, Plan, invite};
use super::clock::Clock;
use super::message::Message;
use super::record::Record;

/// How long the follower waits for a datagram before it looks at its timers.
const WAIT: Duration = Duration::from_millis(5);
/// How long it listens on after the last call, so that a late duplicate is seen.
const LINGER: Duration = Duration::from_millis(300);

/// Something that happened to a call.
#[derive(Debug, Clone)]
pub(super) enum Event {
    /// Its INVITE was sent.
    Started,
    /// A backend answered.
    Answered {
        /// Which one.
        backend: usize,
        /// When the INVITE was to be sent.
        intended: Duration,
        /// From then to the 200.
        latency: Duration,
    },
    /// It is over.
    Ended {
        /// The backend that had it, when it was answered.
        backend: Option<usize>,
        /// It ended as it should.
        completed: bool,
    },
}

/// What the caller returns in the end.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Every call that was started.
    pub(super) records: Vec<Record>,
    /// Datagrams that are no response to any call.
    pub(super) stray: u64,
}

/// When calls start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schedule {
    /// The first call.
    pub(super) start: Duration,
    /// No call from here on.
    pub(super) end: Duration,
    /// Calls per second.
    pub(super) rate: u32,
}

impl Schedule {
    /// The intended moment of call `number`; `None` when it is past the end.
    fn moment(&self, number: u64) -> Option<Duration> {
        let offset_us = number.saturating_mul(1_000_000) / u64::from(self.rate.max(1));
        let moment = self.start + Duration::from_micros(offset_us);
        (moment < self.end).then_some(moment)
    }
}

/// A call that the pacer is about to start.
#[derive(Debug, Clone, Copy)]
struct Start {
    number: u64,
    intended: Duration,
    sent: Duration,
}

/// A running caller.
#[derive(Debug)]
pub(super) struct Caller {
    pacer: JoinHandle<()>,
    follower: JoinHandle<Outcome>,
}

impl Caller {
    /// Starts calling from `socket`, which is bound to `plan.caller`. Events end when all calls are over.
    pub(super) fn start(
        socket: UdpSocket,
        plan: Plan,
        schedule: Schedule,
        clock: Clock,
    ) -> io::Result<(Self, Receiver<Event>)> {
        socket.set_read_timeout(Some(WAIT))?;
        let (starts, started) = channel();
        let (events, happened) = channel();
        let pacer = {
            let (socket, plan) = (socket.try_clone()?, plan.clone());
            std::thread::Builder::new()
                .name("demo-pacer".to_owned())
                .spawn(move || pace(&socket, &plan, schedule, clock, &starts))?
        };
        let follower = std::thread::Builder::new()
            .name("demo-caller".to_owned())
            .spawn(move || Follower::new(plan, clock, started, events).run(&socket))?;
        Ok((Self { pacer, follower }, happened))
    }

    /// Waits for the last call.
    pub(super) fn join(self) -> Outcome {
        self.pacer.join().expect("the pacer has no panic");
        self.follower.join().expect("the follower has no panic")
    }
}

fn pace(socket: &UdpSocket, plan: &Plan, schedule: Schedule, clock: Clock, starts: &Sender<Start>) {
    let mut number = 0;
    while let Some(intended) = schedule.moment(number) {
        let bytes = invite(plan, number);
        clock.sleep_until(intended);
        // The follower learns of the call before the edge does, so no response can come too early.
        if starts.send(Start { number, intended, sent: clock.now() }).is_err() {
            return;
        }
        // An INVITE that does not leave is sent again by the follower's timer.
        let _ = socket.send_to(&bytes, plan.edge);
        number += 1;
    }
}

struct Follower {
    plan: Plan,
    clock: Clock,
    started: Receiver<Start>,
    /// The pacer has started its last call.
    paced: bool,
    events: Sender<Event>,
    calls: HashMap<u64, Call>,
    running: usize,
    timers: BinaryHeap<Reverse<(Duration, u64)>>,
    stray: u64,
}

impl Follower {
    fn new(plan: Plan, clock: Clock, started: Receiver<Start>, events: Sender<Event>) -> Self {
        Self {
            plan,
            clock,
            started,
            paced: false,
            events,
            calls: HashMap::new(),
            running: 0,
            timers: BinaryHeap::new(),
            stray: 0,
        }
    }

    fn run(mut self, socket: &UdpSocket) -> Outcome {
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        let mut last_activity = self.clock.now();
        loop {
            // An error is the wait running out, or an ICMP error of an earlier send: neither ends the loop.
            let received = socket.recv_from(&mut buffer).ok();
            let now = self.clock.now();
            self.take_starts();
            if let Some((length, _)) = received {
                self.on_datagram(socket, &buffer[..length], now);
            }
            self.on_timers(socket, now);
            if !self.paced || self.running > 0 {
                last_activity = now;
            } else if now > last_activity + LINGER {
                break;
            }
        }
        let mut records: Vec<Record> =
            self.calls.into_values().map(|call| call.record().clone()).collect();
        records.sort_by_key(|record| record.intended);
        Outcome { records, stray: self.stray }
    }

    fn take_starts(&mut self) {
        loop {
            match self.started.try_recv() {
                Ok(Start { number, intended, sent }) => {
                    let call = Call::new(&self.plan, number, intended, sent);
                    self.timers.extend(call.due().map(|due| Reverse((due, number))));
                    self.calls.insert(number, call);
                    self.running += 1;
                    self.tell(Event::Started);
                }
                Err(std::sync::mpsc::TryRecvError::Empty) => return,
                Err(std::sync::mpsc::TryRecvError::Disconnected) => {
                    self.paced = true;
                    return;
                }
            }
        }
    }

    fn on_datagram(&mut self, socket: &UdpSocket, bytes: &[u8], now: Duration) {
        let message = Message::parse(bytes);
        let number = message.as_ref().and_then(|message| {
            message.status()?;
            message.field("Call-ID")?.split_once('.')?.0.parse().ok()
        });
        let (Some(message), Some(number)) = (message, number) else {
            self.stray += 1;
            return;
        };
        let known = self.calls.get_mut(&number);
        let Some(call) = known.filter(|call| Some(call.id()) == message.field("Call-ID")) else {
            self.stray += 1;
            return;
        };
        let was = (call.is_over(), call.due(), call.record().latency);
        let outgoing = call.handle(&self.plan, &message, now);
        self.after(socket, number, was, outgoing);
    }

    fn on_timers(&mut self, socket: &UdpSocket, now: Duration) {
        while let Some(&Reverse((due, number))) = self.timers.peek() {
            if due > now {
                return;
            }
            self.timers.pop();
            let Some(call) = self.calls.get_mut(&number) else { continue };
            let was = (call.is_over(), call.due(), call.record().latency);
            if was.1 == Some(due) {
                let outgoing = call.handle_timeout(&self.plan, now);
                self.after(socket, number, was, outgoing);
            }
        }
    }

    /// Sends what a call wants sent, keeps its timer, and tells what changed.
    fn after(
        &mut self,
        socket: &UdpSocket,
        number: u64,
        (was_over, due_before, latency_before): (bool, Option<Duration>, Option<Duration>),
        outgoing: Option<(Vec<u8>, std::net::SocketAddr)>,
    ) {
        if let Some((bytes, destination)) = outgoing {
            // What does not leave is sent again by a timer.
            let _ = socket.send_to(&bytes, destination);
        }
        let call = &self.calls[&number];
        let (over, record) = (call.is_over(), call.record());
        if call.due() != due_before {
            self.timers.extend(call.due().map(|due| Reverse((due, number))));
        }
        let (backend, intended, completed) = (record.backend, record.intended, record.completed());
        let answered = record.latency.filter(|_| latency_before.is_none());
        if let (Some(backend), Some(latency)) = (backend, answered) {
            self.tell(Event::Answered { backend, intended, latency });
        }
        if over && !was_over {
            self.running -= 1;
            self.tell(Event::Ended { backend, completed });
        }
    }

    fn tell(&self, event: Event) {
        // Nobody listens any more: the run was ended early, and the calls end on their own.
        let _ = self.events.send(event);
    }
}

#[cfg(test)]
mod tests {
    use super::super::uas::Uas;
    use super::super::{T1, bind_loopback};
    use super::*;

    #[test]
    fn the_schedule_is_steady_and_ends() {
        let (start, end) = (Duration::from_secs(1), Duration::from_secs(2));
        let schedule = Schedule { start, end, rate: 300 };
        assert_eq!(schedule.moment(0), Some(start));
        assert_eq!(schedule.moment(150), Some(Duration::from_millis(1500)));
        assert_eq!(schedule.moment(300), None);
        assert_eq!((0..).map_while(|number| schedule.moment(number)).count(), 300);
    }

    #[test]
    fn calls_to_a_backend_without_an_edge_between_complete() {
        let clock = Clock::start();
        let uas = Uas::start(1, clock).expect("a free port");
        let socket = bind_loopback().expect("a free port");
        let plan = Plan {
            caller: socket.local_addr().expect("it is bound"),
            edge: uas.address,
            hold_ms: 20..60,
            gives_up_after: 64 * T1,
        };
        let start = clock.now();
        let schedule = Schedule { start, end: start + T1, rate: 100 };
        let (caller, events) = Caller::start(socket, plan, schedule, clock).expect("two threads");
        let events: Vec<Event> = events.iter().collect();
        let outcome = caller.join();
        let book = uas.stop();
        assert_eq!(outcome.records.len(), 50);
        assert_eq!(outcome.stray, 0);
        assert!(outcome.records.iter().all(|record| record.completed()), "{outcome:?}");
        assert!(outcome.records.iter().all(|record| record.backend == Some(1)));
        assert_eq!(book.calls.len(), 50);
        assert_eq!((book.stray, book.unreadable), (0, 0));
        assert!(book.calls.values().all(|seen| seen.acks >= 1 && seen.transactions("BYE") == 1));
        let count = |pick: fn(&Event) -> bool| events.iter().filter(|event| pick(event)).count();
        assert_eq!(count(|event| matches!(event, Event::Started)), 50);
        assert_eq!(count(|event| matches!(event, Event::Answered { backend: 1, .. })), 50);
        assert_eq!(count(|event| matches!(event, Event::Ended { completed: true, .. })), 50);
    }
}
