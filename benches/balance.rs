//! What a pick costs for each message, and what compiling a table costs for each edit of a pool.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use sipedge::sip::balance::{
    BackendSet, Balance, LoadCap, Member, Rotation, Spec, hash_key, kamailio,
};

fn compiled(count: usize, spec: &str) -> Balance {
    let uris: Vec<String> = (0..count).map(|n| format!("sip:backend{n}.example.com")).collect();
    let weights = [100, 50, 80];
    let member = |(n, uri)| {
        let weight = if spec == "rendezvous" { 100 } else { weights[n % 3] };
        Member { identity: String::as_bytes(uri), weight, rweight: weight }
    };
    let members: Vec<_> = uris.iter().enumerate().map(member).collect();
    let spec = Spec::parse(spec.trim_end_matches("/weights")).expect("a known way");
    Balance::compile(&spec, &members, 1).expect("distinct members")
}

fn pick(c: &mut Criterion) {
    let mut group = c.benchmark_group("pick");
    let spread = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for count in [10, 1_000] {
        for spec in ["rendezvous", "round-robin", "random", "weight", "kamailio:0", "kamailio:11"] {
            let balance = compiled(count, spec);
            let everybody = BackendSet::full(count);
            let mut rotation = Rotation::new(1);
            let mut n = 0;
            group.bench_function(BenchmarkId::new(spec, count), |b| {
                b.iter(|| {
                    n += 1;
                    balance.pick(Some(spread(n)), black_box(&everybody), &mut rotation)
                });
            });
        }
        // The worst pick: the key's own backend is out, so the others are scanned.
        let balance = compiled(count, "rendezvous");
        let mut usable = BackendSet::full(count);
        let mut rotation = Rotation::new(1);
        let own = balance.pick(Some(7), &usable, &mut rotation).expect("all are usable");
        usable.remove(own);
        group.bench_function(BenchmarkId::new("rendezvous, own backend out", count), |b| {
            b.iter(|| balance.pick(black_box(Some(7)), &usable, &mut rotation));
        });
        // Under a cap: with room at the key's own backend, and without.
        let everybody = BackendSet::full(count);
        let cap = LoadCap::of_thousandths(1_250);
        for (name, hot) in [("rendezvous, capped", 9), ("rendezvous, capped and moved", 30)] {
            let mut loads = vec![9; count];
            loads[usize::from(own)] = hot;
            group.bench_function(BenchmarkId::new(name, count), |b| {
                b.iter(|| {
                    let load = &mut |member| loads[usize::from(member)];
                    let of = (&everybody, &[][..]);
                    balance.pick_capped(cap, black_box(Some(7)), of, &mut rotation, load)
                });
            });
        }
    }
    group.finish();
}

fn compile(c: &mut Criterion) {
    let mut group = c.benchmark_group("compile");
    group.sample_size(10);
    for count in [10, 100, 1_000] {
        for spec in ["rendezvous", "rendezvous/weights"] {
            group.bench_function(BenchmarkId::new(spec, count), |b| {
                b.iter(|| compiled(black_box(count), spec));
            });
        }
    }
    group.finish();
}

fn hash(c: &mut Criterion) {
    let call_id: &[u8] = b"a84b4c76e66710-3f27@pc33.example.com";
    c.bench_function("hash/sip", |b| b.iter(|| hash_key(&[black_box(call_id)])));
    c.bench_function("hash/kamailio", |b| b.iter(|| kamailio::hash(&[black_box(call_id)])));
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = pick, compile, hash
}
criterion_main!(benches);
