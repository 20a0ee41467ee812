"""What papers say of a sale that went its way, and when there is none yet."""

from collections.abc import Awaitable, Callable

import pytest

from builders import a_caller, a_project_code, a_uscc
from databases import rows
from marketkit.db import Database, Session
from marketkit.errors import Refusal
from marketkit.identity import Caller
from marketkit.signing import b64, sm3
from marketkit.units import YUAN, format_instant
from saleroom.bids.actions import Receipt
from saleroom.markets import Market
from saleroom.papers import actions
from saleroom.papers.rules import DealNotConfirmed, DepositNotBooked, Facts, PaperUnknown, digest
from stories import Story, a_step
from toy_market import CONFIRMS, DAY, OPENS, TOY, bidder

Finding = Callable[[Session, Market, str, str], Awaitable[Facts]]
OF_A_DEAL = pytest.mark.parametrize("find", [actions.deal_confirmation, actions.payment_notice])


@pytest.fixture
async def story(energy_house: Database) -> Story:
    """Two bids stand and deposits are booked: 1 offers two steps, 2 bids too low to get any."""
    story = Story(energy_house)
    await story.announce()
    for number in (1, 2):
        await story.entrant(number)
    await story.bid(1, a_step("226.50", "3000"), a_step("220.00", "1000"))
    await story.bid(2, a_step("199.00", "1000"))
    return story


async def found(story: Story, find: Finding, of: str, caller: Caller | None = None) -> Facts:
    who = caller or a_caller("trading_center")
    return await story.house.run(
        lambda s: find(s, TOY, story.sale_id, of), "scoped", scope=who.scope
    )


async def refused(
    story: Story, find: Finding, of: str, caller: Caller | None = None
) -> type[Refusal]:
    with pytest.raises(Refusal) as refusal:
        await found(story, find, of, caller)
    return refusal.type


async def digests(story: Story, *papers: tuple[Finding, str]) -> list[str]:
    return [digest(await found(story, find, of)) for find, of in papers]


class TestTheReceiptOfABid:
    async def test_says_what_the_signed_receipt_said(self, story: Story) -> None:
        sealed = await story.sealed(1, a_step("230.00", "4000"), version=2)
        (verdict,) = await story.place(sealed)
        assert isinstance(verdict, Receipt)
        said = await found(story, actions.bid_receipt, verdict.receipt_id, bidder(1))
        told = said.model_dump(mode="json")
        assert {name: told[name] for name in ("version", "commitment", "bid_sm3", "kid")} == {
            "version": 2,
            "commitment": b64(sealed.commitment),
            "bid_sm3": b64(sm3(sealed.ciphertext)),
            "kid": story.house.signer.kid,
        }
        assert told["received_at"] == format_instant(verdict.received_at)
        assert told["id"] == verdict.receipt_id
        assert told["party"] == {
            "name": "企业1", "uscc": a_uscc(1), "project_code": a_project_code(1),
        }  # fmt: skip

    async def test_names_the_key_that_signed_then_not_the_one_that_signs_now(
        self, story: Story
    ) -> None:
        (row,) = await rows(story.house, "SELECT id FROM sealed_bid WHERE uscc = :u", u=a_uscc(1))
        before = await digests(story, (actions.bid_receipt, row.id))
        await rows(story.house, "UPDATE sealed_bid SET kid = 'elder'")
        said = await found(story, actions.bid_receipt, row.id)
        assert said.model_dump()["kid"] == "elder"
        assert [digest(said)] != before

    async def test_is_nobody_else_s(self, story: Story) -> None:
        (row,) = await rows(story.house, "SELECT id FROM sealed_bid WHERE uscc = :u", u=a_uscc(1))
        assert await refused(story, actions.bid_receipt, row.id, bidder(2)) is PaperUnknown
        assert await refused(story, actions.bid_receipt, "unknown", bidder(1)) is PaperUnknown

    async def test_is_of_its_own_sale_only(self, story: Story) -> None:
        (row,) = await rows(story.house, "SELECT id FROM sealed_bid WHERE uscc = :u", u=a_uscc(1))
        story.sale_id = "another"
        assert await refused(story, actions.bid_receipt, row.id, bidder(1)) is PaperUnknown


class TestTheReceiptOfADeposit:
    async def test_says_what_the_bank_booked(self, story: Story) -> None:
        said = await found(story, actions.deposit_receipt, story.contract(1), bidder(1))
        told = said.model_dump(mode="json")
        # 5,000 t at the floor of 200.00, a fifth of it.
        assert told["amount_yuan"] == "200000.00"
        assert told["amount_in_words"] == "贰拾万元整"
        assert told["booked_at"] == format_instant(OPENS)
        assert told["bank_serial"] == f"bank-{story.contract(1)}"

    async def test_waits_for_the_booking(self, energy_house: Database) -> None:
        story = Story(energy_house)
        await story.announce()
        await story.entrant(1, pays=False)
        assert await refused(story, actions.deposit_receipt, story.contract(1)) is DepositNotBooked

    async def test_stays_as_it_was_when_the_money_goes_back(self, story: Story) -> None:
        before = await digests(story, (actions.deposit_receipt, story.contract(2)))
        await story.open()
        await story.confirm()
        assert (await story.deposits())[2] == "REFUNDED"
        assert await digests(story, (actions.deposit_receipt, story.contract(2))) == before

    async def test_is_nobody_else_s(self, story: Story) -> None:
        of = story.contract(1)
        assert await refused(story, actions.deposit_receipt, of, bidder(2)) is PaperUnknown
        assert await refused(story, actions.deposit_receipt, "unknown") is PaperUnknown


class TestThePapersOfADeal:
    async def test_the_confirmation_says_each_step_and_the_sum(self, story: Story) -> None:
        await story.open()
        await story.confirm()
        said = await found(story, actions.deal_confirmation, story.contract(1), bidder(1))
        told = said.model_dump(mode="json")
        (bid,) = await rows(story.house, "SELECT id FROM sealed_bid WHERE uscc = :u", u=a_uscc(1))
        assert told["deals"] == [
            {
                "bid_id": f"{bid.id}-{step}",
                "quantity": quantity,
                "price_yuan": "220.00",
                "amount_yuan": amount,
            }
            for step, quantity, amount in (
                (1, "3000.000", "660000.00"),
                (2, "1000.000", "220000.00"),
            )
        ]
        assert (told["quantity"], told["amount_yuan"]) == ("4000.000", "880000.00")
        assert told["amount_in_words"] == "捌拾捌万元整"
        assert told["confirmed_at"] == format_instant(CONFIRMS)
        assert told["pay_by"] == format_instant(CONFIRMS + 7 * DAY)

    async def test_the_notice_says_what_the_deposit_leaves_due(self, story: Story) -> None:
        await story.open()
        await story.confirm()
        said = await found(story, actions.payment_notice, story.contract(1), bidder(1))
        told = said.model_dump(mode="json")
        names = ("amount_yuan", "deposit_yuan", "converted_yuan", "refund_yuan", "due_yuan")
        assert [told[name] for name in names] == [
            "880000.00", "200000.00", "200000.00", "0.00", "680000.00",
        ]  # fmt: skip
        assert told["due_in_words"] == "陆拾捌万元整"
        settled = await story.settlement(1)
        assert told["due_yuan"] == YUAN.format(settled.due_yuan)

    async def test_a_deposit_above_the_price_leaves_nothing_due(
        self, energy_house: Database
    ) -> None:
        story = Story(energy_house)
        await story.announce()
        await story.entrant(1)
        await story.bid(1, a_step("220.00", "500"))
        await story.open()
        await story.confirm()
        said = await found(story, actions.payment_notice, story.contract(1))
        told = said.model_dump(mode="json")
        names = ("amount_yuan", "deposit_yuan", "converted_yuan", "refund_yuan", "due_yuan")
        assert [told[name] for name in names] == [
            "110000.00", "200000.00", "110000.00", "90000.00", "0.00",
        ]  # fmt: skip
        assert told["due_in_words"] == "零元整"

    @OF_A_DEAL
    async def test_there_is_none_before_the_result_stands(
        self, story: Story, find: Finding
    ) -> None:
        assert await refused(story, find, story.contract(1), bidder(1)) is DealNotConfirmed
        await story.open()
        assert await refused(story, find, story.contract(1), bidder(1)) is DealNotConfirmed

    @OF_A_DEAL
    async def test_there_is_none_for_who_won_nothing(self, story: Story, find: Finding) -> None:
        await story.open()
        await story.confirm()
        assert await refused(story, find, story.contract(2), bidder(2)) is PaperUnknown

    @OF_A_DEAL
    @pytest.mark.parametrize("state", ["FAILED", "CANCELLED", "ARCHIVED"])
    async def test_there_is_none_of_a_sale_that_ended_unsold(
        self, story: Story, find: Finding, state: str
    ) -> None:
        await rows(story.house, "UPDATE sale SET state = :state", state=state)
        assert await refused(story, find, story.contract(1)) is PaperUnknown

    @OF_A_DEAL
    async def test_is_nobody_else_s(self, story: Story, find: Finding) -> None:
        await story.open()
        await story.confirm()
        assert await refused(story, find, story.contract(1), bidder(2)) is PaperUnknown
        assert await refused(story, find, "unknown", bidder(1)) is PaperUnknown
        county = a_caller("trading_center", region_code="370502")
        assert await refused(story, find, story.contract(1), county) is PaperUnknown

    async def test_stay_as_they_were_to_the_end(self, story: Story) -> None:
        await story.open()
        await story.confirm()
        of = story.contract(1)
        papers = ((actions.deal_confirmation, of), (actions.payment_notice, of))
        before = await digests(story, *papers)
        story.at(CONFIRMS + DAY)
        await story.sign(1)
        await story.pay(1)
        await story.deliver(1)
        assert await story.state() == "SETTLED"
        assert await digests(story, *papers) == before
        await rows(story.house, "UPDATE sale SET state = 'ARCHIVED'")
        assert await digests(story, *papers) == before
