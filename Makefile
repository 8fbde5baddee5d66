# Everything starts here; `make` alone lists what there is.

# The Pythons to make .venv with, the first that is found; none named: .ci/environment chooses.
PYTHONS ?=
BIN := .venv/bin
UV := $(BIN)/uv
# Two more than cores: those that run on Airflow mostly wait for it.
WORKERS = $(shell $(BIN)/python -c "import os; print((os.cpu_count() or 1) + 2)")
AIRFLOW_LOCKS := src/basecamp/dev/airflow-3.3 src/basecamp/dev/airflow-2.11

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast explore simulate chaos lint format bench lock dist audit clean another-python

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 18

setup: .venv/installed ## Make .venv with dli, basecamp and the tools, as locked

demo: setup ## Show the main job on an Airflow of its own; ONCE=1 ends by itself
	@$(BIN)/python examples/demo.py $(if $(ONCE),--once)

test: setup ## Run every test, those on real servers included: Airflow, S3, PostgreSQL, MariaDB
	@sh .ci/services
	@$(BIN)/pytest --numprocesses $(WORKERS) --dist loadgroup --no-loadscope-reorder

test-fast: setup ## Run the tests that need no server
	@$(BIN)/pytest --numprocesses auto --dist loadgroup tests/unit

explore: setup ## Run tests/unit with examples and in orders of chance; ROUNDS=10 does so ten times
	@for round in $$(seq $(ROUNDS)); do \
		$(BIN)/pytest --numprocesses auto --dist loadgroup --hypothesis-profile explore tests/unit || exit; \
	done

ROUNDS := 1

simulate: setup ## Let everything fail around three replicas in one process: STEPS=1000000 SEED=1
	@cd tests && ../$(BIN)/python -m simulation --steps $(STEPS) --seed $(SEED)

chaos: setup ## The same on real servers: MINUTES=20 SEED=1; OLD=9070402 runs that version beside the new one
	@sh .ci/services
	@cd tests && ../$(BIN)/python -m chaos --minutes $(MINUTES) --seed $(SEED) $(if $(OLD),--old $(OLD))

STEPS := 100000
MINUTES := 20
SEED := 1

lint: setup ## Check style, types, which package imports which, and the workflows
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-actions action.yml
	@$(BIN)/zizmor --quiet --offline --no-progress --min-severity medium --strict-collection .

format: setup ## Format the code, mend what can be mended
	@$(BIN)/ruff check --fix-only --quiet
	@$(BIN)/ruff format

bench: setup ## Measure the commands, local runs, checks, runs, backfills, the store, ten thousand datasets, sign-in, load
	@sh .ci/services
	@$(BIN)/python bench/commands.py
	@$(BIN)/python bench/local_runs.py
	@$(BIN)/python bench/models.py
	@$(BIN)/python bench/validate.py
	@$(BIN)/python bench/limits.py
	@$(BIN)/python bench/runs.py
	@$(BIN)/python bench/backfills.py
	@$(BIN)/python bench/waiting.py
	@$(BIN)/python bench/layers.py
	@$(BIN)/python bench/lists.py
	@$(BIN)/python bench/store.py
	@$(BIN)/python bench/sources.py
	@$(BIN)/python bench/sign_in.py
	@$(BIN)/python bench/kept_tokens.py
	@$(BIN)/python bench/load.py

lock: setup ## Write the lock files anew; UPGRADE=1 takes newer versions
	$(UV) pip compile pyproject.toml --extra local --extra server --extra dev --extra keyring --extra mcp --extra openlineage --extra otel --group dev $(LOCKING) \
		--output-file requirements.lock
	for lock in $(AIRFLOW_LOCKS); do \
		$(UV) pip compile $$lock.in pyproject.toml --extra airflow $(LOCKING) --output-file $$lock.lock; \
	done

	$(BIN)/python tests/airflow_releases.py

LOCKING := --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate $(if $(UPGRADE),--upgrade)

dist: setup ## Build wheel and sdist into dist/: the same bytes from the same source
	@rm -rf $(DIST)
	@$(UV) build --quiet --build-constraints requirements.lock --require-hashes --out-dir $(DIST) $(SOURCE)

DIST := dist
SOURCE := .

audit: setup ## Write dist/sbom.cdx.json, then look for known holes in all that is locked; needs the advisory database
	@sh .ci/audit

clean: ## Remove what was installed and all that the demo and the tests kept
	rm -rf .venv .basecamp dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

# Written last, so that a setup that was cut off is done again.
.venv/installed: requirements.lock pyproject.toml Makefile
	@PYTHONS="$(PYTHONS)" sh .ci/environment
	@touch $@

# A Python that is named takes the place of another.
ifneq ($(strip $(PYTHONS)),)
.venv/installed: $(shell PYTHONS="$(PYTHONS)" sh .ci/environment is-made 2>/dev/null || echo another-python)
endif
