# Each target sets up what it needs in a project-local virtual environment; see CONTRIBUTING.md.
# ARGS is handed on:  make demo ARGS="--json figures.json"   make test ARGS="-k spool"
.DEFAULT_GOAL := help
VENV ?= .venv
ARGS ?=
SETUP := VENV="$(VENV)" scripts/setup.sh
PY := "$(VENV)/bin/python"
BENCHES = $(filter-out __init__ common line looks signs,$(basename $(notdir $(wildcard bench/*.py))))

.PHONY: help demo test check test-legacy faults faults-short bench lock format clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' Makefile

demo: ## Watch a camera ask, be answered and learn; no account, camera, Docker or root needed
	@$(SETUP) demo
	@"$(VENV)/bin/secondlook-cloud" demo $(ARGS)

test: ## Run all tests, with a real Mosquitto and PostgreSQL where installed or installable
	@$(SETUP) system
	@$(SETUP) dev
	@$(PY) -m pytest $(ARGS)

check: ## Format, lint, types and layer rules
	@$(SETUP) dev
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .
	@$(PY) -m mypy agent cloud tests bench
	@$(PY) -m pytest -q tests/test_layers.py

test-legacy: ## Run the engine's tests on tflite-runtime and numpy 1, in .venv-legacy
	@bash tests/legacy.sh

faults-short: ## Inject every fault of the catalogue a few times; one JSON line each
	@$(SETUP) system
	@$(SETUP) dev
	@$(PY) -m pytest -q tests/faults --faults=short $(ARGS)

faults: ## The same, hundreds of times (hours)
	@$(SETUP) system
	@$(SETUP) dev
	@$(PY) -m pytest -q tests/faults --faults=long $(ARGS)

bench: ## Measure: make bench, or one: make bench ONLY=frame_overhead
	@$(SETUP) system
	@$(SETUP) dev
	@set -e; for name in $(or $(ONLY),$(BENCHES)); do \
	  printf '== %s\n' "$$name"; $(PY) -m "bench.$$name" $(ARGS); done

format: ## Format and fix what can be fixed by machine
	@$(SETUP) dev
	@$(PY) -m ruff format .
	@$(PY) -m ruff check --fix .

lock: ## Resolve the requirement locks of deploy/ anew
	@scripts/lock.sh

clean: ## Remove environments, caches and build products
	@rm -rf "$(VENV)" .venv-* build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage*
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
