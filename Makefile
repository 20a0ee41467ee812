.PHONY: help setup check test journey seeds up fmt schemas

help:  ## what can be typed
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

setup:  ## make .venv with everything a developer needs
	@set -eu; . requirements/install.sh; install dev

check: setup  ## format, lint, types, architecture, tidy tests
	@.venv/bin/python tests/lanes.py check

test:  ## everything, as CI does
	@./test

journey: setup  ## the stories across all services
	@.venv/bin/pytest tests/journeys -m "not kafka"

seeds: setup  ## 10,000 orders of turns on a bad wire, with crashes; a failing one says how to replay it
	@PYTHONPATH=tests nice -n 10 .venv/bin/python -m seeded 0 10000

up:  ## the whole house on this machine
	@./run

fmt: setup  ## put the code in shape
	@.venv/bin/ruff format . && .venv/bin/ruff check --fix .

schemas: setup  ## write the events' JSON Schemas anew; a change of theirs is a decision
	@.venv/bin/python -m contracts.catalogue libs/contracts/src/contracts/schemas
	@.venv/bin/python -m contracts.asyncapi libs/contracts/src/contracts/asyncapi.json
