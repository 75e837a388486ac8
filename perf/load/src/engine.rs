//! The loop: send what is due, take what arrived, hang up, flush; again.
//!
//! Owns: the sockets, the pace and the loop's own account of its time. It never sleeps and never waits; nothing is
//! allocated per message except the route set of a call. Times are nanoseconds since the clock started.

mod parties;
mod port;

use std::net::{IpAddr, SocketAddr};

pub use parties::Target;

use parties::Parties;
use port::Port;

use crate::clock::Clock;
use crate::scenario::{Flow, Scenario};
use crate::schedule::Schedule;
use crate::sockets::{self, Batch, Burst};
use crate::tally::Tally;

/// First requests of one turn.
const STARTS_PER_TURN_MAX: usize = 256;
/// Receive calls for one socket in one turn.
const RECEIVES_PER_TURN_MAX: usize = 8;
/// A flow that is older, not counting the time that a call is held, counts no longer as open.
const PATIENCE_NS: u64 = 200_000_000;

/// Turns of a saturating run begin at least this far apart, so that sends and receives come in long batches and the
/// target's sockets are left alone in between. At 500,000 messages in a second 150 gather; the window is larger.
const SATURATING_TURN_NS: u64 = 300_000;

/// How fast flows start.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rate {
    /// So many in a second, whatever happens (open loop).
    PerSecond(f64),
    /// As fast as the target takes them: so many are kept open.
    Saturate {
        /// Flows under way at once.
        window: u64,
    },
    /// As fast as they can be sent.
    Unbounded,
}

/// What the loop needs to begin.
pub(crate) struct Options<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) seed: u64,
    pub(crate) target: Target,
    pub(crate) backends: &'a [SocketAddr],
    pub(crate) callers: IpAddr,
    pub(crate) rate: Rate,
    /// Longest burst of equal datagrams.
    pub(crate) burst_max: usize,
}

/// What the loop says about itself.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Effort {
    /// Time in turns that had something to do.
    pub(crate) busy_ns: u64,
    /// Turns, and those in which sending was held back by the window after all sockets were emptied.
    pub(crate) turns: u64,
    pub(crate) held_back: u64,
    /// Flows that were open then, in sum over the turns.
    pub(crate) open_sum: u64,
}

/// The generator.
pub(crate) struct Engine {
    pub(crate) clock: Clock,
    parties: Parties,
    batch: Batch,
    rate: Rate,
    schedule: Schedule,
    /// After this, a flow has lost a message.
    patience_ns: u64,
    /// Callers are asked for responses, all of them in each turn.
    hears_all: bool,
    next_caller: usize,
    /// When the next turn may begin.
    next_turn_ns: u64,
    pub(crate) effort: Effort,
    /// Intended moments of what was written in this turn.
    written: Vec<u64>,
    /// Flows that are meant to start in here are measured.
    window_ns: (u64, u64),
}

impl Engine {
    /// Opens the sockets and makes the messages.
    pub(crate) fn new(options: &Options<'_>) -> std::io::Result<Self> {
        let bind = |error: std::io::Error, what: String| {
            std::io::Error::new(error.kind(), format!("{what}: {error}"))
        };
        let mut callers = Vec::new();
        for _ in 0..options.scenario.sources {
            let socket = sockets::open_caller(options.callers)
                .map_err(|error| bind(error, format!("caller at {}", options.callers)))?;
            callers.push(Port::new(socket, options.burst_max)?);
        }
        let mut backends = Vec::new();
        for address in options.backends {
            let socket = sockets::open(*address)
                .map_err(|error| bind(error, format!("backend at {address}")))?;
            backends.push(Port::new(socket, options.burst_max)?);
        }
        let per_second = match options.rate {
            Rate::PerSecond(rate) => rate,
            Rate::Saturate { .. } | Rate::Unbounded => 1.0,
        };
        let Options { scenario, seed, target, .. } = *options;
        Ok(Self {
            parties: Parties::new(scenario, seed, target, callers, backends),
            batch: Batch::new(),
            rate: options.rate,
            schedule: Schedule::new(scenario.arrivals, per_second, seed),
            patience_ns: PATIENCE_NS + u64::from(scenario.hold_ms) * 1_000_000,
            hears_all: scenario.flow != Flow::Requests,
            next_caller: 0,
            next_turn_ns: 0,
            effort: Effort::default(),
            written: Vec::with_capacity(STARTS_PER_TURN_MAX),
            window_ns: (u64::MAX, u64::MAX),
            clock: Clock::start(),
        })
    }

    /// Measures flows that are meant to start in this window. Starts the clock.
    pub(crate) fn measure(&mut self, from_ns: u64, to_ns: u64) {
        self.window_ns = (from_ns, to_ns);
        self.next_turn_ns = 0;
        self.clock = Clock::start();
    }

    pub(crate) fn tally(&self) -> &Tally {
        &self.parties.tally
    }

    /// Requests and responses that are lost as things stand.
    pub(crate) fn lost(&self) -> (u64, u64) {
        self.parties.flows.lost()
    }

    /// Flows begun so far, also those that are not measured.
    pub(crate) fn begun(&self) -> u64 {
        self.parties.flows.next()
    }

    /// Flows that wait for a message.
    pub(crate) fn open(&self) -> u64 {
        self.parties.flows.open()
    }

    /// Calls between ACK and BYE.
    pub(crate) fn held(&self) -> usize {
        self.parties.held()
    }

    /// Datagrams that the kernel refused to send.
    pub(crate) fn refused(&self) -> u64 {
        self.bursts().map(|burst| burst.refused).sum()
    }

    /// Datagrams of one send call, on average.
    pub(crate) fn burst_mean(&self) -> f64 {
        let sum = |sum: (u64, u64), burst: &Burst| (sum.0 + burst.sent, sum.1 + burst.bursts);
        let (sent, bursts) = self.bursts().fold((0, 0), sum);
        sent as f64 / bursts.max(1) as f64
    }

    fn bursts(&self) -> impl Iterator<Item = &Burst> {
        let ports = self.parties.callers.iter().chain(&self.parties.backends);
        ports.flat_map(|port| [&port.early, &port.burst])
    }

    /// One turn; says what time it is. `starts` allows new flows.
    pub(crate) fn turn(&mut self, starts: bool) -> u64 {
        let mut now_ns = self.clock.now_ns();
        while now_ns < self.next_turn_ns {
            std::hint::spin_loop();
            now_ns = self.clock.now_ns();
        }
        let mut worked = false;
        if starts {
            self.start_due(now_ns);
            worked |= !self.written.is_empty();
        }
        self.parties.hang_up(now_ns);
        self.parties.callers.iter_mut().for_each(Port::flush);
        if !self.written.is_empty() {
            self.note_lag();
        }
        let (received, drained) = self.receive();
        worked |= received > 0;
        self.parties.callers.iter_mut().chain(&mut self.parties.backends).for_each(Port::flush);
        self.parties.flows.give_up(now_ns.saturating_sub(self.patience_ns));
        let end_ns = self.clock.now_ns();
        self.effort.turns += 1;
        self.effort.busy_ns += if worked { end_ns - now_ns } else { 0 };
        if let Rate::Saturate { window } = self.rate {
            self.next_turn_ns = now_ns + SATURATING_TURN_NS;
            let open = self.parties.flows.open();
            self.effort.open_sum += open;
            self.effort.held_back += u64::from(drained && open * 2 >= window);
        }
        end_ns
    }

    fn start_due(&mut self, now_ns: u64) {
        self.written.clear();
        let room = match self.rate {
            Rate::Saturate { window } => window.saturating_sub(self.parties.flows.open()),
            Rate::PerSecond(_) | Rate::Unbounded => u64::MAX,
        };
        let room = usize::try_from(room).unwrap_or(usize::MAX).min(STARTS_PER_TURN_MAX);
        while self.written.len() < room {
            let intended_ns = match self.rate {
                Rate::PerSecond(_) => self.schedule.peek_ns(),
                Rate::Saturate { .. } | Rate::Unbounded => now_ns,
            };
            if intended_ns > now_ns {
                return;
            }
            self.schedule.advance();
            let measured = (self.window_ns.0..self.window_ns.1).contains(&intended_ns);
            self.parties.begin(intended_ns, measured);
            self.written.push(if measured { intended_ns } else { u64::MAX });
        }
    }

    fn note_lag(&mut self) {
        let now_ns = self.clock.now_ns();
        for intended_ns in self.written.drain(..).filter(|moment| *moment != u64::MAX) {
            self.parties.tally.lag.record(now_ns.saturating_sub(intended_ns));
        }
    }

    /// Empties the sockets; says how many datagrams came, and whether nothing is left.
    fn receive(&mut self) -> (usize, bool) {
        let (mut received, mut drained) = (0, true);
        for backend in 0..self.parties.backends.len() {
            let (count, empty) = self.receive_from(Side::Backend(backend));
            received += count;
            drained &= empty;
        }
        let callers = self.parties.callers.len();
        // Without responses in the flow, only errors can come: one socket in each turn will do.
        let asked = if self.hears_all { callers } else { 1 };
        for _ in 0..asked {
            self.next_caller = (self.next_caller + 1) % callers;
            let (count, empty) = self.receive_from(Side::Caller(self.next_caller));
            received += count;
            drained &= empty;
        }
        (received, drained)
    }

    fn receive_from(&mut self, side: Side) -> (usize, bool) {
        let mut received = 0;
        for _ in 0..RECEIVES_PER_TURN_MAX {
            let port = match side {
                Side::Backend(at) => &self.parties.backends[at],
                Side::Caller(at) => &self.parties.callers[at],
            };
            let count = self.batch.receive(&port.socket);
            if count > 0 {
                let now_ns = self.clock.now_ns();
                for at in 0..count {
                    let datagram = self.batch.datagram(at);
                    match side {
                        Side::Backend(to) => self.parties.at_backend(to, datagram, now_ns),
                        Side::Caller(to) => self.parties.at_caller(to, datagram, now_ns),
                    }
                }
                received += count;
            }
            if Batch::is_drained_by(count) {
                return (received, true);
            }
        }
        (received, false)
    }
}

/// Whose socket.
#[derive(Debug, Clone, Copy)]
enum Side {
    Backend(usize),
    Caller(usize),
}
