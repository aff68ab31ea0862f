# A fresh clone needs Python 3.11, make and a compiler: `make run` sets up .venv once and does the main job.
PYTHON ?= python3.11
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: run test slow lint bench figures clean install
.DELETE_ON_ERROR:

run: $(STAMP)
	$(BIN)/gsdyn curves
	$(BIN)/gsdyn verify thm2

test: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist worksteal

slow: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "slow or hypothesis"

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports

# The figures that are committed, by whoever maintains them: everything else writes below results/, which git ignores.
figures: $(STAMP)
	$(BIN)/python scripts/figures.py

bench: $(STAMP)
	$(BIN)/python -m benchmarks

install: $(STAMP)

# --no-deps: the list is complete, and neural-tangents would pull TensorFlow, which nothing here uses.
$(STAMP): requirements.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --no-deps -r requirements.txt
	$(BIN)/python -m pip install --no-deps --no-build-isolation -e .
	touch $(STAMP)

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .ruff_cache .hypothesis .import_linter_cache .benchmarks
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
