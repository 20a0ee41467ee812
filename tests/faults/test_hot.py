"""Hot actions under what befalls them: other processes, one frozen, callers gone, far too many."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import httpx
import psutil
import pytest

from builders import a_client, a_key
from databases import ENERGY, Migrated, Package, fresh, rows, until_idle
from energy_office import (
    Office,
    a_bank,
    a_batch,
    a_pledge,
    a_pledgor,
    a_release,
    an_assignment,
    enterprise,
)
from energy_trade.pledges.actions import PLEDGE
from marketkit.meeting import Meeting
from takers import a_command, status_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

Databases = Callable[[Package], Migrated]
SCRIPT = Path(__file__).parents[1] / "takers.py"
PROCESSES = 4
CANCELLED = 10_000


@pytest.fixture
async def office(migrated: Databases) -> AsyncIterator[Office]:
    """Two enterprises that hold 5,000 tce each, in one lot."""
    async with fresh(migrated(ENERGY)) as house:
        office = Office(house)
        await office.fill_pool()
        two = [an_assignment(number, quantity_tce="5000") for number in (0, 1)]
        await office.done("increment-batches", a_batch(*two))
        yield office


@contextmanager
def takers(url: str, *more: str, count: int = PROCESSES) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that are ready to pledge; stopped by their ids, whatever comes."""
    running = [
        subprocess.Popen(
            [sys.executable, SCRIPT, url, *more],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(count)
    ]
    try:
        for one in running:
            assert one.stdout
            assert one.stdout.readline() == "ready\n"
        yield running
    finally:
        for one in running:
            one.send_signal(signal.SIGCONT)
            one.kill()
            one.communicate()


def go(running: list[subprocess.Popen[str]], holder: int, takes: int, kgce: int) -> None:
    each = takes // len(running)
    for place, one in enumerate(running):
        assert one.stdin
        one.stdin.write(f"{holder} {each * place} {each} {kgce}\n")
        one.stdin.flush()


async def outcomes(running: list[subprocess.Popen[str]]) -> Counter[str]:
    found: Counter[str] = Counter()
    for one in running:
        assert one.stdout
        found += Counter(json.loads(await asyncio.to_thread(one.stdout.readline)))
    return found


async def test_four_processes_never_take_more_than_the_lot_holds(
    office: Office, migrated: Databases
) -> None:
    with takers(migrated(ENERGY).app_url) as running:
        for holder, takes, kgce in ((0, 16, 700_000), (1, 100, 300_000)):
            go(running, holder, takes, kgce)
            granted = 5_000_000 // kgce
            assert await outcomes(running) == {"201": granted, "409": takes - granted}
            (balance,) = await rows(
                office.house,
                "SELECT posted, held FROM balance WHERE account = :account",
                account=enterprise(holder),
            )
            assert tuple(balance) == (5_000_000, granted * kgce)
    await office.assert_conserved()


async def test_a_process_frozen_in_a_hot_transaction_does_not_shut_the_lot(
    office: Office, migrated: Databases
) -> None:
    with takers(migrated(ENERGY).app_url, "freeze", count=1) as (frozen,):
        go([frozen], 0, 1, 1_000_000)
        deadline = time.monotonic() + 30
        while psutil.Process(frozen.pid).status() != psutil.STATUS_STOPPED:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.005)
        meeting = Meeting(office.house, PLEDGE)
        began = time.monotonic()
        answer = await meeting.join(enterprise(), a_command(0, 7, 4_500_000))
        spent_s = time.monotonic() - began
        assert answer.status == 201
        # Not the five seconds that any other transaction may idle.
        assert spent_s < 4
        os.kill(frozen.pid, signal.SIGCONT)
        # It lost its place with its lock, and finds out what is left like anybody else.
        assert await outcomes([frozen]) == {"409": 1}
    await office.assert_conserved()


def connections(migrated: Databases) -> list[str]:
    """What each connection of the application is at, as PostgreSQL sees it."""
    with migrated(ENERGY).superuser() as connection:
        found = connection.execute(
            "SELECT state FROM pg_stat_activity WHERE usename = 'yaosu_app' "
            "AND datname = current_database()"
        )
        return [state for (state,) in found.fetchall()]


async def test_ten_thousand_callers_who_hang_up_leave_nothing_behind(
    office: Office, migrated: Databases
) -> None:
    seed = Random(CANCELLED)
    meeting = Meeting(office.house, PLEDGE)
    pledgor = office.issuers.token("enterprise", region_code="", uscc=a_pledgor()["uscc"])
    async with a_client(office.app, pledgor) as client:

        def pledge(number: int) -> Coroutine[Any, Any, object]:
            said = a_pledge("0.001", document_no=f"合同{number}")
            return client.post("/v1/pledges", json=said, headers=a_key())

        calls: list[Callable[[int], Coroutine[Any, Any, object]]] = [
            pledge,
            lambda number: client.get("/v1/pledges?page_size=1"),
            *[lambda number: rows(office.house, "SELECT pg_sleep(0.001)")] * 4,
            *[lambda number: meeting.join(enterprise(), a_command(0, number, 1))] * 14,
        ]

        async def hang_up(number: int) -> None:
            caller = asyncio.create_task(calls[number % len(calls)](number))
            await asyncio.sleep(seed.random() / 5)
            caller.cancel()
            await asyncio.wait([caller])

        for first in range(0, CANCELLED, 500):
            await asyncio.gather(*(hang_up(n) for n in range(first, first + 500)))
        # Whoever comes next is served, at both meetings, after all who came before.
        last = a_key()
        for _ in range(200):
            answer = await client.post("/v1/pledges", json=a_pledge("1"), headers=last)
            if answer.status_code != 503:
                break
            await asyncio.sleep(0.1)
        assert answer.status_code == 201
        assert await status_of(meeting, a_command(0, CANCELLED, 1)) == 201
    await until_idle(office.house)
    pool: Any = office.house.engine.pool
    assert pool.checkedout() == 0
    found = connections(migrated)
    assert len(found) <= office.house.pool_size
    assert set(found) == {"idle"}
    # What was begun is whole: a pledge with its hold, its event and its stored answer.
    (whole,) = await rows(
        office.house,
        "SELECT (SELECT count(*) FROM pledge) AS pledges, (SELECT count(*) FROM hold) AS holds, "
        "(SELECT count(*) FROM stored_answer WHERE status = 201 "
        " AND convert_from(body, 'UTF8') LIKE '%pledge_id%') AS answers",
        "market",
    )
    assert whole.pledges == whole.holds == whole.answers > 1
    assert (await office.kinds()).count("pledge.registered") == whole.pledges
    await office.assert_conserved()


async def test_three_times_what_may_wait_is_answered_and_over(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("marketkit.meeting.WAITING_MAX", 300)
    pledgor = office.issuers.token("enterprise", region_code="", uscc=a_pledgor()["uscc"])
    async with a_client(office.app, pledgor) as client:

        async def pledge(number: int) -> httpx.Response:
            said = a_pledge("1", document_no=f"合同{number}")
            return await client.post("/v1/pledges", json=said, headers=a_key())

        answers = await asyncio.gather(*(pledge(number) for number in range(900)))
        counted = Counter(answer.status_code for answer in answers)
        assert set(counted) <= {201, 503}
        assert counted[201] >= 300
        assert counted[503] > 0
        for answer in answers:
            if answer.status_code == 503:
                assert int(answer.headers["Retry-After"]) >= 1
        assert (await pledge(901)).status_code == 201
    assert (await office.kinds()).count("pledge.registered") == counted[201] + 1
    await office.assert_conserved()


async def test_three_times_the_pool_is_answered_without_a_fault(office: Office) -> None:
    """What does not meet waits for a connection, two seconds at most."""
    one = await office.done("pledges", a_pledge("1000"), a_pledgor())
    path = f"/v1/pledges/{one['pledge_id']}/releases"
    bank = office.issuers.token("creditor", region_code="", uscc=a_bank()["uscc"])
    async with a_client(office.app, bank) as client:
        sent = [
            client.post(path, json=a_release("1"), headers=a_key())
            for _ in range(30 * office.house.pool_size)
        ]
        answers = await asyncio.gather(*sent)
        counted = Counter(answer.status_code for answer in answers)
        assert set(counted) <= {201, 503}
        assert all("Retry-After" in one.headers for one in answers if one.status_code == 503)
        assert (await client.post(path, json=a_release("1"), headers=a_key())).status_code == 201
    story = await office.told(f"pledges/{one['pledge_id']}", a_bank())
    assert len(story["releases"]) == counted[201] + 1
    await office.assert_conserved()
