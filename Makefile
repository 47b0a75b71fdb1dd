# Each target makes .venv and installs what it needs; a second call does not reinstall.
PYTHON ?= python3
EXTRAS ?= dev
PORT ?= 3000
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed-$(EXTRAS)
export DAGSTER_HOME ?= $(CURDIR)/dagster_home

.PHONY: install demo ui check test lint docs bench clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[$(EXTRAS)]'
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/python -m ecg_assets.defs.demo

ui: $(STAMP)
	$(BIN)/python -m ecg_assets.defs.ui --port $(PORT)

check: $(STAMP)
	$(BIN)/dg check defs

test: $(STAMP)
	$(BIN)/python -m pytest --numprocesses 2

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# A site of the pages in docs, in `site`. The banner is an advertisement of the theme's authors.
docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: $(STAMP)
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) data site .mypy_cache .ruff_cache .pytest_cache
	git clean -fdXq dagster_home
