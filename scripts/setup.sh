#!/usr/bin/env bash
# Installs what is missing to build (`setup.sh build`), also to test (`setup.sh test`), also to compare with peers
# (`setup.sh perf`) or also to fuzz (`setup.sh fuzz`) on Debian and Ubuntu.
# Says first what, why and with which command; says nothing when all is there. SIPEDGE_SETUP=no turns it off.
set -euo pipefail

rust_needed="1.95"
build_packages=(ca-certificates gcc libc6-dev make pkg-config clang libelf-dev zlib1g-dev)
test_packages=(baresip-core chromium debootstrap iproute2 kamailio knot nftables sip-tester sngrep tshark valgrind)
fuzz_packages=(g++)
perf_packages=(git iproute2 kamailio libnginx-mod-stream nginx-light)

reason() {
  case "$1" in
    baresip-core) echo "live tests: a phone" ;;
    ca-certificates) echo "cargo fetches crates over TLS" ;;
    gcc | libc6-dev) echo "links the program, builds libbpf" ;;
    make) echo "builds libbpf" ;;
    pkg-config) echo "finds libelf and zlib" ;;
    chromium) echo "shows the live page in its test; 280 MB" ;;
    clang) echo "compiles the eBPF program" ;;
    debootstrap) echo "live tests: the tree of a Debian that has Asterisk" ;;
    libelf-dev | zlib1g-dev) echo "libbpf needs it" ;;
    g++) echo "compiles libFuzzer" ;;
    git) echo "comparison: which commit was measured" ;;
    iproute2) echo "live tests, comparison: addresses and network namespaces" ;;
    kamailio) echo "live tests, comparison: a server of another make" ;;
    knot) echo "tests of names: a DNS server" ;;
    libnginx-mod-stream | nginx-light) echo "comparison: a balancer that knows no SIP" ;;
    nftables) echo "live tests: a NAT in front of phones" ;;
    sip-tester) echo "live tests: SIPp, which places and answers calls" ;;
    sngrep | tshark) echo "live tests: read our traces" ;;
    valgrind) echo "counts the instructions of the hot path" ;;
  esac
}

say() { printf 'setup: %s\n' "$*" >&2; }

rust_hint() {
  say "install Rust with rustup (https://rustup.rs), then run the command again:"
  say "  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"
}

check_cargo() {
  if ! command -v cargo >/dev/null; then
    say "there is no cargo in PATH or in ~/.cargo/bin"
    rust_hint
    exit 1
  fi
  local found
  found=$(cargo --version | cut -d' ' -f2)
  if [ "$(printf '%s\n' "$rust_needed" "$found" | sort -V | head -n 1)" != "$rust_needed" ]; then
    say "cargo $found is too old: sipedge needs $rust_needed (rust-toolchain.toml lets rustup choose it)"
    rust_hint
    exit 1
  fi
}

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# Runs a command as root.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

install_missing() {
  local missing=() package
  for package in "$@"; do
    installed "$package" || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0

  local prefix=""
  [ "$(id -u)" -eq 0 ] || prefix="sudo "
  say "these packages are missing:"
  for package in "${missing[@]}"; do
    say "  $(printf '%-15s %s' "$package" "$(reason "$package")")"
  done
  say "installing them now with:"
  say "  ${prefix}apt-get update"
  say "  ${prefix}apt-get install -y --no-install-recommends ${missing[*]}"
  local services=() service
  if [ -d /run/systemd/system ]; then
    if [[ " ${missing[*]} " == *" kamailio "* ]]; then services+=(kamailio); fi
    if [[ " ${missing[*]} " == *" knot "* ]]; then services+=(knot); fi
    if [[ " ${missing[*]} " == *" nginx-light "* ]]; then services+=(nginx); fi
  fi
  for service in "${services[@]}"; do
    say "the $service package starts a service of its own; nothing here uses it, so afterwards:"
    say "  ${prefix}systemctl disable --now $service"
  done
  if [ -n "$prefix" ] && ! command -v sudo >/dev/null; then
    say "not root, and there is no sudo: run these commands as root, then this one again"
    exit 1
  fi

  as_root apt-get update -q
  as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -q --no-install-recommends "${missing[@]}" </dev/null
  for service in "${services[@]}"; do
    as_root systemctl disable --now "$service" || say "could not stop the $service service: it may hold its port"
  done
}

# Asterisk for the live tests: this Debian has none.
install_asterisk() {
  local tree="${SIPEDGE_ASTERISK_TREE:-/var/cache/sipedge-tests/asterisk-forky}"
  [ ! -x "$tree/usr/sbin/asterisk" ] || return 0
  local prefix=""
  if [ "$(id -u)" -ne 0 ] && command -v sudo >/dev/null; then prefix="sudo "; fi
  say "this tree of another Debian is missing:"
  say "  asterisk-forky  live tests: Asterisk 22, which Debian 12 and 13 lack; 300 MB in $tree"
  say "making it now with:"
  say "  ${prefix}scripts/asterisk-tree.sh"
  # shellcheck disable=SC2086 # no prefix is no word
  ${prefix}env SIPEDGE_ASTERISK_TREE="$tree" CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}" scripts/asterisk-tree.sh
}

main() {
  local packages=("${build_packages[@]}")
  case "${1:-}" in
    build) ;;
    test) packages+=("${test_packages[@]}") ;;
    fuzz) packages+=("${fuzz_packages[@]}") ;;
    perf) packages+=("${perf_packages[@]}") ;;
    *)
      say "usage: setup.sh build|test|perf|fuzz"
      exit 2
      ;;
  esac
  [ "${SIPEDGE_SETUP:-}" != no ] || return 0
  check_cargo
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    say "this is no Debian or Ubuntu: what these packages hold must be there already: ${packages[*]}"
    return 0
  fi
  install_missing "${packages[@]}"
  if [ "${1:-}" = test ]; then install_asterisk; fi
}

main "$@"
