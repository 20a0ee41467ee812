"""Row 64, and rows 86 and 87 of two people: every step that needs two, as the services declare it.

A new one is found by its address; it needs a line in `ready.STEPS`, saying what makes it ready.
"""

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from builders import Trust
from databases import rows
from hostile.examples import ENERGY, GATEWAY, Claims
from hostile.house import energy_app, gateway_app
from hostile.ready import SALE, STEPS, Ready
from hostile.target import Sent, commands
from hostile.wire import said
from marketkit.db import Database
from toy_market import CLOSES

ENDING = "/requests/{request_id}/confirmations"
AT_ONCE = 8


@dataclass
class Step:
    """One step of two people, before its doors; whoever acts may knock at both."""

    app: FastAPI
    house: Database
    trust: Trust
    who: Claims
    ready: Ready

    def sent(self, path: str, sub: str, body: Any = None) -> Sent:
        claims = self.who | {"sub": sub}
        token = self.trust.token(*claims["roles"], **{k: claims[k] for k in claims if k != "roles"})
        headers = (
            ("Authorization", f"Bearer {token}"),
            ("Idempotency-Key", f"{sub}-{self.ready.path}{path}"),
        )
        sent = Sent("POST", self.ready.path + path, headers)
        if body is None:
            return sent
        content = httpx.Request("POST", "http://test", json=body).content
        return replace(sent.with_header("Content-Type", "application/json"), body=content)

    async def say(self, path: str, sub: str, body: Any = None) -> httpx.Response:
        return await said(self.app, self.sent(path, sub, body))

    async def ask(self, sub: str = "first") -> str:
        answer = await self.say("/requests", sub, self.ready.body)
        assert answer.status_code == 201, answer.text
        asked = answer.json()
        return str(asked.get("request", asked)["request_id"])

    async def confirm(self, request_id: str, sub: str) -> tuple[int, str]:
        answer = await self.say(f"/requests/{request_id}/confirmations", sub)
        return answer.status_code, answer.json().get("code", "")

    async def left(self) -> list[Any]:
        """How many transactions told something, and who confirmed."""
        told = await rows(self.house, "SELECT count(DISTINCT xmin::text) AS n FROM outbox")
        query = "SELECT confirmed_by FROM request WHERE confirmed_by IS NOT NULL"
        return [told[0].n, len(await rows(self.house, query))]


def declared(app: FastAPI) -> dict[str, Any]:
    found = commands(app)
    return {
        name.partition(" ")[2].removesuffix(ENDING): {
            *found[name]["x-roles"],
            *found[name.removesuffix("/{request_id}/confirmations")]["x-roles"],
        }
        for name in found
        if name.endswith(ENDING)
    }


@pytest.fixture
def apps(
    energy_house: Database, gateway_house: Database, tmp_path: Path
) -> list[tuple[FastAPI, Database, Trust]]:
    trust = Trust()
    return [
        (energy_app(energy_house, trust, tmp_path), energy_house, trust),
        (gateway_app(gateway_house, trust, tmp_path), gateway_house, trust),
    ]


@pytest.fixture
async def steps(apps: list[tuple[FastAPI, Database, Trust]]) -> dict[str, Step]:
    """Every step the services declare, each ready to be asked for."""
    found = {}
    for app, house, trust in apps:
        for path, roles in declared(app).items():
            (example, *_) = (ENERGY | GATEWAY)[f"POST {path}/requests"]
            who = example.who | {"roles": sorted(roles)}
            found[path] = Step(app, house, trust, who, await STEPS[path].ready(house))
    apps[0][1].fixed_instant = CLOSES
    return found


def test_every_step_of_two_people_is_here(apps: list[tuple[FastAPI, Database, Trust]]) -> None:
    assert {path for app, _, _ in apps for path in declared(app)} == STEPS.keys()
    # Nothing else is confirmed by a request's id.
    for app, _, _ in apps:
        assert all(name.endswith(ENDING) for name in commands(app) if "{request_id}" in name)


async def test_no_one_is_both_people(steps: dict[str, Step]) -> None:
    for path, step in steps.items():
        request_id = await step.ask()
        before = await step.left()
        assert await step.confirm(request_id, "first") == (403, "SAME_PERSON"), path
        assert await step.left() == before, path


async def test_what_nobody_asked_for_here_is_confirmed_by_none(steps: dict[str, Step]) -> None:
    asked = {path: await step.ask() for path, step in steps.items()}
    for path, step in steps.items():
        before = await step.left()
        others = [one for other, one in asked.items() if other != path]
        for request_id in ("unknown", "01ARZ3NDEKTSV4RRFFQ69G5FAV", *others):
            assert await step.confirm(request_id, "second") == (404, "REQUEST_UNKNOWN"), path
        assert await step.left() == before, path


async def test_of_many_at_once_one_confirms_and_it_happens_once(steps: dict[str, Step]) -> None:
    for path, step in steps.items():
        request_id = await step.ask()
        told, confirmed = await step.left()
        answers = await asyncio.gather(
            *(step.confirm(request_id, f"other-{n}") for n in range(AT_ONCE))
        )
        done = [answer for answer in answers if answer[0] < 300]
        refused = {answer for answer in answers if answer[0] >= 300}
        assert len(done) == 1, (path, answers)
        assert refused == {(409, code) for code in STEPS[path].refusals}, path
        told_since, confirmed_since = await step.left()
        assert (told_since - told <= 1, confirmed_since - confirmed) == (True, 1), path


async def test_what_was_confirmed_is_not_confirmed_again(steps: dict[str, Step]) -> None:
    for path, step in steps.items():
        request_id = await step.ask()
        done = await step.confirm(request_id, "second")
        assert done[0] < 300, (path, done)
        before = await step.left()
        assert await step.confirm(request_id, "third") in {
            (409, code) for code in STEPS[path].refusals
        }, path
        # Nor by who asked: that they may not is said before that it is too late, or not at all.
        assert (await step.confirm(request_id, "first"))[0] in {403, 409}, path
        assert await step.left() == before, path


async def test_two_who_asked_apart_may_not_end_it_twice(steps: dict[str, Step]) -> None:
    """Each confirms what the other asked for, at once: one sale is opened or cancelled once."""
    for path, step in steps.items():
        if SALE not in path:
            continue
        one, two = await step.ask("first"), await step.ask("second")
        told, _ = await step.left()
        answers = await asyncio.gather(step.confirm(one, "second"), step.confirm(two, "first"))
        assert sorted(answer[0] for answer in answers) == [200, 409], (path, answers)
        assert (await step.left())[0] - told == 1, path
