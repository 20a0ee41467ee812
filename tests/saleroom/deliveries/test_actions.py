"""A wrong delivery is reversed by two people, once, while the quota is still free."""

import asyncio

import pytest

from builders import a_project_code, a_uscc
from contracts.sale import DeliveryReversed, QuotaCredited, RevenueRemitted, SaleSettled
from databases import rows
from marketkit.countersign import AlreadyConfirmed, RequestUnknown, SamePerson
from marketkit.db import Database
from marketkit.ledger import InsufficientFreeQuantity
from marketkit.reversal import AlreadyReversed
from saleroom.notices import actions as notices
from saleroom.notices.rules import SaleStateNotAllowed, SaleUnknown
from saleroom.settlements.actions import SettlementOut
from saleroom.settlements.rules import (
    SettlementStateNotAllowed,
    SettlementUnknown,
    TreasuryReceiptDiffers,
)
from stories import FIRST, Story
from toy_market import STORE

ACCOUNT = f"enterprise:{a_uscc(1)}:{a_project_code(1)}"


@pytest.fixture
async def story(energy_house: Database) -> Story:
    """Settled: 1 got 4,000, 2 got 5,000, 1,000 unsold."""
    story = Story(energy_house)
    await story.bidders(("226.50", "4000"), ("220.00", "5000"))
    await story.open()
    await story.confirm()
    for number in (1, 2):
        await story.sign(number)
        await story.pay(number)
        await story.deliver(number)
    assert await story.state() == "SETTLED"
    return story


async def reversed_by_two(story: Story) -> SettlementOut:
    asked = await story.ask_to_reverse(1)
    return await story.reverse(1, asked.request_id)


async def test_the_quota_is_held_again_and_delivered_again(story: Story) -> None:
    before = await story.held()
    contract = await reversed_by_two(story)
    assert contract.state == "PAID"
    assert await story.state() == "CONFIRMED"
    assert (await story.balance(ACCOUNT), await story.held()) == ("0.000", "4000.000")
    assert before == "0.000"
    assert await story.is_conserved()
    (fact,) = await story.told(DeliveryReversed)
    assert (fact.account, fact.quantity) == (ACCOUNT, "4000.000")
    assert (fact.document_no, fact.reason) == ("鲁发改冲〔2022〕1号", "划入有误")
    assert {(one.account, one.posted, one.held) for one in fact.movements} == {
        (STORE, "4000.000", "4000.000"),
        (ACCOUNT, "-4000.000", "0.000"),
    }
    (transfer,) = await rows(story.house, "SELECT * FROM transfer WHERE kind = 'REVERSAL'")
    assert transfer.document_no == "鲁发改冲〔2022〕1号"
    await story.deliver(1)
    assert await story.state() == "SETTLED"
    assert await story.balance(ACCOUNT) == "4000.000"
    assert await story.is_conserved()
    # The money moved once: credited twice, remitted once for each winner, settled twice.
    assert len(await story.told(QuotaCredited)) == 3
    assert len(await story.told(RevenueRemitted)) == 2
    assert len(await story.told(SaleSettled)) == 2


async def test_the_receipt_stays_the_contract_s(story: Story) -> None:
    await reversed_by_two(story)
    for receipt_no in ("another", "treasury-2"):
        with pytest.raises(TreasuryReceiptDiffers):
            await story.deliver(1, receipt_no)


async def test_an_archived_sale_is_taken_up_again(story: Story) -> None:
    await story.house.run(lambda s: notices.archive_sale(s, story.sale_id))
    await reversed_by_two(story)
    assert await story.state() == "CONFIRMED"


async def test_one_person_is_not_two(story: Story) -> None:
    asked = await story.ask_to_reverse(1)
    before = await story.kinds()
    with pytest.raises(SamePerson):
        await story.reverse(1, asked.request_id, FIRST)
    with pytest.raises(RequestUnknown):
        await story.reverse(2, asked.request_id)
    assert await story.kinds() == before
    assert await story.balance(ACCOUNT) == "4000.000"


async def test_confirmed_by_five_at_once_it_is_reversed_once(story: Story) -> None:
    asked = await story.ask_to_reverse(1)
    outcomes = await asyncio.gather(
        *(story.reverse(1, asked.request_id) for _ in range(5)), return_exceptions=True
    )
    assert sum(isinstance(one, SettlementOut) for one in outcomes) == 1
    assert sum(isinstance(one, AlreadyConfirmed) for one in outcomes) == 4
    assert len(await story.told(DeliveryReversed)) == 1
    assert await story.is_conserved()


async def test_two_requests_reverse_once(story: Story) -> None:
    first, second = await story.ask_to_reverse(1), await story.ask_to_reverse(1)
    await story.reverse(1, first.request_id)
    with pytest.raises(SettlementStateNotAllowed):
        await story.reverse(1, second.request_id)
    with pytest.raises(SettlementStateNotAllowed):
        await story.ask_to_reverse(1)
    # The right delivery is not undone by what was asked of the wrong one.
    await story.deliver(1)
    with pytest.raises(AlreadyReversed):
        await story.reverse(1, second.request_id)
    assert await story.balance(ACCOUNT) == "4000.000"
    # A request of its own undoes it.
    assert (await reversed_by_two(story)).state == "PAID"
    assert await story.is_conserved()


async def test_what_is_not_free_any_more_cannot_come_back(story: Story) -> None:
    asked = await story.ask_to_reverse(1)
    await rows(story.house, "UPDATE balance SET held = 1 WHERE account = :account", account=ACCOUNT)
    before = await story.kinds()
    with pytest.raises(InsufficientFreeQuantity):
        await story.reverse(1, asked.request_id)
    assert await story.kinds() == before
    assert (await story.settlement(1)).state == "DELIVERED"
    # The request stands: nothing of the refused step stays.
    await rows(story.house, "UPDATE balance SET held = 0 WHERE account = :account", account=ACCOUNT)
    await story.reverse(1, asked.request_id)


@pytest.mark.parametrize("state", ["CONFIRMED", "SIGNED", "PAID", "DEFAULTED"])
async def test_only_what_is_delivered_is_reversed(story: Story, state: str) -> None:
    asked = await story.ask_to_reverse(1)
    await rows(story.house, "UPDATE settlement SET state = :state", state=state)
    with pytest.raises(SettlementStateNotAllowed):
        await story.ask_to_reverse(1)
    with pytest.raises(SettlementStateNotAllowed):
        await story.reverse(1, asked.request_id)


async def test_a_sale_that_ended_without_a_deal_has_nothing_to_reverse(story: Story) -> None:
    await rows(story.house, "UPDATE sale SET state = 'FAILED'")
    with pytest.raises(SaleStateNotAllowed):
        await story.ask_to_reverse(1)


async def test_of_an_unknown_sale_or_contract_there_is_nothing(story: Story) -> None:
    story.entered[3] = story.entered[1].model_copy(update={"registration_id": "x"})
    with pytest.raises(SettlementUnknown):
        await story.ask_to_reverse(3)
    story.sale_id = "x"
    with pytest.raises(SaleUnknown):
        await story.ask_to_reverse(1)
