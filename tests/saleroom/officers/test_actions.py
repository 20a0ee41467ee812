"""Key officers, their keys, and the drill that every announcement waits for."""

import asyncio
from functools import partial

import pytest

from builders import a_caller
from databases import rows
from marketkit.db import Database
from marketkit.errors import InputInvalid
from marketkit.signing import b64, unb64
from saleroom.drills import ChallengeUnreadable, Drill
from saleroom.notices import actions as notices
from saleroom.notices.rules import DrillNotPassed, SaleStateNotAllowed, SaleUnknown
from saleroom.officers import actions
from saleroom.officers.actions import AnswerOut, DrillOut, DrillRef, OfficerIn, OfficerOut
from saleroom.officers.rules import (
    DrillAlreadyAnswered,
    DrillAnswerWrong,
    DrillNotCurrent,
    DrillUnknown,
)
from saleroom.sealing import PublicKeyUnusable, new_key_pair
from saleroom.shares import KeyOfficersWrong
from toy_market import TOY, Room, a_draft, events_of, put_sale


@pytest.fixture
def room(energy_house: Database) -> Room:
    return Room(energy_house)


async def kinds(house: Database) -> list[str]:
    return [event["type"].split(".")[3] for event in await events_of(house)]


async def drill_of(room: Room, role: str, sub: str) -> DrillOut:
    caller = a_caller(role, sub=sub)
    return await room.house.run(lambda s: actions.drill_of(s, room.sale_id, caller))


async def replace_key(room: Room, number: int) -> None:
    """The officer of this number registers another key."""
    pair = new_key_pair()
    known = await register(room, f"officer-{number}", b64(pair.public_key))
    room.officers[known.officer_id] = pair


async def test_all_five_pass_and_the_sale_may_be_announced(room: Room) -> None:
    await room.draft()
    drill_id = await room.drill()
    await room.announce_draft()
    told = [event for event in await events_of(room.house) if "drill" in event["type"]]
    assert [event["type"].split(".")[3] for event in told] == [
        "drill_begun",
        *["drill_answered"] * 5,
    ]
    assert {event["data"]["drill_id"] for event in told} == {drill_id}
    assert {event["data"]["officer_id"] for event in told[1:]} == set(room.officers)
    announced = (await events_of(room.house))[-1]["data"]
    assert announced["drilled_at"] == "2022-10-09T09:00:00+08:00"


@pytest.mark.article("notice")
async def test_without_a_drill_nothing_is_announced(room: Room) -> None:
    await room.draft()
    with pytest.raises(DrillNotPassed):
        await room.announce_draft()


@pytest.mark.article("notice")
@pytest.mark.parametrize("missing", range(5))
async def test_four_answers_are_not_five(room: Room, missing: int) -> None:
    await room.draft()
    drill_id = await room.begin_drill()
    for number in set(range(5)) - {missing}:
        await room.answer(number, drill_id)
    before = await kinds(room.house)
    with pytest.raises(DrillNotPassed):
        await room.announce_draft()
    assert await kinds(room.house) == before
    assert await rows(room.house, "SELECT 1 FROM hold") == []
    assert (await room.sale()).state == "DRAFT"
    await room.answer(missing, drill_id)
    await room.announce_draft()


@pytest.mark.article("notice")
async def test_a_key_registered_after_the_drill_has_to_be_drilled(room: Room) -> None:
    await room.draft()
    await room.drill()
    await replace_key(room, 3)
    found = await drill_of(room, "trading_center", "center")
    assert [one.drilled_at is None for one in found.officers].count(True) == 1
    with pytest.raises(DrillNotPassed):
        await room.announce_draft()
    await room.drill()
    await room.announce_draft()


async def test_a_new_drill_starts_from_nothing(room: Room) -> None:
    await room.draft()
    old = await room.drill()
    answer = await room.drill_answer(0)
    new = await room.begin_drill()
    with pytest.raises(DrillNotPassed):
        await room.announce_draft()
    with pytest.raises(DrillNotCurrent):
        await room.answer(0, old, answer)
    with pytest.raises(DrillAnswerWrong):
        await room.answer(0, new, answer)
    found = await drill_of(room, "trading_center", "center")
    assert found.drill_id == new
    assert not any(one.drilled_at for one in found.officers)


@pytest.mark.parametrize("answer", [b"a", bytes(32), bytes(33), b"a" * 80])
async def test_a_wrong_answer_is_refused_whatever_it_is_and_changes_nothing(
    room: Room, answer: bytes
) -> None:
    await room.draft()
    drill_id = await room.begin_drill()
    before = await rows(room.house, "SELECT sale_id, drilled_at, drill_id FROM sale_officer")
    told = await kinds(room.house)
    with pytest.raises(DrillAnswerWrong) as refused:
        await room.answer(1, drill_id, answer)
    assert refused.value.detail in {None, "", DrillAnswerWrong.title}
    assert before == await rows(
        room.house, "SELECT sale_id, drilled_at, drill_id FROM sale_officer"
    )
    assert await kinds(room.house) == told
    # And the officer may try again.
    await room.answer(1, drill_id)


async def test_the_answer_of_another_is_no_answer(room: Room) -> None:
    await room.draft()
    drill_id = await room.begin_drill()
    with pytest.raises(DrillAnswerWrong):
        await room.answer(0, drill_id, await room.drill_answer(1))


async def test_who_is_none_of_the_five_knows_of_no_drill(room: Room) -> None:
    await room.draft()
    drill_id = await room.begin_drill()
    answer = await room.drill_answer(0)
    await register(room, "officer-9", b64(new_key_pair().public_key))
    for look in (
        partial(room.answer, 9, drill_id, answer),
        partial(drill_of, room, "key_officer", "officer-9"),
    ):
        with pytest.raises(DrillUnknown):
            await look()


async def test_before_a_drill_begins_there_is_none(room: Room) -> None:
    await room.draft()
    for role, sub in (("trading_center", "center"), ("key_officer", "officer-0")):
        with pytest.raises(DrillUnknown):
            await drill_of(room, role, sub)
    with pytest.raises(DrillUnknown):
        await room.answer(0, "x", bytes(32))
    room.sale_id = "x"
    with pytest.raises(SaleUnknown):
        await drill_of(room, "trading_center", "center")
    with pytest.raises(SaleUnknown):
        await room.begin_drill()


async def test_a_key_replaced_during_the_drill_answers_nothing(room: Room) -> None:
    await room.draft()
    drill_id = await room.begin_drill()
    answer = await room.drill_answer(2)
    await replace_key(room, 2)
    with pytest.raises(DrillNotCurrent):
        await room.answer(2, drill_id, answer)


async def test_five_answers_at_once_of_one_officer_are_one(room: Room) -> None:
    await room.draft()
    drill_id = await room.begin_drill()
    answer = await room.drill_answer(4)
    outcomes = await asyncio.gather(
        *(room.answer(4, drill_id, answer) for _ in range(5)), return_exceptions=True
    )
    assert sum(isinstance(outcome, AnswerOut) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, DrillAlreadyAnswered) for outcome in outcomes) == 4
    assert (await kinds(room.house)).count("drill_answered") == 1


@pytest.mark.parametrize(
    "state",
    [
        "ANNOUNCED", "OPEN", "SUSPENDED", "CLOSED", "OPENED", "CLEARED", "CONFIRMED", "SETTLED",
        "FAILED", "CANCELLED", "ARCHIVED",
    ],
)  # fmt: skip
async def test_only_a_draft_is_drilled(room: Room, state: str) -> None:
    await room.draft()
    drill_id = await room.begin_drill()
    answer = await room.drill_answer(0)
    await put_sale(room.house, state)
    for step in (room.begin_drill, partial(room.answer, 0, drill_id, answer)):
        with pytest.raises(SaleStateNotAllowed):
            await step()


async def test_four_officers_are_not_drilled(room: Room) -> None:
    await room.draft()
    draft = a_draft(list(room.officers)[:4])
    four = await room.house.run(lambda s: notices.draft_sale(s, TOY, draft))
    room.sale_id = four.sale_id
    with pytest.raises(KeyOfficersWrong):
        await room.begin_drill()


async def test_five_drills_begun_at_once_leave_one_to_answer(room: Room) -> None:
    await room.draft()
    begun = await asyncio.gather(
        *(room.house.run(lambda s: actions.begin_drill(s, room.sale_id)) for _ in range(5))
    )
    assert {type(one) for one in begun} == {DrillRef}
    (row,) = await rows(room.house, "SELECT DISTINCT drill_id FROM sale_officer")
    for number in range(5):
        await room.answer(number, row.drill_id)
    await room.announce_draft()


async def test_the_house_keeps_no_answer(room: Room) -> None:
    await room.draft()
    await room.begin_drill()
    answers = [await room.drill_answer(number) for number in range(5)]
    stored = await rows(room.house, "SELECT to_json(t)::text AS row FROM sale_officer t")
    assert not any(answer.hex() in row.row for answer in answers for row in stored)


async def test_a_drill_reads_no_share(room: Room) -> None:
    """Handed out in the place of a challenge, a real share opens to nothing."""
    await room.announce()
    shares = await rows(room.house, "SELECT officer_id, wrapped_share FROM sale_officer")
    drill = Drill(room.sale_id, "drill-1")
    for row in shares:
        with pytest.raises(ChallengeUnreadable):
            drill.answer(
                bytes(row.wrapped_share),
                private_key=room.officers[row.officer_id].private_key,
                officer=row.officer_id,
            )


async def test_an_officer_sees_its_own_challenge_only(room: Room) -> None:
    await room.draft()
    await room.begin_drill()
    seen = [await drill_of(room, "key_officer", f"officer-{number}") for number in range(5)]
    assert len({one.challenge for one in seen}) == 5
    center = await drill_of(room, "trading_center", "center")
    assert (center.challenge, center.officer_id) == ("", "")
    other = seen[1]
    with pytest.raises(ChallengeUnreadable):
        Drill(room.sale_id, other.drill_id).answer(
            unb64(other.challenge),
            private_key=room.officers[seen[0].officer_id].private_key,
            officer=other.officer_id,
        )


async def register(room: Room, sub: str, public_key: str) -> OfficerOut:
    caller = a_caller("key_officer", sub=sub)
    form = OfficerIn(public_key=public_key)
    return await room.house.run(lambda s: actions.register_key_officer(s, caller, form))


async def test_a_key_officer_has_one_key_and_one_id(room: Room) -> None:
    keys = [b64(new_key_pair().public_key) for _ in range(2)]
    first = await register(room, "a", keys[0])
    again = await register(room, "a", keys[1])
    other = await register(room, "b", keys[0])
    assert first.officer_id == again.officer_id != other.officer_id
    assert again.public_key == keys[1]


async def test_five_first_registrations_at_once_are_one_officer(room: Room) -> None:
    key = b64(new_key_pair().public_key)
    known = await asyncio.gather(*(register(room, "a", key) for _ in range(5)))
    assert len({one.officer_id for one in known}) == 1


@pytest.mark.parametrize(
    ("public_key", "refusal"),
    [("?", InputInvalid), ("", PublicKeyUnusable), (b64(bytes(32)), PublicKeyUnusable)],
)
async def test_a_key_nothing_can_be_wrapped_to_is_refused(
    room: Room, public_key: str, refusal: type[Exception]
) -> None:
    with pytest.raises(refusal):
        await register(room, "a", public_key)
