#!/usr/bin/env bash
# The unit tests of the pure core under miri: undefined behaviour in what it is built on (memchr, arrayvec, SipHash, base64).
# Left out, as they walk over many thousands of keys or bytes: the balances' own tests, a spread of steering, a long stream. And
# floods of whole messages (pools that count), each of which takes seconds here: other tests of the core go the same ways.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! cargo +nightly miri --version >/dev/null 2>&1; then
  if [ "${SIPEDGE_SETUP:-}" = no ]; then
    echo "miri: missing; install it with: rustup toolchain install nightly --component miri,rust-src" >&2
    exit 1
  fi
  echo "miri: missing; installing it with: rustup toolchain install nightly --component miri,rust-src" >&2
  rustup toolchain install nightly --component miri,rust-src
fi
# proptest looks for its folder of failures, which needs the real file system.
export MIRIFLAGS="-Zmiri-disable-isolation ${MIRIFLAGS:-}" PROPTEST_CASES="${PROPTEST_CASES:-2}"
CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/miri" cargo +nightly miri test --locked --no-default-features --lib -- \
  --skip sip::balance --skip steer::tests::calls_spread_evenly --skip framing::tests::no_byte_is_looked_at_twice \
  --skip steer::tests::it_agrees_with_the_naive_reading \
  --skip core::tests::capped --skip core::tests::counted --skip core::tests::held::counted "$@"
