#!/usr/bin/env bash
# Runs every test, counts instructions and ends with one line that sums up. Exit code 0 only when all passed.
# SIPEDGE_REQUIRE_LIVE=1 (the default here) makes a test fail when a tool that it needs is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

export SIPEDGE_REQUIRE_LIVE="${SIPEDGE_REQUIRE_LIVE:-1}"
log="${CARGO_TARGET_DIR:-target}/test.log"
mkdir -p "$(dirname "$log")"

echo "== build: the pure core alone, then everything"
cargo build --locked --no-default-features
cargo build --locked --workspace

echo "== test (the output is kept in $log)"
status=0
cargo test --locked --workspace --no-fail-fast "$@" 2>&1 | tee "$log" || status=$?

# Not for a single test binary: what a message costs has not changed by that.
if [ $# -eq 0 ]; then
  echo "== instructions per message, against the committed figures"
  scripts/instructions.sh 2>&1 | tee -a "$log" || status=1
fi

# A test that may not run here writes a line `skipped: why` past the capture of the test runner.
skipped=$(grep -c '^skipped: ' "$log" || true)
awk -v status="$status" -v skipped="$skipped" -v seconds="$SECONDS" '
  /^test result: / { runs++; passed += $4; failed += $6; ignored += $8 }
  END {
    word = (status == 0 && failed == 0 && passed > 0) ? "ok" : "FAILED"
    printf "== summary: %s: %d passed, %d failed, %d ignored, %d skipped in %d test runs, %d s\n",
      word, passed, failed, ignored, skipped, runs, seconds
    exit (word == "ok") ? 0 : 1
  }' "$log"
