# make run · make test · make check · make audit · make e2e · make chaos · make soak · make fuzz · make bench: each sets
# up what it needs first.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

# The tests start hundreds of processes: none of them shall compile again what another has compiled.
unexport PYTHONDONTWRITEBYTECODE

# Most tests wait for a server or a page most of the time, so four processes keep two cores busy. The tests of a file
# stay together, for they share servers. Those that hold seconds to the tenth come after the others, alone.
TOGETHER := -n 4 --dist loadfile --no-loadscope-reorder -m "not alone and not heavy"

.PHONY: help run test check audit e2e chaos soak fuzz bench wheel clean
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
	@scripts/services.sh chromium redis-server postgresql nginx curl
	@$(if $(ARGS),$(BIN)/python -m pytest $(ARGS),$(BIN)/python -m pytest $(TOGETHER) && $(BIN)/python -m pytest -m alone)

check: $(VENV)/.made ## lint, types, the order of the imports, and what opens a door
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/bandit --quiet --recursive --configfile pyproject.toml persona_stream

# Strict, because a package that nobody could look up would count as harmless; and so without our own, which is nowhere.
audit: $(VENV)/.made ## ask the network whether what is installed has known holes
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[audit]'
	@mkdir -p build && $(BIN)/python -m pip freeze --quiet --exclude-editable > build/installed.txt
	@$(BIN)/pip-audit --strict --no-deps --disable-pip --progress-spinner off --requirement build/installed.txt

e2e: $(VENV)/.made ## run against servers and clients that are not ours, and the snippets of docs/CLIENTS.md
	@scripts/services.sh chromium curl npm
	@scripts/e2e.sh $(ARGS)

chaos: $(VENV)/.made ## strike servers and Redis at random, then have 100,000 clients vanish, from a seed that is printed
	@scripts/services.sh redis-server
	@$(BIN)/python -m tests.faults.chaos $(ARGS)

soak: $(VENV)/.made ## have one server do all there is for half an hour, from a seed that is printed, and count what is left
	@$(BIN)/python -m tests.faults.soak --seconds 1800 $(ARGS)

fuzz: $(VENV)/.made ## try what nobody has thought of, for FUZZ_S seconds (60), from a seed that is printed
	@scripts/fuzz.sh $(ARGS)

bench: $(VENV)/.made ## measure ourselves beside our peers, and write docs/BENCHMARKS.md
	@scripts/bench.sh $(ARGS)

wheel: $(VENV)/.made ## build the wheel
	@$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps -w dist .

clean: ## remove what was made
	rm -rf $(VENV) .venv-* build dist *.egg-info
