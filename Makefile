# make run · make test · make check · make e2e · make chaos · make bench: each sets up what it needs first.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

# The tests start hundreds of processes: none of them shall compile again what another has compiled.
unexport PYTHONDONTWRITEBYTECODE

# Most tests wait for a server or a page most of the time, so four processes keep two cores busy. The tests of a file
# stay together, for they share servers. Those that hold seconds to the tenth come after the others, alone.
TOGETHER := -n 4 --dist loadfile --no-loadscope-reorder -m "not alone"

.PHONY: help run test check e2e chaos bench wheel clean
.DEFAULT_GOAL := help

help: ## say what can be made
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

# The environment is made again whenever what it is made from changes.
$(VENV)/.made: setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("persona_stream needs Python 3.11 or newer: make PYTHON=python3.11 ...") if sys.version_info < (3, 11) else 0'
	@echo "Setting up $(VENV) (once; about a minute) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test,check]'
	@touch $@

run: $(VENV)/.made ## serve the demo persona on http://127.0.0.1:5001
	@exec $(BIN)/persona-stream serve

test: $(VENV)/.made ## run the tests
	@scripts/services.sh chromium redis-server nginx curl
	@$(if $(ARGS),$(BIN)/python -m pytest $(ARGS),$(BIN)/python -m pytest $(TOGETHER) && $(BIN)/python -m pytest -m alone)

check: $(VENV)/.made ## lint, types, and the order of the imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

e2e: $(VENV)/.made ## run against servers and clients that are not ours, each in an environment of its own
	@scripts/services.sh npm
	@scripts/e2e.sh $(ARGS)

chaos: $(VENV)/.made ## strike servers and Redis at random for five minutes, from a seed that is printed
	@scripts/services.sh redis-server
	@$(BIN)/python -m tests.faults.chaos $(ARGS)

bench: $(VENV)/.made ## measure ourselves beside our peers, and write docs/BENCHMARKS.md
	@scripts/bench.sh $(ARGS)

wheel: $(VENV)/.made ## build the wheel
	@$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps -w dist .

clean: ## remove what was made
	rm -rf $(VENV) .venv-* build dist *.egg-info
