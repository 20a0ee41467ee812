"""Row 67 where it counts: each command, made ready to succeed, sent five times at once by one key.

Those that succeed in the world of `house.py` are shown by `test_keys.py`; a new one that does not
needs a line in `ready.py`.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from fastapi import FastAPI

from builders import NOON, Trust
from databases import ENERGY as ENERGY_TRADE
from databases import GATEWAY as THE_GATEWAY
from databases import PACKAGES, Migrated, Package, fresh, rows
from hostile.examples import CENTER, ENERGY, GATEWAY, Claims
from hostile.house import energy_app, gateway_app, service
from hostile.ready import ALONE, STEPS, Make, Ready, a_reversed_payment_ready
from hostile.target import METHODS, Sent
from hostile.wire import said
from marketkit.db import Database
from stories import events

TIMES = 5
ASKING, CONFIRMING = "/requests", "/requests/{request_id}/confirmations"
CONFIRMED = "request WHERE confirmed_by IS NOT NULL"
# The latter where the first held its rows for longer than another waits, as on a busy machine.
LATER = {(409, "IDEMPOTENCY_KEY_IN_FLIGHT"), (503, "BUSY")}
UPLOAD = "POST /v1/bank-files"
# Anyone's, which changes nothing.
KEYLESS = {"POST /v1/trials/{name}"}


class Case(NamedTuple):
    """A command, what makes it ready, and what it does once: a kind of event, or rows so found."""

    name: str
    make: Make
    effect: str


CASES = [
    *(Case(name, make, effect) for name, (make, effect) in ALONE.items()),
    *(Case(f"POST {path}{ASKING}", step.ready, "request") for path, step in STEPS.items()),
    *(
        Case(f"POST {path}{CONFIRMING}", step.ready, step.told or CONFIRMED)
        for path, step in STEPS.items()
    ),
    # One address takes back both kinds of money.
    *(
        Case(f"POST /v1/sales/{{sale_id}}/reversals{ending}", a_reversed_payment_ready, effect)
        for ending, effect in ((ASKING, "request"), (CONFIRMING, "payment.reversed"))
    ),
]


def person_of(name: str) -> Claims:
    return CENTER if name == UPLOAD else (ENERGY | GATEWAY)[name][0].who


@dataclass
class Desk:
    """Where one command is sent."""

    app: FastAPI
    house: Database
    trust: Trust
    case: Case

    async def ready(self) -> Sent:
        """The command, all that it asks for being there."""
        ready = await self.case.make(self.house)
        who = ready.who or person_of(self.case.name)
        if self.case.name.endswith(CONFIRMING):
            path = await self._asked(ready)
            return self.sent(Ready(path + "/confirmations"), who)
        asked = ready._replace(path=ready.path + ASKING)
        return self.sent(asked if self.case.name.endswith(ASKING) else ready, who)

    async def _asked(self, ready: Ready) -> str:
        """The address of a request another person has made."""
        who = person_of(self.case.name.replace(CONFIRMING, ASKING)) | {"sub": "first"}
        path = ready.path + ASKING
        answer = await said(self.app, self.sent(Ready(path, ready.body), who, key="asked"))
        assert answer.status_code == 201, answer.text
        asked = answer.json()
        return f"{path}/{asked.get('request', asked)['request_id']}"

    def sent(self, ready: Ready, who: Claims, key: str = "once") -> Sent:
        token = self.trust.token(*who["roles"], **{k: who[k] for k in who if k != "roles"})
        headers = (("Authorization", f"Bearer {token}"), ("Idempotency-Key", key))
        sent = Sent("POST", ready.path, headers)
        if ready.body is None:
            return sent
        is_file = isinstance(ready.body, bytes)
        body = ready.body if is_file else json.dumps(ready.body).encode()
        media = "text/csv" if is_file else "application/json"
        return replace(sent.with_header("Content-Type", media), body=body)

    async def effects(self) -> int:
        """How often what the command does was done."""
        effect = self.case.effect
        if "." in effect:
            told = await events(self.house)
            return sum(f".{effect}." in one["type"] for one in told)
        (found,) = await rows(self.house, f"SELECT count(*) AS n FROM {effect}")
        return int(found.n)

    async def kept(self) -> int:
        found = await rows(self.house, "SELECT 1 FROM stored_answer WHERE key = 'once'")
        return len(found)


@pytest.fixture
async def desk(
    case: Case, migrated: Callable[[Package], Migrated], tmp_path: Path
) -> AsyncIterator[Desk]:
    is_gateway_s = case.name in GATEWAY
    trust, app = Trust(), gateway_app if is_gateway_s else energy_app
    async with fresh(migrated(THE_GATEWAY if is_gateway_s else ENERGY_TRADE)) as house:
        house.fixed_instant = NOON
        yield Desk(app(house, trust, tmp_path), house, trust, case)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name}-{case.effect}")
async def test_five_at_once_have_one_effect(desk: Desk) -> None:
    sent = await desk.ready()
    before = await desk.effects()
    answers = await asyncio.gather(*(said(desk.app, sent) for _ in range(TIMES)))
    done = {(one.status_code, one.content) for one in answers if one.status_code < 300}
    refused = [one for one in answers if one.status_code >= 300]
    assert {(one.status_code, one.json()["code"]) for one in refused} <= LATER
    assert len(done) == 1
    again = await said(desk.app, sent)
    assert {(again.status_code, again.content)} == done
    assert await desk.kept() == 1
    assert await desk.effects() - before == 1


def keyed(app: FastAPI) -> set[str]:
    """The commands that ask for a key."""
    return {
        f"{method.upper()} {path}"
        for path, methods in app.openapi()["paths"].items()
        for method, operation in methods.items()
        if method in METHODS and _asks_for_key(operation)
    }


def _asks_for_key(operation: dict[str, Any]) -> bool:
    return any(one["name"] == "Idempotency-Key" for one in operation.get("parameters", ()))


async def test_no_command_is_left_out(
    migrated: Callable[[Package], Migrated], tmp_path: Path
) -> None:
    found: set[str] = set()
    for package in PACKAGES:
        house = migrated(package).database()
        for app in service(package.name, house, Trust(), tmp_path):
            found |= keyed(app)
        await house.close()
    by_keys = {name for name, examples in ENERGY.items() if examples[0].answer < 300}
    assert found == {case.name for case in CASES} | (by_keys - KEYLESS)
