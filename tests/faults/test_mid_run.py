"""Each part killed, the wire erased, while the story is told: nothing answered is lost."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import psycopg
import pytest

from folds import check_answers, owned_states, rows, until_the_board_is_the_fold
from yaosu.demo import play
from yaosu.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

VICTIMS = ("energy", "gateway", "broker", "postgres", "land", "emission")


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[Stack]:
    async with Stack(tmp_path / "data") as stack:
        yield stack


async def told_while(house: Stack, nemesis: Callable[[], Awaitable[None]]) -> None:
    """Tell the whole story while the nemesis is at work."""
    story = asyncio.create_task(
        play(house.gateway_url, house.inner_urls, house.data_dir, house.keys)
    )
    at_work = asyncio.ensure_future(nemesis())
    try:
        await story
    finally:
        at_work.cancel()
        await asyncio.wait([at_work])


async def test_every_process_killed_in_mid_run(house: Stack) -> None:
    killed: list[str] = []

    async def kill_each() -> None:
        for name in VICTIMS:
            await asyncio.sleep(0.5)
            house.kill(name, signal.SIGKILL)
            killed.append(name)
            await asyncio.sleep(0.5)
            for service in house.services:
                await house.wait_ready(service)

    await told_while(house, kill_each)
    for service in house.services:
        await house.wait_ready(service)
    await until_the_board_is_the_fold(house)
    assert set(owned_states(house).values()) == {"ARCHIVED"}
    assert check_answers(house, house.data_dir / "demo" / "sent") > 40
    assert set(killed) >= {"energy", "gateway", "broker"}


async def test_the_broker_erased_in_mid_run_and_then_an_owner_restored(house: Stack) -> None:
    erased = 0

    async def erase() -> None:
        nonlocal erased
        for _ in range(3):
            await asyncio.sleep(1.0)
            await house.erase_broker()
            erased += 1

    await told_while(house, erase)
    await until_the_board_is_the_fold(house)
    assert erased >= 1
    await an_owner_restored_to_an_older_state_stops_its_readers(house)


async def an_owner_restored_to_an_older_state_stops_its_readers(house: Stack) -> None:
    """Of a house whose story is told and shown."""
    shown = rows(house, "gateway", "SELECT * FROM projection.holding ORDER BY 1, 2, 3, 4")
    url = house.postgres.url("yaosu_energy").replace("+psycopg", "")
    with psycopg.connect(url) as connection:
        # As from a backup taken before the last events: they are gone, and others will take
        # their places.
        connection.execute("SET session_replication_role = replica")
        connection.execute("DELETE FROM log WHERE sequence > 1")
        connection.execute(
            "UPDATE partition_head h SET sequence = l.sequence, chain = l.chain "
            "FROM log l WHERE l.partition = h.partition"
        )
    await _until_forked(house)
    assert rows(house, "gateway", "SELECT * FROM projection.holding ORDER BY 1, 2, 3, 4") == shown
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE house SET epoch = epoch + 1")
    await _until(house, "SELECT bool_or(is_forked) FROM position", False)


async def _until_forked(house: Stack) -> None:
    await _until(
        house,
        "SELECT bool_and(is_forked) FROM position WHERE source = '/370500/energy-trade'",
        True,
    )
    log = (house.data_dir / "logs" / "gateway.log").read_text("utf-8")
    assert '"source_forked"' in log


async def _until(house: Stack, question: str, wanted: object) -> None:
    for _ in range(100):
        if rows(house, "gateway", question) == [(wanted,)]:
            return
        await asyncio.sleep(0.2)
    assert rows(house, "gateway", question) == [(wanted,)]
