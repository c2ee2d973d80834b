# Two commands matter: `make demo` and `make test`. Everything is installed into $(VENV).

PYTHON ?= python3
VENV ?= .venv
TORCH ?= torch==2.13.0

RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip --disable-pip-version-check

.PHONY: help demo test check suite docs test-scatter dist bench accuracy tables clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

demo: $(VENV)/.demo ## Train, organise and cut a network of digits; look at runs/demo/report.html
	$(RUN) -m pyg_modules train --dataset digits --num-modules 4 --out runs/demo --overwrite

test: check suite docs ## All of the following; side by side with make --jobs 2 test

check: $(VENV)/.docs ## Format check, lint, order of imports, types and docstrings
	$(RUN) -m ruff format --check .
	$(RUN) -m ruff check .
	$(VENV)/bin/lint-imports --no-cache
	$(RUN) -m mypy
	$(RUN) -m interrogate --quiet pyg_modules

suite: $(VENV)/.docs ## The tests
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 0

docs: $(VENV)/.docs ## Build the documentation; look at build/docs/index.html
	$(RUN) -m sphinx -q -E -a -W --keep-going -n -c docs . build

test-scatter: $(VENV)/.test ## The tests of the backend scatter again, with torch-scatter (built once, 5 minutes)
	$(PIP) install --quiet setuptools wheel
	printf '[build_ext]\nparallel = 2\n' > $(VENV)/build.cfg
	DIST_EXTRA_CONFIG=$(abspath $(VENV)/build.cfg) \
		$(PIP) install --quiet --no-build-isolation torch-scatter
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n 2 --dist loadfile --max-worker-restart 0 -k scatter tests/ops tests/solve \
		tests/nn tests/modules

bench: $(VENV)/.bench ## Measure the speed against every peer again, then write the tables
	$(RUN) -m benchmarks.speed
	$(RUN) -m benchmarks.speed.plan
	$(RUN) -m benchmarks.speed.generators
	$(RUN) -m benchmarks.speed.neighbours
	$(RUN) -m benchmarks.speed.first_use
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
	$(RUN) -m benchmarks.accuracy.comparison.classical
	$(RUN) -m benchmarks.accuracy.cut_costs
	$(RUN) -m benchmarks.accuracy.additive
	$(RUN) -m benchmarks.accuracy.changing
	$(RUN) -m benchmarks.accuracy.alternating
	$(RUN) -m benchmarks.accuracy.rules
	$(RUN) -m benchmarks.accuracy.images --search
	$(RUN) -m benchmarks.accuracy.images
	$(RUN) -m benchmarks.accuracy.sparsity
	$(RUN) -m benchmarks.accuracy.initialisation
	$(RUN) -m benchmarks.accuracy.topology
	$(RUN) -m benchmarks.accuracy.propagation
	$(RUN) -m benchmarks.accuracy.citation
	$(RUN) -m benchmarks.accuracy.extrapolation
	$(RUN) -m benchmarks.tables

tables: $(VENV)/.test ## Write the tables of all pages from the committed results
	$(RUN) -m benchmarks.tables

dist: $(VENV)/.test ## Build wheel and source distribution; install each where nothing else is, and use it
	rm -rf build/clean dist
	$(PIP) install --quiet build
	$(RUN) -m build --outdir dist
	mkdir -p build/clean && tar -xf dist/*.tar.gz -C build/clean --strip-components 1
	for file in dist/*.whl dist/*.tar.gz; do \
	  $(PYTHON) -m venv --clear --without-pip build/clean/venv && \
	  $(PIP) --python build/clean/venv install --quiet --no-deps $$file && \
	  (cd build/clean/venv && bin/pyg-modules --help >/dev/null && \
	    PYTHONPATH=$$($(abspath $(RUN)) -c "import sysconfig; print(sysconfig.get_path('purelib'))") \
	    bin/pyg-modules datasets) || exit 1; \
	done
	cd build/clean && PYTHONPATH=. $(abspath $(RUN)) -m pytest -q tests/graph tests/test_lazy.py \
		--ignore tests/graph/test_generators.py

clean: ## Remove the environment and what was built
	rm -rf .venv build dist runs .mypy_cache .pytest_cache .ruff_cache .hypothesis

# The torch that is there (make demo VENV=path/to/environment), or the build for the CPU, where pip
# finds one, or the default package. Never a question.
$(VENV)/.torch:
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(RUN) -c "import torch" 2>/dev/null || $(PIP) install --quiet "$(TORCH)+cpu" 2>/dev/null || { \
	  echo "Installing the default build of torch: on Linux it is large, with CUDA. The small one: PIP_EXTRA_INDEX_URL=INDEX make, with the index that https://pytorch.org/get-started/locally names for Pip and CPU."; \
	  $(PIP) install --quiet "$(TORCH)"; }
	touch $@

$(VENV)/.demo: $(VENV)/.torch pyproject.toml
	$(PIP) install --quiet -e ".[train,report]"
	touch $@

# What is installed is away for a moment, so the tests wait for all of it.
$(VENV)/.docs: $(VENV)/.torch pyproject.toml
	$(PIP) install --quiet --no-compile -e ".[test,docs]"
	touch $(VENV)/.test $@

$(VENV)/.bench: $(VENV)/.test
	$(PIP) install --quiet -e ".[bench]"
	touch $@

$(VENV)/.test: $(VENV)/.torch pyproject.toml
	$(PIP) install --quiet --no-compile -e ".[test]"
	touch $@
