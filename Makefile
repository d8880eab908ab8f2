# Everything runs in .venv, which the first target that needs it makes. PYTHON is any Python 3.11 or 3.12.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO_OUT ?= demo_out

.PHONY: demo test lint bench install clean help

help:
	@echo "make demo   build the planted world's graph, predict unseen perturbations, write the page (demo_out/index.html)"
	@echo "make test   run the test suite"
	@echo "make lint   ruff and pyright"
	@echo "make bench  the speed benchmarks (pytest-benchmark)"

$(STAMP): pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing gnnvcell into $(VENV) (first time: a few minutes)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	@touch $@

install: $(STAMP)

demo: $(STAMP)
	$(BIN)/gnnvcell demo --out $(DEMO_OUT)

test: $(STAMP)
	$(BIN)/python -m pytest -q -n 2

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/pyright

bench: $(STAMP)
	$(BIN)/python -m pytest benchmarks/speed --benchmark-only --benchmark-group-by=group -q

clean:
	rm -rf $(VENV) $(DEMO_OUT) .pytest_cache .ruff_cache .benchmarks
