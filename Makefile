# Everything starts here. `make demo` and `make test` need nothing but Python 3.11 or newer.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(READY)

.PHONY: setup demo test test-long cluster quality format docs bench help

setup: $(READY) ## make the environment in .venv

demo: $(READY) ## draw pictures, train plainly and guided, compare (offline; a minute, or up to four without fast bf16)
	$(BIN)/foveate demo --out demo

test: $(READY) ## run the tests, all but the long ones
	$(BIN)/python -m pytest -n 2 -m "not slow"

test-long: $(READY) ## run the long tests: simulations, killed programs, every command that the docs show
	$(BIN)/python -m pytest -n 2 -m slow

cluster: $(READY) ## add Ray and psycopg to the environment; make test-long then tests a cluster and a database, too
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,cluster]'

quality: $(READY) ## formatting, lint, types, import directions
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY) ## format and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(READY) ## write docs/settings.md from the code
	$(BIN)/python docs/settings.py

bench: $(READY) ## time Foveate beside what a user would run instead
	$(BIN)/python -m benchmarks

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10
