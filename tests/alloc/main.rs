//! The hot path allocates nothing: counted by an allocator that counts, for typical and worst-case messages and for
//! each verdict.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use messages::Message;
use rig::token::TokenRig;
use rig::{Rig, STAGES};

mod counted;
mod failover;
#[path = "../../benches/messages/mod.rs"]
mod messages;
#[path = "../../benches/rig/mod.rs"]
mod rig;
mod verdicts;

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

/// Runs every stage that the message meets, a hundred times.
fn check(message: Message) {
    let (name, verdict) = (message.name, message.verdict);
    let mut rig = Rig::new(message);
    for stage in STAGES.iter().filter(|stage| (stage.meets)(verdict)) {
        let counted = allocations(|| {
            for number in 0..100 {
                rig.vary(number);
                (stage.prepare)(&mut rig);
                (stage.run)(&mut rig);
            }
        });
        assert_eq!(counted, 0, "{name}: {}", stage.name);
    }
}

#[test]
fn no_message_allocates() {
    messages::all().into_iter().for_each(check);
}

#[test]
fn no_verdict_allocates() {
    for case in verdicts::all() {
        let name = case.name;
        let mut handle = case.prepare();
        let counted = allocations(|| (0..100).for_each(|_| handle()));
        assert_eq!(counted, 0, "{name}");
    }
}

#[test]
fn no_token_allocates() {
    for mut rig in TokenRig::all() {
        let name = rig.name;
        let counted = allocations(|| {
            rig.seal();
            rig.open();
        });
        assert_eq!(counted, 0, "{name}");
    }
}
