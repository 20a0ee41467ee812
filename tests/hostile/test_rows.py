"""Every hostile row against every command a service has; nothing may change by any of them."""

import json
import time
import unicodedata
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import psutil
import pytest

from builders import Trust
from databases import ENERGY as ENERGY_PACKAGE
from databases import GATEWAY as GATEWAY_PACKAGE
from databases import Migrated, Package, fresh, rows
from hostile.examples import ENERGY, GATEWAY
from hostile.house import World, energy_app, gateway_app
from hostile.rows import ROWS, Row
from hostile.target import Sent, Target, commands, targets
from hostile.tokens import TOKENS
from hostile.wire import answer_to, line_to

NESTED_S_MAX = 0.05


@pytest.fixture(scope="module")
async def world(
    migrated: Callable[[Package], Migrated],
) -> AsyncIterator[World]:
    async with fresh(migrated(ENERGY_PACKAGE)) as house:
        yield await World.of(house)


@pytest.fixture(scope="module")
async def attacked(
    world: World,
    migrated: Callable[[Package], Migrated],
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[list[Target]]:
    """Each command of energy-trade, and the gateway's own."""
    trust = Trust()
    keys = tmp_path_factory.mktemp("keys")
    energy = energy_app(world.house, trust, keys)
    async with fresh(migrated(GATEWAY_PACKAGE)) as house:
        gateway = gateway_app(house, trust, keys)
        assert commands(energy).keys() == ENERGY.keys()
        assert commands(gateway).keys() == GATEWAY.keys()
        yield [
            *targets(energy, ENERGY, world, trust),
            *targets(gateway, GATEWAY, world, trust),
        ]


def fault(row: Row, sent: Sent, answer: httpx.Response) -> str:
    """What is wrong with an answer; nothing, if all is well."""
    if answer.status_code != row.status:
        return f"answered {answer.status_code}: {answer.text[:200]}"
    if sent.method == "HEAD":
        return ""
    said = answer.json()
    if answer.headers["content-type"] != "application/problem+json":
        return f"as {answer.headers['content-type']}"
    if row.code and said["code"] != row.code:
        return f"code {said['code']}"
    if not answer.headers["x-request-id"] or said["status"] != row.status:
        return "not to be traced"
    allowed = answer.headers.get("allow", "").split(", ")
    if row.status == 405 and ("POST" not in allowed or sent.method in allowed):
        return "allows nothing"
    return "the value is echoed" if sent.secret and sent.secret in answer.text else ""


async def state_of(world: World) -> Any:
    """Counts of all that a command leaves behind, but its answers."""
    counted = "SELECT count(*) AS n FROM outbox"
    return [(await rows(world.house, counted))[0].n]


@pytest.mark.parametrize("row", [*ROWS, *TOKENS], ids=lambda row: f"{row.number} {row.name}")
async def test_a_hostile_request_is_refused_everywhere(
    row: Row, attacked: list[Target], world: World
) -> None:
    before = await state_of(world)
    faults, count = [], 0
    for target in attacked:
        async with line_to(target.app) as client:
            for sent in row.make(target):
                count += 1
                if found := fault(row, sent, await answer_to(client, sent)):
                    shown = sent.body[:300] if isinstance(sent.body, bytes) else ""
                    faults.append(f"{sent.method} {sent.path[:120]} {shown!r}: {found}")
    assert count, "the row attacks nothing"
    assert not faults, "\n".join([f"{len(faults)} of {count}", *faults])
    assert await state_of(world) == before


def one(attacked: list[Target], name: str) -> Target:
    return next(target for target in attacked if target.name == name)


async def test_deep_nesting_costs_neither_time_nor_memory(attacked: list[Target]) -> None:
    target = one(attacked, "POST /v1/sales")
    sent = target.raw(b"[" * 200_000)
    resident = psutil.Process().memory_info().rss
    async with line_to(target.app) as client:
        await answer_to(client, sent)
        began = time.perf_counter()
        answer = await answer_to(client, sent)
        spent_s = time.perf_counter() - began
    assert answer.status_code == 400
    assert spent_s < 4 * NESTED_S_MAX
    assert psutil.Process().memory_info().rss - resident < 32 * 1024 * 1024


async def test_twins_of_a_name_collide(attacked: list[Target]) -> None:
    """Row 52: what can be written in two ways is kept in one."""
    target = one(attacked, "POST /v1/shutdowns")
    answers = []
    for form in ("NFC", "NFD"):
        name = json.dumps(unicodedata.normalize(form, "é装置"))
        async with line_to(target.app) as client:
            answers.append(await answer_to(client, target.put(("name",), name)))
    assert [answer.status_code for answer in answers] == [201, 409]
    assert answers[1].json()["code"] == "SHUTDOWN_ALREADY_RECORDED"


async def test_a_good_request_of_each_command_is_understood(
    migrated: Callable[[Package], Migrated], attacked: list[Target], tmp_path: Any
) -> None:
    """Or else the rows would prove nothing. Last, for these do take effect."""
    found = {}
    for target in attacked:
        async with line_to(target.app) as client:
            answer = await answer_to(client, target.good())
        if answer.status_code != target.example.answer or (
            answer.status_code >= 400 and answer.json()["code"] == "INPUT_INVALID"
        ):
            found[target.name] = answer.text
    assert found == {}


def numbers() -> Iterator[int]:
    yield from (row.number for row in [*ROWS, *TOKENS])


def test_the_rows_met_without_a_socket_are_all_there() -> None:
    wanted = {*range(1, 31), 41, 43, 44, 46, 49, 50, 52, 57, 58, 59, 60, 62, 65}
    assert wanted <= set(numbers())
