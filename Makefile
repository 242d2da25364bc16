# up: set up and run all of it, Ctrl-C stops it      test: set up and run the tests [ARGS="-k name"]
# check: lint, types, contracts, SQL, locks          bench: figures as JSON lines [ONLY=name]
# lock: renew requirements/ from pyproject.toml      manifest: list package's and shop's migrations for deployments
# clean: remove what the others made, data included
#
# The stamps in .venv say what is installed; a second run finds them and is instant.

VENV := .venv
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip --disable-pip-version-check --quiet
ONLY :=
ARGS :=
# Each is tried; `make PYTHON=/path/to/python up` names another.
PYTHON := python3 python3.14 python3.13 python3.12 python3.11
LOCK := $(RUN) -m uv pip compile pyproject.toml requirements/build.in --quiet --upgrade \
	--python-version 3.11 --universal --generate-hashes --no-header --no-annotate

.DELETE_ON_ERROR:
.PHONY: up test check bench lock manifest clean

up: $(VENV)/local
	@exec $(RUN) -m penstock.cli up

test: $(VENV)/dev
	@exec $(RUN) -m pytest --numprocesses auto $(ARGS)

check: $(VENV)/dev
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(VENV)/bin/lint-imports
	$(VENV)/bin/squawk supabase/migrations/*.sql
	$(RUN) -m pytest --quiet tests/unit/test_requirements.py tests/repository/test_deployment_files.py

bench: $(VENV)/dev
	@exec $(RUN) -m benchmarks $(ONLY)

lock: $(VENV)/dev
	$(LOCK) --extra local --output-file requirements/local.txt
	$(LOCK) --extra local --extra dev --constraint requirements/local.txt --output-file requirements/dev.txt

manifest: $(VENV)/local
	@exec $(RUN) -m penstock.postgres.migrations shop

# The data may be outside the project (see penstock/local/postgres.py), so Postgres is asked to go first.
clean:
	@if [ ! -e .penstock/postgres ]; then :; \
	elif [ -e $(VENV)/local ]; then $(RUN) -m penstock.local.postgres remove; \
	else rm -rf "$$(readlink .penstock/postgres/home)"; fi
	rm -rf .penstock $(VENV) *.egg-info build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/local: requirements/local.txt pyproject.toml | $(VENV)/bin/python
	@echo 'penstock: installing the dependencies into $(VENV)'
	@$(PIP) install --require-hashes -r requirements/local.txt
	@$(PIP) install --no-build-isolation --no-deps --editable .
	@touch $@

$(VENV)/dev: requirements/dev.txt $(VENV)/local
	@echo 'penstock: installing the tools for development into $(VENV)'
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@

$(VENV)/bin/python:
	@for python in $(PYTHON); do \
	  $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	  if $$python -c 'import ensurepip' 2>/dev/null; then exec $$python -m venv --clear $(VENV); fi; \
	  echo "penstock: $$python cannot make virtual environments: install its venv package (Debian: python3-venv)" >&2; \
	  exit 1; \
	done; \
	echo 'penstock: needs Python 3.11 or newer; found none among: $(PYTHON) (make PYTHON=/path/to/python names another)' >&2; \
	exit 1
