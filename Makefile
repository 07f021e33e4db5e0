# Every target sets up what it needs in .venv; nothing outside of this folder is changed.

PYTHON ?= $(shell for python in python3.11 python3 python; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
TORCH := $(shell grep '^torch==' constraints.txt)
PLUGINS := $(patsubst %/pyproject.toml,%,$(wildcard plugins/*/pyproject.toml))

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test test-long golden mutants bench check format clean

help:
	@echo 'make demo    train a small U-Net on MRI slices with the loss of examples/brain_mri.yaml'
	@echo "             another loss: make demo ARGS='--loss \"bce + tversky(fn_weight=0.7)\"'"
	@echo 'make test    run the test suite; a part of it: make test ARGS=tests/syntax'
	@echo 'make test-long  run the tests that take long'
	@echo 'make golden  rewrite the golden files of the tests; read the diff afterwards'
	@echo 'make mutants  change the code in small ways and count what the tests find; a part: make mutants ARGS=proving'
	@echo 'make bench   compare speed and memory with torch, MONAI and segmentation_models.pytorch'
	@echo 'make check   lint, format, types, import layers'
	@echo 'make format  rewrite the files in the common format'
	@echo 'make clean   remove everything that the other targets made'

demo: .venv/demo.stamp
	$(BIN)/python examples/train_segmentation.py $(ARGS)

test: .venv/dev.stamp
	$(BIN)/python -m pytest $(ARGS)

test-long: .venv/dev.stamp
	$(BIN)/python -m pytest -m long $(ARGS)

golden: .venv/dev.stamp
	$(BIN)/python tests/golden.py $(ARGS)

# CI=1: the same random examples in every run, so that a mutant has the same fate.
mutants: .venv/mutation.stamp
	CI=1 $(BIN)/python benchmarks/mutants.py $(ARGS)

bench: .venv/dev.stamp
	$(BIN)/python benchmarks/run.py $(ARGS)
	$(BIN)/python benchmarks/scale.py

check: .venv/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/dev.stamp
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

clean:
	rm -rf .venv build dist mutants examples/output
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# torch comes first and by its exact pin: left to the resolver it can bring gigabytes of GPU libraries.
# hatchling comes with it, so that the installs below are built by the pinned version.
.venv/torch.stamp: constraints.txt
	@test -n "$(PYTHON)" || { echo 'lossdsl needs Python 3.11 or newer: make PYTHON=/path/to/python3.11'; exit 1; }
	$(PYTHON) -m venv .venv
	$(PIP) install -c constraints.txt $(TORCH) hatchling
	touch $@

.venv/demo.stamp: .venv/torch.stamp pyproject.toml
	$(PIP) install -c constraints.txt --no-build-isolation -e ".[demo]"
	touch $@

# The tests run the demo too. Of segmentation_models_pytorch they read the losses alone, which need nothing but torch.
.venv/dev.stamp: .venv/torch.stamp pyproject.toml $(PLUGINS:%=%/pyproject.toml)
	$(PIP) install -c constraints.txt --no-build-isolation -e ".[dev,demo]" $(PLUGINS:%=-e %)
	$(PIP) install -c constraints.txt --no-deps segmentation-models-pytorch
	touch $@

.venv/mutation.stamp: .venv/dev.stamp
	$(PIP) install -c constraints.txt --no-build-isolation -e ".[mutation]"
	touch $@
