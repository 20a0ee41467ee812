"""Each part killed, the wire erased, while commands are sent: nothing answered is lost."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path

import psycopg
import pytest

from folds import (
    check_answers,
    check_that_a_rebuild_changes_nothing,
    events,
    owned_states,
    rows,
    until_the_board_is_the_fold,
)
from yaosu.client import Client, Sent
from yaosu.demo import facts, play
from yaosu.demo.people import BUREAU, Desk
from yaosu.demo.quota import ENERGY
from yaosu.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

VICTIMS = ("energy", "gateway", "broker", "postgres", "land", "emission")
ERASURES = 3
ANSWERS_BETWEEN = 3
PATIENCE_S = 60


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[Stack]:
    async with Stack(tmp_path / "data") as stack:
        yield stack


def sent(house: Stack) -> Path:
    return house.data_dir / "demo" / "sent"


async def told_while(house: Stack, nemesis: Callable[[], Coroutine[None, None, None]]) -> list[str]:
    """Tell the whole story and issue quota after it, until the nemesis has done all it will.

    Answers the documents whose issue was answered.
    """
    async with asyncio.TaskGroup() as together:
        at_work = together.create_task(nemesis())
        await play(house.gateway_url, house.inner_urls, house.data_dir, house.keys)
        return await issued_while(house, at_work)


async def issued_while(house: Stack, at_work: "asyncio.Task[None]") -> list[str]:
    issued: list[str] = []
    async with Client(house.gateway_url, Sent(sent(house)), trust_env=False) as client:
        desk = Desk(client)
        while not at_work.done():
            document_no = f"{facts.ISSUE['document_no']}之{len(issued) + 1}"
            form = facts.ISSUE | {"quantity": "1.000", "document_no": document_no}
            await desk.act_by_two(BUREAU, f"{ENERGY}/issues", form, key=f"mid-run/{len(issued)}")
            issued.append(document_no)
    return issued


async def until_commands_go_on(house: Stack) -> None:
    """Return when clients have got some more answers."""

    def answer_count() -> int:
        return sum(1 for _ in sent(house).glob("*.answer"))

    begun_with = answer_count()
    async with asyncio.timeout(PATIENCE_S):
        while answer_count() < begun_with + ANSWERS_BETWEEN:
            await asyncio.sleep(0.02)


async def kill_and_await(house: Stack, name: str) -> None:
    """Kill a part as it runs; return when another process is it and the house can serve."""
    pid = house.pid(name)
    assert pid is not None
    house.kill(name, signal.SIGKILL)
    async with asyncio.timeout(PATIENCE_S):
        while house.pid(name) in {pid, None}:
            await asyncio.sleep(0.05)
    for service in house.services:
        await house.wait_ready(service)


async def test_every_process_killed_in_mid_run(house: Stack) -> None:
    killed: list[str] = []

    async def kill_each() -> None:
        for name in VICTIMS:
            await until_commands_go_on(house)
            await kill_and_await(house, name)
            killed.append(name)
        await until_commands_go_on(house)

    issued = await told_while(house, kill_each)
    await until_the_board_is_the_fold(house)
    assert set(killed) == set(VICTIMS)
    assert set(owned_states(house).values()) == {"ARCHIVED"}
    assert check_answers(house, sent(house)) > 40 + 2 * len(issued)
    assert issued_documents(house) == sorted(issued)
    await check_that_a_rebuild_changes_nothing(house)


def issued_documents(house: Stack) -> list[str]:
    """The documents of what was issued after the story."""
    told = (event["data"] for event in events(house, "energy") if "issued" in event["type"])
    return sorted(issue["document_no"] for issue in told if issue["quantity"] == "1.000")


async def test_the_broker_erased_in_mid_run_and_then_an_owner_restored(house: Stack) -> None:
    brokers = [house.pid("broker")]

    async def erase() -> None:
        for _ in range(ERASURES):
            await until_commands_go_on(house)
            await house.erase_broker()
            brokers.append(house.pid("broker"))

    issued = await told_while(house, erase)
    await until_the_board_is_the_fold(house)
    # A broker holds all it has in its memory: another process is an empty one.
    assert len(set(brokers) - {None}) == ERASURES + 1
    assert issued_documents(house) == sorted(issued)
    await check_that_a_rebuild_changes_nothing(house)
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
