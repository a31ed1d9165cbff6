# Needs Python 3.11 or newer with pip, nothing else. What it installs goes into .venv, pinned and hashed by the lock files.

.DEFAULT_GOAL := help
SHELL := /bin/sh

PORT ?= 8000
DATA ?= .attrikit
BROKER ?= noida
PYTHON ?=
ARGS ?=
# make demo KEEP=1: run on with the data afterwards, to be looked at.
KEEP ?=
# make image: the image it is built on, its name, and the packages in it (requirements.lock: the embedded engine too).
BASE ?= docker.io/library/python:3.13-slim-trixie
IMAGE ?= attrikit
LOCK_FILE ?= requirements-cluster.lock
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
IMAGE_NAME = $(IMAGE):$(VERSION)
# A pip.conf, where the package index is reached through a mirror; it stays out of the image.
PIP_CONF ?=
# Processes that share the tests; 0: one, with output as it comes.
JOBS ?= 2

comma := ,
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check install --require-hashes --no-deps
LOCK = $(PY) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --extra build --extra tracing

# What was installed from, and with what: a stamp newer than its lock means there is nothing to do, and no network is touched.
RUNTIME := $(VENV)/.runtime
DEV := $(VENV)/.dev
# Without its interpreter (a link to one that was removed, say) a stamp says nothing about what is installed.
$(shell [ -e $(PY) ] || rm -f $(RUNTIME) $(DEV))

# Tests start hundreds of processes, each of which would compile the product again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help install run test unit check sdk fuzz demo chaos bench image compose deploy-check deploy-test lock clean screenshots

help: ## Show this help
	@awk 'BEGIN {FS = ":.*## "} /^[a-z]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  KEEP=1 lets demo run on with its data, to be looked at."
	@echo "  PORT=$(PORT) DATA=$(DATA) BROKER=$(BROKER) (noida or kafka) apply to run; ARGS=… is passed on to test, fuzz, demo, bench."

install: $(DEV) ## Install everything into .venv, tools for development included

run: $(RUNTIME) ## Run the whole platform on this machine until Ctrl-C
	@exec $(PY) -m deploy.cli up --port "$(PORT)" --data "$(DATA)" --broker "$(BROKER)"

test: $(DEV) ## Run all tests
	@tests/install_tools.sh
	@exec $(PY) -m pytest -n $(JOBS) --durations=40 --durations-min=5 $(ARGS)

unit: $(DEV) ## Run the unit tests: no network, no database, about a minute
	@exec $(PY) -m pytest -n $(JOBS) tests/unit $(ARGS)

check: $(DEV) ## Lint, format, types, import rules, the SDK's built files
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports
	@$(PY) tests/support/sdk_build.py --check

sdk: $(DEV) ## Build the browser SDK again, after a change of its sources
	@$(PY) tests/support/sdk_build.py

fuzz: $(DEV) ## Hold the API against its document and its promises with 130,000 made-up requests
	@FUZZ=full exec $(PY) -m pytest tests/integration/api --timeout=14400 $(ARGS)

chaos: $(DEV) ## Kill, cut off, fill, damage and lock everything again and again, and soak it for half an hour
	@ATTRIKIT_TEST_KILLS=$${ATTRIKIT_TEST_KILLS:-60} ATTRIKIT_TEST_FAULTS=$${ATTRIKIT_TEST_FAULTS:-45} \
		ATTRIKIT_TEST_SOAK_SECONDS=$${ATTRIKIT_TEST_SOAK_SECONDS:-1800} \
		ATTRIKIT_TEST_SDK_PAGES=$${ATTRIKIT_TEST_SDK_PAGES:-50} ATTRIKIT_TEST_UPGRADES=all \
		ATTRIKIT_TEST_BROKERS=3 ATTRIKIT_TEST_ROLLING=1 ATTRIKIT_TEST_CONSOLE=all \
		exec $(PY) -m pytest tests/chaos tests/e2e/test_sdk.py tests/e2e/test_console_jobs.py \
		tests/integration/query/test_upgrade.py -rP $(ARGS)

demo: $(RUNTIME) ## Post a month of traffic, wait, compare the models, prove the ledger
	@exec $(PY) -m deploy.cli demo $(if $(KEEP),--keep) $(ARGS)

screenshots: $(DEV) ## Take pictures of every page of the console over the demo's data, into build/screenshots
	@exec $(PY) tests/support/console_screenshots.py $(ARGS)

bench: $(DEV) ## Measure the parts and the whole against their baselines
	@exec $(PY) tests/bench/run.py $(ARGS)

image: ## Build the image of every process (BASE=… IMAGE=… name what it is built on and how it is called)
	@DOCKER_BUILDKIT=1 docker build $(if $(PIP_CONF),--secret id=pip$(comma)src=$(PIP_CONF) --network host) \
		--build-arg BASE="$(BASE)" --build-arg LOCK="$(LOCK_FILE)" --build-arg VERSION="$(VERSION)" \
		--build-arg REVISION="$$(git rev-parse HEAD 2>/dev/null || echo unknown)" \
		-f deploy/docker/Dockerfile -t "$(IMAGE_NAME)" $(ARGS) .

compose: image ## Start the whole product in containers; its secrets are made the first time
	@[ -e deploy/compose/.env ] || (umask 077; docker run --rm "$(IMAGE_NAME)" secrets init > deploy/compose/.env)
	IMAGE="$(IMAGE_NAME)" docker compose -f deploy/compose/compose.yaml up --detach --wait

deploy-check: $(DEV) ## Check what is shipped without running it: chart, alerts, compose, Dockerfile
	@tests/deploy/install_tools.sh
	@exec $(PY) -m pytest tests/deploy/test_static.py tests/unit/deploy/helm tests/unit/deploy/test_compose_file.py $(ARGS)

deploy-test: $(DEV) ## Run what is shipped: the chart on a real API server, the product in containers
	@tests/deploy/install_tools.sh live
	@DEPLOY_TEST=1 exec $(PY) -m pytest tests/deploy tests/integration/query/test_over_http.py -rs $(ARGS)

lock: $(DEV) ## Pin the newest versions pyproject.toml allows
	$(PY) -m pip --disable-pip-version-check install --quiet uv
	$(LOCK) --upgrade --extra embedded pyproject.toml -o requirements.lock
	$(LOCK) --upgrade --extra embedded --extra dev pyproject.toml -o requirements-dev.lock
	$(LOCK) --no-annotate --constraint requirements.lock pyproject.toml -o requirements-cluster.lock

clean: ## Remove .venv, caches and build output; data folders stay
	rm -rf .venv .venv.before .venv-ci build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	rm -rf services/sdk/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(RUNTIME): requirements.lock pyproject.toml | $(PY)
	@echo "installing what AttriKit runs on into $(VENV): $$(grep -c == requirements.lock) packages …"
	@$(PIP) -r requirements.lock
	@$(PY) -m pip --disable-pip-version-check install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV): requirements-dev.lock $(RUNTIME) | $(PY)
	@echo "installing what AttriKit is tested with into $(VENV): $$(grep -c == requirements-dev.lock) packages …"
	@$(PIP) -r requirements-dev.lock
	@touch $@

$(PY):
	@python="$(PYTHON)"; \
	for name in $${python:-python3 python3.14 python3.13 python3.12 python3.11}; do \
		if command -v "$$name" >/dev/null && "$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
			found="$$name"; break; \
		fi; \
	done; \
	if [ -z "$$found" ]; then \
		echo "error: AttriKit needs Python 3.11 or newer, and there is none on the PATH (PYTHON=… names one elsewhere)" >&2; exit 1; \
	fi; \
	if ! "$$found" -c 'import venv, ensurepip' 2>/dev/null; then \
		echo "error: $$found cannot make virtual environments; install its venv package (Debian, Ubuntu: apt install python3-venv)" >&2; exit 1; \
	fi; \
	restore() { rm -rf $(VENV); [ ! -e $(VENV).before ] || mv $(VENV).before $(VENV); exit 1; }; \
	rm -rf $(VENV).before; [ ! -e $(VENV) ] || mv $(VENV) $(VENV).before || exit 1; \
	trap restore INT TERM HUP; \
	echo "making $(VENV) with $$found …"; \
	"$$found" -m venv $(VENV) || restore; \
	rm -rf $(VENV).before
