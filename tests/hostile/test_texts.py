"""Row 51: what a text says is never a word of the database's language."""

import json
from pathlib import Path

import pytest

from builders import Trust, a_client
from databases import rows
from energy_office import Office, a_reader, a_shutdown
from hostile.examples import ENERGY
from hostile.house import World, energy_app
from hostile.target import targets
from hostile.wire import answer_to, line_to
from marketkit.db import Database

SAID = ("'; DROP TABLE sale; --", '" OR 1=1', "%_\\", "${jndi:x}", "{{7*7}}", "$1 :name %(name)s")
FILTERS = ("%", "_", "炼_", "%炼%", "' OR '1'='1", "炼化'; DROP TABLE shutdown; --", "\\")


async def tables(house: Database) -> int:
    query = "SELECT count(*) AS n FROM information_schema.tables WHERE table_schema = 'public'"
    return int((await rows(house, query, "market"))[0].n)


async def test_51_what_is_said_is_taken_by_its_letters(
    energy_house: Database, tmp_path: Path
) -> None:
    trust = Trust()
    world = await World.of(energy_house)
    app = energy_app(energy_house, trust, tmp_path)
    before, faults, count = await tables(energy_house), [], 0
    async with line_to(app) as client:
        for target in targets(app, ENERGY, world, trust):
            for leaf in target.leaves("text"):
                for text in SAID:
                    escaped = json.dumps(text, ensure_ascii=False)
                    answer = await answer_to(client, target.put(leaf.place, escaped))
                    count += 1
                    if answer.status_code >= 500 or answer.status_code in {401, 403, 405}:
                        faults.append(f"{target.name} {leaf.pointer} {text}: {answer.text[:200]}")
    assert faults == []
    assert count > 50
    assert await tables(energy_house) == before


async def test_51_a_text_is_kept_as_it_was_said(energy_house: Database) -> None:
    office = Office(energy_house)
    for text in SAID:
        await office.done("shutdowns", a_shutdown(name=text, industry=text))
    found = await rows(energy_house, "SELECT name, industry FROM shutdown")
    assert {(row.name, row.industry) for row in found} == {(text, text) for text in SAID}


@pytest.mark.parametrize("wanted", FILTERS)
async def test_51_a_filter_takes_no_wildcard(energy_house: Database, wanted: str) -> None:
    office = Office(energy_house)
    await office.done("shutdowns", a_shutdown())
    supervisor = a_reader("supervisor")
    token = office.issuers.token(*supervisor["roles"])
    async with a_client(office.app, token) as client:
        answer = await client.get("/v1/retained-quota", params={"industry": wanted})
        assert (answer.status_code, answer.json()["total"]) == (200, 0)
        own = await client.get("/v1/retained-quota", params={"industry": "炼化"})
    assert own.json()["total"] == 1
