PYTHON ?= python3
VENV := $(CURDIR)/.venv
CURRENT := $(VENV)/.current

export PATH := $(VENV)/bin:$(PATH)
# two threads that fight for a busy core were seen ten times slower than one
export OMP_NUM_THREADS ?= 1

.PHONY: env demo test slow check bench clean

env: $(CURRENT)

$(CURRENT): setup.cfg pyproject.toml constraints.txt
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: env
	dvc repro
	@dsa-data sheet --dataset synthetic
	@dsap show --dataset synthetic
	@dsa-train show-batch --params params.yaml
	@dsa-train report --params params.yaml

test: env
	pytest -m "not slow"

slow: env
	pytest -m slow

check: env
	ruff format --check .
	ruff check .
	mypy
	pytest -m "not slow"

bench: env
	for script in benchmarks/*.py; do python $$script || exit 1; done

clean:
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis artifacts datasets/synthetic
