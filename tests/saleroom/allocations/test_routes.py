"""The door of money that belongs nowhere: found, allocated by the same rules, or sent back."""

from datetime import timedelta

import pytest

from bank_files import Counter, a_csv, a_row, said
from contracts.escrow import StrayReturnDecided
from contracts.sale import DepositConfirmed
from databases import rows
from marketkit.db import Database
from marketkit.units import YUAN
from saleroom.allocations.routes import routes
from saleroom.bookings.rules import BankLinesUnresolved
from saleroom.statements.routes import routes as statements
from stories import Story
from toy_market import OPENS, Doors

STRAYS = "/v1/bank-bookings/unallocated"


@pytest.fixture
async def room(energy_house: Database) -> Story:
    room = Story(energy_house)
    await room.announce()
    return room


@pytest.fixture
def counter(room: Story) -> Counter:
    return Counter(Doors.of(room.house, routes, statements))


async def a_stray(room: Story, counter: Counter, **changes: str) -> str:
    """Money with a mistyped sub-account; answers its booking's id."""
    entered = await room.register(1)
    room.entered[1] = entered
    room.at(OPENS)
    (verdict,) = await counter.verdicts(a_csv(a_row(entered, **({"子账号": "1"} | changes))))
    assert verdict["code"] != "DEPOSIT_BOOKED"
    return str(verdict["booking_id"])


async def test_money_with_a_mistyped_number_is_found_and_booked(
    room: Story, counter: Counter
) -> None:
    doors, token = counter.doors, counter.doors.token("trading_center")
    booking_id = await a_stray(room, counter)
    (stray,) = (await doors.send("GET", STRAYS, token=token)).json()["items"]
    assert (stray["booking_id"], stray["code"]) == (booking_id, "SUB_ACCOUNT_UNKNOWN")
    assert (stray["other_name"], stray["amount_yuan"]) == ("企业1", "40000.00")
    path = f"/v1/bank-bookings/{booking_id}/allocations"
    form = {"registration_id": room.contract(1)}
    answers = [await doors.send("POST", path, form, token=token, key="one") for _ in range(3)]
    assert {answer.status_code for answer in answers} == {200}
    assert answers[0].json()["use"] == "DEPOSIT"
    assert len(await room.told(DepositConfirmed)) == 1
    assert (await doors.send("GET", STRAYS, token=token)).json()["items"] == []
    twice = await doors.send("POST", path, form, token=token)
    assert (twice.status_code, twice.json()["code"]) == (409, "MONEY_DECIDED")


@pytest.mark.parametrize(
    ("line", "status", "code"),
    [
        ({"金额": "1.00"}, 422, "DEPOSIT_AMOUNT_WRONG"),
        ({"对方户名": "张三"}, 422, "THIRD_PARTY_PAYER"),
    ],
)
async def test_an_officer_s_word_makes_no_wrong_money_right(
    room: Story, counter: Counter, line: dict[str, str], status: int, code: str
) -> None:
    booking_id = await a_stray(room, counter, **line)
    answer = await counter.doors.send(
        "POST",
        f"/v1/bank-bookings/{booking_id}/allocations",
        {"registration_id": room.contract(1)},
        token=counter.doors.token("trading_center"),
    )
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    (booking,) = await rows(room.house, "SELECT use FROM bank_booking")
    assert booking.use == "UNALLOCATED"


async def test_what_goes_back_is_ordered_once(room: Story, counter: Counter) -> None:
    doors, token = counter.doors, counter.doors.token("trading_center")
    booking_id = await a_stray(room, counter)
    path = f"/v1/bank-bookings/{booking_id}/returns"
    decided = await doors.send("POST", path, token=token)
    assert decided.json()["use"] == "RETURN"
    (refund,) = await rows(room.house, "SELECT cause, amount_fen, due_at, booking_id FROM refund")
    assert (refund.cause, refund.amount_fen) == ("STRAY", 4_000_000)
    assert refund.due_at == OPENS + timedelta(days=7)
    twice = await doors.send("POST", path, token=token)
    assert (twice.status_code, twice.json()["code"]) == (409, "MONEY_DECIDED")
    assert [one.booking_id for one in await room.told(StrayReturnDecided)] == [booking_id]


async def test_deposits_are_not_reconciled_while_money_of_the_sale_lies_undecided(
    room: Story, counter: Counter
) -> None:
    doors, token = counter.doors, counter.doors.token("trading_center")
    entered = await room.register(1)
    room.at(OPENS)
    (verdict,) = await counter.verdicts(a_csv(a_row(entered, 金额="1.00")))
    with pytest.raises(BankLinesUnresolved):
        await room.reconcile()
    await doors.send("POST", f"/v1/bank-bookings/{verdict['booking_id']}/returns", token=token)
    await room.reconcile()


async def test_nobody_defaults_while_its_money_lies_undecided(
    room: Story, counter: Counter
) -> None:
    doors, token = counter.doors, counter.doors.token("trading_center")
    await room.bidders(("226.50", "4000"))
    await room.open()
    await room.confirm()
    # It pays before it signs: the money waits, in time.
    due = await room.settlement(1)
    at = room.house.fixed_instant
    assert at is not None
    row = a_row(room.entered[1], 流水号="P1", 金额=YUAN.format(due.due_yuan), 入账时间=said(at))
    room.at(at + timedelta(seconds=1))
    (verdict,) = await counter.verdicts(a_csv(row))
    assert verdict["code"] == "SETTLEMENT_STATE_NOT_ALLOWED"
    await room.sign(1)
    room.at(at + timedelta(days=8))
    with pytest.raises(BankLinesUnresolved):
        await room.default(1)
    booked = await doors.send(
        "POST",
        f"/v1/bank-bookings/{verdict['booking_id']}/allocations",
        {"registration_id": room.contract(1)},
        token=token,
    )
    assert booked.json()["use"] == "PAYMENT"
    assert (await room.settlement(1)).state == "PAID"


async def test_unknown_money_and_unknown_participants(room: Story, counter: Counter) -> None:
    doors, token = counter.doors, counter.doors.token("trading_center")
    booking_id = await a_stray(room, counter)
    for path, form, code in (
        ("/v1/bank-bookings/x/returns", None, "BANK_BOOKING_UNKNOWN"),
        (
            "/v1/bank-bookings/x/allocations",
            {"registration_id": room.contract(1)},
            "BANK_BOOKING_UNKNOWN",
        ),
        (
            f"/v1/bank-bookings/{booking_id}/allocations",
            {"registration_id": "x"},
            "REGISTRATION_UNKNOWN",
        ),
    ):
        answer = await doors.send("POST", path, form, token=token)
        assert (answer.status_code, answer.json()["code"]) == (404, code)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", STRAYS, None),
        ("POST", "/v1/bank-bookings/x/returns", None),
        ("POST", "/v1/bank-bookings/x/allocations", {"registration_id": "x"}),
    ],
)
async def test_only_the_trading_centre_sees_and_decides(
    room: Story, counter: Counter, method: str, path: str, body: dict[str, str] | None
) -> None:
    assert await counter.doors.refusals(method, path, "trading_center", body) == {
        "UNAUTHENTICATED", "ROLE_NOT_ALLOWED",
    }  # fmt: skip
    county = counter.doors.token("trading_center", region_code="370502")
    answer = await counter.doors.send(method, path, body, token=county)
    assert answer.json()["code"] == "REGION_NOT_ALLOWED"
