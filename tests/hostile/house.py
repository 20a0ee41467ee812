"""The services under attack, put together as their own `create_app` does, and a house worth it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from fastapi import FastAPI
from pydantic import BaseModel

import energy_trade.main
import energy_trade.settings
import gateway.main
import gateway.settings
import land_index.main
import land_index.settings
from builders import COUNTY, MAC_KEY, Trust, a_caller, a_project_code, a_uscc
from energy_trade.sales.actions import MARKET
from energy_trade.screenings.actions import ScreeningIn, screen_project
from marketkit.db import Database, Scope, Session
from marketkit.program import Parts, Program, applications
from marketkit.signing import b64
from saleroom.endings import actions as endings
from saleroom.notices.actions import ReasonIn
from toy_market import OPENS, Room

T = TypeVar("T", bound=BaseModel)


def parts(kind: Any, house: Database, trust: Trust, keys_dir: Path, **settings: Any) -> Parts:
    """What a service is made of, in this process; no port is opened and no broker asked."""
    said: dict[str, Any] = {
        "env": "test",
        "database_url": house.engine.url.render_as_string(),
        "kafka_servers": "",
        "api_port": 0,
        "inner_port": 0,
        "keys_dir": keys_dir,
    }
    return Parts(kind(**(said | settings)), house, trust.verifier, MAC_KEY)


def service(
    package: str, house: Database, trust: Trust, keys_dir: Path, **settings: Any
) -> tuple[FastAPI, FastAPI]:
    """Both applications of a service, the public and the inner one, as its program starts them."""
    program: Program = import_module(f"{package}.__main__").PROGRAM
    more = gateway_settings(trust, keys_dir) if package == "gateway" else {}
    said = more | settings
    return applications(program, parts(program.settings, house, trust, keys_dir, **said))


def energy_app(house: Database, trust: Trust, keys_dir: Path) -> FastAPI:
    return energy_trade.main.create_app(
        parts(energy_trade.settings.Settings, house, trust, keys_dir)
    )


def land_app(house: Database, trust: Trust, keys_dir: Path) -> FastAPI:
    return land_index.main.create_app(parts(land_index.settings.Settings, house, trust, keys_dir))


def gateway_app(house: Database, trust: Trust, keys_dir: Path) -> FastAPI:
    """The gateway with its development issuer, before a service that does not answer."""
    more = gateway_settings(trust, keys_dir)
    return gateway.main.create_app(parts(gateway.settings.Settings, house, trust, keys_dir, **more))


def gateway_settings(trust: Trust, keys_dir: Path) -> dict[str, Any]:
    """What the gateway is told beyond the others; its issuer's key lies where it looks."""
    keys_dir.joinpath("issuer.key").write_text(b64(trust.people.private.private_bytes_raw()))
    nobody = {
        "api": "http://127.0.0.1:9",
        "inner": "http://127.0.0.1:9",
        "source": "/370500/energy-trade",
    }
    return {"upstreams": {"energy": nobody}}


@dataclass
class World:
    """An announced sale just open to bids, with an entrant qualified and one not, and a draft."""

    house: Database
    room: Room
    # What a path's parameters stand for.
    ids: dict[str, str] = field(default_factory=dict)
    sealed: dict[str, Any] = field(default_factory=dict)

    @classmethod
    async def of(cls, house: Database) -> "World":
        draft = Room(house, MARKET)
        await draft.draft()
        room = Room(house, MARKET)
        await room.announce()
        for number in (1, 2, 3, 4):
            await screen(house, number)
        entered = await room.enter(1)
        waiting = await room.register(2)
        paying = await room.register(4)
        room.at(OPENS)
        bid = await room.seal(1)
        world = cls(house, room)
        world.sealed = {
            "version": bid.version,
            "ciphertext": b64(bid.ciphertext),
            "commitment": b64(bid.commitment),
            "key_sm3": b64(bid.key_sm3),
        }
        cancelling = await house.run(
            lambda s: endings.ask_to_cancel(
                s, room.sale_id, a_caller(sub="another"), ReasonIn(reason="材料有误")
            )
        )
        world.ids = {
            "sale_id": room.sale_id,
            "draft_id": draft.sale_id,
            "registration_id": waiting.registration_id,
            "entered_id": entered.registration_id,
            "paying_id": paying.registration_id,
            "request_id": cancelling.request_id,
        }
        return world


async def screen(house: Database, number: int, county: str = COUNTY) -> None:
    form = ScreeningIn(
        uscc=a_uscc(number),
        project_code=a_project_code(number),
        name="示例项目",
        is_dual_high=False,
    )
    work: Callable[[Session], Awaitable[Any]] = partial(
        screen_project, form=form, region_code=county
    )
    await house.run(work, "scoped", scope=Scope(region_code=county))
