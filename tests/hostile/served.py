"""The four services on ports of this machine, each with its inner one, as production serves them.

The gateway speaks to the others over these ports; in energy-trade stands a world with sales in it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

import emission_trade.__main__ as emission
import energy_trade.__main__ as energy
import gateway.__main__ as gateway
import land_index.__main__ as land
from builders import Trust
from databases import PACKAGES, Migrated, Package, fresh, rows
from energy_trade.sales.actions import MARKET
from hostile.examples import ENERGY, GATEWAY
from hostile.generated import Door, Mixture
from hostile.house import World, parts
from marketkit.db import Database
from marketkit.program import Program, applications, listening
from marketkit.signing import b64
from stories import Story
from toy_market import OPENS

SERVICES = {"energy": energy, "emission": emission, "land": land, "gateway": gateway}
# What a parameter of a path may stand for, as the world's tables have it.
IDS = {
    "sale_id": "SELECT id FROM sale",
    "registration_id": "SELECT id FROM registration",
    "receipt_id": "SELECT id FROM sealed_bid",
    "opening_id": "SELECT id FROM opening",
    "paper_id": "SELECT id FROM registration UNION SELECT id FROM sealed_bid",
    "account": "SELECT id FROM account",
    "lot": "SELECT id FROM lot",
}


@dataclass
class Town:
    """Every door, and what of the world behind them may be named."""

    trust: Trust
    doors: list[Door] = field(default_factory=list)
    mixture: Mixture = field(init=False)

    def __post_init__(self) -> None:
        self.mixture = Mixture(self.trust)


@asynccontextmanager
async def town(migrated: Callable[[Package], Migrated], keys_dir: Path) -> AsyncIterator[Town]:
    """All doors open."""
    async with AsyncExitStack() as stack:
        houses = {
            package.market: await stack.enter_async_context(fresh(migrated(package)))
            for package in PACKAGES
        }
        made = Town(Trust.in_services(*houses.values()))
        keys_dir.joinpath("issuer.key").write_text(
            b64(made.trust.people.private.private_bytes_raw())
        )
        upstreams: dict[str, Any] = {}
        for market, service in SERVICES.items():
            program: Program = service.PROGRAM
            said: dict[str, Any] = {"upstreams": dict(upstreams)} if market == "gateway" else {}
            said |= {"requests_per_s": 1_000_000}
            own = parts(program.settings, houses[market], made.trust, keys_dir, **said)
            public, inside = applications(program, own)
            api, inner = [await stack.enter_async_context(served(app)) for app in (public, inside)]
            upstreams[market] = {"api": api, "inner": inner, "source": houses[market].source}
            made.doors += [
                Door(market, api, public.openapi()),
                Door(f"{market} inside", inner, inside.openapi()),
            ]
            if market == "energy":
                await _furnish(made, houses[market])
        made.doors += [
            Door(f"{market} by the gateway", api, forwarded(market, made.doors))
            for market in upstreams
            if market != "gateway"
        ]
        yield made


async def _furnish(made: Town, house: Database) -> None:
    world = await World.of(house)
    made.mixture.bodies = {
        name: [one.body(world) for one in examples if one.body]
        for name, examples in {**ENERGY, **GATEWAY}.items()
    }
    story = Story(house, MARKET)
    await story.bidders(("226.50", "4000"), ("220.00", "7000"))
    await story.open()
    await story.confirm()
    await story.sign(1)
    await story.pay(1)
    story.at(OPENS)
    made.mixture.ids = {
        name: [row.id for row in await rows(house, query)] for name, query in IDS.items()
    }


def forwarded(market: str, doors: list[Door]) -> dict[str, Any]:
    """What the gateway offers of a service: all that is public, under the market's name."""
    own = next(door for door in doors if door.name == market).description
    paths = {
        path.replace("/v1/", f"/v1/{market}/", 1).replace(f"/{market}/trials", "/trials"): methods
        for path, methods in own["paths"].items()
    }
    return own | {"paths": paths}


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[str]:
    """The application's address, on a free port."""
    server = uvicorn.Server(listening(app, "127.0.0.1", 0))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        assert not serving.done()
        await asyncio.sleep(0.01)
    host, port = server.servers[0].sockets[0].getsockname()[:2]
    try:
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        await serving
