# Needs Python >= 3.11 and nothing else; `make help` lists the targets.
# Paths are relative, since make cannot name a target below a folder whose path has a space.

SHELL := /bin/sh
.DEFAULT_GOAL := help
PYTHON ?= python3
python := .venv/bin/python

# What runs leaves nothing outside .venv and .local. Bytecode is kept there, else each process would compile everything.
export PYTHONPYCACHEPREFIX := $(CURDIR)/.local/cache/pycache
unexport PYTHONDONTWRITEBYTECODE
export UV_CACHE_DIR := $(CURDIR)/.local/cache/uv
export PRE_COMMIT_HOME := $(CURDIR)/.local/cache/pre-commit
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# Companies look into TLS: what is fetched is trusted by this machine's certificates, or those that SSL_CERT_FILE names.
trusting = authorities="$$($(PYTHON) deploy/local/certificates.py)"; test -z "$$authorities" || { \
    SSL_CERT_FILE="$$authorities"; export SSL_CERT_FILE; \
    $(python) -m pip config get global.cert >/dev/null 2>&1 || { PIP_CERT="$$authorities"; export PIP_CERT; }; }
# Else each process of the tests compiles all that it imports.
compile_once = $(python) -m pytest --quiet --collect-only --ignore tests/deploy >.local/cache/collect.log
unfetched = { $(PYTHON) -c 'from deploy.local.certificates import ADVICE; print(f"-> packages could not be fetched: {ADVICE}")' >&2; exit 1; }

.PHONY: help
help: ## Show this list
	@sed -n 's/^\([a-z][a-z0-9-]*\):[^#]*## \(.*\)/  \1|\2/p' Makefile | while IFS='|' read -r target words; do \
	    printf '%-12s %s\n' "$$target" "$$words"; done

.PHONY: setup
setup: .venv/.stamp ## Make .venv from the hashed lock (nothing to do while the lock is unchanged)

.venv/.stamp: requirements.lock services/dsr
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Python 3.11 or later is needed")'
	@mkdir -p .local/cache
	@$(python) -c pass 2>/dev/null || { echo "-> making .venv"; $(PYTHON) -m venv --clear .venv; }
	@sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > .local/cache/uv.lock
	@echo "-> installing uv"
	@$(trusting); $(python) -m pip install --quiet --require-hashes --no-deps --requirement .local/cache/uv.lock || $(unfetched)
	@echo "-> installing $$(grep -c == requirements.lock) packages"
	@$(trusting); test -t 2 || quiet=--quiet; \
	    $(python) -m uv $$quiet pip sync --python $(python) --require-hashes requirements.lock || $(unfetched)
	@cp services/dsr .venv/bin/dsr
	@touch $@

.PHONY: lock
lock: .venv/.stamp ## Resolve requirements.in into requirements.lock anew (UPGRADE=1 takes newer versions)
	$(python) -m uv --quiet pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --no-header --no-annotate $(if $(UPGRADE),--upgrade,) requirements.in --output-file requirements.lock
	sed -n '/^# The services/,/^$$/p' requirements.in | $(python) -m uv --quiet pip compile --universal --python-version 3.11 \
	    --generate-hashes --no-emit-index-url --no-header --no-annotate --constraint requirements.lock - \
	    --output-file requirements.image.lock
	$(python) -m uv --quiet pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --no-header --no-annotate $(if $(UPGRADE),--upgrade,) deploy/k8s/tools.in --output-file deploy/k8s/tools.lock

.PHONY: lint
lint: .venv/.stamp ## Check style, formatting, types, import contracts and the Dockerfile
	$(python) -m ruff check
	$(python) -m ruff format --check
	$(python) -m mypy
	.venv/bin/lint-imports --cache-dir .local/cache/import-linter
	.venv/bin/hadolint Dockerfile

.PHONY: format
format: .venv/.stamp ## Format the code and apply the safe fixes
	$(python) -m ruff check --fix-only
	$(python) -m ruff format

.PHONY: test
test: .venv/.stamp ## Check the product: lint and its tests, on a real database and a real broker
	@$(python) -m tests.fetch >.local/cache/fetch.log 2>&1 & # what fails here fails in a test that needs it
	@$(MAKE) --no-print-directory lint >.local/cache/lint.log 2>&1 & lint=$$!; \
	    test -d "$$PYTHONPYCACHEPREFIX$(CURDIR)/tests" || $(compile_once); \
	    $(python) -m pytest --numprocesses 3 --ignore tests/deploy; tests=$$?; \
	    wait $$lint; lint=$$?; cat .local/cache/lint.log; test $$tests$$lint = 00

.PHONY: test-deploy
test-deploy: .venv/.stamp ## Check how it is deployed: the image, the manifests, the alerts, the demonstration
	@$(python) -m tests.fetch deploy >.local/cache/fetch.log 2>&1 & # what fails here fails in a test that needs it
	$(python) -m pytest --numprocesses 3 tests/deploy

.PHONY: test-unit
test-unit: .venv/.stamp ## Run the pure tests alone (seconds)
	$(python) -m pytest tests/unit

.PHONY: demo
demo: .venv/.stamp ## Start the whole product on this machine and watch requests close (EXIT=1 ends by itself)
	@$(python) -m deploy.demo $(if $(EXIT),--exit,)

.PHONY: up
up: .venv/.stamp ## Start the platform in the background with a sample shop, or your systems (DOWNSTREAMS=FILE KEEP=1)
	@$(python) -m deploy.up up $(if $(DOWNSTREAMS),--downstreams "$(DOWNSTREAMS)",) $(if $(KEEP),--keep,)

.PHONY: down
down: .venv/.stamp ## End what `make up` has started
	@$(python) -m deploy.up down

.PHONY: bench
bench: .venv/.stamp ## Measure the product next to its limits into docs/benchmarks.md (ROWS=… measures some; ACCEPT=1)
	@$(python) -m tests.bench $(ROWS) $(if $(ACCEPT),--accept,)

.PHONY: chaos
chaos: .venv/.stamp ## Kill, freeze and cut off every part under load, and count what came of it (MINUTES=5 SEED=…)
	@$(python) -m tests.chaos $(if $(MINUTES),--minutes $(MINUTES),) $(if $(SEED),--seed $(SEED),)

.PHONY: docs
docs: .venv/.stamp ## Write from the code what of docs/ follows from it: contracts, schemas, reference
	$(python) -m docs.generate

.PHONY: k8s
k8s: .venv/.stamp ## Write what of deploy/k8s comes from the code, render all overlays into .local/k8s and check them
	@$(python) -m deploy.k8s.generate
	@$(python) -m deploy.k8s.check

.PHONY: clean
clean: ## Remove everything that was made here
	rm -rf .venv .local
