//! The tables that are abused, who speaks, and what was seen so far.
//!
//! Owns: peers, flows and the stock of messages. The promises are checked elsewhere.

use std::collections::{HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use sipedge::sip::balance::{Balance, Member, Spec};
use sipedge::sip::core::Core;
use sipedge::sip::hold::HoldCounts;
use sipedge::sip::message::Method;
use sipedge::sip::outbox::{EXTRAS_MAX, Outbox};
use sipedge::sip::route::failover::{Failover, StatusSet};
use sipedge::sip::route::table::{
    Action, Backend, Key, KeySource, Limits, Listener, Parts, PathPolicy, Pool, Rule, Table,
};
use sipedge::sip::{Cause, ListenerId, MESSAGE_BYTES_MAX, Now, Received, Verdict};

use super::promises;
use super::random::Random;
use super::seeds;

/// The last two: no port to answer to, and our own address.
const PHONES: [(&str, u8); 4] = [
    ("203.0.113.7:40001", 0),
    ("203.0.113.8:5060", 0),
    ("203.0.113.9:0", 0),
    ("192.0.2.1:5060", 0),
];
const PHONES_V6: [(&str, u8); 1] = [("[2001:db8::77]:6000", 1)];
const BACKENDS: [&str; 3] = ["10.0.0.1:5060", "10.0.0.2:5060", "10.0.0.3:5060"];
const STATUSES: [&str; 4] = ["100 Trying", "200 OK", "486 Busy", "503 Busy"];
const STOCK_MAX: usize = 300;
/// Sent within the last half minute, about.
const SENT_LATELY_MAX: usize = 12;
/// The first requests of the stock, which a pool that fails over gets: INVITE, REGISTER, OPTIONS.
const HELD_SEEDS: usize = 12;

/// What time may make of one held request, in messages: for each of 4 attempts the INVITE 6 times and then its CANCEL 10 times
/// (RFC 3261 17.1.1.2, 17.1.2.2), the three further attempts, and our 408, 11 times (17.2.1).
const BY_TIME_MAX: u64 = 4 * (6 + 10) + 3 + 11;
/// When nothing is held any more: a call that rings has 200 seconds, its CANCEL and its failure 32 each; some come late.
const REST_US: u64 = 500_000_000;

/// A datagram in the making.
#[derive(Clone)]
pub(crate) struct Input {
    pub(crate) bytes: Vec<u8>,
    pub(crate) source: SocketAddr,
    pub(crate) listener: u8,
}

pub(crate) struct World {
    parts: Parts,
    pub(crate) core: Core,
    pub(crate) outbox: Outbox,
    pub(crate) buffer: Vec<u8>,
    pub(crate) now: Now,
    peers: Vec<(SocketAddr, u8)>,
    pub(crate) backends: HashSet<SocketAddr>,
    /// Where a token may lead, besides backends.
    pub(crate) flows: HashSet<SocketAddr>,
    /// Where responses may go: what was sealed into a Via.
    pub(crate) targets: HashSet<SocketAddr>,
    /// What may be sent next; the last is what came out last, as its receiver would send it.
    pub(crate) stock: Vec<Input>,
    /// Our own URIs (with brackets) and Via values.
    pub(crate) pieces: Vec<Vec<u8>>,
    /// How often each verdict fell: absorb, drop, forward, respond.
    verdicts: [u64; 4],
    /// How often a token and a Via of ours showed the way.
    by_token: u64,
    by_via: u64,
    /// What went out besides, in this step.
    extras: Vec<Sent>,
    /// The last requests that were sent: they may be answered more than once.
    sent_lately: VecDeque<Sent>,
    /// How much of that time has made.
    by_time: u64,
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("a literal address")
}

fn listener(name: &str, bound: &str) -> Listener {
    let bound = address(bound);
    let host = match bound {
        SocketAddr::V4(v4) => v4.ip().to_string(),
        SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
    };
    Listener { name: name.into(), address: bound, host, port: bound.port() }
}

fn pool(name: &str, balance: &str, key: KeySource, addresses: &[&str]) -> Pool {
    let uris: Vec<String> = addresses.iter().map(|a| format!("sip:{a}")).collect();
    let members: Vec<Member<'_>> =
        uris.iter().map(|u| Member { identity: u.as_bytes(), weight: 1, rweight: 0 }).collect();
    let spec = Spec::parse(balance).expect("a known balance");
    let balance = Balance::compile(&spec, &members, 1).expect("members");
    let named = uris.iter().zip(addresses);
    let backends = named.map(|(uri, a)| Backend::new(uri.clone(), address(a))).collect();
    Pool::new(name.into(), key, balance, backends)
}

fn rule(action: Action) -> Rule {
    Rule {
        needs_token: false,
        methods: vec![],
        other_methods: vec![],
        listeners: vec![],
        domains: vec![],
        action,
        record_route: true,
        path: PathPolicy::Always,
    }
}

/// One listener, one hashed pool, every request matches.
pub(crate) fn plain() -> Parts {
    Parts {
        shards: 1,
        listeners: vec![listener("public", "192.0.2.1:5060")],
        pools: vec![pool("all", "rendezvous", KeySource::CallId, &BACKENDS)],
        rules: vec![rule(Action::Pool(0))],
        keys: vec![Key { id: 1, secret: [7; 32] }],
        limits: Limits { transactions_max: 64, ..Limits::default() },
        aliases: vec!["edge.example.com".into()],
        is_draining: false,
        sides: Default::default(),
    }
}

/// Both families, a listener of its own towards the pool, several rules and keys.
pub(crate) fn rich(balance: &str) -> Parts {
    let mut calls = pool("calls", balance, KeySource::Aor, &BACKENDS);
    calls.send_from = Some(ListenerId(2));
    calls.match_source_ip = true;
    let room = pool("room", "rendezvous", KeySource::Header("X-Room".into()), &BACKENDS[..2]);
    Parts {
        shards: 8,
        listeners: vec![
            listener("public", "192.0.2.1:5060"),
            listener("six", "[2001:db8::1]:5060"),
            listener("private", "10.0.0.100:5070"),
        ],
        pools: vec![calls, room],
        rules: vec![
            Rule { domains: vec!["blocked.example".into()], ..rule(Action::Reply(403)) },
            Rule { methods: vec![Method::Message], ..rule(Action::Pool(1)) },
            Rule { methods: vec![Method::Subscribe], ..rule(Action::Drop) },
            rule(Action::Pool(0)),
        ],
        ..plain()
    }
}

/// As [`rich`], with a pool that fails over, and room for few requests that are held.
pub(crate) fn failing_over(balance: &str) -> Parts {
    let mut parts = rich(balance);
    parts.pools[0].failover =
        Some(Failover { statuses: StatusSet::of(&[500, 503]), timeout_us: 8_000_000, tries: 3 });
    // Evicted memory is another matter.
    let limits = Limits { transactions_max: 4_096, ..parts.limits };
    Parts { limits: Limits { held_max: 6, held_bytes_max: 3_000, ..limits }, ..parts }
}

impl World {
    pub(crate) fn new(parts: Parts) -> Self {
        let phones =
            PHONES.into_iter().chain(PHONES_V6.into_iter().filter(|_| parts.listeners.len() > 1));
        let private = u8::from(parts.listeners.len() > 1) * 2;
        let backends = BACKENDS.map(|backend| (backend, private));
        let peers: Vec<_> = phones.chain(backends).map(|(peer, id)| (address(peer), id)).collect();
        let mut world = Self {
            core: Core::new(Arc::new(Table::new(parts.clone())), 1, 0),
            parts,
            outbox: Outbox::new(),
            buffer: vec![0; MESSAGE_BYTES_MAX],
            now: Now(1),
            flows: peers.iter().map(|&(peer, _)| peer).collect(),
            peers,
            backends: BACKENDS.iter().map(|backend| address(backend)).collect(),
            targets: HashSet::new(),
            stock: Vec::new(),
            pieces: Vec::new(),
            verdicts: [0; 4],
            by_token: 0,
            by_via: 0,
            extras: Vec::new(),
            sent_lately: VecDeque::new(),
            by_time: 0,
        };
        let first = world.peers[0];
        for bytes in seeds::requests() {
            world.stock.push(Input { bytes, source: first.0, listener: first.1 });
        }
        world
    }

    /// A new key seals; the two before it still open, those before them do not.
    pub(crate) fn turn_keys(&mut self) {
        let id = self.parts.keys[0].id % 63 + 1;
        self.parts.keys.insert(0, Key { id, secret: [id; 32] });
        self.parts.keys.truncate(3);
        self.core.install(Arc::new(Table::new(self.parts.clone())));
    }

    /// A backend of the first pool dies, or comes back.
    pub(crate) fn turn_health(&mut self, random: &mut Random) {
        let backend = u16::try_from(random.below(BACKENDS.len())).expect("three");
        let pool = &mut self.parts.pools[0];
        if pool.down.contains(backend) {
            pool.down.remove(backend);
            pool.usable.insert(backend);
        } else {
            pool.down.insert(backend);
            pool.usable.remove(backend);
        }
        self.core.install(Arc::new(Table::new(self.parts.clone())));
    }

    pub(crate) fn table(&self) -> &Table {
        self.core.table()
    }

    /// A message from the stock, mostly from whom it would come, now and then from somebody else.
    pub(crate) fn choose(&self, random: &mut Random) -> Input {
        let mut input = random.pick(&self.stock).clone();
        if random.below(3) == 0 {
            (input.source, input.listener) = self.peer(random.below(self.peers.len()));
        }
        input
    }

    /// As [`World::choose`], where what is held matters: half are answers to what was sent last, many are new transactions.
    pub(crate) fn choose_held(&self, random: &mut Random, round: u64) -> Input {
        let place = random.below(SENT_LATELY_MAX);
        // A backend says something, fails then, and the next one says nothing: the caller waits for an answer of ours.
        let status = match random.below(8) {
            0..4 => STATUSES[random.below(STATUSES.len())],
            _ if place < SENT_LATELY_MAX / 2 => "503 Busy",
            _ => "100 Trying",
        };
        let sent = self.sent_lately.get(place).filter(|_| random.below(2) == 0);
        if let Some(sent) = sent
            && let Some(bytes) = promises::response(&sent.bytes, status)
        {
            return Input { bytes, source: sent.to, listener: sent.listener };
        }
        if random.below(3) == 0 {
            return self.choose(random);
        }
        let mut input = random.pick(&self.stock[..HELD_SEEDS]).clone();
        let text = String::from_utf8_lossy(&input.bytes);
        input.bytes = text.replace("z9hG4bKp", &format!("z9hG4bKn{round}p")).into_bytes();
        input
    }

    /// Who speaks, by number, and the listener that hears it.
    pub(crate) fn peer(&self, number: usize) -> (SocketAddr, u8) {
        self.peers[number % self.peers.len()]
    }

    /// Handles it twice, checks the promises, and keeps what comes out for later rounds.
    pub(crate) fn step(&mut self, random: &mut Random, input: &Input) {
        self.now = Now(self.now.0 + 1 + random.next() % 3_000_000);
        self.run_timeouts();
        let (verdict, sent) = self.handle(input);
        let has_moved = !self.extras.is_empty() && !input.bytes.starts_with(b"SIP/");
        let place = match verdict {
            Verdict::Absorb => 0,
            Verdict::Drop(_) => 1,
            Verdict::Forward => 2,
            Verdict::Respond => 3,
        };
        self.verdicts[place] += 1;
        let cause = self.outbox.decision().cause;
        self.by_token += u64::from(cause == Cause::Token);
        self.by_via += u64::from(cause == Cause::Via);
        promises::check(self, input, verdict, sent.as_ref());
        // A second time right away: the same, whatever balance; the transaction is remembered or hashed again.
        let again = self.handle(input);
        let is_counting = cause == Cause::Balanced && self.outbox.decision().key.is_none();
        // A copy that leaves a dead backend does so once.
        if !is_counting && !has_moved {
            assert_eq!(
                (verdict, sent.clone()),
                again,
                "twice, not the same\n{}",
                promises::show(input)
            );
        }
        if let Some(sent) = sent {
            self.keep(random, sent);
        }
        // The further attempt comes in front of its ACK, and is more worth an answer.
        for extra in std::mem::take(&mut self.extras).into_iter().rev() {
            self.keep(random, extra);
        }
    }

    /// What was done about held requests.
    pub(crate) fn hold_counts(&self) -> HoldCounts {
        self.core.held().map(|hold| hold.counts).unwrap_or_default()
    }

    /// Does what is due.
    pub(crate) fn run_timeouts(&mut self) {
        let mut calls = 0;
        while self.core.poll_timeout().is_some_and(|(due, _)| due <= self.now) {
            self.core.handle_timeout(self.now, &mut self.outbox);
            let made = self.take_extras();
            assert!(made <= 1, "{made} messages of one timeout");
            self.by_time += made as u64;
            calls += 1;
            assert!(calls < 10_000, "time stands still");
        }
        let Some(hold) = self.core.held() else { return };
        assert!(hold.len() <= hold.capacity() && hold.len() as u64 <= hold.counts.held);
        let most = hold.counts.held * BY_TIME_MAX;
        assert!(self.by_time <= most, "{} messages by time, for {:?}", self.by_time, hold.counts);
    }

    /// Nobody says anything any more: all that is held ends.
    pub(crate) fn rest(&mut self) {
        let end = Now(self.now.0 + REST_US);
        while let Some((due, _)) = self.core.poll_timeout() {
            assert!(due <= end, "{} are held for ever", self.core.held().map_or(0, |h| h.len()));
            self.now = self.now.max(due);
            self.run_timeouts();
        }
        assert!(self.core.held().is_none_or(|hold| hold.is_empty()));
        self.extras.clear();
    }

    /// Checks what went out besides, and keeps it for later. Says how much it was.
    fn take_extras(&mut self) -> usize {
        let sent = self.outbox.extras().map(|extra| Sent {
            bytes: extra.bytes.to_vec(),
            to: extra.transmit.address(),
            listener: extra.transmit.listener().0,
        });
        let sent: Vec<Sent> = sent.collect();
        sent.iter().for_each(|sent| promises::check_extra(self, sent));
        let count = sent.len();
        self.extras.extend(sent);
        count
    }

    fn handle(&mut self, input: &Input) -> (Verdict, Option<Sent>) {
        let received = Received::datagram(&input.bytes, input.source, ListenerId(input.listener));
        let before = self.hold_counts();
        let verdict = self.core.handle(self.now, &received, &mut self.outbox);
        let extras = self.take_extras();
        if !input.bytes.starts_with(b"SIP/") {
            let moved = self.hold_counts().failed_over - before.failed_over;
            assert_eq!(extras as u64, moved, "besides a request\n{}", promises::show(input));
        }
        assert!(extras <= EXTRAS_MAX);
        if !matches!(verdict, Verdict::Forward | Verdict::Respond) {
            return (verdict, None);
        }
        let size = self.outbox.write_to(&input.bytes, &mut self.buffer);
        let size =
            size.unwrap_or_else(|| panic!("{verdict:?} does not fit\n{}", promises::show(input)));
        let transmit = self.outbox.transmit().expect("it goes somewhere");
        let bytes = self.buffer[..size].to_vec();
        (verdict, Some(Sent { bytes, to: transmit.address(), listener: transmit.listener().0 }))
    }

    /// As it reaches the next hop, as a response from there, and as a later request along its Route set.
    fn keep(&mut self, random: &mut Random, sent: Sent) {
        self.pieces.extend(promises::own_pieces(&sent.bytes));
        if self.pieces.len() > STOCK_MAX {
            let surplus = self.pieces.len() - STOCK_MAX;
            self.pieces.drain(..surplus);
        }
        if sent.bytes.len() > 8_000 {
            return;
        }
        if !sent.bytes.starts_with(b"SIP/") {
            if self.sent_lately.len() == SENT_LATELY_MAX {
                self.sent_lately.pop_front();
            }
            self.sent_lately.push_back(sent.clone());
        }
        let new = match random.below(3) {
            0 => promises::response(&sent.bytes, STATUSES[random.below(STATUSES.len())]),
            1 => promises::in_dialog(&sent.bytes),
            _ => Some(sent.bytes),
        };
        let Some(bytes) = new else { return };
        let input = Input { bytes, source: sent.to, listener: sent.listener };
        if self.stock.len() < STOCK_MAX {
            self.stock.push(input);
        } else {
            // The first ones stay: they are valid.
            let place = 32 + random.below(STOCK_MAX - 32);
            self.stock[place] = input;
        }
    }

    /// A test that only sees drops proves nothing.
    pub(crate) fn must_have_seen_everything(&self) {
        let [absorbed, dropped, forwarded, responded] = self.verdicts;
        assert!(dropped > 50 && forwarded > 200 && responded > 100, "{:?}", self.verdicts);
        assert!(self.by_token > 50 && self.by_via > 50, "{} {}", self.by_token, self.by_via);
        assert!(absorbed < dropped && self.pieces.len() > 20);
    }
}

impl World {
    /// So for what is held.
    pub(crate) fn must_have_held(&self) {
        let HoldCounts { held, refused, failed_over, given_up, cancelled, .. } = self.hold_counts();
        let all = (self.hold_counts(), self.by_time);
        assert!(held > 100 && refused > 100 && failed_over > 50 && given_up > 20, "{all:?}");
        assert!(cancelled > 0 && self.by_time > 50, "{all:?}");
    }
}

/// What was sent.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sent {
    pub(crate) bytes: Vec<u8>,
    pub(crate) to: SocketAddr,
    pub(crate) listener: u8,
}
