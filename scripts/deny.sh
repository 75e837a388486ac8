#!/usr/bin/env bash
# Checks the dependencies with cargo-deny: licences, bans and sources from Cargo.lock alone, then the
# advisories, whose database comes over the network. Says so when a part could not run.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! cargo deny --version >/dev/null 2>&1; then
  echo "deny: NOT RUN, cargo-deny is not installed. To have it: cargo install cargo-deny --locked"
  exit 0
fi
cargo deny --locked check bans licenses sources
if ! timeout 60 cargo deny fetch db; then
  echo "deny: advisories NOT RUN, their database could not be fetched"
  exit 0
fi
cargo deny --locked check --disable-fetch advisories
