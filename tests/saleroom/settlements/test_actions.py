"""From the result to the end: money before quota, both or neither."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from builders import a_caller, a_project_code, a_uscc
from contracts.holdings import AccountOpened
from contracts.sale import (
    ContractSigned,
    DepositRefunded,
    PaymentRecorded,
    QuotaCredited,
    RevenueRemitted,
    SaleConfirmed,
    SaleDefaulted,
    SaleDelivered,
    SalePaid,
    SaleSettled,
)
from databases import rows
from marketkit.db import Database
from marketkit.errors import Refusal
from marketkit.ledger import InsufficientFreeQuantity
from marketkit.units import YUAN
from saleroom.bookings.rules import BankSerialUsed, TreasuryReceiptUsed
from saleroom.notices.rules import SaleStateNotAllowed, SaleUnknown
from saleroom.settlements import actions as settlements
from saleroom.settlements.rules import (
    NotYetDefaulted,
    PaymentAmountWrong,
    PaymentLate,
    PublicityNotEnded,
    SettlementStateNotAllowed,
    SettlementUnknown,
    SigningLate,
)
from stories import Story
from toy_market import CONFIRMS, DAY, OPENS, STORE, TICK, bidder

PAY_BY = CONFIRMS + 7 * DAY
Step = Callable[[Story], Awaitable[object]]

STEPS: dict[str, tuple[Step, set[str]]] = {
    "sign": (lambda story: story.sign(1), {"CONFIRMED"}),
    "pay": (lambda story: story.pay(1), {"SIGNED"}),
    "deliver": (lambda story: story.deliver(1), {"PAID"}),
    "default": (lambda story: story.default(1), {"CONFIRMED", "SIGNED"}),
}


def account(number: int) -> str:
    return f"enterprise:{a_uscc(number)}:{a_project_code(number)}"


@pytest.fixture
async def story(energy_house: Database) -> Story:
    """Cleared: 1 gets 4,000 and 2 gets 5,000 at 220.00, 3 bid too low, 1,000 unsold."""
    story = Story(energy_house)
    await story.bidders(("226.50", "4000"), ("220.00", "5000"), ("199.00", "1000"))
    await story.open()
    assert await story.state() == "CLEARED"
    return story


async def put(story: Story, table: str, state: str) -> None:
    await rows(story.house, f"UPDATE {table} SET state = :state", state=state)


class TestConfirming:
    async def test_winners_get_contracts_and_the_rest_goes_back(self, story: Story) -> None:
        assert await story.held() == "10000.000"
        await story.confirm()
        assert await story.state() == "CONFIRMED"
        assert await story.held() == "9000.000"
        (confirmed,) = await story.told(SaleConfirmed)
        assert [one.held for one in confirmed.movements] == ["-1000.000"]
        assert await story.deposits() == {1: "CONFIRMED", 2: "CONFIRMED", 3: "REFUNDED"}
        (refunded,) = await story.told(DepositRefunded)
        assert refunded.registration_id == story.contract(3)
        assert refunded.refund_due_at == CONFIRMS + 7 * DAY
        contract = await story.settlement(1)
        assert (contract.state, contract.quantity) == ("CONFIRMED", "4000.000")
        assert contract.amount_yuan == YUAN.parse("880000.00")
        assert contract.deposit_yuan == YUAN.parse("200000.00")
        assert contract.due_yuan == YUAN.parse("680000.00")
        assert contract.pay_by == PAY_BY
        assert await story.is_conserved()

    async def test_five_times_at_once_is_once(self, story: Story) -> None:
        outcomes = await asyncio.gather(
            *(story.confirm() for _ in range(5)), return_exceptions=True
        )
        assert sum(isinstance(one, SaleStateNotAllowed) for one in outcomes) == 4
        assert len(await story.told(SaleConfirmed)) == 1

    @pytest.mark.parametrize(
        "state",
        ["DRAFT", "ANNOUNCED", "OPEN", "CLOSED", "OPENED", "CONFIRMED", "SETTLED", "ARCHIVED",
         "SUSPENDED", "FAILED", "CANCELLED"],
    )  # fmt: skip
    async def test_only_a_cleared_sale_is_confirmed(self, story: Story, state: str) -> None:
        await put(story, "sale", state)
        with pytest.raises(SaleStateNotAllowed):
            await story.confirm()

    @pytest.mark.article("notice")
    async def test_before_the_publicity_ends_nothing_is_confirmed(self, story: Story) -> None:
        story.at(CONFIRMS - TICK)
        before = await story.kinds()
        with pytest.raises(PublicityNotEnded):
            await story.house.run(
                lambda s: settlements.confirm_sale(s, story.market, story.sale_id)
            )
        assert await story.kinds() == before
        assert await story.state() == "CLEARED"

    async def test_an_unknown_sale_is_not_found(self, story: Story) -> None:
        story.sale_id = "01UNKNOWN"
        with pytest.raises(SaleUnknown):
            await story.confirm()


class TestSteps:
    @pytest.mark.article("notice")
    async def test_who_can_no_longer_pay_in_time_does_not_sign(self, story: Story) -> None:
        await story.confirm()
        story.at(PAY_BY)
        await story.sign(1)
        story.at(PAY_BY + TICK)
        with pytest.raises(SigningLate):
            await story.sign(2)
        assert (await story.settlement(2)).state == "CONFIRMED"
        await story.default(2)

    async def test_from_the_contract_to_the_quota(self, story: Story) -> None:
        await story.confirm()
        await story.sign(1)
        (signed,) = await story.told(ContractSigned)
        assert (signed.amount_yuan, signed.due_yuan) == (88_000_000, 68_000_000)
        paid = await story.pay(1)
        assert paid.state == "PAID"
        (recorded,) = await story.told(PaymentRecorded)
        assert recorded.amount_yuan == 88_000_000
        assert recorded.deposit_converted_yuan == 20_000_000
        assert (await story.deposits())[1] == "CONVERTED"
        assert await story.balance(account(1)) == "0.000"
        delivered = await story.deliver(1)
        assert delivered.state == "DELIVERED"
        assert await story.balance(account(1)) == "4000.000"
        (opened,) = await story.told(AccountOpened)
        assert (opened.account, opened.uscc) == (account(1), a_uscc(1))
        (remitted,) = await story.told(RevenueRemitted)
        assert remitted.amount_yuan == 88_000_000
        (credited,) = await story.told(QuotaCredited)
        assert (credited.account, credited.quantity) == (account(1), "4000.000")
        kinds = [kind for kind in await story.kinds() if kind in {"remitted", "credited"}]
        assert kinds == ["remitted", "credited"]
        assert await story.state() == "CONFIRMED"
        assert await story.is_conserved()

    async def test_a_sale_is_settled_with_its_last_winner(self, story: Story) -> None:
        await story.confirm()
        for number in (1, 2):
            await story.sign(number)
            await story.pay(number)
            assert await story.told(SaleSettled) == []
            await story.deliver(number)
        assert await story.state() == "SETTLED"
        assert len(await story.told(SaleSettled)) == 1
        assert await story.balance(account(2)) == "5000.000"
        assert await story.balance(STORE) == "11000.000"
        assert await story.held() == "0.000"
        assert await story.is_conserved()

    async def test_who_does_not_pay_forfeits_and_the_others_are_served(self, story: Story) -> None:
        await story.confirm()
        await story.sign(1)
        await story.pay(1)
        await story.sign(2)
        story.at(PAY_BY)
        with pytest.raises(NotYetDefaulted):
            await story.default(2)
        story.at(PAY_BY + TICK)
        await story.default(2)
        (defaulted,) = await story.told(SaleDefaulted)
        assert defaulted.forfeited_yuan == 20_000_000
        assert [one.held for one in defaulted.movements] == ["-5000.000"]
        assert await story.deposits() == {1: "CONVERTED", 2: "FORFEITED", 3: "REFUNDED"}
        assert await story.state() == "CONFIRMED"
        await story.deliver(1)
        assert await story.state() == "SETTLED"
        assert await story.balance(account(1)) == "4000.000"
        assert await story.balance(STORE) == "16000.000"
        assert await story.held() == "0.000"
        assert await story.is_conserved()

    async def test_who_never_signs_forfeits_too(self, story: Story) -> None:
        await story.confirm()
        story.at(PAY_BY + TICK)
        for number in (1, 2):
            await story.default(number)
        assert await story.state() == "SETTLED"
        assert await story.balance(STORE) == "20000.000"
        assert await story.held() == "0.000"

    @pytest.mark.parametrize(("step", "allowed"), STEPS.values(), ids=STEPS)
    async def test_every_other_state_refuses_a_step(
        self, story: Story, step: Step, allowed: set[str]
    ) -> None:
        await story.confirm()
        for state in {"CONFIRMED", "SIGNED", "PAID", "DELIVERED", "DEFAULTED"} - allowed:
            await put(story, "settlement", state)
            with pytest.raises(SettlementStateNotAllowed):
                await step(story)

    @pytest.mark.parametrize(("step", "allowed"), STEPS.values(), ids=STEPS)
    async def test_five_times_at_once_has_one_effect(
        self, story: Story, step: Step, allowed: set[str]
    ) -> None:
        await story.confirm()
        story.at(PAY_BY)
        (before, *_) = allowed
        await put(story, "settlement", before)
        if step is STEPS["default"][0]:
            story.at(PAY_BY + TICK)
        outcomes = await asyncio.gather(*(step(story) for _ in range(5)), return_exceptions=True)
        assert sum(not isinstance(one, BaseException) for one in outcomes) == 1
        assert sum(isinstance(one, Refusal) for one in outcomes) == 4
        told: list[type[Any]] = [ContractSigned, SalePaid, SaleDelivered, SaleDefaulted]
        assert sum([len(await story.told(kind)) for kind in told]) == 1
        assert await story.is_conserved()

    async def test_nothing_is_settled_of_what_is_not_there(self, story: Story) -> None:
        with pytest.raises(SettlementUnknown):
            await story.sign(1)
        await story.confirm()
        for step in (story.sign(3), story.deliver(3), story.default(3)):
            with pytest.raises(SettlementUnknown):
                await step

    async def test_another_enterprise_s_contract_is_as_unknown_as_none(self, story: Story) -> None:
        await story.confirm()
        for stranger in (bidder(2), a_caller("enterprise", uscc="")):
            with pytest.raises(SettlementUnknown):
                await story.sign(1, stranger)


class TestMoney:
    @pytest.mark.article("notice")
    @pytest.mark.parametrize("amount_yuan", ["679999.99", "680000.01", "880000.00"])
    async def test_a_payment_is_to_the_fen(self, story: Story, amount_yuan: str) -> None:
        await story.confirm()
        await story.sign(1)
        with pytest.raises(PaymentAmountWrong):
            await story.pay(1, amount_yuan=amount_yuan)
        assert await rows(story.house, "SELECT 1 FROM bank_booking WHERE use = 'PAYMENT'") == []

    async def test_a_late_payment_is_refused(self, story: Story) -> None:
        await story.confirm()
        await story.sign(1)
        story.at(PAY_BY + DAY)
        with pytest.raises(PaymentLate):
            await story.pay(1)
        await story.pay(1, booked_at=PAY_BY.isoformat())

    async def test_a_booking_pays_one_contract(self, story: Story) -> None:
        await story.confirm()
        for number in (1, 2):
            await story.sign(number)
        await story.pay(1, bank_serial="one")
        with pytest.raises(BankSerialUsed):
            await story.pay(2, bank_serial="one")

    async def test_the_booking_of_a_deposit_pays_no_contract(self, story: Story) -> None:
        await story.confirm()
        await story.sign(1)
        (deposit,) = await rows(
            story.house, "SELECT bank_serial FROM deposit WHERE uscc = :uscc", uscc=a_uscc(1)
        )
        with pytest.raises(BankSerialUsed):
            await story.pay(1, bank_serial=deposit.bank_serial)

    async def test_the_payment_of_one_sale_is_no_deposit_of_another(
        self, story: Story, energy_house: Database
    ) -> None:
        await story.confirm()
        await story.sign(1)
        await story.pay(1, bank_serial="one")
        other = Story(energy_house)
        await other.announce()
        entered = await other.enter(4)
        other.at(OPENS)
        with pytest.raises(BankSerialUsed):
            await other.pay_deposit(entered, bank_serial="one")

    async def test_a_treasury_receipt_delivers_one_contract(self, story: Story) -> None:
        await story.confirm()
        for number in (1, 2):
            await story.sign(number)
            await story.pay(number)
        await story.deliver(1, "one")
        with pytest.raises(TreasuryReceiptUsed):
            await story.deliver(2, "one")

    async def test_money_and_quota_are_both_or_neither(self, story: Story) -> None:
        await story.confirm()
        await story.sign(1)
        await story.pay(1)
        before = await story.kinds()
        # A fault in the ledger: less is held than was sold.
        await rows(story.house, "UPDATE hold SET remaining = 1")
        with pytest.raises(InsufficientFreeQuantity):
            await story.deliver(1)
        assert await story.kinds() == before
        assert await story.told(AccountOpened) == []
        assert (await story.settlement(1)).state == "PAID"
        (row,) = await rows(
            story.house,
            "SELECT treasury_receipt_no AS no FROM settlement WHERE registration_id = :id",
            id=story.contract(1),
        )
        assert row.no is None
        assert await story.balance(account(1)) == "0.000"
        await rows(story.house, "UPDATE hold SET remaining = 9000000")
        await story.deliver(1)
        assert await story.balance(account(1)) == "4000.000"
        assert await story.is_conserved()

    async def test_a_deposit_above_the_price_pays_it_and_goes_back_in_part(
        self, energy_house: Database
    ) -> None:
        story = Story(energy_house)
        await story.bidders(("200.00", "10"))
        await story.open()
        await story.confirm()
        signed = await story.sign(1)
        assert (signed.state, signed.due_yuan) == ("PAID", 0)
        (recorded,) = await story.told(PaymentRecorded)
        assert recorded.deposit_converted_yuan == recorded.amount_yuan == 200_000
        (excess,) = await story.told(DepositRefunded)
        assert excess.amount_yuan == 20_000_000 - 200_000
        await story.deliver(1)
        assert await story.state() == "SETTLED"
