.PHONY: help setup check test test-kafka journey lab plants fuzz seeds mutations bench up fmt schemas

help:  ## what can be typed
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

setup:  ## make .venv with everything a developer needs
	@set -eu; . requirements/install.sh; install dev

fuzz: setup  ## 200,000 generated requests, or YAOSU_FUZZ_REQUESTS of them: an hour or more
	@seq "$$(nproc)" | YAOSU_FUZZ_REQUESTS=$$(($${YAOSU_FUZZ_REQUESTS:-200000} / $$(nproc))) \
	nice -n 10 xargs -P "$$(nproc)" -I {} env YAOSU_FUZZ_SHARE={} \
	.venv/bin/pytest -q -s -n 0 tests/hostile/test_generated.py -k "as_many or each_kind"

check: setup  ## format, lint, types, architecture, tidy tests
	@.venv/bin/python tests/lanes.py check

test:  ## everything, as CI does
	@./test

test-kafka: setup  ## all that runs on a real Kafka
	@.venv/bin/python tests/lanes.py kafka

journey: setup  ## the stories across all services
	@.venv/bin/pytest tests/journeys -m "not kafka"

seeds: setup  ## 10,000 orders of turns on a bad wire, with crashes; a failing one says how to replay it
	@seq 0 500 9500 | PYTHONPATH=tests nice -n 10 xargs -P "$$(nproc)" -I FIRST .venv/bin/python -m seeded FIRST 500

mutations: setup  ## 10,400 changes of a file of evidence, each to be found: some minutes
	@YAOSU_MUTATIONS_TIMES=8 .venv/bin/pytest -q -n 0 --timeout 0 tests/yaosu/test_evidence_changes.py -k "every_change or made_to_fit or whatever_byte"

bench: setup  ## our figures beside a peer's or a floor, in one run
	@PYTHONPATH=.:tests .venv/bin/python -m bench

PLAN ?= P0
SEED ?= 1
MINUTES ?=
lab: setup  ## the fault lab: make lab PLAN=P1 SEED=7 MINUTES=20 (docs/fault-lab.md)
	@.venv/bin/yaosu lab --plan $(PLAN) --seed $(SEED) $(if $(MINUTES),--minutes $(MINUTES))

SEEDS ?= 3
plants: setup  ## every planted fault must turn the lab red on three seeds: forty minutes
	@.venv/bin/yaosu lab --plant all --seed $(SEED) --seeds $(SEEDS)

up:  ## the whole house on this machine
	@./run

fmt: setup  ## put the code in shape
	@.venv/bin/ruff format . && .venv/bin/ruff check --fix .

schemas: setup  ## write the events' schemas and the services' OpenAPI anew; a change is a decision
	@.venv/bin/python -m contracts.catalogue libs/contracts/src/contracts/schemas
	@.venv/bin/python -m contracts.asyncapi libs/contracts/src/contracts/asyncapi.json
	@.venv/bin/python tests/descriptions.py
