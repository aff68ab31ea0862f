# A fresh clone needs Python 3.11, make and a compiler: `make run` sets up .venv once and does the main job.
PYTHON ?= python3.11
BIN := .venv/bin
STAMP := .venv/.installed
DOCS_STAMP := .venv/.docs-installed

.PHONY: run test slow lint bench figures docs clean install
.DELETE_ON_ERROR:

run: $(STAMP)
	$(BIN)/gsdyn curves
	$(BIN)/gsdyn verify thm2

test: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist worksteal

slow: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "slow or not slow"

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports

# The figures that are committed, by whoever maintains them: everything else writes below results/, which git ignores.
figures: $(STAMP)
	$(BIN)/python scripts/figures.py

# The site, executed, into docs/_build/html: a warning is an error. Examples in docstrings run too.
docs: $(DOCS_STAMP)
	$(BIN)/python -m pytest -m "slow or not slow" tests/test_docs.py
	$(BIN)/gsdyn diagnose --demo --out docs/_build/extra/demo-report.html
	JAX_COMPILATION_CACHE_DIR=$(CURDIR)/docs/_build/programs JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0.1 \
		$(BIN)/python -m sphinx -W --keep-going -d docs/_build/doctrees docs docs/_build/html
	$(BIN)/python docs/_site/offline.py docs/_build/html

bench: $(STAMP)
	$(BIN)/python -m benchmarks

install: $(STAMP)

# --no-deps: the list is complete, and neural-tangents would pull TensorFlow, which nothing here uses.
$(STAMP): requirements.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --no-deps -r requirements.txt
	$(BIN)/python -m pip install --no-deps --no-build-isolation -e .
	touch $(STAMP)

$(DOCS_STAMP): $(STAMP) requirements-docs.txt
	$(BIN)/python -m pip install --no-deps -r requirements-docs.txt
	touch $(DOCS_STAMP)

clean:
	rm -rf .venv build dist docs/_build *.egg-info .pytest_cache .ruff_cache .hypothesis .import_linter_cache .benchmarks
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
