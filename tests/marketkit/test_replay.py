"""Parked events brought back: by two administrators, after a dry run that keeps nothing."""

from collections.abc import Callable
from typing import Any

import pytest

from builders import Trust, a_client, a_key
from databases import Migrated, Package, rows
from marketkit.db import Database
from marketkit.replay import routes
from marketkit.web import create_app
from toys import DEFECTS, Misshapen, Noted, Readers, counting, counts, tell_facts

pytestmark = pytest.mark.usefixtures("gateway_toy")
SOURCE = "/370500/land-index"
WISH = {"source": SOURCE, "reason": "缺陷已修复（示例）"}


@pytest.fixture
def readers(kit_house: Database, gateway_house: Database) -> Readers:
    return Readers(kit_house, gateway_house)


class Office:
    """The doors of replay, and those who stand before them."""

    def __init__(self, house: Database) -> None:
        self.trust = Trust.in_services(house)
        self.app = create_app(house, self.trust.verifier, "test", [routes(counting())])

    async def post(self, path: str, role: str, sub: str = "someone", **form: Any) -> Any:
        token = self.trust.token(role, sub=sub)
        async with a_client(self.app, token) as client:
            return await client.post(path, json=form, headers=a_key())

    async def asked(self) -> str:
        answer = await self.post("/v1/replays/requests", "system_admin", sub="first", **WISH)
        assert answer.status_code == 201
        found: str = answer.json()["request"]["request_id"]
        return found


async def repaired(house: Database, migrated: Callable[[Package], Migrated]) -> None:
    async with house.transaction("worker") as session:
        connection = await session.connection()
        await connection.exec_driver_sql("INSERT INTO toy.repaired DEFAULT VALUES")


async def poison(readers: Readers) -> int:
    """A thousand events that cannot be applied, of every kind, among twice as many that can."""
    kinds = [*DEFECTS, "misshapen"]
    told: list[tuple[str, Any]] = []
    for number in range(1000):
        kind = kinds[number % len(kinds)]
        bad: Any = Noted(number=number, fault=kind)
        if kind == "misshapen":
            bad = Misshapen(numbers=[number])
        told += [
            (f"good-{number % 40}", Noted(number=number)),
            (f"bad-{number}", bad),
            (f"good-{number % 40}", Noted(number=number)),
        ]
    await tell_facts(readers.owner, *told)
    return 1000


async def parked_count(house: Database) -> int:
    return len(await rows(house, "SELECT id FROM parked"))


async def test_a_thousand_poisoned_events_stop_nobody_and_are_brought_back(
    readers: Readers, migrated: Callable[[Package], Migrated]
) -> None:
    poisoned = await poison(readers)
    await readers.reader.compare()
    assert await readers.is_level()
    healthy = {f"good-{n}": 50 for n in range(40)}
    assert await counts(readers.house) == healthy
    assert await parked_count(readers.house) == poisoned
    await repaired(readers.house, migrated)
    office = Office(readers.house)
    request = await office.asked()
    assert await counts(readers.house) == healthy, "a dry run keeps nothing"
    path = f"/v1/replays/requests/{request}/confirmations"
    done = (await office.post(path, "security_admin", sub="second")).json()
    # What no reader of this version can read stays; a newer version takes it in.
    unreadable = poisoned // (len(DEFECTS) + 1)
    assert done == {
        "source": SOURCE,
        "applied": poisoned - unreadable,
        "still_parked": unreadable,
    }
    assert sum((await counts(readers.house)).values()) == 2000 + poisoned - unreadable


async def test_a_dry_run_says_what_would_be_applied(
    readers: Readers, migrated: Callable[[Package], Migrated]
) -> None:
    await tell_facts(readers.owner, ("a", Noted(number=1, fault="lookup")), ("a", Noted(number=2)))
    await readers.reader.compare()
    office = Office(readers.house)
    before = await office.post("/v1/replays/requests", "system_admin", **WISH)
    assert before.json()["wish"] == WISH | {"parked": 2, "would_apply": 0}
    await repaired(readers.house, migrated)
    after = await office.post("/v1/replays/requests", "system_admin", **WISH)
    assert after.json()["wish"] == WISH | {"parked": 2, "would_apply": 2}
    assert await parked_count(readers.house) == 2


async def test_who_asked_may_not_allow_and_no_other_role_may_do_either(readers: Readers) -> None:
    await tell_facts(readers.owner, ("a", Noted(number=1, fault="lookup")))
    await readers.reader.compare()
    office = Office(readers.house)
    request = await office.asked()
    path = f"/v1/replays/requests/{request}/confirmations"
    assert (await office.post(path, "system_admin", sub="second")).status_code == 403
    assert (await office.post(path, "auditor", sub="second")).status_code == 403
    same = await office.post(path, "security_admin", sub="first")
    assert (same.status_code, same.json()["code"]) == (403, "SAME_PERSON")
    asked = await office.post("/v1/replays/requests", "security_admin", **WISH)
    assert asked.status_code == 403


async def test_once_allowed_is_enough_and_an_unknown_source_is_unknown(readers: Readers) -> None:
    await tell_facts(readers.owner, ("a", Noted(number=1, fault="lookup")))
    await readers.reader.compare()
    office = Office(readers.house)
    path = f"/v1/replays/requests/{await office.asked()}/confirmations"
    assert (await office.post(path, "security_admin", sub="second")).status_code == 200
    again = await office.post(path, "security_admin", sub="second")
    assert (again.status_code, again.json()["code"]) == (409, "ALREADY_CONFIRMED")
    unknown = WISH | {"source": "/370500/nobody"}
    answer = await office.post("/v1/replays/requests", "system_admin", **unknown)
    assert (answer.status_code, answer.json()["code"]) == (404, "SOURCE_UNKNOWN")


async def test_administrators_see_what_is_parked_and_not_what_it_says(readers: Readers) -> None:
    await tell_facts(readers.owner, ("a", Noted(number=4711, fault="lookup")))
    await readers.reader.compare()
    office = Office(readers.house)
    async with a_client(office.app, office.trust.token("auditor")) as client:
        answer = await client.get("/v1/parked-events")
    assert answer.json()["total"] == 1
    assert answer.json()["items"][0]["verdict"] == "BROKEN"
    assert "4711" not in answer.text
