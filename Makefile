# The targets that need packages make .venv first, or anew where setup.cfg or the lock file changed. `make demo` installs
# what the commands need; all other targets install what developers need. CPU=1 takes PyTorch's build without CUDA.
PYTHON ?= python3
VENV := $(CURDIR)/.venv
CURRENT := $(VENV)/.current
PIPELINE := $(VENV)/.pipeline
# where `make test-python` keeps the environments of other Pythons
VENVS := $(CURDIR)/.venvs
# what `make lock` and `make audit` need, in an environment of its own
TOOLS := $(VENVS)/tools
TOOL_PACKAGES := uv==0.13.9 pip-audit==2.10.1

export PATH := $(VENV)/bin:$(PATH)
# two threads that fight for a busy core were seen ten times slower than one
export OMP_NUM_THREADS ?= 1

PIP := $(VENV)/bin/pip install --disable-pip-version-check
# a worker a core, each with the tests of whole files
PYTEST := pytest --numprocesses auto --maxprocesses 4 --dist loadfile
# an environment that was made with CPU=1 stays one
CPU ?= $(wildcard $(VENV)/.cpu)
# torch and torchvision as locked, in the build without CUDA, whose index publishes no hashes to lock
TORCH_INDEX := https://download.pytorch.org/whl/cpu
TORCH_CPU = $(shell sed -n 's/^\(torch==[0-9.]*\|torchvision==[0-9.]*\).*/\1+cpu/p' requirements.lock)
# leaves the packages of PyTorch with CUDA out of a lock file
CUDA := ^(torch|torchvision|triton|cuda-[a-z]+|nvidia-(c|nccl|nv)[a-z0-9-]+)==
WITHOUT_CUDA := awk '/^[^ ]/ { cuda = /$(CUDA)/ } !cuda'

.PHONY: env lock audit scm demo demo-again test lint types links docs slow faults wheel coverage test-python check bench clean

env: $(CURRENT)

# every file that is installed has one of the SHA-256 in the lock file; nothing else is fetched to build the project
$(CURRENT): setup.cfg pyproject.toml requirements.lock
	@$(call announce,3.2 GB,0.5 GB,the packages of developers)
	$(call install,requirements.lock)
	touch $(PIPELINE) $@

$(PIPELINE): setup.cfg pyproject.toml requirements-pipeline.lock
	@$(call announce,3.0 GB,0.2 GB,what the commands need)
	$(call install,requirements-pipeline.lock)
	touch $@

ifeq ($(CPU),)
announce = echo 'Installing $(3) into .venv: $(1) to download, 2.7 GB of them PyTorch with CUDA. CPU=1 leaves CUDA out.'
define install
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --no-deps --require-hashes --requirement $(1)
	$(PIP) --quiet --no-deps --no-build-isolation --editable .
endef
else
announce = echo 'Installing $(3) into .venv: $(2) to download, and PyTorch without CUDA from $(TORCH_INDEX).'
define install
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	touch $(VENV)/.cpu
	$(PIP) --no-deps --index-url $(TORCH_INDEX) $(TORCH_CPU)
	$(WITHOUT_CUDA) $(1) > $(VENV)/without-cuda.lock
	$(PIP) --no-deps --require-hashes --requirement $(VENV)/without-cuda.lock
	$(PIP) --quiet --no-deps --no-build-isolation --editable .
endef
endif

# the lock files anew: the versions of constraints.txt for Python 3.11 and later, with the hashes of all their files
lock: $(TOOLS)
	$(call compile,--extra dev,requirements.lock)
	$(call compile,--extra pipeline --extra figure,requirements-pipeline.lock)

define compile
	$(TOOLS)/bin/uv pip compile setup.cfg $(1) --constraint constraints.txt --universal --python-version 3.11 \
		--generate-hashes --no-annotate --custom-compile-command 'make lock' --quiet --output-file $(2)
endef

# known vulnerabilities of the locked versions; fails where one is found, or a package cannot be looked up
audit: $(TOOLS)
	$(TOOLS)/bin/pip-audit --strict --require-hashes --disable-pip --requirement requirements.lock

$(TOOLS):
	$(PYTHON) -m venv $@
	$@/bin/pip install --quiet --disable-pip-version-check $(TOOL_PACKAGES) || { rm -rf $@; false; }

demo: scm $(PIPELINE)
	dvc repro
	@dsa-data sheet --dataset synthetic
	@dsap show --dataset synthetic
	@dsa-train show-batch --params params.yaml
	@dsa-train report --params params.yaml --html

# DVC asks for git, and some programs unpack a link as a file; the sources may have come as a ZIP
scm:
	@test -e .git || { mkdir -p .dvc && printf '[core]\n    no_scm = true\n' > .dvc/config.local; }
	@test -d experiments || { rm -f experiments && ln -s train/experiments experiments; }
	@for name in data train; do test -d src/dsa_$$name || { rm -f src/dsa_$$name && ln -s ../$$name src/dsa_$$name; }; done

# what is up to date is not made again
demo-again: $(PIPELINE)
	dvc repro | grep "up to date"

test: env
	$(PYTEST) -m "not slow"

lint: env
	ruff format --check .
	ruff check .

types: env
	mypy

# the links and anchors of every document; they are among the quick tests
links: env
	pytest tests/test_links.py

# the documentation site, in build/site: open build/site/index.html, no server and no network needed
docs: env
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict
	@echo 'Open build/site/index.html'

# the tests that take longer, but for those of `make faults` and `make wheel`
slow: env
	$(PYTEST) -m slow --ignore tests/test_wheel.py --ignore tests/faults

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
