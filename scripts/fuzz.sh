#!/usr/bin/env bash
# Fuzzes the targets of tests/fuzz with libFuzzer, one after the other, and says what was found.
#   TARGET=name   one of: uri via token framing config message core; default: all
#   MINUTES=n     for each target; default 1
#   KEEP=yes      afterwards the minimised corpus replaces the one in tests/fuzz/corpus
# Stable Rust and a C++ compiler are enough: coverage comes from a pass that LLVM brings along.
# Working corpora, logs and what was found lie in target/fuzz; the corpora grow from run to run.
set -euo pipefail
cd "$(dirname "$0")/.."

all_targets=(uri via token framing config message core)
minutes="${MINUTES:-1}"
targets=("${all_targets[@]}")
[ -z "${TARGET:-}" ] || targets=("$TARGET")
out="$PWD/target/fuzz"
host="$(rustc -vV | sed -n 's/^host: //p')"
# What is kept in the tree for each target: the replay has to stay quick.
kept_files_max=250
kept_file_bytes_max=6000

say() { printf 'fuzz: %s\n' "$*"; }

if [[ " ${all_targets[*]} " != *" ${targets[0]} "* ]] || ! [[ "$minutes" =~ ^[1-9][0-9]*$ ]]; then
  say "usage: make fuzz [TARGET=$(IFS='|' && echo "${all_targets[*]}")] [MINUTES=1]" >&2
  exit 2
fi

# The configuration needs all of the crate (clang, libbpf); the other targets build the pure core alone.
program_of() { if [ "$1" = config ]; then echo fuzz-linux; else echo fuzz-core; fi; }

build() {
  local program="$1" features=()
  [ "$program" = fuzz-core ] || features=(--features linux)
  say "building $program"
  # Not --locked: when a dependency of the crate changes, the lock file of the fuzz crate follows here.
  # The flags reach only what runs in the target: with --target, build scripts and macros are built without them.
  # Flags from the environment replace those of .cargo/config.toml, so the byte shuffles are asked for again.
  local shuffles=""
  [ "$(uname -m)" != x86_64 ] || shuffles="-Ctarget-feature=+ssse3,+sse4.1,+sse4.2,+popcnt"
  RUSTFLAGS="$shuffles -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1" \
    cargo build --quiet --release --manifest-path tests/fuzz/Cargo.toml \
    --target "$host" --target-dir "$out" "${features[@]}"
  # Moved into place, so that a program that runs keeps its own.
  cp "$out/$host/release/fuzz" "$out/$program.new"
  mv "$out/$program.new" "$out/$program"
}

# Runs the fuzzer on a target: options and folders follow.
fuzzer() {
  local target="$1" words=tests/fuzz/sip.dict
  shift
  [ "$target" != config ] || words=tests/fuzz/config.dict
  FUZZ_TARGET="$target" RUST_BACKTRACE=0 nice -n 19 "$out/$(program_of "$target")" -dict="$words" \
    -timeout=20 -rss_limit_mb=2048 -max_len=65535 "$@"
}

# Runs, minimises the corpus; returns 1 when something was found.
run() {
  local target="$1" log="$out/logs/$1.log" work="$out/corpus/$1" kept="tests/fuzz/corpus/$1"
  local seeds="$out/seeds/$1" found="$out/found/$1" status=0 executions coverage
  rm -rf "$seeds"
  mkdir -p "$out/logs" "$work" "$kept" "$seeds" "$found"
  FUZZ_TARGET="$target" FUZZ_SEEDS="$seeds" "$out/$(program_of "$target")" 2>"$log.seeds" || {
    cat "$log.seeds" >&2
    return 1
  }
  say "$target: starts $(date -u +%FT%TZ), $minutes min, log in ${log#"$PWD/"}"
  fuzzer "$target" -max_total_time=$((minutes * 60)) -print_final_stats=1 -artifact_prefix="$found/" \
    "$work" "$kept" "$seeds" >"$log" 2>&1 || status=$?
  executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  coverage=$(grep -o 'cov: [0-9]* ft: [0-9]*' "$log" | tail -n 1 || true)
  say "$target: ends $(date -u +%FT%TZ), ${executions:-?} executions, ${coverage:-no coverage}"

  local before merged="$out/corpus/$target.merged"
  before=$(find "$work" "$kept" -type f | wc -l)
  # The seeds are read from the tree each time: only what reaches further than they do is worth keeping.
  rm -rf "$merged" && cp -r "$seeds" "$merged"
  if fuzzer "$target" -set_cover_merge=1 "$merged" "$work" "$kept" >"$log.merge" 2>&1; then
    find "$merged" -name 'seed-*' -delete
    rm -rf "$work" && mv "$merged" "$work"
    say "$target: minimised $before inputs to $(find "$work" -type f | wc -l), seeds apart"
    [ "${KEEP:-}" != yes ] || keep "$work" "$kept"
  else
    say "$target: could not be minimised, see ${log#"$PWD/"}.merge"
  fi
  [ "$status" -eq 0 ] || tell "$target" "$found" "$log"
  return "$status"
}

# The smallest inputs of a corpus, as many as the tree shall hold.
keep() {
  rm -rf "${2:?}" && mkdir -p "$2"
  find "$1" -type f -size "-${kept_file_bytes_max}c" -printf '%s %p\n' | sort -n |
    head -n "$kept_files_max" | cut -d' ' -f2 | xargs -r cp -t "$2"
  say "kept $(find "$2" -type f | wc -l) inputs, $(du -sb "$2" | cut -f1) bytes in $2"
}

# Says what was found, in its smallest form.
tell() {
  local target="$1" found="$2" newest
  grep -m 1 -A 2 'panicked at\|ERROR: libFuzzer' "$3" | sed "s/^/fuzz: $target: /"
  newest=$(find "$found" -type f ! -name '*.small' -printf '%T@ %p\n' | sort -n | tail -n 1 | cut -d' ' -f2)
  [ -n "$newest" ] || return 0
  fuzzer "$target" -minimize_crash=1 -max_total_time=30 -exact_artifact_path="$newest.small" \
    "$newest" >"$newest.log" 2>&1 || true
  [ -s "$newest.small" ] || cp "$newest" "$newest.small"
  say "$target: FOUND ${newest#"$PWD/"}.small; when it is understood, it goes to tests/fuzz/regressions/$target/"
}

mkdir -p "$out"
for program in $(for target in "${targets[@]}"; do program_of "$target"; done | sort -u); do
  build "$program"
done
bad=()
for target in "${targets[@]}"; do
  run "$target" || bad+=("$target")
done
if [ ${#bad[@]} -gt 0 ]; then
  say "something was found in: ${bad[*]}"
  exit 1
fi
say "nothing was found in: ${targets[*]}"
