# make demo: set up, run the main job on real data, write a page. make test: set up, run all fast tests.
# make check-long: the rest; interrupted, it goes on with what had not passed on the same files (build/check-long.jsonl);
# with MENDED=1 on whatever files, and its result says what passed at which commit.
# make check-mutants, a part of it: changes the behaviour of empirics on purpose and sees that the fast tests fail (SAMPLE=12 SEED=3 draws some, SAMPLE=0 lists them all, ROOM=claims is one room).
# make book: write the pages of the book into docs/book (make docs does it too).
# make results-NAME: write docs/results/NAME.md again from the stored summaries, without training.
# make measure-NAME: train what is missing of its experiments in runs/, store their summaries, and write the page
# (cifar: an hour and more, with the images at cifar10.tar). make check-pages: is every page what the summaries say?
# make gpu-check: what a CUDA card does here, in ten minutes; GPU_PYTHON=python3 uses that interpreter as it is.
# make docs: the site, into build/site, warnings are errors. make check-site: can everybody use it? Every kind of page in
# Chromium, by the rules of axe-core, which npm puts into build/axe. make pictures: the figures of docs/pictures.md again.
# make dist: wheel and sdist into dist.
# Everything installs into .venv; nothing else on the machine is touched.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
# The tests and the demo use processes, not threads: one thread each, so that numbers and times do not depend on the machine.
export OMP_NUM_THREADS ?= 1
WORKERS ?= 2

# The interpreter of gpu-check; without one, .venv, which is made if there is a driver.
GPU_PYTHON ?=

.PHONY: setup demo test lint types unit check-long check-mutants gpu-check book check-pages measure-watched docs check-site \
	pictures dist clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "thermo-theory needs Python 3.11 or newer; " + sys.executable + " is " + sys.version.split()[0] + ". Say make PYTHON=/path/to/python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[empirics,dev]"
	touch $@

demo: setup
	$(BIN)/thermo-theory demo

test: setup
	$(MAKE) --no-print-directory -j2 lint types check-pages
	$(MAKE) --no-print-directory unit

lint:
	$(BIN)/ruff check --quiet --output-format concise
	$(BIN)/ruff format --check --quiet
	$(BIN)/lint-imports --no-logo --no-cache

types:
	$(BIN)/mypy

unit:
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not long"
	$(BIN)/python -m pytest tests/gpu -n $(WORKERS)

check-long: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[integrations]"
	@$(BIN)/python -c 'import torchvision' 2>/dev/null || { echo 'check-long: torchvision is of another torch and breaks transformers: removed'; \
	$(BIN)/python -m pip uninstall --quiet --yes torchvision; }
	$(BIN)/python -m pytest -p tests.continued --continued build/check-long.jsonl --result docs/check-long.json -n $(WORKERS) --dist worksteal -m long $(if $(MENDED),--mended)
	$(MAKE) check-mutants
	@echo 'check-long: passed; commit docs/check-long.json and docs/check-mutants.json, and make results-validation'

check-mutants: setup
	$(BIN)/python tests/mutants/battery.py --workers $(WORKERS) --result docs/check-mutants.json $(if $(SAMPLE),--sample $(SAMPLE)) $(if $(SEED),--seed $(SEED)) $(if $(ROOM),--room $(ROOM))

gpu-check:
	@if [ -z "$(GPU_PYTHON)" ] && [ ! -x $(BIN)/python ] && command -v nvidia-smi >/dev/null; then $(MAKE) --silent setup; fi; \
	python="$(or $(GPU_PYTHON),$(BIN)/python)"; \
	command -v "$$python" >/dev/null || { echo "gpu-check: no CUDA card, or no interpreter $$python" >&2; exit 2; }; \
	"$$python" -m benchmarks.gpu_check

book: setup
	$(BIN)/python -m thermo_theory.book docs/book

check-pages: setup
	$(BIN)/python docs/results/pages.py check

results-%: setup
	$(BIN)/python docs/results/pages.py build $*

measure-%: setup
	$(BIN)/python docs/results/pages.py measure $* --runs runs

measure-watched: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[transformers]"
	$(BIN)/python docs/results/pages.py measure watched --runs runs

docs: $(VENV)/.docs check-pages book
	$(BIN)/python -m sphinx -E -b html -q -W --keep-going docs build/site

check-site: $(VENV)/.docs build/axe/.ready
	$(BIN)/python -m pytest -rs tests/test_docs.py tests/empirics/pages/test_browser.py -m "long or browser" -k "not trained"

build/axe/.ready: tests/site/package-lock.json
	@mkdir -p build/axe && cp tests/site/package*.json build/axe
	@if command -v npm >/dev/null; then npm ci --silent --no-audit --no-fund --prefix build/axe && touch $@; \
	else echo "check-site: no npm, so the rules of accessibility are skipped"; fi

$(VENV)/.docs: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[docs]"
	touch $@

pictures: setup
	$(BIN)/python docs/pictures.py

dist: setup
	rm -rf dist && $(BIN)/python -m build --outdir dist .

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
