# Everything runs in .venv, which the first target that needs it makes. PYTHON is any Python 3.11 or 3.12.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BENCH_STAMP := $(VENV)/.installed_bench
DEMO_OUT ?= demo_out

.PHONY: demo test lint bench install clean help

help:
	@echo "make demo   build the planted world's graph, predict unseen perturbations, write the page (demo_out/index.html)"
	@echo "make test   run the test suite"
	@echo "make lint   ruff and pyright"
	@echo "make bench  the speed benchmarks, against DGL, PyG, pandas and networkx"

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

$(BENCH_STAMP): $(STAMP)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev,bench]"
	@touch $@

# Allocators that give memory back and take it again hide what kernels cost; the run-time type checks of the tests too.
bench: $(BENCH_STAMP)
	MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=17179869184 $(BIN)/python -m pytest benchmarks/speed -q \
	    --override-ini addopts="--import-mode=importlib --strict-markers" --benchmark-only --benchmark-group-by=group \
	    --engine-table=benchmarks/engine_table.md

clean:
	rm -rf $(VENV) $(DEMO_OUT) .pytest_cache .ruff_cache .benchmarks
