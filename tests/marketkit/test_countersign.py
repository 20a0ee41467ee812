import asyncio
from datetime import timedelta
from typing import Any

import pytest

from builders import NOON
from databases import rows
from marketkit.countersign import (
    AlreadyConfirmed,
    Request,
    RequestUnknown,
    SamePerson,
    ask,
    confirm,
    content_of,
)
from marketkit.db import Database, Session
from marketkit.errors import Refusal
from marketkit.units import Form


class Step(Form):
    reason: str


async def asked(house: Database, kind: str = "OPENING") -> str:
    async def work(session: Session) -> str:
        step = Step(reason="到期")
        return (await ask(session, kind, "sale-1", step, asker="a", at=NOON)).request_id

    return await house.run(work)


async def confirmed(
    house: Database, request_id: str, *, by: str = "b", kind: str = "OPENING"
) -> Request:
    async def work(session: Session) -> Request:
        later = NOON + timedelta(minutes=1)
        return await confirm(session, kind, request_id, confirmer=by, at=later)

    return await house.run(work)


async def test_a_step_takes_two_people(kit_house: Database) -> None:
    request_id = await asked(kit_house)
    request = await confirmed(kit_house, request_id)
    assert (request.asked_by, request.confirmed_by) == ("a", "b")
    assert content_of(request) == {"reason": "到期"}
    (row,) = await rows(kit_house, "SELECT * FROM request")
    assert (row.subject, row.asked_at) == ("sale-1", NOON)
    assert row.confirmed_at == NOON + timedelta(minutes=1)


@pytest.mark.parametrize(
    ("refusal", "status", "wrong"),
    [
        (RequestUnknown, 404, {"kind": "CANCELLING"}),
        (SamePerson, 403, {"by": "a"}),
    ],
)
async def test_row_64_one_person_or_another_step_is_refused(
    kit_house: Database, refusal: type[Refusal], status: int, wrong: dict[str, Any]
) -> None:
    request_id = await asked(kit_house)
    with pytest.raises(refusal) as refused:
        await confirmed(kit_house, request_id, **wrong)
    assert refused.value.status == status
    (row,) = await rows(kit_house, "SELECT * FROM request")
    assert row.confirmed_by is None


async def test_an_unknown_request_is_not_found(kit_house: Database) -> None:
    with pytest.raises(RequestUnknown):
        await confirmed(kit_house, "nothing")


async def test_of_many_who_confirm_at_once_one_does(kit_house: Database) -> None:
    request_id = await asked(kit_house)
    ended = await asyncio.gather(
        *(confirmed(kit_house, request_id, by=f"officer-{n}") for n in range(8)),
        return_exceptions=True,
    )
    assert sum(isinstance(end, Request) for end in ended) == 1
    assert sum(isinstance(end, AlreadyConfirmed) for end in ended) == 7
