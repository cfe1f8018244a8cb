# The verbs of this repository. `make run` and `make test` need nothing but Python 3.11+ and make.
# PYTHON names another interpreter to begin with; PIP_* settings are honoured.

VENV := .venv
READY := $(VENV)/.ready
BIN := $(VENV)/bin
BRIEF ?= deploy/examples/campaign.yaml
PYTHONS := $(PYTHON) python3.13 python3.12 python3.11 python3

.DEFAULT_GOAL := help
.PHONY: help setup run up down test prove bench check format flow documents lock

help: ## Say what the verbs are
	@sed -n 's/^\([a-z]*\):.*## /\1	/p' Makefile

setup: $(READY) ## Make .venv from the hashed lock

$(READY): requirements.lock pyproject.toml
	@for python in $(PYTHONS); do \
		if "$$python" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
			exec "$$python" -I deploy/install.py $(VENV); \
		fi; \
	done; \
	echo "Python 3.11 or newer with its venv module is needed, and none was found (tried: $(PYTHONS));" \
		"install one (on Debian: python3-venv too), or name it: make PYTHON=/path/to/python3.11" >&2; \
	exit 1

run: $(READY) ## Run the example campaign on the embedded stack, approving it
	@$(BIN)/soma run $(BRIEF) --approve

up: $(READY) ## Start the embedded stack
	@$(BIN)/soma up --detach

down: $(READY) ## Stop the embedded stack; nothing is lost
	@$(BIN)/soma down

test: $(READY) ## Run every test
	@$(BIN)/python -m pytest

prove: $(READY) ## Prove the promises, in less than an hour: simulated and with real faults, on one broker and on three
	@$(BIN)/python -m tests.prove

bench: $(READY) ## Measure it all into tests/benchmarks/results; about a quarter of an hour
	@$(BIN)/python -m tests.benchmarks

check: $(READY) ## Format, lint, types, layers, and that every generated file is fresh
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python -m consumers.documents --check
	@$(BIN)/python -m deploy.flow_map --check README.md

format: $(READY) ## Format, and mend what can be mended
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

flow: $(READY) ## Draw the flow maps into the README
	@$(BIN)/python -m deploy.flow_map --write README.md

documents: $(READY) ## Write AsyncAPI and JSON Schema from the message classes
	@$(BIN)/python -m consumers.documents --write

# The compile command's own line would name the options; with an index among them, its address.
lock: $(READY) ## Resolve the dependencies anew
	@UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --extra dev \
		--generate-hashes --no-emit-index-url --no-emit-find-links --output-file requirements.lock pyproject.toml
