# make run   the two example cases, rendered          make test  everything but the benchmarks
# make lab   JupyterLab on the notebooks               make bench tests/benchmarks, peers in environments of their own
# Each sets up .venv by itself, once.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
JOBS ?= 2

export JUPYTER_PLATFORM_DIRS := 1
export OPENBLAS_NUM_THREADS := 1
export OMP_NUM_THREADS := 1
export MKL_NUM_THREADS := 1

.PHONY: run test lint unit notebooks lab bench clean constraints
.DELETE_ON_ERROR:

run: $(VENV)/.ready-run
	$(BIN)/kpitoolkit run parameters/netflix-2017Q3 --jobs $(JOBS)
	$(BIN)/kpitoolkit run parameters/sample-2026Q3 --language it --jobs $(JOBS)
	@echo
	@echo "Open outputs/netflix-2017Q3/index.html and outputs/sample-2026Q3/index.html in a browser."

test: lint unit notebooks

lint: $(VENV)/.ready-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

unit: $(VENV)/.ready-test
	$(BIN)/python -m pytest -q -n $(JOBS) --dist loadscope --doctest-modules kpitoolkit tests

notebooks: $(VENV)/.ready-test
	$(BIN)/python tests/notebooks_check.py --jobs $(JOBS)

lab: $(VENV)/.ready-run
	$(BIN)/jupyter-lab --notebook-dir=. notebooks/explore.ipynb

bench: $(VENV)/.ready-test
	@set -e; for script in tests/benchmarks/*.py; do echo "== $$script"; PYTHONPATH=. $(BIN)/python $$script; done

# what the tests need contains what the run needs
$(VENV)/.ready-run: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) install --quiet --constraint constraints.txt --editable .
	$(BIN)/python -m compileall -q $(VENV)/lib > /dev/null || true
	@touch $@

$(VENV)/.ready-test: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) install --quiet --constraint constraints.txt --editable '.[test]'
	$(BIN)/python -m compileall -q $(VENV)/lib > /dev/null || true
	@touch $@ $(VENV)/.ready-run

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "kpitoolkit needs Python 3.11 or newer: make PYTHON=python3.12"; exit 2; }
	@$(PYTHON) -m venv $(VENV) \
	  || { rm -rf $(VENV); echo "Python's venv module is missing: apt-get install python3-venv"; exit 2; }

# Pins every package of all extras anew, from what installs and works together today.
constraints:
	rm -rf .benchmarks/constraints && $(PYTHON) -m venv .benchmarks/constraints
	.benchmarks/constraints/bin/python -m pip install --quiet '.[postgres,spark,cluster,s3,pdf,test]'
	.benchmarks/constraints/bin/python -m pip freeze --exclude kpitoolkit > constraints.txt

clean:
	rm -rf $(VENV) .benchmarks .pytest_cache .ruff_cache .hypothesis
