#!/usr/bin/env bash
# Applies each fault of tests/sim/mutations.toml to a copy of the tree and demands that the named check fails.
# SEEDS: worlds for each fault (default 60). ONLY: a part of the names to try. Exit code 1 when a fault survives.
set -euo pipefail
cd "$(dirname "$0")/.."

root=$PWD
seeds="${SEEDS:-60}"
copy="$root/target/mutants/tree"
logs="$root/target/mutants/log"
# A place of its own (the dependencies are built once more): cargo would take a mutant for the package of the tree.
export CARGO_TARGET_DIR="$root/target/mutants/build"
unset SEED FIRST

rm -rf "$copy" "$logs"
mkdir -p "$copy" "$logs"
# Files get the time of now, or cargo would take the last mutant of an earlier run for what they make.
# The copy lies below the root and inherits .cargo: a second one would double its flags, and rebuild all dependencies.
tar --exclude=./target --exclude=./.git --exclude=./.cargo -cf - . | tar -C "$copy" -xmf -
cd "$copy"

# What a test binary says; the exit code is that of the test.
try() { # suite log
  TALLY=1 SEEDS="$seeds" cargo test --locked --quiet --test "$1" >"$2" 2>&1
}

echo "== without a fault"
for suite in sim $(sed -n "s/^caught_by = '\([a-z]*\)'$/\1/p" tests/sim/mutations.toml | sort -u); do
  try "$suite" "$logs/none-$suite.log" || { tail -20 "$logs/none-$suite.log"; echo "$suite fails as it is"; exit 1; }
done

survivors=0
number=0
report() { # verdict name by
  printf '%-9s %-56s %s\n' "$1" "$2" "$3"
}

apply() {
  number=$((number + 1))
  [[ -n "${ONLY:-}" && "$name" != *"$ONLY"* ]] && return
  local before after log="$logs/$number.log" suite="${caught_by%%:*}" wanted="${caught_by#*:}" failed
  before=$(cat "$file" && printf x)
  after="${before/"$find"/"$replace"}"
  printf '%s' "${after%x}" >"$file"
  if try "$suite" "$log"; then
    report SURVIVED "$name" "wanted $caught_by"
    survivors=$((survivors + 1))
  elif grep -q '^error' "$log" && ! grep -q '^test result: FAILED' "$log"; then
    report BROKEN "$name" "it does not build: $log"
    survivors=$((survivors + 1))
  else
    failed=$(sed -n 's/^\.*sim: failed \([a-z_]*\) in \([0-9]*\) .*/\1 \2/p' "$log" | sort -k2,2nr | paste -sd, | sed 's/,/, /g')
    if [[ "$suite" != sim || "$failed" =~ (^|, )"$wanted " ]]; then
      report caught "$name" "$caught_by${failed:+ ($failed)}"
    else
      report MISSED "$name" "wanted $caught_by, failed: ${failed:-a panic, see $log}"
      survivors=$((survivors + 1))
    fi
  fi
  printf '%s' "${before%x}" >"$file"
}

echo "== $seeds worlds for each fault; behind the invariant: in how many worlds which one failed first"
while IFS= read -r line <&3; do
  case "$line" in
    *" = '"*"'")
      value="${line#*" = '"}"
      printf -v "${line%% = *}" '%s' "${value%"'"}"
      ;;
  esac
  if [[ "$line" == "caught_by = "* ]]; then apply; fi
done 3<tests/sim/mutations.toml

echo "== $survivors survived"
((survivors == 0))
