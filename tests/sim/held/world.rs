//! One edge that fails over, its callers and backends, and the network between them.
//!
//! Owns: the queue of events and the way of a datagram. Times are microseconds from the start.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use sipedge::sip::outbox::Outbox;
use sipedge::sip::{Cause, ListenerId, MESSAGE_BYTES_MAX, Now, Received, Verdict};

use super::backend::{Script, Server};
use super::caller::{Caller, State};
use super::edges::{Change, Edge, Edges};
use super::judge::Judge;
use crate::effects::SECOND_US;
use crate::invariants::{Invariant, Judged, must};
use crate::network::{Datagram, Fate, Network, Weather};
use crate::random::Random;
use crate::text::Text;

pub(super) const EDGE: &str = "192.0.2.1:5060";
const CALLS: usize = 25;
/// How the trace calls what comes to an edge and what it sends.
const NAMES: [(&str, &str); 2] = [("edge 0 <-", "edge 0 ->"), ("edge 1 <-", "edge 1 ->")];
/// When everything must have ended.
const END_US: u64 = 500 * SECOND_US;
/// So many of our own first answers get lost, whatever the weather: there are few.
const OWN_ANSWER_LOST_PERMILLE: u64 = 400;
/// And so many events: messages that beget messages would never end.
const EVENTS_MAX: u64 = 10_000;

#[derive(Debug)]
enum Event {
    Deliver(Datagram),
    Caller(usize),
    Backend(SocketAddr, String),
    Change(Change),
}

pub(super) struct World {
    edges: Edges,
    outbox: Outbox,
    buffer: Vec<u8>,
    now: u64,
    random: Random,
    network: Network,
    callers: Vec<Caller>,
    servers: BTreeMap<(SocketAddr, String), Server>,
    queue: BTreeMap<(u64, u64), Event>,
    queued: u64,
    pub(super) judge: Judge,
}

pub(super) fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

impl World {
    /// With one edge, or two.
    pub(super) fn new(seed: u64, edges: usize) -> Self {
        let mut random = Random::new(seed ^ 0x4e1d);
        let tries = 2 + u8::try_from(random.below(3)).expect("small");
        let edges = Edges::new(&mut random, seed, edges, tries);
        let changes = edges.changes(&mut random);
        let is_fair = random.permille(250);
        let weather = Weather {
            loss_permille: if is_fair { 0 } else { random.below(80) },
            duplicate_permille: if is_fair { 0 } else { random.below(60) },
            late_permille: random.below(30),
            delay_us: random.between(1_000, 30_000),
            datagram_bytes_max: 65_507,
        };
        let mut world = Self {
            edges,
            outbox: Outbox::new(),
            buffer: vec![0; MESSAGE_BYTES_MAX],
            now: 0,
            network: Network::new(weather, Random::new(seed)),
            callers: Vec::new(),
            servers: BTreeMap::new(),
            queue: BTreeMap::new(),
            queued: 0,
            judge: Judge::new(usize::from(tries)),
            random,
        };
        for (when, change) in changes {
            world.at(when, Event::Change(change));
        }
        for number in 0..CALLS {
            let start = world.random.below(30 * SECOND_US);
            let methods = ["INVITE", "INVITE", "INVITE", "MESSAGE", "REGISTER"];
            let method = world.random.pick(&methods).unwrap_or("INVITE");
            let padding = if world.random.permille(20) { 5_000 } else { 10 };
            let mut caller = Caller::new(number, method, padding, start);
            let cancels = world.random.permille(250);
            caller.cancels_after = cancels.then(|| world.random.below(6 * SECOND_US));
            world.callers.push(caller);
            world.at(start, Event::Caller(number));
        }
        world
    }

    fn at(&mut self, when: u64, event: Event) {
        self.queued += 1;
        self.queue.insert((when, self.queued), event);
    }

    /// Runs to the end.
    pub(super) fn run(&mut self) -> Judged {
        loop {
            let next = self.queue.first_key_value().map(|((when, _), _)| *when);
            let due = self.edges.due();
            self.now = match (next, due.map(|(due, _)| due)) {
                (None, None) => break,
                (next, due) => next.unwrap_or(u64::MAX).min(due.unwrap_or(u64::MAX)),
            };
            must(self.queued < EVENTS_MAX, Invariant::HeldEnds, || "it never rests".to_owned())?;
            must(self.now < END_US, Invariant::HeldEnds, || {
                let held = |edge: &Edge| edge.core.held().map_or(0, |hold| hold.len());
                format!("still held: {:?}", self.edges.all.iter().map(held).collect::<Vec<_>>())
            })?;
            if let Some((_, edge)) = due.filter(|(due, _)| *due <= self.now) {
                self.edge_timer(edge)?;
            } else if let Some((_, event)) = self.queue.pop_first() {
                self.happen(event)?;
            }
        }
        self.check_end()
    }

    fn happen(&mut self, event: Event) -> Judged {
        let now = self.now;
        match event {
            Event::Deliver(datagram) => return self.deliver(&datagram),
            Event::Change(change) => self.change(change),
            Event::Caller(number) => {
                let caller = &mut self.callers[number];
                if caller.due != now {
                    return Ok(());
                }
                let (sent, from) = (caller.on_time(now), caller.address);
                self.wake_caller(number);
                if let Some(bytes) = sent {
                    self.send(from, address(EDGE), bytes);
                }
            }
            Event::Backend(backend, branch) => {
                let key = (backend, branch);
                let Some(server) = self.servers.get_mut(&key).filter(|s| s.due == now) else {
                    return Ok(());
                };
                let rang = server.rings();
                let sent = server.on_time(now);
                if rang && !server.rings() {
                    let transaction = server.request.transaction();
                    self.judge.rang_out(now, &transaction, &key.1)?;
                }
                self.wake_backend(&key);
                if let Some(bytes) = sent {
                    self.send(backend, address(EDGE), bytes);
                }
            }
        }
        Ok(())
    }

    fn wake_caller(&mut self, number: usize) {
        let due = self.callers[number].due;
        if due != u64::MAX {
            self.at(due.max(self.now), Event::Caller(number));
        }
    }

    fn wake_backend(&mut self, key: &(SocketAddr, String)) {
        let due = self.servers.get(key).map_or(u64::MAX, |server| server.due);
        if due != u64::MAX {
            self.at(due.max(self.now), Event::Backend(key.0, key.1.clone()));
        }
    }

    fn send(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        let fate = self.network.fate(self.now, to.ip(), &bytes);
        let datagram = Datagram { from, to, bytes };
        match fate {
            Fate::Lost | Fate::TooLarge => self.judge.count("lost", 1),
            Fate::Arrives(when) => self.at(when, Event::Deliver(datagram)),
            Fate::Twice(first, second) => {
                self.at(first, Event::Deliver(datagram.clone()));
                self.at(second, Event::Deliver(datagram));
            }
        }
    }

    fn deliver(&mut self, datagram: &Datagram) -> Judged {
        let text = Text::read(&datagram.bytes).expect("nobody sends anything else");
        if datagram.to == address(EDGE) {
            let up = self.edges.up();
            let edge = self.network.edge_for(datagram.from.ip(), &up).expect("one is up");
            return self.at_edge(edge, datagram, &text);
        }
        if let Some(number) = self.caller_of(&text).filter(|_| !text.is_request()) {
            self.at_caller(number, datagram.to, &text)
        } else {
            self.at_backend(datagram.to, text);
            Ok(())
        }
    }

    fn caller_of(&self, text: &Text) -> Option<usize> {
        text.transaction().strip_prefix("z9hG4bKc")?.parse().ok()
    }

    fn change(&mut self, change: Change) {
        match change {
            Change::Flap => {
                let moved = self.network.flap(300, &self.edges.up());
                self.judge.count("sources whose route moved", moved);
            }
            Change::TurnKeys(edge) => {
                self.edges.turn_keys(edge);
                self.judge.count("keys turned", 1);
            }
            Change::Death(edge) => {
                self.edges.all[edge].is_up = false;
                self.network.withdraw(edge, &self.edges.up());
                self.judge.edge_died(edge);
                self.judge.count("edge died", 1);
            }
        }
    }

    fn at_edge(&mut self, edge: usize, datagram: &Datagram, text: &Text) -> Judged {
        self.judge.note(self.now, NAMES[edge].0, datagram.from, text);
        self.judge.came(self.now, edge, text);
        let (bytes, source) = (datagram.bytes.as_slice(), datagram.from);
        let received = Received::datagram(bytes, source, ListenerId(0));
        let core = &mut self.edges.all[edge].core;
        let verdict = core.handle(Now(self.now), &received, &mut self.outbox);
        let decision = *self.outbox.decision();
        let is_held = verdict == Verdict::Absorb && decision.cause == Cause::Held;
        self.judge.count("failure absorbed", u64::from(is_held && decision.status >= 300));
        let may_drop = !text.is_request() && text.method() == "CANCEL";
        let is_own_ack = verdict == Verdict::Absorb && text.method() == "ACK";
        if is_own_ack {
            self.judge.own_answer_acknowledged(edge, text);
        }
        let is_terse = text.status() == 100 && text.all("Via").len() == 1;
        let is_taken = is_terse && verdict == Verdict::Absorb;
        self.judge.count("100 with one Via", u64::from(is_taken));
        let goes_on = matches!(verdict, Verdict::Forward | Verdict::Respond);
        let is_fine = goes_on || is_held || is_own_ack || may_drop || is_taken;
        self.judge
            .promised(text, is_fine, Invariant::NoDrop, || format!("{verdict:?}: {text:?}"))?;
        // Only what ended with an answer of ours is answered again, and so is its CANCEL.
        let may_answer = verdict != Verdict::Respond || self.judge.has_own_answer(text);
        let show = || format!("{} to {text:?}", decision.status);
        self.judge.promised(text, may_answer, Invariant::OwnAnswer, show)?;
        let mut sent: Vec<(SocketAddr, Vec<u8>)> = Vec::new();
        if let Some(transmit) = self.outbox.transmit().filter(|_| goes_on) {
            let size = self.outbox.write_to(bytes, &mut self.buffer).expect("fits");
            sent.push((transmit.address(), self.buffer[..size].to_vec()));
        }
        self.send_all(edge, sent, 2)
    }

    fn edge_timer(&mut self, edge: usize) -> Judged {
        self.edges.all[edge].core.handle_timeout(Now(self.now), &mut self.outbox);
        let is_copy = |bytes: &[u8]| {
            let text = Text::read(bytes).unwrap_or_default();
            self.servers.keys().any(|(_, branch)| *branch == text.branch())
                && text.method() == "INVITE"
        };
        let copies = self.outbox.extras().filter(|extra| is_copy(extra.bytes)).count();
        self.judge.count("request repeated by the edge", copies as u64);
        self.send_all(edge, Vec::new(), 1)
    }

    /// What the edge sends, with what it sends besides.
    fn send_all(
        &mut self,
        edge: usize,
        mut sent: Vec<(SocketAddr, Vec<u8>)>,
        extras_max: usize,
    ) -> Judged {
        let extras = self.outbox.extras();
        let extras = extras.map(|extra| (extra.transmit.address(), extra.bytes.to_vec()));
        let before = sent.len();
        sent.extend(extras);
        must(sent.len() - before <= extras_max, Invariant::Amplification, || {
            format!("{} messages besides", sent.len() - before)
        })?;
        for (to, bytes) in sent {
            let text = Text::read(&bytes).expect("the edge writes SIP");
            self.judge.note(self.now, NAMES[edge].1, to, &text);
            let is_first = text.status() == 408 && !self.judge.has_own_answer(&text);
            self.judge.went(edge, to, &text)?;
            if is_first && self.random.permille(OWN_ANSWER_LOST_PERMILLE) {
                self.judge.count("answer of ours, lost", 1);
                continue;
            }
            self.send(address(EDGE), to, bytes);
        }
        Ok(())
    }

    fn at_caller(&mut self, number: usize, to: SocketAddr, text: &Text) -> Judged {
        let caller = &mut self.callers[number];
        must(caller.address == to, Invariant::ResponseToCaller, || format!("{text:?}"))?;
        let ack = caller.on_response(self.now, text);
        self.wake_caller(number);
        if text.status() / 100 == 2 && text.method() == "INVITE" {
            // The ACK of a 2xx goes end to end.
            let tag = text.tag_of_to();
            let transaction = text.transaction();
            let mut answered = self.servers.iter_mut().filter(|(_, s)| s.tag == tag);
            if let Some((key, server)) = answered.next() {
                server.on_ack();
                let is_late = self.judge.is_late(&transaction, &key.1);
                self.judge.count("late success", u64::from(is_late));
            }
        }
        if let Some(ack) = ack {
            self.send(to, address(EDGE), ack);
        }
        Ok(())
    }

    fn at_backend(&mut self, backend: SocketAddr, request: Text) {
        let now = self.now;
        let key = (backend, request.branch());
        let is_own = request.all("Via").len() == 1;
        let sent = match (request.method(), self.servers.get_mut(&key)) {
            ("ACK", server) => {
                server.into_iter().for_each(Server::on_ack);
                None
            }
            ("CANCEL", server) => {
                let status = if server.is_some() { 200 } else { 481 };
                let answer = request.answer(status, "cancel");
                let is_first = server.is_some_and(|server| server.on_cancel(now));
                self.judge.count("ringing ended by the edge", u64::from(is_own && is_first));
                self.judge.count("caller cancelled", u64::from(!is_own && is_first));
                Some(answer.write(crate::text::Style::default()))
            }
            (_, Some(server)) => server.on_copy(),
            (_, None) => {
                let script = Script::new(&mut self.random, request.method() == "INVITE");
                let tag = format!("t{}", self.servers.len());
                let server = Server::new(request, script, tag, now);
                let trying = server.trying();
                self.servers.insert(key.clone(), server);
                trying
            }
        };
        self.wake_backend(&key);
        if let Some(bytes) = sent {
            self.send(backend, address(EDGE), bytes);
        }
    }

    fn check_end(&mut self) -> Judged {
        for edge in self.edges.all.iter().filter(|edge| edge.is_up) {
            let hold = edge.core.held().expect("the pool fails over");
            must(hold.is_empty(), Invariant::HeldEnds, || format!("{} are held", hold.len()))?;
            self.judge.count("backend given up", hold.counts.given_up);
            self.judge.count("held in no room", hold.counts.refused);
        }
        for (number, caller) in self.callers.iter().enumerate() {
            let waits = caller.state == State::Proceeding && caller.is_invite();
            // A CANCEL may be the last word of a caller.
            let ends = !waits || caller.has_cancelled();
            let show = || format!("caller {number} waits for ever");
            self.judge.promised(&caller.request, ends, Invariant::RequestEnds, show)?;
        }
        for (key, server) in &self.servers {
            let ends = !server.waits_for_ack();
            let show = || format!("never acknowledged: {key:?} {server:?}");
            self.judge.promised(&server.request, ends, Invariant::GivenUpEnds, show)?;
        }
        self.judge.sum_up();
        Ok(())
    }
}
