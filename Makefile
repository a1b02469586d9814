# make repro   set up, then run the study of params.yaml
# make demo    set up, then show the model a hand in the browser (after make repro)
# make test    set up, then run every test
# make lint    check style and format
# Both of the first are safe to repeat: nothing that is there is installed again.

PYTHON ?= python3
BIN := .venv/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
STUDY := .venv/study
INSTALLED := .venv/installed

.PHONY: repro demo test lint setup
.DEFAULT_GOAL := repro

setup: $(INSTALLED)

# What the study needs. This pip takes half the time of the one that a Python brings. Python compiles what it imports as
# it does: most modules of these packages are never imported.
$(STUDY): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python 3.11 or later is needed, this is " + sys.version.split()[0] + ". Name another: make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP_INSTALL) pip==26.3
	$(PIP_INSTALL) --no-compile --constraint requirements.lock --editable '.[vlm,gpu,erasure,judge,sae]'
	touch $@

# With the demo, and what tests need.
$(INSTALLED): $(STUDY)
	$(PIP_INSTALL) --no-compile --constraint requirements.lock --editable '.[vlm,gpu,erasure,demo,judge,sae,dev]'
	touch $@

repro: $(STUDY)
	PATH="$(CURDIR)/$(BIN):$$PATH" dvc repro

demo: setup
	$(BIN)/python -m signbridge.demo

test: setup
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	PATH="$(CURDIR)/$(BIN):$$PATH" python -m pytest

lint: setup
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format .
