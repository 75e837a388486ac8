//! Who has a place at the admin listener: plain connections and event streams, counted apart.
//!
//! Owns: [`PLAIN_PLACES`] and [`STREAM_PLACES`], and whose place a newcomer gets. [`LOCAL_PLACES`] of the plain ones are kept
//! for the unix socket: whoever holds all others over TCP keeps no operator waiting. When all plain ones are taken, the one
//! that was quiet for longest gives way, unless it has a request under way, was quiet for less than [`QUIET_MIN`], or nobody
//! has looked yet what it sent. So a thousand that come at once are served one after the other, and silent ones delay a
//! newcomer by that time for each [`PLAIN_PLACES`] of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};

/// Connections that are served at a time, apart from streams.
pub(super) const PLAIN_PLACES: usize = 32;
/// Plain places that only connections of the unix socket get.
pub(super) const LOCAL_PLACES: usize = 4;
const _: () = assert!(LOCAL_PLACES < PLAIN_PLACES);
/// Event streams at a time.
pub(super) const STREAM_PLACES: usize = 1_100;
/// Who was quiet for less keeps its place.
const QUIET_MIN: Duration = Duration::from_millis(100);

#[expect(clippy::disallowed_types, reason = "held for a few map steps by the admin thread alone")]
type Lock<T> = std::sync::Mutex<T>;

/// All places.
pub(super) struct Places {
    plain_max: usize,
    /// Of the plain ones, for TCP.
    remote_max: usize,
    streams_max: usize,
    started: Instant,
    taken: Lock<HashMap<u64, Taken>>,
    plain: AtomicUsize,
    remote: AtomicUsize,
    streams: AtomicUsize,
    numbers: AtomicU64,
    freed: Notify,
}

struct Taken {
    is_local: bool,
    state: Arc<State>,
    evict: oneshot::Sender<()>,
}

/// The place of one connection; given back when it is dropped.
pub(super) struct Place {
    number: u64,
    places: Arc<Places>,
    is_local: bool,
    state: Arc<State>,
}

/// What is known of a connection.
#[derive(Default)]
struct State {
    is_stream: AtomicBool,
    is_evicted: AtomicBool,
    /// All that it sent so far was read.
    is_read: AtomicBool,
    /// Requests under way.
    busy: AtomicUsize,
    used_ms: AtomicU64,
}

impl State {
    fn may_go(&self) -> bool {
        !self.is_stream.load(Ordering::Relaxed) && self.busy.load(Ordering::Relaxed) == 0
    }
}

/// Whether a plain connection gave its place.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Evicted {
    One,
    /// All are busy.
    None,
    /// The quietest may go then.
    NoneBefore(Instant),
}

/// A request is under way while this is held.
pub(super) struct Busy(Arc<Place>);

impl Places {
    pub(super) fn new(plain_max: usize, local: usize, streams_max: usize) -> Arc<Self> {
        Arc::new(Self {
            plain_max,
            remote_max: plain_max.saturating_sub(local),
            streams_max,
            started: Instant::now(),
            taken: Lock::default(),
            plain: AtomicUsize::new(0),
            remote: AtomicUsize::new(0),
            streams: AtomicUsize::new(0),
            numbers: AtomicU64::new(0),
            freed: Notify::new(),
        })
    }

    /// A place, and what tells its connection that it has to go.
    pub(super) async fn take(
        self: &Arc<Self>,
        is_local: bool,
    ) -> (Arc<Place>, oneshot::Receiver<()>) {
        loop {
            // Made before the look, so that a place that becomes free in between is not missed.
            let freed = self.freed.notified();
            if self.has_room(is_local) {
                break;
            }
            match self.evict_the_quietest(QUIET_MIN, !is_local) {
                Evicted::One => break,
                Evicted::NoneBefore(at) => tokio::select! {
                    () = freed => {}
                    () = sleep_until(at) => {}
                },
                Evicted::None => freed.await,
            }
        }
        self.plain.fetch_add(1, Ordering::Relaxed);
        self.remote.fetch_add(usize::from(!is_local), Ordering::Relaxed);
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let state = Arc::new(State { used_ms: self.now_ms().into(), ..State::default() });
        let (evict, evicted) = oneshot::channel();
        self.lock().insert(number, Taken { is_local, state: Arc::clone(&state), evict });
        (Arc::new(Place { number, places: Arc::clone(self), is_local, state }), evicted)
    }

    fn has_room(&self, is_local: bool) -> bool {
        let is_kept = !is_local && self.remote.load(Ordering::Relaxed) >= self.remote_max;
        !is_kept && self.plain.load(Ordering::Relaxed) < self.plain_max
    }

    /// A plain connection has left its place.
    fn leave(&self, is_local: bool) {
        self.plain.fetch_sub(1, Ordering::Relaxed);
        self.remote.fetch_sub(usize::from(!is_local), Ordering::Relaxed);
    }

    /// Ends the plain connection without a request that was quiet for longest, if that is at least `quiet_min`; of those over
    /// TCP alone when a local one would make no room.
    pub(super) fn evict_the_quietest(&self, quiet_min: Duration, of_remote: bool) -> Evicted {
        let mut taken = self.lock();
        let is_meant = |taken: &Taken| !(of_remote && taken.is_local);
        let may_go = taken.iter().filter(|(_, taken)| is_meant(taken) && taken.state.may_go());
        // Who was not read yet comes last: it is looked at again later.
        let order = |(&number, Taken { state, .. }): (&u64, &Taken)| {
            let is_read = state.is_read.load(Ordering::Relaxed);
            (!is_read, state.used_ms.load(Ordering::Relaxed), number)
        };
        let Some((is_unread, since_ms, number)) = may_go.map(order).min() else {
            return Evicted::None;
        };
        let now = Instant::now();
        let since = if is_unread { now } else { self.started + Duration::from_millis(since_ms) };
        if now < since + quiet_min {
            return Evicted::NoneBefore(since + quiet_min);
        }
        let Some(Taken { is_local, state, evict }) = taken.remove(&number) else {
            return Evicted::None;
        };
        state.is_evicted.store(true, Ordering::Relaxed);
        self.leave(is_local);
        // It may have ended by itself in this moment.
        let _ = evict.send(());
        Evicted::One
    }

    /// Streams that are open.
    pub(super) fn streams(&self) -> usize {
        self.streams.load(Ordering::Relaxed)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Taken>> {
        // Whoever panicked within left a whole map: each step of it is one call.
        self.taken.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Place {
    /// Came by the unix socket, which only the allowed can open.
    pub(super) const fn is_local(&self) -> bool {
        self.is_local
    }

    /// Is an event stream.
    pub(super) fn is_stream(&self) -> bool {
        self.state.is_stream.load(Ordering::Relaxed)
    }

    /// Has a request under way.
    pub(super) fn is_busy(&self) -> bool {
        self.state.busy.load(Ordering::Relaxed) > 0
    }

    /// Whether there is nothing more to read from it for now.
    pub(super) fn read(&self, to_the_end: bool) {
        self.state.is_read.store(to_the_end, Ordering::Relaxed);
    }

    /// A byte came or went.
    pub(super) fn touch(&self) {
        self.state.used_ms.store(self.places.now_ms(), Ordering::Relaxed);
    }

    /// When a byte came or went.
    pub(super) fn used_at(&self) -> Instant {
        self.places.started + Duration::from_millis(self.state.used_ms.load(Ordering::Relaxed))
    }

    /// A request begins.
    pub(super) fn busy(self: &Arc<Self>) -> Busy {
        self.state.busy.fetch_add(1, Ordering::Relaxed);
        Busy(Arc::clone(self))
    }

    /// Leaves its plain place for one among the streams; false when those are all taken.
    pub(super) fn become_stream(&self) -> bool {
        if self.is_stream() {
            return true;
        }
        let bound = self.places.streams_max;
        let free = |count: usize| (count < bound).then_some(count + 1);
        if self.places.streams.fetch_update(Ordering::Relaxed, Ordering::Relaxed, free).is_err() {
            return false;
        }
        self.state.is_stream.store(true, Ordering::Relaxed);
        self.places.leave(self.is_local);
        self.places.freed.notify_waiters();
        true
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.state.busy.fetch_sub(1, Ordering::Relaxed);
        // Who waits for a place may have this one now.
        self.0.places.freed.notify_waiters();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().remove(&self.number);
        if self.is_stream() {
            self.places.streams.fetch_sub(1, Ordering::Relaxed);
        } else if !self.state.is_evicted.load(Ordering::Relaxed) {
            self.places.leave(self.is_local);
        }
        self.places.freed.notify_waiters();
    }
}
