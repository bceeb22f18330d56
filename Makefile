# Needs Python >= 3.11, a C++ compiler, make and perl; everything else is installed into .venv by these targets.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MODELS ?= ../shared/models
DATA ?= ../shared/data
# Folder of compressed networks, if there is one (docs/compression.md).
COMPRESSED ?=
WORKERS ?= 2

.PHONY: help demo test fast nightly lint bench sample clean

help:
	@echo "make demo     compress a digit recogniser, run it on generated Verilog, write hwgen-demo/report.html"
	@echo "make test     every test but the nightly ones"
	@echo "make fast     the quick ones, under two minutes"
	@echo "make nightly  all tests, the long random ones included"
	@echo "make lint     ruff and mypy"
	@echo "make bench    measure the networks in MODELS=$(MODELS), write docs/benchmarks.md"
	@echo "make sample   regenerate rtl/sample_tiny"

# The stamps are newer than pyproject.toml exactly when what it asks for is installed.
$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, not " + sys.version) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)

$(VENV)/verify.stamp: pyproject.toml | $(BIN)/python
	@echo "installing hwgen and what it needs into $(VENV): minutes the first time"
	$(BIN)/python -m pip install --quiet --editable '.[verify]'
	@touch $@

$(VENV)/dev.stamp: pyproject.toml | $(BIN)/python
	@echo "installing hwgen and what its tests need into $(VENV): minutes the first time"
	$(BIN)/python -m pip install --quiet --editable '.[all,dev]'
	@touch $@ $(VENV)/verify.stamp

demo: $(VENV)/verify.stamp
	$(BIN)/hwgen demo -o hwgen-demo

test: $(VENV)/dev.stamp
	$(BIN)/python -m pytest -m 'not nightly' -n $(WORKERS)

fast: $(VENV)/dev.stamp
	$(BIN)/python -m pytest -m 'not slow and not nightly' -n $(WORKERS)

# With PyTorch, which other targets do without: its exports are read, and the embedded network is trained anew.
$(VENV)/train.stamp: $(VENV)/dev.stamp
	$(BIN)/python -m pip install --quiet --editable '.[all,dev,train]'
	@touch $@

nightly: $(VENV)/train.stamp
	$(BIN)/python -m pytest -n $(WORKERS)

lint: $(VENV)/dev.stamp
	$(BIN)/python -m ruff check .
	$(BIN)/python -m mypy

bench: $(VENV)/verify.stamp
	$(BIN)/hwgen bench --models $(MODELS) --data $(DATA) -o docs/benchmarks.md --plot docs/speedup.svg \
	  $(if $(COMPRESSED),--compressed $(COMPRESSED))

sample: $(VENV)/verify.stamp
	$(BIN)/hwgen generate --preset tiny -o rtl/sample_tiny

clean:
	rm -rf $(VENV) hwgen-demo build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
