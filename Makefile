.PHONY: help setup check test journey lab plants up fmt schemas

help:  ## what can be typed
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

setPLAN ?= P0
SEED ?= 1
MINUTES ?=
lab: setup  ## the fault lab: make lab PLAN=P1 SEED=7 MINUTES=20 (docs/fault-lab.md)
	@.venv/bin/yaosu lab --plan $(PLAN) --seed $(SEED) $(if $(MINUTES),--minutes $(MINUTES))

plants: setup  ## every planted fault must be caught, half an hour
	@.venv/bin/yaosu lab --plant all --seed $(SEED)

up:  ## make .venv with everything a developer needs
	@set -eu; . requirements/install.sh; install dev

check: setup  ## format, lint, types, architecture, tidy tests
	@.venv/bin/python tests/lanes.py check

test:  ## everything, as CI does
	@./test

journey: setup  ## the stories across all services
	@.venv/bin/pytest tests/journeys -m "not kafka"

PLAN ?= P0
SEED ?= 1
MINUTES ?=
lab: setup  ## the fault lab: make lab PLAN=P1 SEED=7 MINUTES=20 (docs/fault-lab.md)
	@.venv/bin/yaosu lab --plan $(PLAN) --seed $(SEED) $(if $(MINUTES),--minutes $(MINUTES))

plants: setup  ## every planted fault must be caught, half an hour
	@.venv/bin/yaosu lab --plant all --seed $(SEED)

up:  ## the whole house on this machine
	@./run

fmt: setup  ## put the code in shape
	@.venv/bin/ruff format . && .venv/bin/ruff check --fix .

schemas: setup  ## write the events' JSON Schemas anew; a change of theirs is a decision
	@.venv/bin/python -m contracts.catalogue libs/contracts/src/contracts/schemas
	@.venv/bin/python -m contracts.asyncapi libs/contracts/src/contracts/asyncapi.json
