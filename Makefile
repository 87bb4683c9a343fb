# Each target sets up its environment first, with the versions locked in requirements/.
PYTHON ?= python3
# NEWEST=1 installs the newest versions that setup.cfg allows, in a separate environment: make test NEWEST=1
VENV   := $(if $(NEWEST),.venv-newest,.venv)
BIN    := $(VENV)/bin
PIP    := $(if $(NEWEST),,PIP_CONSTRAINT=requirements/dev.txt) $(BIN)/python -m pip --disable-pip-version-check
LOCKED := setup.cfg pyproject.toml $(if $(NEWEST),newest,requirements/dev.txt)

# The tests start hundreds of Python processes, which must share compiled bytecode.
unexport PYTHONDONTWRITEBYTECODE

# Most tests wait for a server or a page, so five processes keep two cores busy. Tests of one file share servers and
# stay in one process. Tests marked `alone` measure tenths of seconds or memory, and run afterwards, one at a time.
PARALLEL := -n 5 --dist loadfile --no-loadscope-reorder -m "not alone and not heavy"

.PHONY: help run test check docs lock vendor audit e2e chaos soak fuzz bench wheel clean newest
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

# The environment is updated whenever its inputs change. `make run` installs neither test nor lint tools.
$(VENV)/.run: $(LOCKED)
	@$(PYTHON) -c 'import sys; sys.exit("persona_stream needs Python 3.11 or newer: make PYTHON=python3.11 ...") if sys.version_info < (3, 11) else 0'
	@echo "Setting up $(VENV) (once; less than a minute on a fast connection) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --upgrade --upgrade-strategy eager -e '.[all]'
	@touch $@

$(VENV)/.made: $(VENV)/.run
	@echo "Adding test and lint tools to $(VENV) (once; about a minute) ..."
	@$(PIP) install --quiet --upgrade --upgrade-strategy eager -e '.[test,check]'
	@touch $@

run: $(VENV)/.run ## serve the demo personas on http://127.0.0.1:5001
	@exec $(BIN)/persona-stream serve

test: $(VENV)/.made ## run the tests; ARGS="tests/core -k late" runs some, NEWEST=1 uses the newest dependencies
	@scripts/services.sh chromium redis-server postgresql nginx curl
	@$(if $(ARGS),$(BIN)/python -m pytest $(ARGS),$(BIN)/python -m pytest $(PARALLEL) && $(BIN)/python -m pytest -m alone)

check: $(VENV)/.made ## run the linters: style, docstrings, types, import layers, wording, security
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python scripts/vague_words.py persona_stream
	@$(BIN)/bandit --quiet --recursive --configfile pyproject.toml persona_stream

docs: $(VENV)/.run ## build the documentation as a site in build/site, and check its links
	@scripts/docs.sh $(ARGS)

lock: ## renew the locked versions in requirements/
	@PYTHON=$(PYTHON) scripts/lock.sh

vendor: ## renew the third-party scripts of the pages (needs npm)
	@scripts/vendor.sh

# --strict, because an unknown package would otherwise pass; persona_stream itself is on no index and is left out.
audit: $(VENV)/.made ## check the installed packages for known vulnerabilities (uses the network)
	@$(PIP) install --quiet -e '.[audit]'
	@mkdir -p build && $(BIN)/python -m pip freeze --quiet --exclude-editable > build/installed.txt
	@$(BIN)/pip-audit --strict --no-deps --disable-pip --progress-spinner off --requirement build/installed.txt

e2e: $(VENV)/.made ## test with third-party servers, SDKs and the snippets of docs/CLIENTS.md; docs site; property tests; a short fuzz
	@scripts/services.sh chromium curl golang-go nginx npm rabbitmq-server redis-server
	@scripts/e2e.sh $(ARGS)

chaos: $(VENV)/.made ## kill servers and Redis at random, let 100,000 clients vanish, run faulty backends; prints its seed
	@scripts/services.sh redis-server
	@$(BIN)/python -m tests.faults.chaos $(ARGS)

soak: $(VENV)/.made ## load one server with mixed traffic for half an hour and check for leaks; prints its seed
	@$(BIN)/python -m tests.faults.soak --seconds 1800 $(ARGS)

fuzz: $(VENV)/.made ## fuzz the HTTP API and the parsers for FUZZ_S seconds (60); prints its seed
	@scripts/fuzz.sh $(ARGS)

bench: $(VENV)/.made ## measure the server beside its peers and write docs/BENCHMARKS.md
	@scripts/bench.sh $(ARGS)

wheel: ## build wheel and source distribution into dist/, check them, and try the wheel in an empty environment
	@PYTHON=$(PYTHON) scripts/wheel.sh

clean: ## remove environments and build output
	rm -rf .venv .venv-* build dist *.egg-info

newest:
