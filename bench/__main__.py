"""`python -m bench [name ...]`: measure, and print one table."""

import sys

from bench import (
    bids,
    clearing,
    evidence,
    growth,
    healing,
    holds,
    latency,
    memory,
    overload,
    projection,
    rebuild,
    retries,
    takes,
)
from bench.figures import table

MEASURES = {
    "clearing": clearing.measure,
    "bids": bids.measure,
    "holds": holds.measure,
    "projection": projection.measure,
    "latency": latency.measure,
    "healing": healing.measure,
    "memory": memory.measure,
    "rebuild": rebuild.measure,
    "evidence": evidence.measure,
    "growth": growth.measure,
    "takes": takes.measure,
    "retries": retries.measure,
    "overload": overload.measure,
}
# They take their minutes: only by name.
LONG = {"memory", "rebuild", "evidence", "growth", "takes", "retries", "overload"}


def main(asked: list[str]) -> None:
    figures = []
    for name in asked or [name for name in MEASURES if name not in LONG]:
        print(f"measuring {name} …", file=sys.stderr, flush=True)
        figures += MEASURES[name]()
    print(table(figures))


if __name__ == "__main__":
    main(sys.argv[1:])
