# The targets that need packages make .venv first, or anew where setup.cfg or requirements.lock changed.
PYTHON ?= python3
VENV := $(CURDIR)/.venv
CURRENT := $(VENV)/.current
# where `make test-python` keeps the environments of other Pythons
VENVS := $(CURDIR)/.venvs
# what `make lock` and `make audit` need, in an environment of its own
TOOLS := $(VENVS)/tools
TOOL_PACKAGES := uv==0.13.9 pip-audit==2.10.1

export PATH := $(VENV)/bin:$(PATH)
# two threads that fight for a busy core were seen ten times slower than one
export OMP_NUM_THREADS ?= 1

.PHONY: env lock audit scm demo demo-again test lint types links slow faults wheel coverage test-python check bench clean

env: $(CURRENT)

# every file that is installed has one of the SHA-256 in the lock file; nothing else is fetched to build the project
$(CURRENT): setup.cfg pyproject.toml requirements.lock
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

# requirements.lock anew: the versions of constraints.txt for Python 3.11 and later, with the hashes of all their files
lock: $(TOOLS)
	$(TOOLS)/bin/uv pip compile setup.cfg --extra dev --constraint constraints.txt --universal --python-version 3.11 \
		--generate-hashes --no-annotate --custom-compile-command 'make lock' --quiet --output-file requirements.lock

# known vulnerabilities of the locked versions; fails where one is found, or a package cannot be looked up
audit: $(TOOLS)
	$(TOOLS)/bin/pip-audit --strict --require-hashes --disable-pip --requirement requirements.lock

$(TOOLS):
	$(PYTHON) -m venv $@
	$@/bin/pip install --quiet --disable-pip-version-check $(TOOL_PACKAGES) || { rm -rf $@; false; }

demo: scm env
	dvc repro
	@dsa-data sheet --dataset synthetic
	@dsap show --dataset synthetic
	@dsa-train show-batch --params params.yaml
	@dsa-train report --params params.yaml --html

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

# the tests that take longer, but for those of `make faults` and `make wheel`
slow: env
	pytest -m slow --ignore tests/test_wheel.py --ignore tests/faults

# commands that are killed, stopped, out of space or started twice, and damaged files for every reader: a short form
faults: env
	pytest tests/faults

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
