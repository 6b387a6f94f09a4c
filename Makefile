# make run    generate uploads, build everything, show what came out
# make test   prove what README and docs promise: the tiers unit, contract and e2e
# make test-deep  prove the combinations: faults by service, kills by step, Spark, viewports, soaks
# make coverage  which lines and branches the tests of all tiers reach, child processes included
# make test-double  an AWS to try the profile aws on, on this machine
# make up     the Dagster UI with schedules and sensors, on http://127.0.0.1:3000
# make check  ruff, mypy, import-linter
# make serve  the model, sales, transactions and customers behind an HTTP API, with pages, on http://127.0.0.1:8000
# make bench  the chain against pandas, Polars, PySpark and a hand-written DuckDB script
# make bench-mart  the customer mart against pandas and a hand-written DuckDB script
# make bench-stream  transactions taken, drained and found, beside a plainly written server
# make bench-serving  the model's server and the API against MLflow's, in an environment of its own
# make docs   the data dictionary and the import graph of the docs, made anew from the code
# make clean  remove the environment and everything that runs left in .instacart

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
PYTHON ?= $(shell for p in python3.11 python3.12 python3.10 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 13))' 2>/dev/null && { echo $$p; break; }; done)
export INSTACART_HOME ?= $(CURDIR)/.instacart

# Child processes would compile the package again each time, and the tests themselves.
export PYTHONDONTWRITEBYTECODE :=

# What `make run` builds: the share of the full Instacart set and of thelook's customers, the days of invoices, the day, and the Monday that
# customers are as of.
SCALE ?= 0.05
INVOICE_DAYS ?= 30
DAY ?= $(shell date -u +%F)
MONDAY ?= $(shell $(PYTHON) -c 'from datetime import date, timedelta; day = date.fromisoformat("$(DAY)"); print(day - timedelta(day.weekday()))')

BIN := .venv/bin
CLI := $(BIN)/instacart-pipeline
NODE_DOUBLE := instacart_pipeline_tests/aws_double/node/node_modules/.made
# A tier that takes more than this many times its budget of CPU seconds fails; a slow machine may set it higher.
CPU_BUDGET_FACTOR ?= 1.5
PYTEST_OPTIONS := instacart_pipeline_tests --numprocesses auto --dist loadgroup --no-loadscope-reorder
PYTEST := $(BIN)/python -m pytest $(PYTEST_OPTIONS) --cpu-budget-factor=$(CPU_BUDGET_FACTOR)
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: run test test-deep coverage test-double serve up check bench bench-mart bench-stream bench-serving clean docs
.DELETE_ON_ERROR:

run: .venv/.run
	@[ -d $(INSTACART_HOME)/generated/$(DAY) ] || $(CLI) generate reorder --scale $(SCALE) --days 1 --first-day $(DAY) --out $(INSTACART_HOME)/generated
	@$(CLI) upload reorder $(INSTACART_HOME)/generated/$(DAY) --dt $(DAY)
	@$(CLI) run reorder --dt $(DAY)
	@$(CLI) run reorder-model --dt $(DAY)
	@echo "The products bought most, by Athena SQL on the lake:"
	@$(CLI) sql "SELECT p.product_name, f.prod_orders, f.prod_reorders FROM reorder_features.prd_features AS f \
		JOIN reorder_curated.products AS p ON p.product_id = f.product_id AND p.dt = f.dt \
		WHERE f.dt = '$(DAY)' ORDER BY f.prod_orders DESC LIMIT 5"
	@[ -d $(INSTACART_HOME)/generated-retail ] || $(CLI) generate retail --days $(INVOICE_DAYS) --lines-a-day 500 --out $(INSTACART_HOME)/generated-retail
	@$(CLI) upload retail $(INSTACART_HOME)/generated-retail
	@$(CLI) run retail --from $$(ls $(INSTACART_HOME)/generated-retail | head -1 | cut -c1-10) --to $$(ls $(INSTACART_HOME)/generated-retail | tail -1 | cut -c1-10)
	@echo "The months' net revenue:"
	@$(CLI) sql "SELECT month, revenue FROM retail_sandbox.monthly_revenue \
		WHERE dt = '$$(ls $(INSTACART_HOME)/generated-retail | tail -1 | cut -c1-10)' ORDER BY month"
	@[ -d $(INSTACART_HOME)/generated-customers/$(MONDAY) ] || $(CLI) generate customers --scale $(SCALE) --as-of $(MONDAY) --out $(INSTACART_HOME)/generated-customers/$(MONDAY)
	@$(CLI) upload customers $(INSTACART_HOME)/generated-customers/$(MONDAY) --dt $(MONDAY)
	@$(CLI) run customers --dt $(MONDAY)
	@echo "Ask the model: \`make serve\` puts it behind a page on http://127.0.0.1:8000, the sales on /sales, the customers on /customers."

test: .venv/.dev $(if $(shell command -v npm),$(NODE_DOUBLE))
	$(PYTEST) -m "unit or contract or e2e"

coverage: .venv/.dev $(if $(shell command -v npm),$(NODE_DOUBLE))
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(PYTEST_OPTIONS) --cpu-budget-factor=9
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

test-deep: .venv/.dev $(if $(shell command -v npm),$(NODE_DOUBLE))
	$(PYTEST) -m deep

serve: .venv/.run
	$(CLI) serve

up: .venv/.run
	$(CLI) up

test-double: .venv/.dev
	$(BIN)/python -m instacart_pipeline_tests.aws_double

check: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/.dev
	$(BIN)/python -m bench

bench-mart: .venv/.dev
	$(BIN)/python -m bench.mart

bench-stream: .venv/.dev
	$(BIN)/python -m bench.stream

bench-serving: .venv/.dev .venv-mlflow/.made
	$(BIN)/python -m bench.serving

docs: .venv/.dev
	$(BIN)/python -m instacart_pipeline.dictionary docs/data-dictionary
	$(BIN)/python -m instacart_pipeline_tests.import_graph

clean:
	rm -rf .venv .venv-mlflow .instacart

.venv/bin/python:
	@[ -n "$(PYTHON)" ] || { echo "No Python 3.10, 3.11 or 3.12 found. Install one, or name it: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	$(PYTHON) -m venv .venv

.venv/.run: .venv/bin/python setup.py constraints.txt
	$(PIP) --editable .
	@touch $@

.venv/.dev: .venv/bin/python setup.py constraints.txt
	$(PIP) --editable '.[dev,bench]'
	@touch $@ .venv/.run

# Kinesis and DynamoDB for tests. Where there is no npm, the tests on them are skipped and say so.
$(NODE_DOUBLE): instacart_pipeline_tests/aws_double/node/package.json instacart_pipeline_tests/aws_double/node/package-lock.json
	npm ci --prefix instacart_pipeline_tests/aws_double/node --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

# MLflow's own versions of what both need clash with ours. The model is saved and loaded by the same XGBoost.
.venv-mlflow/.made: Makefile
	$(PYTHON) -m venv .venv-mlflow
	.venv-mlflow/bin/pip install --quiet --disable-pip-version-check "mlflow==3.17.2" "xgboost-cpu==3.2.0"
	@touch $@
