# Every task of the project. `make` alone lists them.
PYTHON := .venv/bin/python
PACKAGES := schema bus engine frontend redirector eventhub worker_sim xenops
TEST_DIRECTORIES := $(wildcard shared/*/tests services/*/tests clients/tests tools/tests)
DIR ?= ../shared/golden

.DEFAULT_GOAL := help
.PHONY: help setup test unit integration check format lint types imports sizes isolate coverage golden bench clean

help: ## List the tasks
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Install what is missing, build the Python environment
	@python3 tools/setup.py

test: unit integration ## All tests, against the real parts

unit:
	@$(PYTHON) -m pytest -q -n 2 $(TEST_DIRECTORIES)

integration:
	@$(PYTHON) -m pytest -q tests/integration

check: format lint types imports sizes golden coverage isolate ## All gates

format:
	@.venv/bin/ruff format --check .

lint:
	@.venv/bin/ruff check .

types:
	@.venv/bin/mypy $(addprefix -p ,$(PACKAGES))
	@.venv/bin/mypy tools bench
	@for directory in $(TEST_DIRECTORIES) tests/integration; do .venv/bin/mypy $$directory || exit 1; done

imports:
	@.venv/bin/lint-imports

sizes:
	@$(PYTHON) tools/sizes.py

coverage:
	@$(PYTHON) tools/coverage_gate.py $(TEST_DIRECTORIES)

isolate: ## Each distribution installs alone and imports
	@$(PYTHON) tools/isolate.py

golden: ## Check the wire encoding against a corpus: make golden DIR=…
	@$(PYTHON) -m schema.golden $(DIR)

bench: ## Run every benchmark and print its figures
	@for script in bench/bench_*.py; do echo "== $$script"; $(PYTHON) $$script || exit 1; done

clean: ## Remove what was built
	@rm -rf var .venv .mypy_cache .ruff_cache .pytest_cache .coverage
