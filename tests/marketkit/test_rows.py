from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic_core import PydanticSerializationError

from databases import rows
from marketkit.answers import StoredAnswer
from marketkit.db import Database, Table
from marketkit.outbox import Outbox
from marketkit.rows import as_json, insert_all

AT = datetime(2022, 6, 1, 8, 30, 0, 123456, tzinfo=UTC)
# What would end a text, a JSON string or an escape of PostgreSQL's too early.
WORDS = ("", "'", '"', "\\", "\\x41", "\\u0041", "{1,2}", "NULL", "企业 🏭", "a\nb\tc")


async def keep(house: Database, table: type[Table], given: Sequence[dict[str, Any]]) -> None:
    await house.run(lambda session: insert_all(session, table, given))


async def test_every_value_comes_back_as_it_was_given(kit_house: Database) -> None:
    given = [
        {"principal": f"{number}", "key": word, "fingerprint": bytes(range(256)), "status": 201}
        | {"location": word, "body": word.encode() + b"\x00\xff", "answered_at": AT}
        for number, word in enumerate(WORDS)
    ]
    await keep(kit_house, StoredAnswer, given)
    found = await rows(kit_house, "SELECT * FROM stored_answer ORDER BY principal", "market")
    assert [row._asdict() for row in found] == given


async def test_rows_go_in_in_their_order(kit_house: Database) -> None:
    given = [
        {"key": f"{number % 7}", "is_step": number % 2 == 0, "event": f"{number}".encode()}
        for number in range(1_000)
    ]
    await keep(kit_house, Outbox, given)
    found = await rows(kit_house, "SELECT key, is_step, event FROM outbox ORDER BY id")
    assert [row._asdict() for row in found] == given


async def test_no_rows_are_no_statement(kit_house: Database) -> None:
    await keep(kit_house, Outbox, [])
    assert await rows(kit_house, "SELECT id FROM outbox") == []


def test_a_value_without_a_form_is_a_defect() -> None:
    with pytest.raises(PydanticSerializationError, match="object"):
        as_json([{"key": object()}])
