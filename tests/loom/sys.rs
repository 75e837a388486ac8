//! A model of the kernel's eventfd and of the two ways to wait for it: poll with read, and a read in an io_uring.
//!
//! Owns: the count, who waits. The kernel guards its count with a lock; so does the model. A wait here ends only by a signal.

use std::io;

use loom::sync::{Condvar, Mutex, MutexGuard};

#[derive(Default)]
struct State {
    count: u64,
    /// A read is in the ring and the count was zero so far.
    is_read_armed: bool,
    /// The read's completion is in the ring.
    is_read_done: bool,
}

impl State {
    fn complete_read(&mut self) {
        if self.is_read_armed && self.count > 0 {
            *self = Self { count: 0, is_read_armed: false, is_read_done: true };
        }
    }
}

/// The same calls as the real one.
pub(crate) struct EventFd {
    state: Mutex<State>,
    changed: Condvar,
}

impl EventFd {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { state: Mutex::new(State::default()), changed: Condvar::new() })
    }

    pub(crate) fn signal(&self) {
        let mut state = self.lock();
        state.count += 1;
        state.complete_read();
        self.changed.notify_all();
    }

    pub(crate) fn clear(&self) {
        self.wait_until(|state| state.count > 0).count = 0;
    }

    /// As poll without a limit.
    pub(crate) fn wait(&self) {
        drop(self.wait_until(|state| state.count > 0));
    }

    /// As a read entry given to a ring.
    pub(crate) fn arm_read(&self) {
        let mut state = self.lock();
        assert!(!state.is_read_armed && !state.is_read_done, "one read at a time");
        state.is_read_armed = true;
        state.complete_read();
    }

    /// As waiting for the completion of that read, and taking it.
    pub(crate) fn take_read(&self) {
        self.wait_until(|state| state.is_read_done).is_read_done = false;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with it")
    }

    fn wait_until(&self, is_met: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        while !is_met(&state) {
            state = self.changed.wait(state).expect("nobody panics with it");
        }
        state
    }
}
