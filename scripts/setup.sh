#!/usr/bin/env bash
# Installs what is missing to build (`setup.sh build`) or also to test (`setup.sh test`) on Debian and Ubuntu.
# Says first what, why and with which command; says nothing when all is there. SIPEDGE_SETUP=no turns it off.
set -euo pipefail

rust_needed="1.95"
build_packages=(ca-certificates gcc libc6-dev make pkg-config clang libelf-dev zlib1g-dev)
test_packages=(iproute2 kamailio sip-tester valgrind)

reason() {
  case "$1" in
    ca-certificates) echo "cargo fetches crates over TLS" ;;
    gcc | libc6-dev) echo "links the program, builds libbpf" ;;
    make) echo "builds libbpf" ;;
    pkg-config) echo "finds libelf and zlib" ;;
    clang) echo "compiles the eBPF program" ;;
    libelf-dev | zlib1g-dev) echo "libbpf needs it" ;;
    iproute2) echo "live tests: addresses and network namespaces" ;;
    kamailio) echo "live tests: a registrar and backends of another make" ;;
    sip-tester) echo "live tests: SIPp, which places and answers calls" ;;
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
  local service_starts=no
  if [[ " ${missing[*]} " == *" kamailio "* && -d /run/systemd/system ]]; then
    service_starts=yes
    say "the kamailio package starts a service of its own; the tests do not use it, so afterwards:"
    say "  ${prefix}systemctl disable --now kamailio"
  fi
  if [ -n "$prefix" ] && ! command -v sudo >/dev/null; then
    say "not root, and there is no sudo: run these commands as root, then this one again"
    exit 1
  fi

  as_root apt-get update -q
  as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -q --no-install-recommends "${missing[@]}" </dev/null
  if [ "$service_starts" = yes ]; then
    as_root systemctl disable --now kamailio || say "could not stop the kamailio service: it may hold port 5060"
  fi
}

main() {
  local packages=("${build_packages[@]}")
  case "${1:-}" in
    build) ;;
    test) packages+=("${test_packages[@]}") ;;
    *)
      say "usage: setup.sh build|test"
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
}

main "$@"
