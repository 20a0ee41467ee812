"""A hot path over HTTP beside its plain endpoint, the bare POST floor and `pgbench -N`."""

import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, NamedTuple

from bench import load
from bench.figures import Figure, spread
from bench.site import Site, free_ports, until_answers
from marketkit.db import new_id

Requests = Sequence[Sequence[bytes]]
# Of a port and an address: what each client sends.
Writing = Callable[[int, str], Requests]


@dataclass(frozen=True)
class Hot:
    """One hot path: its address, and for each round what ours is sent and what the plain one."""

    work: str
    path: str
    rounds: Sequence[tuple[Writing, Writing]]


class Round(NamedTuple):
    floor: load.Load
    ours: load.Load
    plain: load.Load


def measure(here: Site, url: str, hot: Hot) -> list[Figure]:
    """Floor, ours and plain by turns on one database; one figure for each goal."""
    ours_at = here.service("energy_trade", "api", url, REQUESTS_PER_S="1000000").api
    (plain_at,) = free_ports(1)
    here.start(
        "plain",
        [sys.executable, "-m", "bench.plain", str(plain_at)],
        {
            "BENCH_DATABASE_URL": url,
            "BENCH_TRUST": str(here.keys.of("energy_trade") / "trust.json"),
        },
    )
    until_answers(f"http://127.0.0.1:{plain_at}/openapi.json")

    def sent(port: int, path: str, writing: Writing) -> load.Load:
        found = load.run(port, writing(port, path), here.directory)
        assert set(found.statuses) <= {201, *load.AGAIN}, found.statuses
        return found

    rounds = [
        Round(
            sent(plain_at, "/floor", ours),
            sent(ours_at, hot.path, ours),
            sent(plain_at, hot.path, plain),
        )
        for ours, plain in hot.rounds
    ]
    return _figures(hot.work, rounds, _pgbench_tps(here))


def posted(port: int, path: str, body: Mapping[str, Any], token: str, key: str = "") -> bytes:
    """One command, with a key of its own if none is said."""
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": key or new_id()}
    return load.request("POST", path, port, body, headers)


def _figures(work: str, rounds: Sequence[Round], pgbench_tps: float) -> list[Figure]:
    to_plain = [one.ours.per_second / one.plain.per_second for one in rounds]
    to_floor = [one.ours.per_second / one.floor.per_second for one in rounds]
    floor, ours, plain = (
        median(load.per_second for load in loads) for loads in zip(*rounds, strict=True)
    )
    p50_ms, p99_ms = (
        median(one.ours.p50_ms for one in rounds),
        median(one.ours.p99_ms for one in rounds),
    )
    said = f"{ours:,.0f}/s, p50 {p50_ms:.0f} ms, p99 {p99_ms:.0f} ms"
    return [
        Figure(
            f"{work}, {load.CLIENTS} clients",
            said,
            f"plain endpoint {plain:,.0f}/s",
            f"{spread(to_plain)}×",
            "≥ 4×",
            median(to_plain) >= 4,
        ),
        Figure(
            "the same, beside the floor",
            f"{ours:,.0f}/s",
            f"bare POST {floor:,.0f}/s; `pgbench -N` {pgbench_tps:,.0f} tps",
            f"{spread(to_floor)}",
            "≥ 0.50, p99 < 50 ms",
            median(to_floor) >= 0.5 and p99_ms < 50,
        ),
    ]


def _pgbench_tps(here: Site) -> float:
    postgres = here.postgres
    program = [
        str(postgres.binaries / "pgbench"), "-h", str(postgres.socket_dir), "-U", "postgres",
    ]  # fmt: skip
    subprocess.run([*program, "-i", "-q", "postgres"], check=True, capture_output=True)
    said = subprocess.run(
        [*program, "-N", "-c", "32", "-T", "5", "postgres"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    found = re.search(r"tps = ([0-9.]+)", said)
    assert found is not None
    return float(found[1])
