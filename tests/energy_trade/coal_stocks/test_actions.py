"""Reports by the list: each row its verdict, under its own identity, whatever its neighbours."""

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from builders import COUNTY, OTHER_COUNTY
from databases import ENERGY, Migrated, Package, rows
from energy_office import A_COUNTY_OFFICER, Claims, Office, a_reader, a_report, a_stock
from energy_trade.coal_stocks.actions import REPORT, CoalStockIn, Report
from marketkit.batch import COMMANDS_MAX, Command, execute
from marketkit.db import Database
from marketkit.meeting import Meeting

OTHER_OFFICER = a_reader("county_officer", region_code=OTHER_COUNTY) | {"sub": "other"}
PATH = "reports/coal-stock"


async def reported(office: Office, *stocks: dict[str, Any], who: Claims = A_COUNTY_OFFICER) -> Any:
    answer = await office.send(PATH, a_report(*stocks), who)
    assert answer.status_code == 200, answer.text
    return answer.json()


def codes(answer: Any) -> list[str]:
    return [row["code"] or row["outcome"] for row in answer["rows"]]


async def kept(house: Database) -> list[tuple[Any, ...]]:
    found = await rows(
        house,
        "SELECT region_code, plant_id, revision, stock_kg, level FROM coal_stock ORDER BY 1, 2, 3",
    )
    return [tuple(row) for row in found]


@pytest.mark.article("art. 7")
async def test_a_report_is_judged_kept_and_told(office: Office) -> None:
    answer = await reported(office, a_stock(1), a_stock(2, stock_t="160000.000"))
    assert answer["rows"] == [
        {"plant_id": "plant-1", "effective_on": "2022-05-31", "revision": 1, "outcome": "ACCEPTED",
         "days": "19.00", "level": "BREACH", "code": None, "title": None, "article": None},
        {"plant_id": "plant-2", "effective_on": "2022-05-31", "revision": 1, "outcome": "ACCEPTED",
         "days": "20.00", "level": "OK", "code": None, "title": None, "article": None},
    ]  # fmt: skip
    assert (answer["accepted_count"], answer["refused_count"]) == (2, 0)
    assert await kept(office.house) == [
        (COUNTY, "plant-1", 1, 152_000_000, "BREACH"),
        (COUNTY, "plant-2", 1, 160_000_000, "OK"),
    ]
    kinds = ["coal_stock.reported", "coal_stock.alerted", "coal_stock.reported"]
    assert await office.kinds() == kinds
    first, alert, _ = await office.events()
    assert first["partitionkey"] == alert["partitionkey"] == f"plant:{COUNTY}:plant-1"
    assert (first["regioncode"], first["actor"]) == (COUNTY, "https://people.test|county_officer-1")
    assert (alert["data"]["days"], alert["data"]["floor_days"]) == ("19.00", 20)


async def test_the_same_row_again_has_the_same_verdict_and_no_effect(office: Office) -> None:
    first = await reported(office, a_stock())
    told = await office.events()
    assert await reported(office, a_stock()) == first
    assert await reported(office, a_stock(), a_stock()) == {
        "rows": first["rows"] * 2, "accepted_count": 2, "refused_count": 0,
    }  # fmt: skip
    assert await office.events() == told


async def test_a_correction_is_the_next_revision(office: Office) -> None:
    await reported(office, a_stock())
    other = a_stock(stock_t="160000")
    answer = await reported(office, other, other | {"revision": 3}, other | {"revision": 2})
    assert codes(answer) == ["REPORT_DIFFERS", "REVISION_WRONG", "ACCEPTED"]
    # What was said before stands, and is still what it was.
    assert codes(await reported(office, a_stock())) == ["ACCEPTED"]
    assert [row[2:] for row in await kept(office.house)] == [
        (1, 152_000_000, "BREACH"),
        (2, 160_000_000, "OK"),
    ]


async def test_a_refused_row_does_not_spoil_its_neighbours(office: Office) -> None:
    stocks = [a_stock(number) for number in range(COMMANDS_MAX)]
    stocks[7] = a_stock(7, effective_on="2022-06-02")
    stocks[8] = a_stock(6, stock_t="1")
    stocks[9] = a_stock(9, effective_on="2021-12-31")
    answer = await reported(office, *stocks)
    wanted = ["ACCEPTED"] * COMMANDS_MAX
    wanted[7:10] = ["EFFECTIVE_IN_FUTURE", "REPORT_DIFFERS", "INPUT_INVALID"]
    assert codes(answer) == wanted
    assert len(await kept(office.house)) == answer["accepted_count"] == COMMANDS_MAX - 3
    # What was refused has left nothing: its day once come, it is taken.
    assert codes(await reported(office, a_stock(7))) == ["ACCEPTED"]


async def test_each_report_is_for_the_plants_of_its_own_caller_s_county(office: Office) -> None:
    await reported(office, a_stock())
    answer = await reported(office, a_stock(stock_t="240000"), who=OTHER_OFFICER)
    assert [row["level"] for row in answer["rows"]] == ["STRETCH"]
    assert {row[0] for row in await kept(office.house)} == {COUNTY, OTHER_COUNTY}


def a_command(number: int, *stocks: dict[str, Any]) -> Command[Report]:
    form = CoalStockIn.model_validate_json(json.dumps(a_report(*stocks)))
    report = Report(f"person-{number}", COUNTY, form.rows)
    return Command("p", f"k{number}", b"f", report, weight=len(form.rows))


async def test_reports_that_meet_share_one_transaction(office: Office) -> None:
    meeting = Meeting(office.house, REPORT)
    sent = [
        meeting.join(COUNTY, a_command(n, *(a_stock(100 * n + k) for k in range(100))))
        for n in range(5)
    ]
    assert {answer.status for answer in await asyncio.gather(*sent)} == {200}
    # As many reports as 256 rows allow, in their order. Asked of the rows themselves: a transaction
    # that is lost and done again leaves one trace.
    shared = await rows(
        office.house,
        'SELECT count(*) AS n FROM coal_stock GROUP BY xmin ORDER BY min(plant_id COLLATE "C")',
    )
    assert [one.n for one in shared] == [200, 200, 100]


async def test_the_first_to_arrive_is_believed(office: Office) -> None:
    answers = await office.house.run(
        lambda session: execute(
            session,
            [a_command(n, a_stock(stock_t=str(160_000 + n))) for n in range(50)],
            REPORT,
        )
    )
    taken = [b'"accepted_count":1' in answer.body for answer in answers]
    assert taken == [True] + [False] * 49
    assert [row[3] for row in await kept(office.house)] == [160_000_000]


async def test_counties_at_once_report_the_same_plant_once(office: Office) -> None:
    answers = await asyncio.gather(*(reported(office, a_stock()) for _ in range(10)))
    assert [codes(answer) for answer in answers] == [["ACCEPTED"]] * 10
    assert len(await kept(office.house)) == 1
    assert (await office.kinds()).count("coal_stock.reported") == 1


FAULTY = """
CREATE FUNCTION faulty() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW.name = 'deadlock' THEN RAISE deadlock_detected; END IF;
    IF NEW.name = 'constraint' THEN NEW.daily_burn_kg = 0; END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER faulty BEFORE INSERT ON coal_stock FOR EACH ROW EXECUTE FUNCTION faulty();
"""


@pytest.fixture
def faulty(office: Office, migrated: Callable[[Package], Migrated]) -> Iterator[Office]:
    """A database in which some reports break."""
    with migrated(ENERGY).superuser() as connection:
        connection.execute(FAULTY.encode())
        yield office
        connection.execute("DROP FUNCTION faulty CASCADE")


@pytest.mark.parametrize(("fault", "status"), [("deadlock", 503), ("constraint", 500)])
async def test_one_report_that_breaks_in_a_list_of_200_harms_nobody_else(
    faulty: Office, fault: str, status: int
) -> None:
    reports = [a_command(n, a_stock(n)) for n in range(200)]
    reports[77] = a_command(77, a_stock(77, name=fault))
    answers = await faulty.house.run(lambda session: execute(session, reports, REPORT))
    assert [answer.status for answer in answers] == [200] * 77 + [status] + [200] * 122
    assert len(await kept(faulty.house)) == 199
