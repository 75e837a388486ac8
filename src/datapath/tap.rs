//! Copies of messages on their way from a shard to control, for traces.
//!
//! Owns: the rings of each shard, one for what is known of a message and one for its bytes, which lie one after the other.
//! Both have their room from the start, in pages that nothing touches without traces. A shard never waits: without room the
//! message is not copied, and counted. Nobody is woken: control looks when it likes. Times are [`Now`], on one clock.

use std::net::SocketAddr;

use rtrb::{Consumer, Producer, RingBuffer};

use super::clock::Clock;
use super::tap_filter::{FILTERS_MAX, Running, TapFilter};
use crate::sip::{Decision, MESSAGE_BYTES_MAX, Now, Verdict, steer};

/// Copies of one shard that may wait for control.
const COPIES_MAX: usize = 2048;
/// Bytes of one shard's copies that may wait for control.
const COPIED_BYTES_MAX: usize = 1 << 20;

const _: () = assert!(MESSAGE_BYTES_MAX <= COPIED_BYTES_MAX);

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

/// A message whose so many bytes are next in the other ring.
type Copied = (Taken, usize);

/// A shard's end.
pub(super) struct Tap {
    filters: Vec<Running>,
    copies: Producer<Copied>,
    bytes: Producer<u8>,
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

    /// Which filters want a copy of a message with these bytes.
    pub(super) fn wanted(&mut self, now: Now, bytes: &[u8], pool: u32) -> u8 {
        self.ask((now, bytes, pool), |_| true)
    }

    /// Which filters want a copy of a request of our own, which no message has led to.
    pub(super) fn wanted_made(&mut self, now: Now, bytes: &[u8], pool: u32) -> u8 {
        self.ask((now, bytes, pool), Running::is_both_ways)
    }

    fn ask(
        &mut self,
        (now, bytes, pool): (Now, &[u8], u32),
        is_asked: impl Fn(&Running) -> bool,
    ) -> u8 {
        let needs_call = self.filters.iter().any(Running::asks_for_the_call);
        let call = if needs_call { steer::call(bytes) } else { None };
        let wants = |filter: &mut Running| is_asked(filter) && filter.wants(now, call, pool);
        let wants = self.filters.iter_mut().map(wants);
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
        // The bytes are there before anybody can know of them.
        if self.copies.is_full() || self.bytes.push_entire_slice(bytes).is_err() {
            self.lost += 1;
            return;
        }
        // There is room.
        let _ = self.copies.push((taken, bytes.len()));
    }

    /// How many were not copied for want of room.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }
}

/// Where a shard's copies come from.
type Lane = (Consumer<Copied>, Consumer<u8>);

/// Control's end of all shards. It may be sent to a thread of its own.
pub struct Taps {
    lanes: Vec<Lane>,
    message: Vec<u8>,
    clock: Clock,
}

/// Ends for `shards` shards.
pub(super) fn lanes(shards: usize, clock: Clock) -> (Vec<Tap>, Taps) {
    let (mut taps, mut lanes) = (Vec::with_capacity(shards), Vec::with_capacity(shards));
    for _ in 0..shards {
        let (copies, taken) = RingBuffer::new(COPIES_MAX);
        let (bytes, copied) = RingBuffer::new(COPIED_BYTES_MAX);
        taps.push(Tap { filters: Vec::with_capacity(FILTERS_MAX), copies, bytes, lost: 0 });
        lanes.push((taken, copied));
    }
    (taps, Taps { lanes, message: Vec::new(), clock })
}

impl Taps {
    /// Calls `on` for the copies that wait, at most what fits into the rings once, and says how many there were.
    pub fn drain(&mut self, mut on: impl FnMut(&Taken, &[u8])) -> usize {
        let Self { lanes, message, .. } = self;
        let mut count = 0;
        for (copies, bytes) in lanes {
            for _ in 0..copies.slots() {
                let Ok((taken, size)) = copies.pop() else { break };
                message.resize(size, 0);
                bytes.pop_entire_slice(message).expect("the bytes came first");
                on(&taken, message);
                count += 1;
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
        Self { lanes: std::mem::take(&mut self.lanes), message: Vec::new(), clock: self.clock }
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
    fn as_many_are_copied_as_there_is_room_for() {
        let (mut shards, mut taps) = lanes(1, Clock::start());
        for round in 0..3_u64 {
            for _ in 0..COPIES_MAX + 5 {
                shards[0].push(taken(1), b"two");
            }
            assert_eq!(shards[0].lost(), 5 * (round + 1));
            let count =
                taps.drain(|taken, bytes| assert_eq!((taken.wanted, bytes), (1, &b"two"[..])));
            assert_eq!(count, COPIES_MAX);
        }
    }

    #[test]
    fn large_ones_fill_the_bytes_and_a_small_one_may_still_have_room() {
        let (mut shards, mut taps) = lanes(1, Clock::start());
        // An odd size: some lie across the end of the ring.
        let large: Vec<u8> = (0..=u8::MAX).cycle().take(MESSAGE_BYTES_MAX - 2).collect();
        let room = COPIED_BYTES_MAX / large.len();
        for round in 0..3_u64 {
            for _ in 0..room + 2 {
                shards[0].push(taken(1), &large);
            }
            shards[0].push(taken(2), b"small");
            assert_eq!(shards[0].lost(), 2 * (round + 1));
            let mut sizes = vec![];
            taps.drain(|taken, bytes| {
                assert_eq!(bytes, if taken.wanted == 1 { &large[..] } else { b"small" });
                sizes.push(bytes.len());
            });
            assert_eq!((sizes.len(), sizes[room]), (room + 1, 5));
        }
    }

    #[test]
    fn a_filter_for_a_call_finds_it_beside_one_for_all() {
        let (mut shards, _taps) = lanes(1, Clock::start());
        let call = Some(steer::call_of_id(b"a@b"));
        shards[0].set(vec![TapFilter::default(), TapFilter { call, ..TapFilter::default() }]);
        let message = |id: &str| format!("OPTIONS sip:x SIP/2.0\r\nCall-ID: {id}\r\n\r\n");
        assert_eq!(shards[0].wanted(Now(0), message("a@b").as_bytes(), 2), 0b11);
        assert_eq!(shards[0].wanted(Now(0), message("other").as_bytes(), 2), 0b01);
    }

    #[test]
    fn each_filter_has_its_bit() {
        let (mut shards, mut taps) = lanes(1, Clock::start());
        let tap = &mut shards[0];
        assert!(!tap.is_on());
        let pools = |pools: &[u32], is_both_ways| TapFilter {
            pools: pools.into(),
            is_both_ways,
            ..TapFilter::default()
        };
        tap.set(vec![pools(&[1], true), pools(&[2], true), pools(&[], false)]);
        assert!(tap.is_on());
        assert_eq!(tap.wanted(Now(0), b"no Call-ID", 2), 0b110);
        assert_eq!(tap.wanted_sent(0b110), 0b010);
        assert_eq!(tap.wanted_made(Now(0), b"no Call-ID", 2), 0b010);
        tap.push(taken(0), b"nobody wants it");
        assert_eq!(taps.drain(|_, _| ()), 0);
        tap.set(vec![]);
        assert!(!tap.is_on());
    }
}
