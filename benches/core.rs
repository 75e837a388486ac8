//! The way of a message: each stage alone (steer, parse, route, edit, tokens), and the whole core, bytes in to bytes out.
//!
//! Every request of the whole core is a transaction of its own. A stage's time is that of its own work: what must be
//! done before it is done once. `tests/alloc` asserts for the same stages and messages that nothing is allocated.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rig::token::TokenRig;
use rig::{Rig, STAGES};

mod messages;
mod rig;

fn stages(criterion: &mut Criterion) {
    for stage in STAGES.iter().filter(|stage| stage.name != "core") {
        let mut group = criterion.benchmark_group(stage.name);
        for message in messages::all().into_iter().filter(|m| (stage.meets)(m.verdict)) {
            let name = message.name;
            let mut rig = Rig::new(message);
            rig.vary(1);
            (stage.prepare)(&mut rig);
            group.bench_function(name, |bencher| bencher.iter(|| (stage.run)(&mut rig)));
        }
        group.finish();
    }
}

fn tokens(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("token");
    for mut rig in TokenRig::all() {
        group.bench_function(format!("seal {}", rig.name), |bencher| bencher.iter(|| rig.seal()));
        group.bench_function(format!("open {}", rig.name), |bencher| bencher.iter(|| rig.open()));
    }
    group.finish();
}

fn whole(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("core");
    for message in messages::all() {
        let name = format!("{} ({} bytes)", message.name, message.bytes.len());
        let is_sent = STAGES.iter().any(|s| s.name == "edit" && (s.meets)(message.verdict));
        let mut rig = Rig::new(message);
        let mut number = 0;
        group.throughput(Throughput::Elements(1));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                number += 1;
                rig.vary(number);
                rig.decide();
                if is_sent {
                    rig.edit();
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, stages, tokens, whole);
criterion_main!(benches);
