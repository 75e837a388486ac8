//! The hot path allocates nothing: counted by an allocator that counts, for each kind of typical message.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use sipedge::sip::core::Core;
use sipedge::sip::outbox::Outbox;
use sipedge::sip::{ListenerId, Now, Received};

mod messages;

/// The system's allocator, counting the calls of each thread.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to `System` unchanged; counting touches only a const-initialised thread-local without
// a destructor, which does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `GlobalAlloc::dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1_u64)))), 1);
}

#[test]
fn no_message_allocates() {
    let mut out = vec![0; 65_536];
    for (name, mut bytes, source) in messages::typical() {
        let mut core = Core::new(Arc::new(messages::table()), 1, 0);
        let mut outbox = Outbox::new();
        let source = source.parse().expect("an address");
        let variation = messages::Variation::new(&bytes);
        let counted = allocations(|| {
            for number in 0..100 {
                variation.apply(&mut bytes, number);
                let received =
                    Received { bytes: &bytes, source, listener: ListenerId(0), truncated: false };
                let _verdict = core.handle(Now(number as u64), &received, &mut outbox);
                assert!(outbox.write_to(&bytes, &mut out).is_some(), "{name}");
            }
        });
        assert_eq!(counted, 0, "{name}");
    }
}
