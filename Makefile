# The targets that need packages make .venv first, or anew where setup.cfg or constraints.txt changed.
PYTHON ?= python3
VENV := $(CURDIR)/.venv
CURRENT := $(VENV)/.current
# where `make test-python` keeps the environments of other Pythons
VENVS := $(CURDIR)/.venvs

export PATH := $(VENV)/bin:$(PATH)
# two threads that fight for a busy core were seen ten times slower than one
export OMP_NUM_THREADS ?= 1

.PHONY: env scm demo demo-again test lint types links slow wheel coverage test-python check bench clean

env: $(CURRENT)

$(CURRENT): setup.cfg pyproject.toml constraints.txt
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: scm env
	dvc repro
	@dsa-data sheet --dataset synthetic
	@dsap show --dataset synthetic
	@dsa-train show-batch --params params.yaml
	@dsa-train report --params params.yaml

# DVC asks for git; the sources may have come as a ZIP
scm:
	@test -e .git || printf '[core]\n    no_scm = true\n' > .dvc/config.local

# what is up to date is not made again
demo-again: env
	dvc repro | grep "up to date"

test: env
	pytest -m "not slow"

lint: env
	ruff format --check .
	ruff check .

types: env
	mypy

# the links and anchors of every document; they are among the quick tests
links: env
	pytest tests/test_links.py

# the tests that take longer, but for the wheel's
slow: env
	pytest -m slow --ignore tests/test_wheel.py

# the source distribution and the wheel, in dist/, and their tests in fresh environments
wheel: env
	rm -rf build dist
	python -c "import setuptools.build_meta as backend; backend.build_sdist('dist')" >/dev/null
	pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist dist/*.tar.gz
	pytest tests/test_wheel.py

# the quick tests, and which lines they run; fails below the floor in pyproject.toml
coverage: env
	coverage run -m pytest -m "not slow"
	coverage report

# the quick tests on another Python: make test-python PYTHON=python3.12 VENVS=/tmp/venvs
test-python:
	$(MAKE) test VENV=$(VENVS)/$$($(PYTHON) -c "import sys; print('python%d.%d' % sys.version_info[:2])")

check: lint types test

bench: env
	for script in benchmarks/*.py; do python $$script || exit 1; done

clean:
	rm -rf .venv .venvs build dist *.egg-info .coverage .pytest_cache .mypy_cache .ruff_cache .hypothesis artifacts datasets/synthetic
