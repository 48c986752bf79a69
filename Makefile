# One entry for people and for CI. `make help` lists the targets.
VENV := .venv
PYTHON := $(VENV)/bin/python
CARGO := . scripts/toolchain.sh; cargo
export CARGO_TERM_COLOR := never
export PYO3_PYTHON := $(CURDIR)/$(PYTHON)

.DEFAULT_GOAL := help
.PHONY: help run test bench lint types rust-test wheel clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

run: ## build, start the guest agent and drive a container through gRPC
	@scripts/setup.sh --root demo
	@$(PYTHON) -m kata_hybrid demo --start-agent

test: ## the same set-up, then all tests (ARGS=... goes to pytest)
	@scripts/setup.sh --root test
	@. scripts/toolchain.sh; base=$$(mktemp -d) && status=0 && \
	{ $(PYTHON) -m pytest --basetemp="$$base/tests" $(ARGS) || status=$$?; } && \
	rm -rf --one-file-system "$$base" && exit $$status

bench: ## the same set-up, then measure us beside the peers (ARGS=... goes to benches compare; docs/performance.md)
	@scripts/setup.sh --root
	@scripts/bench_peers.sh
	@. scripts/toolchain.sh; $(PYTHON) -m benches compare --json benches/results/latest.json \
	--html benches/results/latest.html --history benches/results/history $(ARGS)
	@echo "bench: the picture is in benches/results/latest.html" >&2

lint: ## ruff, rustfmt and clippy
	@scripts/setup.sh test,lint
	@$(VENV)/bin/ruff check .
	@$(CARGO) fmt --all --check
	@$(CARGO) clippy --workspace --all-features -- -D warnings

types: ## mypy --strict
	@scripts/setup.sh test,lint
	@$(VENV)/bin/mypy

rust-test: ## unit tests of the Rust crates
	@$(CARGO) test -p kata-plan
	@$(CARGO) test -p kata-grpc
	@$(CARGO) test -p kata-core --no-default-features

wheel: ## a wheel in target/wheels
	@scripts/setup.sh test,lint
	@. scripts/toolchain.sh; $(VENV)/bin/maturin build --release

clean: ## remove what the build made
	@rm -rf $(VENV) target python/kata_hybrid/agent/_proto python/kata_hybrid/_core*.so
