//! Copies of messages on their way from a shard to control, for traces.
//!
//! Owns: the ring of each shard and its buffers, which circulate: control brings them when it wants copies, so without
//! traces there are none, and nothing is allocated for a message. A shard never waits: without a free buffer the message is
//! not copied, and counted. Nobody is woken: control looks when it likes. Times are [`Now`] on the clock of all shards.

use std::net::SocketAddr;

use rtrb::{Consumer, Producer, RingBuffer};

use super::clock::Clock;
use super::tap_filter::{FILTERS_MAX, Running, TapFilter};
use crate::sip::{Decision, MESSAGE_BYTES_MAX, Now, Verdict};

/// Copies of one shard that may wait for control.
const SAMPLES_MAX: usize = 512;

/// What is known of a copied message.
#[derive(Debug, Clone, Copy)]
pub struct Taken {
    /// We sent it; else we received it.
    pub is_sent: bool,
    /// Who sent it.
    pub source: SocketAddr,
    /// Where it went.
    pub destination: SocketAddr,
    /// When.
    pub at: Now,
    /// What became of it, or of the message that made us send it.
    pub verdict: Verdict,
    /// Why.
    pub decision: Decision,
    /// The meter of the pool that it is about.
    pub pool: Option<u32>,
    /// The meter of the backend that it is about.
    pub backend: Option<u32>,
    /// The shard that handled it.
    pub shard: u8,
    /// Which filters want it: a bit for each place.
    pub wanted: u8,
}

/// A copied message.
#[derive(Debug)]
pub struct Sample {
    /// All of it.
    pub bytes: Vec<u8>,
    /// What is known of it; nothing in a buffer that was never used.
    pub taken: Option<Taken>,
}

/// A shard's end.
pub(super) struct Tap {
    filters: Vec<Running>,
    out: Producer<Box<Sample>>,
    empty: Consumer<Box<Sample>>,
    lost: u64,
}

impl Tap {
    /// Whether anybody wants copies.
    pub(super) fn is_on(&self) -> bool {
        !self.filters.is_empty()
    }

    /// From now on these want copies.
    pub(super) fn set(&mut self, filters: Vec<TapFilter>) {
        self.filters = filters.into_iter().take(FILTERS_MAX).map(Running::new).collect();
    }

    /// Who wants a copy of a received message.
    pub(super) fn wanted(&mut self, now: Now, call: Option<u64>, pool: u32) -> u8 {
        let wants = self.filters.iter_mut().map(|filter| filter.wants(now, call, pool));
        (0..).zip(wants).fold(0, |bits, (place, wants)| bits | u8::from(wants) << place)
    }

    /// Those of `wanted` who want what is sent, too.
    pub(super) fn wanted_sent(&self, wanted: u8) -> u8 {
        let both = self.filters.iter().map(Running::is_both_ways);
        (0..).zip(both).fold(0, |bits, (place, both)| bits | u8::from(both) << place) & wanted
    }

    /// Copies a message that somebody wants.
    pub(super) fn push(&mut self, taken: Taken, bytes: &[u8]) {
        if taken.wanted == 0 {
            return;
        }
        let Ok(mut sample) = self.empty.pop() else {
            self.lost += 1;
            return;
        };
        sample.bytes.clear();
        sample.bytes.extend_from_slice(bytes);
        sample.taken = Some(taken);
        // There is room: control brings as many buffers as places.
        drop(self.out.push(sample));
    }

    /// How many were not copied for want of a buffer.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }
}

/// Where copies come from, and where their buffers go.
type Lane = (Consumer<Box<Sample>>, Producer<Box<Sample>>);

/// Control's end of all shards. It may be sent to a thread of its own.
pub struct Taps {
    lanes: Vec<Lane>,
    clock: Clock,
}

/// Ends for `shards` shards.
pub(super) fn lanes(shards: usize, clock: Clock) -> (Vec<Tap>, Taps) {
    let (mut taps, mut lanes) = (Vec::with_capacity(shards), Vec::with_capacity(shards));
    for _ in 0..shards {
        let (out, samples) = RingBuffer::new(SAMPLES_MAX);
        let (returned, empty) = RingBuffer::new(SAMPLES_MAX);
        taps.push(Tap { filters: Vec::with_capacity(FILTERS_MAX), out, empty, lost: 0 });
        lanes.push((samples, returned));
    }
    (taps, Taps { lanes, clock })
}

impl Taps {
    /// Brings the buffers. Without them nothing is copied.
    pub fn fill(&mut self) {
        for (samples, returned) in &mut self.lanes {
            // As many buffers as places, in both rings together.
            for _ in 0..returned.slots().saturating_sub(samples.slots()) {
                // Pages that no message reached are never touched.
                let bytes = Vec::with_capacity(MESSAGE_BYTES_MAX);
                drop(returned.push(Box::new(Sample { bytes, taken: None })));
            }
        }
    }

    /// Calls `on` for the copies that wait, at most what fits into the rings once, and says how many there were.
    pub fn drain(&mut self, mut on: impl FnMut(&Taken, &[u8])) -> usize {
        let mut count = 0;
        for (samples, returned) in &mut self.lanes {
            for _ in 0..samples.slots() {
                let Ok(sample) = samples.pop() else { break };
                if let Some(taken) = &sample.taken {
                    on(taken, &sample.bytes);
                }
                count += 1;
                drop(returned.push(sample));
            }
        }
        count
    }

    /// This moment on the clock of the shards.
    #[must_use]
    pub fn now(&self) -> Now {
        self.clock.now()
    }

    /// What is left when the real ones were taken has no rings.
    pub(super) fn taken(&mut self) -> Self {
        Self { lanes: std::mem::take(&mut self.lanes), clock: self.clock }
    }
}

impl std::fmt::Debug for Taps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Taps").field("shards", &self.lanes.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(wanted: u8) -> Taken {
        let address = ([192, 0, 2, 1], 5060).into();
        Taken {
            is_sent: false,
            source: address,
            destination: address,
            at: Now(1),
            verdict: Verdict::Forward,
            decision: Decision::default(),
            pool: None,
            backend: None,
            shard: 0,
            wanted,
        }
    }

    #[test]
    fn without_buffers_nothing_is_copied_and_with_them_a_bounded_number() {
        let (mut shards, mut taps) = lanes(1, Clock::start());
        shards[0].push(taken(1), b"one");
        assert_eq!((shards[0].lost(), taps.drain(|_, _| ())), (1, 0));
        taps.fill();
        taps.fill();
        for round in 0..3_u64 {
            for _ in 0..SAMPLES_MAX + 5 {
                shards[0].push(taken(1), b"two");
            }
            assert_eq!(shards[0].lost(), 1 + 5 * (round + 1));
            let count =
                taps.drain(|taken, bytes| assert_eq!((taken.wanted, bytes), (1, &b"two"[..])));
            assert_eq!(count, SAMPLES_MAX);
        }
    }

    #[test]
    fn each_filter_has_its_bit() {
        let (mut shards, mut taps) = lanes(1, Clock::start());
        taps.fill();
        let tap = &mut shards[0];
        assert!(!tap.is_on());
        let pools = |pools: &[u32], is_both_ways| TapFilter {
            pools: pools.into(),
            is_both_ways,
            ..TapFilter::default()
        };
        tap.set(vec![pools(&[1], true), pools(&[2], true), pools(&[], false)]);
        assert!(tap.is_on());
        assert_eq!(tap.wanted(Now(0), None, 2), 0b110);
        assert_eq!(tap.wanted_sent(0b110), 0b010);
        tap.push(taken(0), b"nobody wants it");
        assert_eq!(taps.drain(|_, _| ()), 0);
        tap.set(vec![]);
        assert!(!tap.is_on());
    }
}
