# What a person does with logbroker. `make help` lists it.

PORT ?= 9092
DATA ?= data
METRICS_PORT ?= 9644
PYTHON ?=
CFLAGS ?= -O2 -march=native -Wall -Wextra
export PYTHON

BIN := .venv/bin
RUNTIME := .venv/.installed-runtime
DEV := .venv/.installed-dev
KLOAD := $(wildcard tools/kload/*.c)

.DEFAULT_GOAL := help
.PHONY: help setup run test test-long lint format bench footprint micro kafka tools constraints clean test-needs

help:
	@echo 'make run          start a broker on 127.0.0.1:$(PORT) with its data in ./$(DATA), and show a few records going through it'
	@echo '                  make run PORT=9093 DATA=elsewhere METRICS_PORT=9645'
	@echo 'make setup        only install, into .venv; the command is .venv/bin/logbroker'
	@echo 'make test         install what the tests need and run them (ARGS="-k journal -x" for pytest)'
	@echo 'make test-long    the whole of what make test samples: hours'
	@echo 'make lint         ruff, mypy --strict, import-linter'
	@echo 'make format       ruff format'
	@echo 'make bench        the table of benchmarks/RESULTS.md against Apache Kafka (ARGS="--quick", "--rows ...")'
	@echo 'make footprint    memory, start and recovery times'
	@echo 'make micro        pytest-benchmark of small things'
	@echo 'make clean        remove what was built; not .venv, not data'

setup: $(RUNTIME)

$(RUNTIME): pyproject.toml constraints.txt
	@tools/dev/environment.sh runtime

$(DEV): pyproject.toml constraints.txt
	@tools/dev/environment.sh dev
	@touch $(RUNTIME)

run: $(RUNTIME)
	@$(BIN)/python tools/dev/run.py --port '$(PORT)' --data-dir '$(DATA)' --metrics-port '$(METRICS_PORT)'

test-needs: $(DEV)
	@tools/dev/system_packages.sh
	@tools/dev/kafka_jars.sh --if-possible

test: test-needs
	@$(BIN)/python -m pytest $(ARGS)

test-long: test-needs
	@$(BIN)/python -m pytest --long --timeout 0 $(ARGS)

lint: $(DEV)
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(DEV)
	@$(BIN)/ruff format
	@$(BIN)/ruff check --fix

kafka: ; @tools/dev/kafka_jars.sh

tools: build/kload build/diskbench

build/kload: $(KLOAD) $(wildcard tools/kload/*.h)
	@mkdir -p build
	@$(CC) -std=gnu11 $(CFLAGS) -o $@ $(KLOAD) -lm

build/diskbench: tools/diskbench.c
	@mkdir -p build
	@$(CC) -std=gnu11 $(CFLAGS) -o $@ $< -pthread

bench: test-needs kafka tools
	@$(BIN)/python benchmarks/bench.py $(ARGS)

footprint: $(DEV) tools
	@$(BIN)/python benchmarks/footprint.py $(ARGS)

micro: $(DEV)
	@$(BIN)/python -m pytest benchmarks -p benchmark --benchmark-only $(ARGS)

# The newest versions that pyproject.toml allows, written down after `make test` passed with them.
constraints: $(DEV)
	@$(BIN)/python -m pip install --disable-pip-version-check -q --upgrade --upgrade-strategy eager -e '.[dev]'
	@{ sed -n '/^#/p' constraints.txt; $(BIN)/python -m pip freeze --disable-pip-version-check --exclude-editable; } > constraints.new
	@mv constraints.new constraints.txt
	@touch $(DEV) $(RUNTIME)
	@git --no-pager diff --stat constraints.txt

clean:
	@rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks .import_linter_cache
	@find logbroker tests tools benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
