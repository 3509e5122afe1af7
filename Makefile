# Everything a newcomer types. `make demo` and `make test` set up what they need.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3.11
UV := $(or $(shell command -v uv 2>/dev/null),.uv/bin/uv)
RUN := .venv/bin/
# One thread a process: LightGBM and TensorFlow fight over few cores unless told. Byte code is kept, or every start recompiles.
export OMP_NUM_THREADS ?= 1
export OMP_WAIT_POLICY ?= passive
export TF_NUM_INTRAOP_THREADS ?= 1
export TF_NUM_INTEROP_THREADS ?= 1
export TF_CPP_MIN_LOG_LEVEL ?= 2
export PYTHONDONTWRITEBYTECODE :=
export DO_NOT_TRACK := 1
export UV_SYSTEM_CERTS ?= true
export DVC_NO_ANALYTICS := 1

.PHONY: help setup demo test test-slow test-spark test-fire lint results bench bench-features bench-decisions bench-lifecycle clean

help: ## what can be typed
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: .venv/.ready ## install everything into .venv, from uv.lock

.venv/.ready: pyproject.toml uv.lock
	@command -v uv >/dev/null 2>&1 || test -x .uv/bin/uv || { echo "installing uv into .uv"; $(PYTHON) -m venv .uv && .uv/bin/pip install --quiet uv; }
	$$(command -v uv || echo .uv/bin/uv) sync --locked --all-extras --no-extra spark --python 3.11
	@touch $@

demo: setup ## the whole story on this machine; stays up until Ctrl-C (EXIT=1: ends by itself)
	$(RUN)python -m demo $(if $(EXIT),--exit,)

test: setup ## the tests, in under 15 minutes on two cores
	$(RUN)python -m pytest -m "not slow" -n 2 --dist loadfile

test-slow: setup ## the slow suites: a real scheduler, kills, PostgreSQL, the demo
	$(RUN)python -m pytest -m slow -n 2 --dist loadfile --durations=15 $(AGAIN)

test-fire: setup ## the drills on releases at full size, into docs/reliability.md
	$(RUN)python -m benchmarks.fire

test-spark: ## Spark beside DuckDB, cell by cell, in an environment of its own (.venv-spark; wants a Java runtime)
	UV_PROJECT_ENVIRONMENT=.venv-spark $$(command -v uv || echo .uv/bin/uv) sync --locked --extra spark --python 3.11
	.venv-spark/bin/python -m pytest tests/features/test_spark.py

lint: setup ## style, types, import rules
	$(RUN)ruff check .
	$(RUN)ruff format --check .
	$(RUN)mypy
	$(RUN)lint-imports

results: setup ## figures on public data into docs/results.md
	$(RUN)python -m benchmarks.results

bench: setup ## how fast, with peak memory
	$(RUN)python -m benchmarks.speed

bench-features: setup ## the features room beside its peers into docs/benchmarks.md (ONLY="--only stream --rounds 1")
	$(RUN)python -m benchmarks.features $(ONLY)

bench-decisions: setup ## how often the decisions are wrong, into docs/decisions.md
	$(RUN)python -m benchmarks.decisions

bench-lifecycle: setup ## what each way of keeping a model fresh loses, into docs/lifecycle.md (about half an hour)
	$(RUN)python -m benchmarks.lifecycle

clean: ## remove what the project made, the environment excepted
	rm -rf .shelflife data models reports .pytest_cache .ruff_cache .mypy_cache .hypothesis
