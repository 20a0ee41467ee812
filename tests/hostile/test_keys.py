"""Rows 66-68: one key, one effect, however a command is sent, on every command that has a key."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from builders import Trust
from databases import ENERGY as PACKAGE
from databases import Migrated, Package, rows
from hostile.examples import CENTER, ENERGY
from hostile.house import World, energy_app
from hostile.target import Sent, Target, targets
from hostile.wire import said
from marketkit.db import Database

# How often a command is sent at once; another number where it matters most.
AT_ONCE = 8
MANY = {"POST /v1/sales": 50, "POST /v1/sales/{sale_id}/sealed-bids": 50}
FREE_TEXT = (
    "name", "reason", "title", "bank_serial", "treasury_receipt_no", "document_no", "batch",
    "session_id", "public_key", "version", "correction", "text", "registration_id", "answer",
)  # fmt: skip
REUSED = (422, "IDEMPOTENCY_KEY_REUSED")
IN_FLIGHT = (409, "IDEMPOTENCY_KEY_IN_FLIGHT")


@pytest.fixture
async def world(energy_house: Database) -> World:
    return await World.of(energy_house)


@pytest.fixture
def trust() -> Trust:
    return Trust()


@pytest.fixture
def commands(world: World, trust: Trust, tmp_path: Path) -> list[Target]:
    found = targets(energy_app(world.house, trust, tmp_path), ENERGY, world, trust)
    return [target for target in found if target.is_command]


def keyed(sent: Sent, key: str) -> Sent:
    return sent.with_header("Idempotency-Key", key)


def by(target: Target, sent: Sent, who: Mapping[str, object]) -> Sent:
    token = target.token_of(target.example.who | dict(who))
    return sent.with_header("Authorization", f"Bearer {token}")


def differing(target: Target) -> Sent:
    """The good request with another body, as right in form."""
    leaf = next(leaf for leaf in target.leaves() if leaf.place[-1] in FREE_TEXT)
    return target.put(leaf.place, "2" if leaf.kind == "integer" else '"another"')


def elsewhere(target: Target) -> Sent:
    """Another command of the same person."""
    ending = "resumptions" if target.name.endswith("archivings") else "archivings"
    sent = replace(target.good(), path=f"/v1/sales/{target.world.room.sale_id}/{ending}", body=b"")
    return by(target, sent, CENTER | {"region_code": "370500"})


def verdict(answer: httpx.Response) -> tuple[int, str]:
    status = answer.status_code
    return status, answer.json()["code"] if status >= 400 else ""


async def test_a_key_belongs_to_one_request_of_one_person(commands: list[Target]) -> None:
    faults = {}
    for number, target in enumerate(commands):
        key, good = f"key-{number}", target.good()
        first = await said(target.app, keyed(good, key))
        again = await said(target.app, keyed(good, key))
        others = [elsewhere(target), *([differing(target)] if target.example.body else [])]
        refused = [verdict(await said(target.app, keyed(other, key))) for other in others]
        another = await said(target.app, keyed(by(target, good, {"sub": "another"}), key))
        if again.content != first.content or again.status_code != first.status_code:
            faults[target.name, "again"] = again.text
        if set(refused) != {REUSED}:
            faults[target.name, "other request"] = str(refused)
        if verdict(another) in {REUSED, IN_FLIGHT}:
            faults[target.name, "other person"] = another.text
        kept = await keepers(target.world.house, key)
        if len(kept) != 2:
            faults[target.name, "kept"] = str(kept)
    assert faults == {}


async def keepers(house: Database, key: str) -> list[str]:
    found = await rows(house, "SELECT principal FROM stored_answer WHERE key = :key", key=key)
    return [row.principal for row in found]


# Where a command leaves a row of its own when it tells nothing.
LEFT = ("outbox", "request", "key_officer")


async def effects(house: Database) -> set[str]:
    """The transactions that told something or left something of which nothing is told."""
    looks = [f"SELECT xmin::text AS x FROM {table}" for table in LEFT]
    return {row.x for row in await rows(house, " UNION ".join(looks))}


async def test_many_at_once_are_one(commands: list[Target]) -> None:
    faults = {}
    for number, target in enumerate(commands):
        sent, before = keyed(target.good(), f"key-{number}"), await effects(target.world.house)
        count = MANY.get(target.name, AT_ONCE)
        answers = await asyncio.gather(*(said(target.app, sent) for _ in range(count)))
        done = {(one.status_code, one.content) for one in answers if verdict(one) != IN_FLIGHT}
        if len(done) != 1 or len(await keepers(target.world.house, f"key-{number}")) != 1:
            faults[target.name] = str(done)
            continue
        # What is refused in this world succeeds in `test_five_times.py`.
        ((status, _),) = done
        new = await effects(target.world.house) - before
        if (status < 300) != (target.example.answer < 300) or len(new) != (status < 300):
            faults[target.name] = f"{status}, {len(new)} effects"
    assert faults == {}


async def test_a_stored_answer_outlives_the_process_that_gave_it(
    commands: list[Target], trust: Trust, tmp_path: Path, migrated: Callable[[Package], Migrated]
) -> None:
    sent = [(target, keyed(target.good(), f"key-{n}")) for n, target in enumerate(commands)]
    given = [await said(target.app, one) for target, one in sent]
    before = await effects(commands[0].world.house)
    house = migrated(PACKAGE).database()
    house.fixed_instant = commands[0].world.house.fixed_instant
    app = energy_app(house, trust, tmp_path)
    restarted = [await said(app, one) for _, one in sent]
    assert [one.content for one in restarted] == [one.content for one in given]
    assert [one.status_code for one in restarted] == [one.status_code for one in given]
    assert [one.headers.get("location") for one in restarted] == [
        one.headers.get("location") for one in given
    ]
    assert await effects(house) == before
    await house.close()
