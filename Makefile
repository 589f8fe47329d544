# Targets are documented by the comments after "##"; `make help` lists them.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

CARGO ?= cargo
PYTHON ?= python3
# For example --locked.
CARGO_FLAGS ?=
# Narrows `make test` and `make test-net` down to tests with this in their names.
TESTS ?=

# How many worlds `make sim` lives through, from which one on; or the only one.
SEEDS ?= 10000
FIRST_SEED ?= 0
SEED ?=

# For how long `make soak`, and each target of `make fuzz`, runs.
MINUTES ?= 15
FUZZ_SECONDS ?= 450

VENV := .venv
VENV_STAMP := $(VENV)/.stamp
PEER_REQUIREMENTS := python/tests/requirements.txt
WHEELS := target/wheels
# The interpreter with the packages that the tests play against. Set it to bring your own.
SPEADWAY_PEER_PYTHON ?= $(abspath $(VENV)/bin/python)
export SPEADWAY_PEER_PYTHON

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: test
test: model test-python test-rust test-paths test-doc ## Run every test that needs no privileges

.PHONY: test-rust
test-rust: venv ## Run the tests in Rust: unit, simulated worlds, integration, against the peer
	$(CARGO) test $(CARGO_FLAGS) --workspace --all-targets -- $(TESTS)

.PHONY: test-paths
test-paths: venv ## Run the tests in Rust without any short way, then with every one (src/paths.rs)
	@for paths in long short; do \
		echo "=== SPEADWAY_PATHS=$$paths"; \
		SPEADWAY_PATHS=$$paths $(CARGO) test $(CARGO_FLAGS) --quiet --workspace \
			--lib --bins --tests -- $(TESTS); \
	done

.PHONY: test-doc
test-doc: ## Run the examples in the documentation
	$(CARGO) test $(CARGO_FLAGS) --workspace --doc -- $(TESTS)

.PHONY: python
python: venv ## Build the wheel and install it beside the peer
	rm -rf $(WHEELS)
	$(SPEADWAY_PEER_PYTHON) -m maturin build --release $(CARGO_FLAGS) --out $(WHEELS)
	$(SPEADWAY_PEER_PYTHON) -m pip install --quiet --disable-pip-version-check \
		--no-deps --force-reinstall $(WHEELS)/*.whl

.PHONY: wheel
wheel: ## Build the wheel to publish: it runs on any Linux with glibc 2.28 (2018) or newer
	$(PYTHON) -m venv target/wheel-venv
	target/wheel-venv/bin/pip install --quiet --disable-pip-version-check 'maturin>=1.9.4,<2' ziglang
	@# Inlining less than the usual 225 saves 25 kB of 993 and costs no speed (benches/RESULTS.md).
	PATH="$(abspath target/wheel-venv/bin):$$PATH" CARGO_PROFILE_RELEASE_LTO=fat \
		CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1 RUSTFLAGS="-C llvm-args=--inline-threshold=175" \
		maturin build --release $(CARGO_FLAGS) \
		--zig --compatibility manylinux_2_28 --compression-level 9 --out target/dist
	PATH="$(abspath target/wheel-venv/bin):$$PATH" maturin sdist --out target/dist

.PHONY: test-python
test-python: python ## Run the tests of the Python package
	$(SPEADWAY_PEER_PYTHON) -m pytest -q -k "$(TESTS)"

.PHONY: test-wheel
test-wheel: venv ## Install the Python package with pip alone, from a fresh clone and from the sdist
	@tests/packaging

.PHONY: model
model: ## Check the lock-free parts under every interleaving (loom)
	RUSTFLAGS="--cfg speadway_loom" $(CARGO) test $(CARGO_FLAGS) \
		--release --package speadway --lib --target-dir target/loom -- models

.PHONY: sim
sim: ## Live through SEEDS simulated worlds, or through SEED=x and see what happens in it
	SEEDS="$(SEEDS)" SEED="$(SEED)" FIRST_SEED="$(FIRST_SEED)" $(CARGO) test $(CARGO_FLAGS) \
		--profile sim --package speadway --lib -- \
		--exact recv::world::fleet::worlds --nocapture

.PHONY: fuzz
fuzz: ## Fuzz every target for FUZZ_SECONDS each; needs a C++ compiler
	fuzz/run $(FUZZ_SECONDS)

.PHONY: soak
soak: ## Send to itself for MINUTES and check every byte and count
	@# What is freed goes back to the system at once (glibc), or it would look like a leak.
	MALLOC_ARENA_MAX=1 MALLOC_MMAP_THRESHOLD_=131072 MALLOC_TRIM_THRESHOLD_=131072 \
		$(CARGO) run $(CARGO_FLAGS) --quiet --release --example soak -- $(MINUTES)

.PHONY: deep
deep: ## Run the long tests (sanitizers, worlds, fuzzing, seeded bugs, soak); says what it could not
	@MINUTES=$(MINUTES) FUZZ_SECONDS=$(FUZZ_SECONDS) tests/deep

.PHONY: test-net
test-net: venv ## Run the tests that need root and network namespaces
	@tests/privileged $(CARGO) test $(CARGO_FLAGS) --package speadway-cli \
		--features test-net --test privileged -- $(TESTS)

.PHONY: lint
lint: ## Check formatting, clippy and the documentation; any warning fails
	$(CARGO) fmt --all --check
	$(CARGO) clippy $(CARGO_FLAGS) --workspace --all-targets --all-features -- -D warnings
	$(CARGO) clippy $(CARGO_FLAGS) --package speadway --all-targets --no-default-features -- -D warnings
	RUSTDOCFLAGS=-Dwarnings $(CARGO) doc $(CARGO_FLAGS) --no-deps --workspace --all-features

.PHONY: demo
demo: ## Show a stream being received, without a network or a telescope
	$(CARGO) run $(CARGO_FLAGS) --release -- demo

.PHONY: venv
ifeq ($(SPEADWAY_PEER_PYTHON),$(abspath $(VENV)/bin/python))
venv: $(VENV_STAMP) ## Install the peer that the tests play against (spead2) into .venv
else
venv:
endif

$(VENV_STAMP): $(PEER_REQUIREMENTS)
	@command -v $(PYTHON) >/dev/null || { \
		echo "No $(PYTHON): install Python 3, or set SPEADWAY_PEER_PYTHON to one with" \
			"the packages of $(PEER_REQUIREMENTS)." >&2; exit 1; }
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV) || { \
		echo "No venv module: on Debian it is in the package python3-venv." >&2; exit 1; }
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r $(PEER_REQUIREMENTS)
	touch $@

.PHONY: clean
clean: ## Remove everything that was built or installed here
	$(CARGO) clean
	rm -rf $(VENV)
