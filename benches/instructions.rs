//! Handles one kind of message N times, to be counted by callgrind inside `Core::handle`: see `make instructions`.
//!
//! Arguments: the number of the message in `messages::typical`, and N. Without arguments it lists the messages.

use std::sync::Arc;

use sipedge::sip::core::Core;
use sipedge::sip::outbox::Outbox;
use sipedge::sip::{ListenerId, Now, Received};

#[path = "../tests/alloc/messages.rs"]
mod messages;

fn main() {
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    let [kind, count] = numbers[..] else {
        for (name, bytes, _source) in messages::typical() {
            println!("{name}, {} bytes", bytes.len());
        }
        return;
    };
    let (_name, mut bytes, source) = messages::typical().swap_remove(kind);
    let mut core = Core::new(Arc::new(messages::table()), 1, 0);
    let mut outbox = Outbox::new();
    let mut out = vec![0; 65_536];
    let source = source.parse().expect("an address");
    let variation = messages::Variation::new(&bytes);
    for number in 0..count {
        variation.apply(&mut bytes, number);
        let received =
            Received { bytes: &bytes, source, listener: ListenerId(0), truncated: false };
        let verdict = core.handle(Now(1_000_000), std::hint::black_box(&received), &mut outbox);
        let _ = std::hint::black_box((verdict, outbox.write_to(&bytes, &mut out)));
    }
}
