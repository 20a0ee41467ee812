#!/bin/sh
# Writes the lock files anew from the pyproject files: hashes, no addresses, no paths.
set -eu
cd "$(dirname "$0")/.."
uv=${UV:-.venv/bin/uv}
export UV_PYTHON_DOWNLOADS=never
"$uv" lock --quiet
lock() {
    "$uv" export --quiet --no-emit-workspace --no-header --no-annotate --format requirements-txt "$@"
}
for package in energy-trade emission-trade land-index gateway; do
    lock --package "$package" --no-dev > "requirements/$package.lock"
done
lock --package yaosu --no-dev > requirements/run.lock
lock --all-packages --group dev > requirements/dev.lock
