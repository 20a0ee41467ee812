"""What must be true of a house however it was treated: read behind its back, from its databases."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

from marketkit.db import Database
from marketkit.movements import Leg, Movement, fold
from marketkit.signing import ZERO, chain_after
from told_board import dump
from yaosu.keys import GATEWAY
from yaosu.stack import Stack

PATIENCE_S = 30.0


def rows(stack: Stack, name: str, statement: str) -> list[tuple[Any, ...]]:
    """What a statement answers in a service's database, to its superuser."""
    url = stack.postgres.url(f"yaosu_{name}").replace("+psycopg", "")
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(statement.encode()).fetchall()


def events(stack: Stack, name: str) -> Iterator[dict[str, Any]]:
    """Every event a service told, in order within its partition, the chain checked."""
    chains = dict.fromkeys(range(6), ZERO)
    statement = "SELECT partition, sequence, chain, event FROM log ORDER BY partition, sequence"
    for partition, _, chain, event in rows(stack, name, statement):
        chains[partition] = chain_after(chains[partition], bytes(event))
        assert chains[partition] == bytes(chain)
        yield json.loads(event)


def told_holdings(stack: Stack, name: str) -> dict[tuple[str, str, str], tuple[int, int]]:
    """The fold of every movement a service told."""
    legs: list[Leg] = [
        Movement.model_validate(said).leg()
        for event in events(stack, name)
        for said in event["data"].get("movements", [])
    ]
    return fold(legs)


def kept_holdings(stack: Stack) -> dict[tuple[str, str, str], tuple[int, int]]:
    """The balances of energy-trade's ledger."""
    found = rows(
        stack,
        "energy",
        "SELECT account, asset, lot, posted, held FROM balance JOIN lot ON lot.id = balance.lot",
    )
    return {(a, s, lot): (p, h) for a, s, lot, p, h in found if (p, h) != (0, 0)}


def shown_holdings(stack: Stack) -> dict[tuple[str, str, str], tuple[int, int]]:
    """The holdings on the board."""
    found = rows(
        stack,
        "gateway",
        "SELECT account, asset, lot, posted_minor, held_minor FROM projection.holding",
    )
    return {(a, s, lot): (p, h) for a, s, lot, p, h in found if (p, h) != (0, 0)}


def owned_states(stack: Stack) -> dict[str, str]:
    return dict(rows(stack, "energy", "SELECT id, state FROM sale WHERE state <> 'DRAFT'"))


def shown_states(stack: Stack) -> dict[str, str]:
    return dict(rows(stack, "gateway", "SELECT id, state FROM projection.board_sale"))


async def until_the_board_is_the_fold(stack: Stack) -> None:
    """Return when the board shows what was told; fail if it does not in time."""
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    while asyncio.get_running_loop().time() < deadline:
        if rows(stack, "energy", "SELECT count(*) FROM outbox") == [(0,)] and (
            shown_holdings(stack) == told_holdings(stack, "energy")
            and shown_states(stack) == owned_states(stack)
        ):
            break
        await asyncio.sleep(0.3)
    check(stack)


def told_places(stack: Stack) -> dict[tuple[str, int], tuple[int, int, bytes]]:
    """Where every owner's log ends, by source and partition: epoch, sequence, chain."""
    statement = "SELECT partition, epoch, sequence, chain FROM partition_head, house"
    return {
        (service.source, partition): (epoch, sequence, bytes(chain))
        for name, service in stack.services.items()
        if name != GATEWAY
        for partition, epoch, sequence, chain in rows(stack, name, statement)
    }


def applied_places(stack: Stack) -> dict[tuple[str, int], tuple[int, int, bytes]]:
    """As far as the gateway has applied them."""
    statement = "SELECT source, partition, epoch, sequence, chain FROM position"
    return {
        (source, partition): (epoch, sequence, bytes(chain))
        for source, partition, epoch, sequence, chain in rows(stack, "gateway", statement)
    }


async def until_the_board_is_level(stack: Stack) -> None:
    """Return when all that was told, in each owner's present epoch, is applied and none parked."""

    def is_level() -> bool:
        return (
            all(rows(stack, n, "SELECT count(*) FROM outbox") == [(0,)] for n in stack.services)
            and applied_places(stack) == told_places(stack)
            and rows(stack, "gateway", "SELECT count(*) FROM parked") == [(0,)]
        )

    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    while not is_level():
        assert asyncio.get_running_loop().time() < deadline, applied_places(stack)
        await asyncio.sleep(0.3)


async def shown(stack: Stack) -> str:
    """Every row of every projection, as text."""
    url = stack.postgres.url("yaosu_gateway", "yaosu_app")
    signer = stack.keys.signer(GATEWAY)
    gateway = Database(url, stack.services[GATEWAY].source, GATEWAY, signer, pool_size=1)
    try:
        return await dump(gateway)
    finally:
        await gateway.close()


async def check_that_a_rebuild_changes_nothing(stack: Stack) -> None:
    """All projections, rebuilt from nothing as in every new epoch, are what they were before."""
    await until_the_board_is_level(stack)
    before = await shown(stack)
    assert all(sale_id in before for sale_id in owned_states(stack))
    epochs = {epoch for epoch, _, _ in applied_places(stack).values()}
    for name in stack.services.keys() - {GATEWAY}:
        url = stack.postgres.url(f"yaosu_{name}").replace("+psycopg", "")
        with psycopg.connect(url) as connection:
            connection.execute("UPDATE house SET epoch = epoch + 1")
    await until_the_board_is_level(stack)
    # Nothing but a rebuild brings a reader into another epoch.
    assert epochs.isdisjoint(epoch for epoch, _, _ in applied_places(stack).values())
    assert await shown(stack) == before


def check(stack: Stack) -> None:
    """Told, kept and shown are one; nothing appeared or vanished; nothing is parked."""
    told = told_holdings(stack, "energy")
    assert told
    assert kept_holdings(stack) == told
    assert shown_holdings(stack) == told
    assert shown_states(stack) == owned_states(stack)
    for asset in {place[1] for place in told}:
        assert sum(posted for place, (posted, _) in told.items() if place[1] == asset) == 0
    assert all(
        posted >= held >= 0 for place, (posted, held) in told.items() if "issuance" not in place[0]
    )
    assert rows(stack, "gateway", "SELECT count(*) FROM parked") == [(0,)]


def check_answers(stack: Stack, sent: Path) -> int:
    """Every answer a client was given stands in the house, byte for byte; how many there are."""
    stored = {
        (key, status, bytes(body))
        for key, status, body in rows(
            stack, "energy", "SELECT key, status, body FROM stored_answer"
        )
    }
    files = sorted(sent.glob("*.answer"))
    for file in files:
        head, _, body = file.read_bytes().partition(b"\n")
        said = json.loads(head)
        assert (said["key"], said["status"], body) in stored, said
    keys = [key for key, _, _ in stored]
    assert len(keys) == len(set(keys))
    return len(files)
