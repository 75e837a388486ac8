#!/usr/bin/env bash
# Instructions per message of the core, counted by callgrind: a figure that a noisy machine cannot blur.
# Each kind of message of tests/alloc/messages.rs is handled 1,000 times; only `Core::handle` is counted.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v valgrind >/dev/null; then
  echo "instructions: valgrind is missing; install it with: apt-get install valgrind" >&2
  exit 1
fi
binary=$(cargo bench --locked --no-default-features --bench instructions --no-run --message-format=json 2>/dev/null |
  sed -n 's/.*"name":"instructions".*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)
out=$(mktemp)
trap 'rm -f "$out"' EXIT
kind=0
"$binary" | while read -r name; do
  count=$(valgrind --tool=callgrind --callgrind-out-file="$out" --toggle-collect='*Core*handle*' \
    "$binary" "$kind" 1000 2>&1 | sed -n 's/.*Collected : \([0-9]*\).*/\1/p')
  printf '%8d instructions  %s\n' $((count / 1000)) "$name"
  kind=$((kind + 1))
done
