//! The loop: send what is due, take what arrived, hang up, flush; again.
//!
//! Owns: the sockets, the pace and the loop's own account of its time. It never sleeps, unless it is to measure residence;
//! nothing is allocated per message except the route set of a call. Times are nanoseconds since the clock started.

mod parties;
mod port;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

pub use parties::Target;

use parties::Parties;
use port::Port;

use crate::clock::Clock;
use crate::others::{self, Others};
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

/// A generator that measures residence sleeps until the next send when that is at least so far away. It need not be awake
/// when something arrives: the kernel says when that was.
const SLEEP_NS_MIN: u64 = 20_000;
/// It sleeps no longer than this, so that backends answer.
const SLEEP_NS_MAX: u64 = 1_000_000;
/// It leaves out what it should have sent so long ago: to catch up it would send a burst that nobody meant, and the target
/// would be measured with it. What it leaves out counts as not sent.
const LATE_NS_MAX: u64 = 1_000_000;

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
    /// Measure from the send call to the kernel's stamp of arrival, and sleep in between.
    pub(crate) residence: bool,
    /// Processes that belong to what is measured, beside those of the session.
    pub(crate) pids: &'a [u32],
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
    /// What backends and callers receive into. Two, as the space for a stamp is lost in each that a datagram without one was
    /// read into.
    to_backends: Batch,
    to_callers: Batch,
    rate: Rate,
    schedule: Schedule,
    /// After this, a flow has lost a message.
    patience_ns: u64,
    /// It measures residence: it sleeps when nothing is due.
    sleeps: bool,
    /// Who else uses the machine while it measures residence, and when that is asked the next time.
    others: Option<Others>,
    slice_end_ns: u64,
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
            if options.residence {
                sockets::stamp(&socket)?;
            }
            backends.push(Port::new(socket, options.burst_max)?);
        }
        let per_second = match options.rate {
            Rate::PerSecond(rate) => rate,
            Rate::Saturate { .. } | Rate::Unbounded => 1.0,
        };
        let Options { scenario, seed, target, .. } = *options;
        Ok(Self {
            parties: Parties::new(scenario, seed, target, callers, backends),
            to_backends: Batch::new(),
            to_callers: Batch::new(),
            rate: options.rate,
            schedule: Schedule::new(scenario.arrivals, per_second, seed),
            patience_ns: PATIENCE_NS + u64::from(scenario.hold_ms) * 1_000_000,
            sleeps: options.residence,
            others: options.residence.then(|| Others::find(options.pids)).transpose()?,
            slice_end_ns: 0,
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
        self.slice_end_ns = 0;
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
        if self.sleeps {
            self.sleep();
        }
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
        self.end_slice(end_ns);
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

    /// Asks what others had of the last slice, when that is over.
    fn end_slice(&mut self, now_ns: u64) {
        if let Some(others) = self.others.as_mut().filter(|_| now_ns >= self.slice_end_ns) {
            self.parties.tally.undisturbed.close(others.spent_ns());
            self.slice_end_ns = now_ns + others::SLICE_NS;
        }
    }

    /// Until the next send, or not at all when that is near.
    #[expect(clippy::disallowed_methods, reason = "a schedule is kept by the clock")]
    fn sleep(&self) {
        let left_ns = self.schedule.peek_ns().saturating_sub(self.clock.now_ns());
        if left_ns >= SLEEP_NS_MIN {
            std::thread::sleep(Duration::from_nanos(left_ns.min(SLEEP_NS_MAX)));
        }
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
            if self.sleeps && now_ns - intended_ns > LATE_NS_MAX {
                continue;
            }
            let measured = (self.window_ns.0..self.window_ns.1).contains(&intended_ns);
            let sent_ns = if self.sleeps { self.clock.now_ns() } else { now_ns };
            self.parties.begin(intended_ns, sent_ns, measured);
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
            let (port, batch) = match side {
                Side::Backend(at) => (&self.parties.backends[at], &mut self.to_backends),
                Side::Caller(at) => (&self.parties.callers[at], &mut self.to_callers),
            };
            let count = batch.receive(&port.socket);
            if count > 0 {
                let now_ns = self.clock.now_ns();
                for at in 0..count {
                    let datagram = batch.datagram(at);
                    match side {
                        Side::Backend(to) => {
                            let stamp_ns = batch.stamp(at).map(|stamp| self.clock.of_stamp(stamp));
                            self.parties.at_backend(to, datagram, now_ns, stamp_ns);
                        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_disturbs_is_kept_whoever_else_is_here() {
        let scenario = include_str!("../../scenarios/requests.toml");
        let scenario = Scenario::parse(scenario).expect("a scenario");
        let process = u8::try_from(std::process::id() % 200 + 20).expect("below 220");
        let mut engine = Engine::new(&Options {
            scenario: &scenario,
            seed: 7,
            target: Target::Direct,
            backends: &[SocketAddr::from(([127, process, 250, 1], 7001))],
            callers: IpAddr::from([127, process, 250, 2]),
            rate: Rate::PerSecond(2_000.0),
            burst_max: 64,
            residence: true,
            pids: &[],
        })
        .expect("sockets");
        engine.others = Some(Others::default());
        engine.measure(0, u64::MAX);
        while engine.turn(true) < 20 * others::SLICE_NS {}
        let (undisturbed, all) = (&engine.tally().undisturbed, engine.tally().residence.len());
        let share = undisturbed.kept().len() as f64 / all as f64;
        assert!((undisturbed.share() - share).abs() < 1e-9, "{} {share}", undisturbed.share());
        // All but two slices at each end, and a slice may be long on a machine that stands still for a while.
        assert!(share > 0.2 && share < 1.0, "{share} of {all}");
    }
}
