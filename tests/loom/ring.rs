//! A model of rtrb's ring: bounded, one writer, one reader, no waiting.
//!
//! Owns: the contract and the memory orderings, as in rtrb 0.4: a position is published with Release and read with
//! Acquire, and each side keeps the last position of the other that it saw, asking again only when that is not enough.
//! The slots themselves are behind a lock that no other thread ever waits for: rtrb's own `unsafe` is not what is checked.

use std::sync::Arc;

use loom::sync::atomic::{AtomicUsize, Ordering};

/// The slots and how far both sides are.
struct Shared<T> {
    #[expect(clippy::disallowed_types, reason = "loom switches threads only at its own types")]
    slots: std::sync::Mutex<Vec<Option<T>>>,
    head: AtomicUsize,
    tail: AtomicUsize,
}

impl<T> Shared<T> {
    fn with_slot<R>(&self, position: usize, use_it: impl FnOnce(&mut Option<T>) -> R) -> R {
        let mut slots = self.slots.lock().expect("nobody panics with it");
        let size = slots.len();
        use_it(&mut slots[position % size])
    }
}

/// Makes rings.
pub struct RingBuffer;

impl RingBuffer {
    /// The two ends of a ring.
    #[expect(clippy::new_ret_no_self, clippy::disallowed_types, reason = "as rtrb; see `Shared`")]
    pub fn new<T>(capacity: usize) -> (Producer<T>, Consumer<T>) {
        let shared = Arc::new(Shared {
            slots: std::sync::Mutex::new((0..capacity).map(|_| None).collect()),
            head: AtomicUsize::new(0),
            tail: AtomicUsize::new(0),
        });
        let producer = Producer { shared: Arc::clone(&shared), capacity, tail: 0, head_seen: 0 };
        (producer, Consumer { shared, head: 0, tail_seen: 0 })
    }
}

/// The writer's end.
pub struct Producer<T> {
    shared: Arc<Shared<T>>,
    capacity: usize,
    tail: usize,
    head_seen: usize,
}

/// Why nothing was pushed.
pub enum PushError<T> {
    /// There was no room.
    Full(T),
}

impl<T> Producer<T> {
    /// Appends, or gives the value back.
    pub fn push(&mut self, value: T) -> Result<(), PushError<T>> {
        if self.tail - self.head_seen == self.capacity {
            self.head_seen = self.shared.head.load(Ordering::Acquire);
            if self.tail - self.head_seen == self.capacity {
                return Err(PushError::Full(value));
            }
        }
        let before = self.shared.with_slot(self.tail, |slot| slot.replace(value));
        assert!(before.is_none(), "a slot was written twice");
        self.tail += 1;
        self.shared.tail.store(self.tail, Ordering::Release);
        Ok(())
    }
}

/// The reader's end.
pub struct Consumer<T> {
    shared: Arc<Shared<T>>,
    head: usize,
    tail_seen: usize,
}

/// Nothing is there.
pub struct PopError;

impl<T> Consumer<T> {
    /// Takes the oldest value.
    pub fn pop(&mut self) -> Result<T, PopError> {
        if self.head == self.tail_seen && self.slots() == 0 {
            return Err(PopError);
        }
        let value = self.shared.with_slot(self.head, Option::take);
        self.head += 1;
        self.shared.head.store(self.head, Ordering::Release);
        Ok(value.expect("the writer filled it before it published the position"))
    }

    /// How many can be read.
    pub fn slots(&mut self) -> usize {
        self.tail_seen = self.shared.tail.load(Ordering::Acquire);
        self.tail_seen - self.head
    }
}
