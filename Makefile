# The verbs of everyday work. All they need is Python >= 3.11 (with venv and pip) and make.

BIN := .venv/bin
LOCK := uv.lock pyproject.toml $(wildcard */pyproject.toml)
EXPORT := $(BIN)/uv export --quiet --frozen --no-dev --no-hashes --no-header --no-annotate
# Each file in one of a few processes, each with a PostgreSQL of its own.
PYTEST := $(BIN)/pytest -n auto --maxprocesses 4 --dist loadfile -m 'not compose'
export UV_PYTHON_DOWNLOADS := never
ifdef PIP_CERT # uv does not read pip's settings: who needs a certificate for the one needs it for the other
export SSL_CERT_FILE ?= $(PIP_CERT)
endif
unexport VIRTUAL_ENV # whichever environment is active, ours is .venv

.PHONY: help up migrate doctor test lint types arch check audit bench bench-compare bench-parts profile clients-installed compose-test fmt snapshots requirements

help:
	@echo 'make up            install, then start the platform on http://localhost:8000'
	@echo 'make doctor        what would not work here, and how to mend it'
	@echo 'make migrate       bring the database up to date'
	@echo 'make test          every test'
	@echo 'make check         lint, types, architecture, requirements.txt, tests: what CI runs'
	@echo 'make lint | types | arch | fmt'
	@echo 'make audit         known vulnerabilities of what uv.lock names, as the package index tells'
	@echo 'make bench         how fast the platform is on this machine, and how it starts (minutes; fails on nothing)'
	@echo 'make bench-compare the same beside other gateways, which it installs (needs nginx, wrk, Node)'
	@echo 'make bench-parts   what identity, limits and usage cost'
	@echo 'make profile       where the CPU of a completion goes (needs nginx, wrk, root)'
	@echo 'make clients-installed  other people'"'"'s clients, in Python and Node, for the tests of tests/clients'
	@echo 'make compose-test  the examples against containers (needs a container engine)'
	@echo 'make snapshots     write the agreed API anew'
	@echo 'make requirements  write requirements.txt from uv.lock'

up: .venv/installed
	@exec $(BIN)/synapscale up

migrate doctor: .venv/installed
	@exec $(BIN)/synapscale $@

test: .venv/installed-dev
	$(PYTEST)

lint: .venv/installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: .venv/installed-dev
	$(BIN)/mypy

arch: .venv/installed-dev
	$(BIN)/lint-imports
	$(BIN)/pytest --quiet tests/test_architecture.py

check: lint types arch .venv/installed-dev
	@$(EXPORT) | diff requirements.txt - || { echo 'requirements.txt differs from uv.lock: make requirements'; exit 1; }
	$(PYTEST)

audit: .venv/installed-dev
	@$(BIN)/python .ci/audit.py

# They print, and fail on nothing; docs/benchmarks.md says what to make of it.
COMPARE := PYTHONPATH=. $(BIN)/python -m benchmarks.compare

bench: .venv/installed-dev
	-@$(COMPARE) --peers '' --seconds 4 --scenario whole,streams,start

bench-compare: .venv/installed-dev
	-@$(COMPARE)

bench-parts: .venv/installed-dev
	-@PYTHONPATH=. $(BIN)/python benchmarks/identity.py
	-@PYTHONPATH=. $(BIN)/python benchmarks/usage.py
	-@$(BIN)/pytest --quiet benchmarks/test_authentication_cost.py benchmarks/test_rate_limit_cost.py benchmarks/test_ledger_cost.py

profile: .venv/installed-dev
	-@PYTHONPATH=. $(BIN)/python benchmarks/profile_hot_path.py

compose-test: .venv/installed-dev
	$(BIN)/pytest tests/e2e -m compose

fmt: .venv/installed-dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

snapshots: .venv/installed-dev
	SYNAPSCALE_WRITE_SNAPSHOTS=1 $(BIN)/pytest --quiet tests/contract

requirements: .venv/installed-dev
	$(EXPORT) --output-file requirements.txt

# Compiled once, here: a start that finds no bytecode takes 2.5 times as long, and where PYTHONDONTWRITEBYTECODE is set
# (in containers, mostly) so would every one.
SYNC := $(BIN)/uv sync --quiet --frozen --inexact --compile-bytecode
COMPILE = @$(BIN)/python -m compileall -q *-service api-gateway launcher shared migrations

# The stamps are older than the lock where something may have to be installed; a second `make up` skips all of this.

.venv/installed: $(LOCK) | .venv/bin/uv
	$(SYNC) --no-dev
	$(COMPILE)
	@touch $@

.venv/installed-dev: $(LOCK) | .venv/bin/uv
	$(SYNC)
	$(COMPILE)
	@touch $@ .venv/installed

clients-installed: .venv/installed-clients tests/clients/node/node_modules/installed

.venv/installed-clients: $(LOCK) .venv/installed-dev
	$(SYNC) --group clients
	@touch $@

tests/clients/node/node_modules/installed: tests/clients/node/package-lock.json
	npm ci --prefix tests/clients/node --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

.venv/bin/uv: | .venv/bin/pip
	$(BIN)/pip install --quiet --disable-pip-version-check "$$(sed -n 's/.*"\(uv==[^"]*\)".*/\1/p' pyproject.toml)"

# PYTHON=… chooses another one than the first that is new enough.
.venv/bin/pip:
	@for python in $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11); do \
	  if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo 'SynapScale needs Python 3.11 or newer, and there is none on the PATH. Install it, or name it: make PYTHON=/path/to/python3'; exit 1; \
	fi; \
	if ! $$found -c 'import venv, ensurepip' 2>/dev/null; then \
	  echo "$$found lacks venv or pip. On Debian and Ubuntu: sudo apt install python3-venv"; exit 1; \
	fi; \
	echo "Installing into .venv with $$($$found --version)"; \
	$$found -m venv .venv
