"""Durable sealed bids on one sale over HTTP, 64 clients, beside a plain endpoint and two floors."""

import re
import subprocess
import sys
from collections.abc import Sequence
from datetime import timedelta

from bench import load
from bench.figures import Figure
from bench.site import Site, done, free_ports, site, until_answers
from builders import a_uscc
from databases import rows
from marketkit.db import Database, new_id
from marketkit.signing import b64
from toy_market import OPENS, Room

BIDDERS = 1_024
VERSIONS = 6
PLAIN_VERSIONS = 2


async def open_sale(house: Database) -> tuple[str, dict[tuple[int, int], dict[str, object]]]:
    """A sale open for bids by the real clock, and every bid's body, sealed."""
    room = Room(house)
    sale_id = await room.announce()
    await room.enter_many(range(BIDDERS))
    house.fixed_instant = None
    await rows(
        house,
        "UPDATE house SET clock_offset = CAST(:opens AS timestamptz) - clock_timestamp()",
        opens=OPENS + timedelta(hours=1),
    )
    bodies = {}
    for number in range(BIDDERS):
        for version in range(1, VERSIONS + PLAIN_VERSIONS + 1):
            bid = await room.seal(number, version)
            bodies[number, version] = {
                "version": version,
                "ciphertext": b64(bid.ciphertext),
                "commitment": b64(bid.commitment),
                "key_sm3": b64(bid.key_sm3),
            }
    await house.close()
    return sale_id, bodies


def requests_of(
    here: Site,
    port: int,
    path: str,
    bodies: dict[tuple[int, int], dict[str, object]],
    versions: Sequence[int],
) -> list[list[bytes]]:
    """What each client sends: its own bidders' bids, version after version."""
    tokens = [
        here.token("enterprise", f"person-of-{number}", region_code="", uscc=a_uscc(number))
        for number in range(BIDDERS)
    ]

    def one(number: int, version: int) -> bytes:
        headers = {"Authorization": f"Bearer {tokens[number]}", "Idempotency-Key": new_id()}
        return load.request("POST", path, port, bodies[number, version], headers)

    own = [range(client, BIDDERS, load.CLIENTS) for client in range(load.CLIENTS)]
    return [[one(n, version) for version in versions for n in numbers] for numbers in own]


def measure() -> list[Figure]:
    with site() as here:
        url = here.database("energy_trade")
        sale_id, bodies = done(open_sale(here.house("energy_trade", url)))
        path = f"/v1/sales/{sale_id}/sealed-bids"
        ours_at = here.service("energy_trade", "api", url).api
        (plain_at,) = free_ports(1)
        trust = here.keys.of("energy_trade") / "trust.json"
        here.start(
            "plain",
            [sys.executable, "-m", "bench.plain", str(plain_at)],
            {"BENCH_DATABASE_URL": url, "BENCH_TRUST": str(trust)},
        )
        until_answers(f"http://127.0.0.1:{plain_at}/openapi.json")
        ours_versions = range(1, VERSIONS + 1)
        plain_versions = range(VERSIONS + 1, VERSIONS + PLAIN_VERSIONS + 1)

        def sent(port: int, to: str, versions: Sequence[int]) -> load.Load:
            requests = requests_of(here, port, to, bodies, versions)
            return load.run(port, requests, here.directory)

        floor = sent(plain_at, "/floor", ours_versions)
        ours = sent(ours_at, path, ours_versions)
        plain = sent(plain_at, path, plain_versions)
        pgbench = pgbench_tps(here)
    return figures("durable sealed bids on one sale", ours, plain, floor, pgbench)


def figures(
    work: str, ours: load.Load, plain: load.Load, floor: load.Load, pgbench: float
) -> list[Figure]:
    """One figure for each goal of a hot path."""
    to_plain, to_floor = ours.per_second / plain.per_second, ours.per_second / floor.per_second
    said = f"{ours.per_second:,.0f}/s, p50 {ours.p50_ms:.0f} ms, p99 {ours.p99_ms:.0f} ms"
    return [
        Figure(
            f"{work}, {load.CLIENTS} clients", said,
            f"plain endpoint {plain.per_second:,.0f}/s", f"{to_plain:.1f}×", "≥ 4×", to_plain >= 4,
        ),
        Figure(
            "– beside the floor", f"{ours.per_second:,.0f}/s",
            f"bare POST {floor.per_second:,.0f}/s; `pgbench -N` {pgbench:,.0f} tps",
            f"{to_floor:.0%}", "≥ 50 %; p99 < 50 ms", to_floor >= 0.5 and ours.p99_ms < 50,
        ),
    ]  # fmt: skip


def pgbench_tps(here: Site) -> float:
    """Transactions a second of `pgbench -N` on the same server."""
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
