//! Instructions for each stage and message, counted by callgrind and compared with the committed figures.
//!
//! Owns: the runs under valgrind and the table that is printed; `figures` owns the comparison. Exit code 1 when a figure
//! is beyond its tolerance. `UPDATE=1` rewrites `benches/instructions.toml`; see `make instructions`.
//!
//! What makes a count the same on every machine: one compiler (`rust-toolchain.toml`), fixed keys and messages, and
//! valgrind, which shows every program the same CPU (an old Haswell with AVX2) whatever CPU it runs on. Only on a CPU
//! without AVX2 it shows less, so there nothing is compared. The C library's `memcpy` is counted too; its
//! `rep movsb`, an instruction for each byte under valgrind and one in a CPU, is turned off by `GLIBC_TUNABLES`.

use std::hint::black_box;
use std::process::{Command, ExitCode, Stdio};

use figures::{Figure, Figures};
use rig::token::TokenRig;
use rig::{Rig, STAGES};

mod figures;
mod messages;
mod rig;

/// Messages that are counted for each figure.
const COUNTED: usize = 100;
/// Messages before that: first uses (of the choice between AVX2 and SSE2, say) are not what a message costs.
const WARM_UP: usize = 10;
/// What makes this program do the work, to be counted.
const COUNT: &str = "count";
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.toml");

fn main() -> ExitCode {
    if std::env::args().any(|argument| argument == COUNT) {
        work();
        return ExitCode::SUCCESS;
    }
    match compare() {
        Ok(code) => code,
        Err(why) => {
            eprintln!("instructions: {why}");
            ExitCode::FAILURE
        }
    }
}

fn compare() -> Result<ExitCode, String> {
    if !has_avx2() {
        eprintln!(
            "skipped: instructions need an x86 CPU with AVX2 to be those of the committed figures"
        );
        return Ok(ExitCode::SUCCESS);
    }
    if Command::new("valgrind").arg("--version").stdout(Stdio::null()).status().is_err() {
        if is_set("SIPEDGE_REQUIRE_LIVE") {
            return Err("needs valgrind (scripts/setup.sh test installs it)".to_owned());
        }
        eprintln!("skipped: instructions need valgrind");
        return Ok(ExitCode::SUCCESS);
    }
    let found = count()?;
    let text = std::fs::read_to_string(FILE).map_err(|error| format!("{FILE}: {error}"))?;
    let committed = Figures::parse(&text)?;
    let report = committed.compare(&found);
    print!("{}", report.text);
    if is_set("UPDATE") {
        std::fs::write(FILE, committed.rewritten(&found))
            .map_err(|error| format!("{FILE}: {error}"))?;
        println!("instructions: {FILE} is rewritten");
        return Ok(ExitCode::SUCCESS);
    }
    Ok(if report.is_red { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn is_set(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| value == "1")
}

fn has_avx2() -> bool {
    std::fs::read_to_string("/proc/cpuinfo").is_ok_and(|text| text.contains(" avx2 "))
}

/// Runs this program under callgrind, which writes the counts of each figure in a part of their own.
fn count() -> Result<Vec<Figure>, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let profile = program.with_extension(format!("callgrind.{}", std::process::id()));
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--combine-dumps=yes", "--toggle-collect=*counted_work*"])
        .arg("--dump-after=*end_of_part*")
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .arg(program)
        .arg(COUNT)
        .env("GLIBC_TUNABLES", "glibc.cpu.x86_rep_movsb_threshold=1000000000")
        .env_remove("RUST_BACKTRACE")
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    let text = std::fs::read_to_string(&profile);
    let _ = std::fs::remove_file(&profile);
    if !output.status.success() {
        return Err(format!("valgrind: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let text = text.map_err(|error| format!("{}: {error}", profile.display()))?;
    // Two parts for each figure: the warm-up, and what counts.
    let totals = text.lines().filter_map(|line| line.strip_prefix("totals: ")?.parse().ok());
    let totals = totals.skip(1).step_by(2);
    let names = String::from_utf8_lossy(&output.stdout).into_owned();
    let figures = names.lines().zip(totals).filter_map(|(line, total): (_, u64)| {
        let (stage, message) = line.split_once('\t')?;
        let count = total / COUNTED as u64;
        Some(Figure { stage: stage.to_owned(), message: message.to_owned(), count })
    });
    let figures: Vec<_> = figures.collect();
    if figures.is_empty() || figures.len() != names.lines().count() {
        return Err(format!(
            "callgrind counted {} of {} figures",
            figures.len(),
            names.lines().count()
        ));
    }
    Ok(figures)
}

fn work() {
    for stage in &STAGES {
        for message in messages::all().into_iter().filter(|m| (stage.meets)(m.verdict)) {
            let name = message.name;
            let mut rig = Rig::new(message);
            let mut number = 0;
            figure(stage.name, name, || {
                number += 1;
                rig.vary(number);
                (stage.prepare)(&mut rig);
                counted_work(&mut || (stage.run)(&mut rig));
            });
        }
    }
    for mut rig in TokenRig::all() {
        figure("seal", rig.name, || counted_work(&mut || rig.seal()));
        figure("open", rig.name, || counted_work(&mut || rig.open()));
    }
}

fn figure(stage: &str, message: &str, mut once: impl FnMut()) {
    (0..WARM_UP).for_each(|_| once());
    end_of_part();
    (0..COUNTED).for_each(|_| once());
    println!("{stage}\t{message}");
    end_of_part();
}

/// callgrind counts in here and below, nowhere else.
#[inline(never)]
fn counted_work(work: &mut dyn FnMut()) {
    work();
    // Something to do after the call: a jump into `work` would be no call for callgrind.
    black_box(());
}

/// callgrind writes what it counted when this returns.
#[inline(never)]
fn end_of_part() {
    black_box(());
}
