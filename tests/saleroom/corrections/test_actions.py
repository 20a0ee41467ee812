"""A notice is corrected; those registered accept it, or their bids are void and deposits back."""

import asyncio
from typing import Any

import pytest

from contracts.sale import BidsRevealed, CorrectionAccepted, DepositRefunded, SaleCorrected
from databases import rows
from marketkit.batch import Verdict
from marketkit.db import Database
from marketkit.errors import Refusal
from saleroom.corrections import actions
from saleroom.corrections.actions import CorrectionOut
from saleroom.corrections.rules import (
    AcceptanceIn,
    CorrectionAlreadyAccepted,
    CorrectionIn,
    CorrectionNotCurrent,
)
from saleroom.entries.actions import RegistrationOut
from saleroom.entries.rules import RegistrationStateNotAllowed, RegistrationUnknown
from saleroom.notices.rules import SaleStateNotAllowed, SaleUnknown, TimetableWrong
from stories import Story, a_step, events
from toy_market import ANNOUNCED, CLOSES, DAY, OPENS, OPENS_BY, TICK, TOY, bidder, put_sale

TEXT = "第三条“交易单位”系笔误，以本公告为准。"


@pytest.fixture
async def story(energy_house: Database) -> Story:
    """An open sale; 1 and 2 may bid and have paid, 1 has a bid."""
    story = Story(energy_house)
    await story.announce()
    for number in (1, 2):
        await story.entrant(number)
    await story.bid(1, a_step("220.00", "4000"))
    return story


async def correct(story: Story, **changes: Any) -> CorrectionOut:
    form = CorrectionIn.model_validate({"text": TEXT, **changes})
    return await story.house.run(lambda s: actions.correct_notice(s, TOY, story.sale_id, form))


async def accept(story: Story, number: int, correction: int = 1, by: int = 0) -> RegistrationOut:
    form, caller = AcceptanceIn(correction=correction), bidder(by or number)
    return await story.house.run(
        lambda s: actions.accept_correction(s, story.sale_id, story.contract(number), caller, form)
    )


async def place(story: Story, number: int, version: int = 1) -> Verdict:
    (verdict,) = await story.place(
        await story.sealed(number, a_step("230.00", "1000"), version=version)
    )
    return verdict


async def test_a_correction_says_what_holds_from_now_on(story: Story) -> None:
    changes = {"closes_at": CLOSES + DAY, "opens_by": OPENS_BY + DAY}
    timetable = {name: at.isoformat() for name, at in changes.items()}
    said = await correct(story, body="新的正文", timetable=timetable)
    assert (said.correction, said.text) == (1, TEXT)
    (fact,) = await story.told(SaleCorrected)
    assert (fact.correction, fact.text, fact.body) == (1, TEXT, "新的正文")
    assert (fact.timetable.closes_at, fact.timetable.opens_by) == tuple(changes.values())
    sale = await story.sale()
    assert (sale.body, sale.closes_at, sale.correction_count) == ("新的正文", CLOSES + DAY, 1)
    again = await correct(story)
    assert again.correction == 2
    assert (await story.told(SaleCorrected))[-1].body == "新的正文"
    listed = await story.house.run(lambda s: actions.corrections_of(s, story.sale_id))
    assert [one.correction for one in listed.items] == [1, 2]


async def test_a_sale_that_was_put_off_closes_later(story: Story) -> None:
    later = {"closes_at": (CLOSES + DAY).isoformat()}
    await correct(story, timetable=later)
    await accept(story, 2)
    story.at(CLOSES + DAY - TICK)
    assert not isinstance(await place(story, 2), Refusal)
    story.at(CLOSES + DAY)
    verdict = await place(story, 2, 2)
    assert isinstance(verdict, Refusal)
    assert verdict.code == "BIDDING_CLOSED"


async def test_who_has_not_accepted_may_not_bid(story: Story) -> None:
    await correct(story)
    verdict = await place(story, 2)
    assert isinstance(verdict, Refusal)
    assert (verdict.code, verdict.article) == ("CORRECTION_NOT_ACCEPTED", "notice")
    assert (await accept(story, 2)).accepted_correction == 1
    assert not isinstance(await place(story, 2), Refusal)
    # And again with the next correction.
    await correct(story)
    verdict = await place(story, 2, 2)
    assert isinstance(verdict, Refusal)
    assert verdict.code == "CORRECTION_NOT_ACCEPTED"


async def test_who_enters_after_a_correction_enters_under_it(energy_house: Database) -> None:
    story = Story(energy_house)
    await story.announce()
    await correct(story)
    await story.entrant(1)
    await story.bid(1, a_step("220.00", "4000"))
    with pytest.raises(CorrectionAlreadyAccepted):
        await accept(story, 1)


async def test_a_bid_of_one_who_did_not_accept_is_void_and_the_deposit_goes_back(
    story: Story,
) -> None:
    await story.bid(2, a_step("210.00", "3000"))
    await correct(story)
    await accept(story, 2)
    before = await story.deposits()
    await story.open()
    assert before == {1: "CONFIRMED", 2: "CONFIRMED"}
    (revealed,) = await story.told(BidsRevealed)
    assert {bid.registration_id: bid.void_code for bid in revealed.bids} == {
        story.contract(1): "CORRECTION_NOT_ACCEPTED",
        story.contract(2): None,
    }
    # What it said is told all the same.
    assert all(bid.plaintext for bid in revealed.bids)
    assert await story.state() == "CLEARED"
    assert await story.deposits() == {1: "REFUNDED", 2: "CONFIRMED"}
    (refunded,) = await story.told(DepositRefunded)
    assert refunded.registration_id == story.contract(1)
    await story.confirm()
    assert (await story.settlement(2)).quantity == "3000.000"
    assert len(await story.told(DepositRefunded)) == 1


async def test_a_bid_stands_again_once_its_bidder_accepts(story: Story) -> None:
    await correct(story)
    await accept(story, 1)
    await story.open()
    (revealed,) = await story.told(BidsRevealed)
    assert [bid.void_code for bid in revealed.bids] == [None]


async def test_where_nobody_accepts_the_sale_fails_and_all_deposits_go_back(story: Story) -> None:
    await correct(story)
    await story.open()
    assert await story.state() == "FAILED"
    assert await story.deposits() == {1: "REFUNDED", 2: "REFUNDED"}
    assert len(await story.told(DepositRefunded)) == 2
    assert await story.is_conserved()


async def test_before_the_opening_an_acceptance_names_nobody(story: Story) -> None:
    await correct(story)
    await accept(story, 1)
    (event,) = [e for e in await events(story.house) if "correction_accepted" in e["type"]]
    assert event["data"] == {"registration_id": story.contract(1), "correction": 1}
    assert event["actor"] == story.house.source
    assert await story.told(DepositRefunded) == []
    assert bidder(1).uscc not in str(event)


async def test_an_acceptance_is_one_s_own_and_of_the_last_correction(story: Story) -> None:
    with pytest.raises(CorrectionNotCurrent):
        await accept(story, 1)
    await correct(story)
    await correct(story)
    for number, by in ((1, 2), (2, 1)):
        with pytest.raises(RegistrationUnknown):
            await accept(story, number, 2, by)
    with pytest.raises(CorrectionNotCurrent):
        await accept(story, 1, 1)
    await accept(story, 1, 2)
    with pytest.raises(CorrectionAlreadyAccepted):
        await accept(story, 1, 2)


async def test_who_has_left_or_was_refused_does_not_accept(story: Story) -> None:
    story.entered[3] = await story.register(3)
    await story.qualify(story.contract(3), "REFUSED")
    await correct(story)
    await story.leave(2)
    for number in (2, 3):
        with pytest.raises(RegistrationStateNotAllowed):
            await accept(story, number)


@pytest.mark.parametrize(
    "state",
    ["DRAFT", "CLOSED", "OPENED", "CLEARED", "CONFIRMED", "SETTLED", "ARCHIVED", "SUSPENDED",
     "FAILED", "CANCELLED"],
)  # fmt: skip
async def test_only_an_announced_or_open_sale_is_corrected_and_accepted(
    story: Story, state: str
) -> None:
    await correct(story)
    before = await story.kinds()
    await put_sale(story.house, state)
    with pytest.raises(SaleStateNotAllowed):
        await correct(story)
    with pytest.raises(SaleStateNotAllowed):
        await accept(story, 1)
    assert await story.kinds() == before


async def test_at_the_close_it_is_too_late_for_both(story: Story) -> None:
    await correct(story)
    story.at(CLOSES)
    for late in (correct(story), accept(story, 1)):
        with pytest.raises(SaleStateNotAllowed):
            await late


async def test_a_refused_correction_changes_nothing(story: Story) -> None:
    with pytest.raises(TimetableWrong):
        await correct(story, timetable={"opens_at": (OPENS + DAY).isoformat()})
    assert await story.told(SaleCorrected) == []
    assert (await story.sale()).correction_count == 0
    story.sale_id = "01UNKNOWN"
    with pytest.raises(SaleUnknown):
        await correct(story)


async def test_five_corrections_at_once_are_five_and_an_acceptance_is_one(story: Story) -> None:
    await asyncio.gather(*(correct(story) for _ in range(5)))
    assert [fact.correction for fact in await story.told(SaleCorrected)] == [1, 2, 3, 4, 5]
    outcomes = await asyncio.gather(
        *(accept(story, 1, 5) for _ in range(5)), return_exceptions=True
    )
    assert sum(isinstance(one, CorrectionAlreadyAccepted) for one in outcomes) == 4
    assert len(await story.told(CorrectionAccepted)) == 1


async def test_a_published_correction_is_not_rewritten(story: Story) -> None:
    await correct(story)
    with pytest.raises(Exception, match="permission denied"):
        await rows(story.house, "UPDATE correction SET text = '另一说法'")


async def test_before_the_opening_of_bids_a_notice_is_corrected_too(energy_house: Database) -> None:
    story = Story(energy_house)
    await story.announce()
    story.at(ANNOUNCED + DAY)
    await correct(story, timetable={"opens_at": (OPENS + DAY).isoformat()})
    story.at(OPENS)
    assert (await story.house.run(lambda s: actions.corrections_of(s, story.sale_id))).items
    assert await story.state() == "ANNOUNCED"
