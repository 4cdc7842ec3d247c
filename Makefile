# Targets are thin: each is one command. `make` alone explains itself.

VENUE ?= binance
INSTRUMENTS ?= BTC/USDT ETH/USDT
TIMEFRAME ?= 1h
TYPE ?= ohlcv
START ?=
END ?=
DAYS ?=
EVERY ?=
FOR ?=
DEPTH ?=
DATA ?=
SQL ?=
ARGS ?=

# The first Python of 3.11 or newer on PATH that can make a virtual environment.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python3.14; do \
	$$python -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' \
	2>/dev/null && echo $$python && break; done)
VENV := .venv
READY := $(VENV)/.ready
PY := $(VENV)/bin/python
LAKE := $(PY) -m lake
# Quoted one by one, so that the shell does not expand a pattern such as *USDT.
QUOTED = $(foreach each,$(INSTRUMENTS),'$(each)')
WHERE = $(if $(DATA),--data '$(DATA)')
SPAN = $(if $(START),--start '$(START)') $(if $(END),--end '$(END)') \
	$(if $(DAYS),--days '$(DAYS)',$(if $(START),,--days 30))
SNAPSHOTS = $(if $(EVERY),--every '$(EVERY)') $(if $(FOR),--for '$(FOR)') \
	$(if $(DEPTH),--depth '$(DEPTH)')
# Only candles have a timeframe, and books no past.
WHAT = $(if $(filter ohlcv,$(TYPE)),--timeframe '$(TIMEFRAME)',--type '$(TYPE)') \
	$(if $(filter orderbook,$(TYPE)),$(SNAPSHOTS),$(SPAN))

.DEFAULT_GOAL := help
.PHONY: help setup demo backfill update check sql test lint ci bench torture clean

help: ## Show this text
	@echo 'make TARGET [VARIABLE=value ...]'
	@echo
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo 'Variables: VENUE INSTRUMENTS TYPE TIMEFRAME START END DAYS EVERY FOR DEPTH DATA SQL ARGS'
	@echo '  make backfill VENUE=binance INSTRUMENTS="BTC/USDT ETH/USDT" TIMEFRAME=1m START=2024-01-01'
	@echo '  make backfill INSTRUMENTS=BTC/USDT TYPE=trades START=2024-01-01 DAYS=2'
	@echo '  make backfill INSTRUMENTS="BTC/USDT ETH/USDT" TYPE=orderbook EVERY=10s FOR=1h'

setup: $(READY) ## Make .venv with the pinned packages (the other targets do it themselves)

$(READY): constraints.txt pyproject.toml
	@test -n '$(PYTHON)' || { echo 'make setup: no Python 3.11 or newer with venv on PATH.' \
		'Install one, or name it: make setup PYTHON=/path/to/python3' >&2; exit 1; }
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check --requirement constraints.txt
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(READY)

demo: $(READY) ## Fill a lake from an exchange in the box, without any network
	@$(LAKE) demo

backfill: $(READY) ## Fetch TYPE of VENUE INSTRUMENTS from START (or DAYS back) to END into DATA
	@$(LAKE) backfill '$(VENUE)' $(QUOTED) $(WHAT) $(WHERE) $(ARGS)

update: $(READY) ## Bring every series of the lake up to now
	@$(LAKE) update $(WHERE) $(ARGS)

check: $(READY) ## Check the quality of the lake in DATA (ARGS=--deep reads every row)
	@$(LAKE) check $(WHERE) $(ARGS)

sql: $(READY) ## Ask the lake: make sql SQL="select count(*) from ohlcv_1h"
	@$(LAKE) sql "$(SQL)" $(WHERE) $(ARGS)

# One worker more than there are cores: many tests wait for a process, a signal or a clock.
WORKERS = $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)

test: $(READY) ## Run the tests
	@$(PY) -m pytest -m 'not torture' -rfE -n $(WORKERS) --dist worksteal $(ARGS)

lint: $(READY) ## Check format, style and types
	@$(PY) -m ruff format --check lake tests
	@$(PY) -m ruff check lake tests
	@$(PY) -m mypy

ci: ## Everything that CI runs: lint, then test
	@.ci/run

bench: $(READY) ## Measure throughput
	@$(PY) -m tests.benchmarks $(ARGS)

torture: $(READY) ## Run the long seeded tests: kills, faults, frozen writers
	@$(PY) -m pytest -m torture -rfE $(ARGS)

clean: ## Remove caches and packages that were built; never a lake, never .venv
	rm -rf dist build/wheel .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find lake tests -name __pycache__ -type d -prune -exec rm -rf {} +
