# Two commands matter: `make demo` and `make test`. Everything is installed into $(VENV).

PYTHON ?= python3
VENV ?= .venv
TORCH_VERSION := 2.13.0
# On this platform the plain package holds CUDA libraries of several gigabytes; ask for the CPU build.
ifeq ($(shell uname -sm),Linux x86_64)
TORCH ?= torch==$(TORCH_VERSION)+cpu
else
TORCH ?= torch==$(TORCH_VERSION)
endif

RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip --disable-pip-version-check

.PHONY: help demo test test-scatter docs bench accuracy tables clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

demo: $(VENV)/.demo ## Train, organise and cut a network of digits; look at runs/demo/report.html
	$(RUN) -m pyg_modules train --dataset digits --num-modules 4 --out runs/demo

test: $(VENV)/.test ## Format check, lint, order of imports, types, docstrings, tests and documentation
	$(RUN) -m ruff format --check .
	$(RUN) -m ruff check .
	$(VENV)/bin/lint-imports --no-cache
	$(RUN) -m mypy
	$(RUN) -m interrogate --quiet pyg_modules
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n 2 --dist loadfile
	$(MAKE) docs

docs: $(VENV)/.docs ## Build the documentation; look at build/docs/index.html
	$(RUN) -m sphinx -q -E -a -W --keep-going -n -c docs . build

test-scatter: $(VENV)/.test ## The tests of the backends again, with torch-scatter (built once, 5 minutes)
	$(PIP) install --quiet setuptools wheel
	$(PIP) install --quiet --no-build-isolation torch-scatter
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n 2 --dist loadfile tests/ops tests/solve/test_unrolled.py \
		tests/nn/test_synchronous_graph.py tests/modules/test_cut_and_split.py

bench: $(VENV)/.bench ## Measure the speed against every peer again, then write the tables
	$(RUN) -m benchmarks.speed
	$(RUN) -m benchmarks.speed.plan
	$(RUN) -m benchmarks.speed.generators
	$(RUN) -m benchmarks.report
	$(RUN) -m benchmarks.tables

accuracy: $(VENV)/.test ## Measure every accuracy again, then write the tables
	$(RUN) -m benchmarks.accuracy.digits
	$(RUN) -m benchmarks.accuracy.exactness
	$(RUN) -m benchmarks.accuracy.mnist1d
	$(RUN) -m benchmarks.accuracy.partition
	$(RUN) -m benchmarks.accuracy.partition.grid
	$(RUN) -m benchmarks.accuracy.comparison
	$(RUN) -m benchmarks.accuracy.comparison.frontier
	$(RUN) -m benchmarks.tables

tables: $(VENV)/.test ## Write the tables of all pages from the committed results
	$(RUN) -m benchmarks.tables

clean: ## Remove the environment and what was built
	rm -rf .venv build dist runs .mypy_cache .pytest_cache .ruff_cache .hypothesis

# An environment that already has torch keeps it: make demo VENV=path/to/environment
$(VENV)/.torch:
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(RUN) -c "import torch" 2>/dev/null || $(PIP) install "$(TORCH)" || { \
	  echo; \
	  echo "pip found no $(TORCH). Either tell pip where PyTorch's CPU builds are (the index that"; \
	  echo "https://pytorch.org/get-started/locally names for 'Pip' and 'CPU'):"; \
	  echo "    PIP_EXTRA_INDEX_URL=<index> make demo"; \
	  echo "or take the default build, which may be several gigabytes:"; \
	  echo "    make demo TORCH=torch==$(TORCH_VERSION)"; \
	  exit 1; }
	touch $@

$(VENV)/.demo: $(VENV)/.torch pyproject.toml
	$(PIP) install --quiet -e ".[train,report]"
	touch $@

$(VENV)/.docs: $(VENV)/.test
	$(PIP) install --quiet -e ".[docs]"
	touch $@

$(VENV)/.bench: $(VENV)/.test
	$(PIP) install --quiet -e ".[bench]"
	touch $@

$(VENV)/.test: $(VENV)/.torch pyproject.toml
	$(PIP) install --quiet -e ".[test]"
	touch $@
