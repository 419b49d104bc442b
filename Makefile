# `make sweep` and `make test` set up everything they need; only Python 3.11 or newer must be there.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
READY := .venv/.ready
export RAY_USAGE_STATS_ENABLED := 0

.PHONY: sweep test chaos check fix schemas docs bench clean

sweep: $(READY)  ## the main job: which activation reaches the optimal critic |x|?
	$(BIN)/lnets-sweep submit sweeps/absolute_value.yaml

test: $(READY)  ## every test that needs no GPU; what starts Ray or Chromium runs alone
	$(BIN)/pytest -m "not gpu and not ray and not browser" --numprocesses logical --maxprocesses 8 --dist loadfile
	$(BIN)/pytest -m "not gpu and (ray or browser)"

chaos: $(READY)  ## kill workers, nodes and drivers of a sweep by twenty plans; nothing may be lost
	$(BIN)/python -m benchmarks.chaos --plans 20

check: $(READY)  ## what CI runs
	$(BIN)/ruff format --check lnets benchmarks docs/tools tests
	$(BIN)/ruff check lnets benchmarks docs/tools tests
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/lnets-sweep schema --check
	$(MAKE) docs
	$(MAKE) test

fix: $(READY)  ## format, and mend what ruff can mend
	$(BIN)/ruff format lnets benchmarks docs/tools tests
	$(BIN)/ruff check --fix lnets benchmarks docs/tools tests

schemas: $(READY)  ## write schemas/ anew, and the pages of docs/ that are made of the code
	$(BIN)/lnets-sweep schema --write
	$(BIN)/python -m docs.tools.pages

docs: $(READY)  ## the documentation as a site in build/docs; a link that leads nowhere fails
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: $(READY)  ## measure; `make bench ONLY=sweep` for one
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[bench]'
	$(BIN)/python -m benchmarks $(ONLY)

clean:
	rm -rf .venv

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c "import sys; assert sys.version_info >= (3, 11), 'Python 3.11 or newer is needed; set PYTHON'"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[data,dev]'
	touch $(READY)
