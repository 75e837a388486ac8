# Every command of this repository. CONTRIBUTING.md says when to use which.
# What a command needs and is missing is installed with apt, announced first; SIPEDGE_SETUP=no turns that off.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo run build test check lint deny bench instructions loom miri perf perf-quick heal sim mutants fuzz deb deb-test setup-build setup-test setup-perf clean

# rustup's place, for shells that have not read its env file.
export PATH := $(PATH):$(HOME)/.cargo/bin

CONFIG ?= config/minimal.toml

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

demo: setup-build ## calls through an edge and three backends on loopback, with a live view
	cargo build --release --locked
	cargo run --release --locked --quiet -- demo

run: setup-build ## the edge with CONFIG (default config/minimal.toml)
	cargo build --release --locked
	cargo run --release --locked --quiet -- run -c $(CONFIG)

build: setup-build ## the program: target/release/sipedge
	cargo build --release --locked

test: setup-test lint ## everything that must hold: format, lints, docs, builds, all tests
	@scripts/test.sh

check: deny test ## test, and the dependencies' licences and advisories

# The pure core is linted a second time with more bans: no sockets, threads, files or random sources.
lint: setup-build
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	CLIPPY_CONF_DIR=src/sip cargo clippy --locked --no-default-features --lib -- -D warnings
	cargo clippy --locked --no-default-features --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items

deny: setup-build
	@scripts/deny.sh

bench: setup-build ## the micro-benchmarks (criterion); BENCH=name for one
	cargo bench --locked $(if $(BENCH),--bench $(BENCH))

instructions: ## instructions by stage and message against the committed figures; UPDATE=1 rewrites them
	@scripts/instructions.sh

loom: setup-build ## the mailbox under all interleavings of its threads (also in test)
	cargo test --locked --no-default-features --test loom

miri: ## the pure core under miri (nightly; announced and installed by rustup)
	@scripts/miri.sh

# ROUNDS=, SECONDS_EACH=, TARGETS=, SCENARIOS= and SERIES= (names with commas) take a part; perf/README.md has the method.
PERF_BUILD = cargo build --release --locked -p sipedge -p sipedge-load -p sipedge-baselines -p sipedge-compare
PERF = target/release/sipedge-compare $(if $(TARGETS),--targets $(TARGETS)) \
	$(if $(SCENARIOS),--scenarios $(SCENARIOS)) $(if $(SERIES),--series $(SERIES))

perf: setup-perf ## sipedge beside its peers: CPU, throughput, latency, in rounds (25 minutes, as root)
	$(PERF_BUILD)
	$(PERF) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SECONDS_EACH),--seconds $(SECONDS_EACH))

perf-quick: setup-perf ## the same in one short round, to see that it works (no figures to quote)
	$(PERF_BUILD)
	$(PERF) --rounds 1 --seconds $(or $(SECONDS_EACH),2)

# RATE= calls per second (2000), SECONDS_EACH= for each of the two runs (20 and 60).
heal: setup-test ## figures: a backend killed and ten reloads a second under 2,000 calls a second (2 minutes)
	SIPEDGE_HEAL_FIGURES=1 cargo test --locked --release --test live -- figures/

sim: ## whole clusters on virtual time: SEEDS=5000 worlds (release), or SEED=n replays one with its trace
	SEEDS=$(or $(SEEDS),1000) SEED=$(SEED) FIRST=$(FIRST) cargo test --locked --release --test sim worlds -- --nocapture

mutants: ## each fault of tests/sim/mutations.toml must be caught; ONLY=text for some
	@scripts/mutants.sh

fuzz: ## fuzzes, each target a minute; TARGET=name for one, MINUTES=n for more
	@scripts/setup.sh fuzz
	@TARGET=$(TARGET) MINUTES=$(or $(MINUTES),1) KEEP=$(KEEP) scripts/fuzz.sh

deb: setup-build ## the Debian package: target/debian/sipedge_*.deb (cargo-deb is installed when missing)
	@scripts/deb.sh

deb-test: ## installs, starts and removes that package in a fresh Debian tree, and boots one with it (root, network, minutes)
	@scripts/deb-test.sh
	@scripts/deb-boot-test.sh

setup-build: ## install what building needs
	@scripts/setup.sh build

setup-test: ## install what building and testing need
	@scripts/setup.sh test

setup-perf: ## install what comparing needs
	@scripts/setup.sh perf

clean: ## remove what was built
	cargo clean
