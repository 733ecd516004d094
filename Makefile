# `make` alone says what there is.
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# What is found out once for all checkouts.
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/slipway-tests

.DEFAULT_GOAL := help
.PHONY: help install demo up test faults forge-test check style types layers compiled fix bench docs lock proto

help: ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1	/' | expand -t 18

install: $(STAMP) ## everything that the platform and its tests need (Debian packages as root, Python packages in .venv)

$(STAMP): requirements/dev.txt pyproject.toml scripts/install
	@scripts/install
	@touch $@

demo: install ## start the platform and deploy the example, three times
	@$(BIN)/python -m examples.demo

up: install ## start the platform for daily use
	@$(BIN)/slipway up

# Each worker compiles all tests for itself, where none finds them compiled.
test: export PYTHONDONTWRITEBYTECODE :=
test: install ## every check and every test
	@scripts/install tests
	@$(MAKE) --no-print-directory --jobs=2 --output-sync types compiled style layers
	$(BIN)/python -m embedded.engine ensure
	$(BIN)/pytest -n 4 --no-loadscope-reorder --ignore=tests/faults
	$(BIN)/pytest tests/faults/test_strikes.py

faults: install ## 100,000 simulated schedules, every fault at every step, then STRIKES=300 strikes on a whole platform (SEED=1); goes on where it stopped
	@test -e /usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1 || apt-get install --yes --quiet libfaketime
	$(BIN)/python -m tests.faults --seed $(or $(SEED),1) --strikes $(or $(STRIKES),300)

forge-test: install ## a real Gitea, built where it is not yet (12 minutes, with Go and a C compiler), connected, pushed to, and told
	$(BIN)/python -m tests.e2e.gitea
	$(BIN)/python -m embedded.engine ensure
	$(BIN)/pytest tests/e2e/test_gitea.py

check: style types layers ## verify style, types and layers

style: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy --cache-dir $(CACHE)/mypy .

layers: install
	$(BIN)/lint-imports

compiled: install
	@$(BIN)/pytest --collect-only --quiet >/dev/null || true # the run itself says what is wrong

fix: install ## mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install ## all benchmarks
	@for name in push_to_live footprint release_under_load sagas intake overload; do echo "== $$name"; $(BIN)/python bench/$$name.py || exit 1; done

docs: install ## what is generated: the AsyncAPI document
	$(BIN)/python -m docs.generate

lock: ## pin dependencies with hashes
	$(BIN)/uv pip compile --generate-hashes --no-emit-index-url --universal -q --no-header pyproject.toml -o requirements/main.txt
	$(BIN)/uv pip compile --group dev pyproject.toml --generate-hashes --no-emit-index-url --universal -q --no-header -c requirements/main.txt -o requirements/dev.txt

proto: ## generated gRPC code
	$(BIN)/python -m grpc_tools.protoc -I. --plugin=protoc-gen-mypy=$(BIN)/protoc-gen-mypy --plugin=protoc-gen-mypy_grpc=$(BIN)/protoc-gen-mypy_grpc \
		--python_out=. --grpc_python_out=. --mypy_out=. --mypy_grpc_out=. shared/proto/*.proto
