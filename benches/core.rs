//! `Core::handle`, bytes in to bytes out: an INVITE of 800 bytes, its 200, a REGISTER, an in-dialog BYE.
//!
//! Every request is a transaction of its own; 0 allocations are asserted by `tests/alloc`.

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sipedge::sip::core::Core;
use sipedge::sip::outbox::Outbox;
use sipedge::sip::{ListenerId, Now, Received};

#[path = "../tests/alloc/messages.rs"]
mod messages;

fn handle(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("core");
    for (name, mut bytes, source) in messages::typical() {
        let variation = messages::Variation::new(&bytes);
        let mut number = 0;
        let mut core = Core::new(Arc::new(messages::table()), 1, 0);
        let mut outbox = Outbox::new();
        let mut out = vec![0; 65_536];
        let source: SocketAddr = source.parse().expect("an address");
        let size = bytes.len();
        group.throughput(Throughput::Elements(1));
        group.bench_function(format!("{name} ({size} bytes)"), |bencher| {
            bencher.iter(|| {
                number += 1;
                variation.apply(&mut bytes, number);
                let received =
                    Received { bytes: &bytes, source, listener: ListenerId(0), truncated: false };
                let verdict = core.handle(Now(1_000_000), black_box(&received), &mut outbox);
                let _ = black_box(verdict);
                black_box(outbox.write_to(&bytes, &mut out))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, handle);
criterion_main!(benches);
