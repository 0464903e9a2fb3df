# Everything starts here: `make book` or `make test` on a fresh machine with Python 3.11+ does all set-up itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help artifacts book test audit exercises claims slides lab serve train notebooks lint clean

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 12

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed; set PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[all]'
	@touch $@

book: $(READY)  ## build the book into _build/html, strictly: a warning is an error
	$(BIN)/jupyter-book build . --path-output . -n -W --keep-going --quiet
	@echo "The book is in _build/html/index.html; 'make serve' shows it."

serve: book  ## build the book and serve it at http://localhost:8000
	$(BIN)/python -m http.server 8000 --bind 127.0.0.1 --directory _build/html

test: $(READY) lint  ## lint, types and all tests that are quick (under 15 minutes on two cores)
	$(BIN)/python -m pytest -m "not audit"

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

audit: $(READY)  ## the checks that are long or depend on the machine
	$(BIN)/python -m pytest -m audit

exercises: $(READY)  ## the build exercises: solutions are right, typical wrong answers are not (also part of make test)
	$(BIN)/python -m pytest tests/test_exercises.py

slides: $(READY)  ## the lecture's slides into _build/slides, made from the notebooks' figures: first.html, torch.html
	$(BIN)/python book/slides/slides.py _build/slides

lab: $(READY)  ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab notebooks

train: $(READY)  ## train a small model on the shipped pictures: one minute, ends with a picture and its scores
	$(BIN)/python -m maelib train --preset-minute --out runs/minute --overwrite

notebooks: $(READY)  ## run every notebook at its smoke scale and store the outputs
	$(BIN)/python notebooks/store.py

claims: $(READY)  ## what the chapters claim, over three seeds: half an hour
	$(BIN)/python benchmarks/claims.py --json data/results/claims.json

artifacts: $(READY)  ## everything that depends on the weights: the pages' model and pictures, README, card, notebooks
	$(BIN)/python book/_ext/game_tables.py
	$(BIN)/python book/_ext/live_assets.py
	$(BIN)/python book/_ext/ladder.py
	$(BIN)/python book/images/draw_card.py
	$(BIN)/python book/images/draw_failures.py
	$(MAKE) notebooks

clean:  ## remove what make made, but not your training runs
	rm -rf $(VENV) _build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
