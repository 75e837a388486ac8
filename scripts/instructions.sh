#!/usr/bin/env bash
# Instructions for each stage and message, against benches/instructions.toml. UPDATE=1 rewrites the figures.
# Only the pure core is built, with the release profile: what a shard runs for each message.
set -euo pipefail
cd "$(dirname "$0")/.."

exec cargo bench --locked --no-default-features --bench instructions
