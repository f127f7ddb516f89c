# The two commands are `make book` and `make test`; both make .venv themselves.
# Python 3.11 to 3.13: `make book PYTHON=python3.12` chooses one.

PYTHON ?= python3
VENV ?= .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/.ready
WORKERS ?= 2

# Two notebooks at a time on two cores: a second thread of either one only waits.
export OPENBLAS_NUM_THREADS ?= 1
export TF_NUM_INTRAOP_THREADS ?= 1
# Colours and progress bars in logs help nobody.
export NO_COLOR ?= 1

.PHONY: help book serve test lint drift unit notebooks book-notebooks unsolved strict-book browser
.PHONY: test-colab exercises execute benchmarks lighthouse record verify links repository lock clean

help:  ## list the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

$(READY): requirements.txt pyproject.toml
	$(PYTHON) tools/python_version.py
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $(READY)

book: $(READY)  ## build the book and print the page to open
	$(VENV)/bin/jupyter-book build . -n -W --keep-going
	@echo "Open $(CURDIR)/_build/html/index.html"

serve: book  ## build the book and serve it on http://localhost:8000
	$(RUN) -m http.server 8000 --bind 127.0.0.1 --directory _build/html

# One after another, the quick ones first; the first that fails ends the run.
TESTS := lint drift unit book-notebooks unsolved strict-book browser

test: $(READY)  ## run every test: code, notebooks, exercises, book, pages
	@set -e; for each in $(TESTS); do echo "== $$each"; $(MAKE) --no-print-directory $$each; done
	@echo "All tests passed."

lint: $(READY)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m tools.lint_notebooks

drift: $(READY)
	$(RUN) -m tools.make_exercises --check

unit: $(READY)
	$(RUN) -m pytest tests --ignore tests/browser -n $(WORKERS) --dist worksteal \
	  --cov --cov-report=term

NBVAL := --nbval --nbval-current-env --nbval-cell-timeout 300 \
  -n $(WORKERS) --dist loadscope notebooks solutions

notebooks: $(READY)  ## run every chapter and solution as in Jupyter, and compare
	$(RUN) -m pytest $(NBVAL)

# As the book runs them, and what they give is kept for it: executed once, not twice.
book-notebooks: $(READY)
	$(RUN) -m pytest -p tools.keep_outputs --keep-outputs \
	  $(NBVAL)

unsolved: $(READY)
	$(RUN) -m pytest -p tools.keep_outputs --keep-outputs \
	  --nbval-lax --nbval-current-env --nbval-cell-timeout 300 \
	  -n $(WORKERS) --dist loadscope exercises

strict-book: $(READY)
	$(VENV)/bin/jupyter-book build . -n -W --keep-going

# axe-core and Lighthouse; without npm their tests are skipped and say so.
FROM_NPM := tests/browser/node_modules/.ready
$(FROM_NPM): tests/browser/package-lock.json
	@npm ci --prefix tests/browser --no-audit --no-fund --loglevel=error && touch $@ \
	  || echo "npm is missing or failed: without it axe-core and Lighthouse are skipped"

browser: $(READY) $(FROM_NPM)
	$(RUN) -m pytest tests/browser -n $(WORKERS) --dist loadgroup

lighthouse: $(READY) $(FROM_NPM)  ## print Lighthouse's scores of the built book
	$(RUN) -m tools.lighthouse

COLAB := .venv-colab
COLAB_RUN := $(COLAB)/bin/python

# `pip install --no-deps` of the wheel, not of this folder: what a reader on Colab gets.
$(COLAB)/.ready: requirements-colab.txt
	$(PYTHON) tools/python_version.py
	test -x $(COLAB_RUN) || $(PYTHON) -m venv $(COLAB)
	$(COLAB_RUN) -m pip install --quiet --disable-pip-version-check -r requirements-colab.txt
	touch $@

test-colab: $(COLAB)/.ready  ## run every notebook on Colab's own versions
	$(COLAB_RUN) -m pip install --quiet --disable-pip-version-check --no-deps \
	  --force-reinstall .
	$(COLAB_RUN) -m tools.colab_versions requirements-colab.txt
	$(COLAB_RUN) -m pytest --nbval-lax --nbval-current-env --nbval-cell-timeout 300 \
	  -n $(WORKERS) --dist loadscope notebooks solutions exercises

exercises: $(READY)  ## generate exercises/ from solutions/
	$(RUN) -m tools.make_exercises

execute: $(READY)  ## re-run notebooks (all, or NOTEBOOKS=path) and store their outputs
	$(RUN) -m ruff format notebooks solutions
	$(RUN) -m tools.execute_notebooks $(NOTEBOOKS)

benchmarks: $(READY)  ## print the ratios that the laboratory promises
	$(RUN) -m benchmarks

record: $(READY)  ## record the full-size study NAME=fashion_mnist into results/
	$(RUN) -m initlab record $(NAME)

verify: $(READY)  ## run one seed of the recorded study NAME=cifar10 again and compare
	$(RUN) -m initlab record $(NAME) --verify

links: $(READY)  ## visit every external link of the book (needs a network)
	$(VENV)/bin/jupyter-book build . --builder linkcheck

repository: $(READY)  ## write the repository's address URL=… wherever it stands
	$(RUN) -m tools.repository $(URL)

lock: $(READY)  ## renew requirements.txt from requirements.in (UPGRADE=1: to newer versions)
	$(RUN) -m pip install --quiet uv
	$(RUN) -m tools.lock $(if $(UPGRADE),--upgrade)

clean:  ## remove the built book and its caches
	rm -rf _build .pytest_cache .ruff_cache .coverage
