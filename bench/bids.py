"""Durable sealed bids on one sale over HTTP, straight to one energy-trade process."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from bench import hot, load
from bench.figures import Figure
from bench.site import done, site
from builders import a_uscc
from databases import rows
from marketkit.db import Database
from marketkit.signing import b64
from toy_market import OPENS, Room

BIDDERS = 1_024
# Of three rounds: the versions of a bid that ours is sent, and those that the plain endpoint is.
ROUNDS = (((1, 2, 3), (4,)), ((5, 6, 7), (8,)), ((9, 10, 11), (12,)))
Bodies = dict[tuple[int, int], dict[str, Any]]


async def open_sale(house: Database) -> tuple[str, Bodies]:
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
        for version in range(1, 13):
            bid = await room.seal(number, version)
            bodies[number, version] = {
                "version": version,
                "ciphertext": b64(bid.ciphertext),
                "commitment": b64(bid.commitment),
                "key_sm3": b64(bid.key_sm3),
            }
    await house.close()
    return sale_id, bodies


def measure() -> list[Figure]:
    with site() as here:
        url = here.database("energy_trade")
        sale_id, bodies = done(open_sale(here.house("energy_trade", url)))
        tokens = [
            here.token("enterprise", f"person-of-{number}", region_code="", uscc=a_uscc(number))
            for number in range(BIDDERS)
        ]

        def writing(versions: Sequence[int]) -> hot.Writing:
            # A client's own bidders, version after version: each bid follows the one before.
            return lambda port, path: [
                [
                    hot.posted(port, path, bodies[number, version], tokens[number])
                    for version in versions
                    for number in range(client, BIDDERS, load.CLIENTS)
                ]
                for client in range(load.CLIENTS)
            ]

        work = "durable sealed bids on one sale"
        path = f"/v1/sales/{sale_id}/sealed-bids"
        rounds = [(writing(ours), writing(plain)) for ours, plain in ROUNDS]
        return hot.measure(here, url, hot.Hot(work, path, rounds))
