# Needs Python 3.11 or later, git and make; everything else comes with pip into .venv.
#
#   make venv        build .venv; `. .venv/bin/activate` then gives `concepthash-study`
#   make study       run the ablation study and write its report
#   make test        the whole suite
#   make test-gpu    the tests that need a GPU
#   make test-real   the long tests: real weights, real data
#   make benchmark   a training step and a search, beside plain implementations of them
#   make pretrain    the tiny CLIP in concepthash/model/weights, anew: 22 minutes
#   make lint        ruff, mypy and import-linter
#   make clean       remove .venv and caches; runs, reports and storage stay

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STUDY ?= studies/ablation.yaml

# .venv is rebuilt only when this file is older than what it was built from.
STAMP := $(VENV)/.built

.PHONY: study test test-gpu test-real benchmark pretrain lint clean venv

study: $(STAMP)
	$(BIN)/concepthash-study run $(STUDY)
	$(BIN)/concepthash-study report $(STUDY)

test: $(STAMP)
	$(BIN)/python -m pytest

test-gpu: $(STAMP)
	$(BIN)/python -m pytest -m gpu

test-real: $(STAMP)
	$(BIN)/python -m pytest -m real tests/real

benchmark: $(STAMP)
	$(BIN)/python benchmarks/train_step.py
	$(BIN)/python benchmarks/retrieval.py

pretrain: $(STAMP)
	$(BIN)/python -m concepthash.pretrain --out concepthash/model/weights

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache

venv: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "make: Python 3.11 or later is needed, but '$(PYTHON)' is missing or older." >&2; \
	  echo "      Name another one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; \
	  exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
