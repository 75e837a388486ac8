//! The fuzzer: libFuzzer mutates, the properties judge, and a clock of CPU time bounds the work per byte.
//!
//! Owns: the choice of the target (`FUZZ_TARGET`), writing its seeds (`FUZZ_SEEDS`), the bound on time. What must hold stands
//! in `properties`, which the replay under `make test` shares. Times are nanoseconds of this thread's CPU.
#![no_main]

use std::path::Path;
use std::sync::OnceLock;

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use properties::random::Random;
use properties::{Target, mutate};
use rustix::time::{ClockId, clock_gettime};

mod properties;

/// What a run may cost whatever its size: caches are cold, and coverage is counted.
const START_NANOSECONDS: i64 = 20_000_000;
/// A run that took too long is repeated: only work takes its time each time, a stall of the machine does not.
const TRIES: usize = 5;

fuzz_target!(init: prepare(), |bytes: &[u8]| run(bytes));

// Half of the changes to messages are strokes that know lines and joints; libFuzzer knows bytes and words.
fuzz_mutator!(|bytes: &mut [u8], size: usize, size_max: usize, seed: u32| {
    let mut random = Random::new(u64::from(seed) << 1);
    if !TARGET.get().is_some_and(|target| target.has_lines) || random.below(2) == 0 {
        return fuzzer_mutate(bytes, size, size_max);
    }
    let mut changed = bytes[..size].to_vec();
    mutate::stroke(&mut random, &mut changed, &OWN.map(<[u8]>::to_vec));
    changed.truncate(size_max);
    bytes[..changed.len()].copy_from_slice(&changed);
    changed.len()
});

/// Where the strokes put values of ours, the play of `core` puts real ones.
const OWN: [&[u8]; 2] = [b"<{route}>", b"{via}"];

static TARGET: OnceLock<Target> = OnceLock::new();

fn prepare() {
    let name = std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET names the target");
    let target = properties::find(&name).unwrap_or_else(|| {
        panic!("no target {name}; there are {:?}", properties::TARGETS.map(|target| target.name))
    });
    if let Some(folder) = std::env::var_os("FUZZ_SEEDS") {
        write_seeds(&name, Path::new(&folder));
        std::process::exit(0);
    }
    TARGET.set(target).expect("libFuzzer prepares once");
}

fn write_seeds(target: &str, folder: &Path) {
    std::fs::create_dir_all(folder).expect("a folder for the seeds");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for (number, seed) in properties::samples::of(target, &root).iter().enumerate() {
        std::fs::write(folder.join(format!("seed-{number:04}")), seed).expect("a seed is written");
    }
}

fn run(bytes: &[u8]) {
    let target = TARGET.get().expect("it was prepared");
    let size = i64::try_from(bytes.len()).expect("an input is small");
    let allowed = START_NANOSECONDS + size * nanoseconds_per_byte(target.name);
    let mut least = i64::MAX;
    for _ in 0..TRIES {
        let before = cpu_nanoseconds();
        (target.check)(bytes);
        least = least.min(cpu_nanoseconds() - before);
        if least <= allowed {
            break;
        }
    }
    assert!(least <= allowed, "{least} ns for {size} bytes, {allowed} ns are allowed");
    (target.compare)(bytes);
}

/// About ten times what the slowest known input takes here.
fn nanoseconds_per_byte(target: &str) -> i64 {
    match target {
        "core" => 200_000,
        "message" | "config" => 20_000,
        _ => 2_000,
    }
}

fn cpu_nanoseconds() -> i64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}
