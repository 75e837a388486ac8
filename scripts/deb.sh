#!/usr/bin/env bash
# Builds the Debian package into target/debian. cargo-deb is installed into target/tools when it is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

tools="$PWD/target/tools"
export PATH="$tools/bin:$PATH"
if ! command -v cargo-deb >/dev/null; then
  command="cargo install cargo-deb --locked --root $tools"
  if [ "${SIPEDGE_SETUP:-}" = no ]; then
    echo "deb: cargo-deb is missing; install it with: $command" >&2
    exit 1
  fi
  echo "deb: cargo-deb is missing; installing it (some minutes) with: $command" >&2
  $command
fi
# The version, from Cargo.toml alone: dpkg orders it, and the same tree makes the same name.
cargo deb --locked "$@"
