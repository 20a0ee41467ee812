"""An application that does nothing of its own, so that what it does is the kit's."""

from typing import Any

from fastapi import APIRouter, FastAPI, Response
from pydantic import BaseModel

from builders import Trust
from marketkit.db import Database, Session, sql
from marketkit.doors import AskDep, CommandDep, open_to
from marketkit.errors import Busy, Conflict, NotFound
from marketkit.units import Day, Form, Instant, QuantityTce, Text
from marketkit.web import create_app

CANARY = "金丝雀-7319"


class ThingUnknown(NotFound):
    title = "没有这件东西"


class Closed(Conflict):
    title = "已截止"
    article = "art. 6"


class ThingIn(Form):
    name: Text
    quantity_tce: QuantityTce
    due_on: Day | None = None
    due_at: Instant | None = None


class ThingOut(BaseModel):
    name: str


async def keep(session: Session, thing: ThingIn) -> ThingOut:
    await sql(session, "INSERT INTO toy.thing (key) VALUES (:name)", name=thing.name)
    return ThingOut(name=thing.name)


RAISED = {"bug": LookupError(CANARY), "refused": Closed(), "busy": Busy(retry_after_s=7)}
FAULTS: dict[str, str] = {
    "busy lock": "DO $$ BEGIN RAISE lock_not_available; END $$",
    "timeout": "SET LOCAL statement_timeout = 5\nSELECT pg_sleep(1)",
    "full": "DO $$ BEGIN RAISE disk_full; END $$",
    "shutdown": "DO $$ BEGIN RAISE admin_shutdown; END $$",
    "constraint": f"INSERT INTO toy.thing (key, fact_count) VALUES ('{CANARY}', NULL)",
    "twice": f"INSERT INTO toy.thing (key) VALUES ('{CANARY}'), ('{CANARY}')",
    "data": f"SELECT '{CANARY}'::int",
    "commit": f"INSERT INTO toy.late VALUES ('{CANARY}')",
}


def router() -> APIRouter:
    made = APIRouter()

    @made.post("/v1/things", status_code=201, **open_to("trading_center"))
    async def keep_thing(thing: ThingIn, command: CommandDep) -> Response:
        return await command.run(lambda s: keep(s, thing), status=201, location="/v1/things/{name}")

    @made.post("/v1/sealed-bids", status_code=201, tags=["quiet"], **open_to("anyone"))
    async def place_quietly(thing: ThingIn) -> dict[str, Any]:
        return {"name": thing.name}

    @made.get("/v1/things/{name}", **open_to("anyone"))
    async def thing(name: str, ask: AskDep, limit: int = 10) -> dict[str, Any]:
        raise ThingUnknown

    @made.get("/v1/officers", **open_to("bureau_officer", "auditor", department="energy"))
    async def officers(ask: AskDep) -> dict[str, Any]:
        return {"caller": ask.caller.sub if ask.caller else ""}

    @made.post("/v1/faults/{name}", **open_to("trading_center"))
    async def fault(name: str, command: CommandDep) -> Response:
        return await command.run(lambda s: fail(s, name))

    return made


async def fail(session: Session, name: str) -> ThingOut:
    """Whatever can happen to an action."""
    if name in RAISED:
        raise RAISED[name]
    for statement in FAULTS[name].splitlines():
        await sql(session, statement)
    return ThingOut(name="done")


def toy_app(house: Database, trust: Trust) -> FastAPI:
    return create_app(house, trust.verifier, "toy", [router()])
