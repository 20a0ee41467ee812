"""What went wrong with a sale stands on the board: its state, the reason, who is concerned."""

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any

import httpx
import pytest

from builders import NOON, Trust, a_client
from contracts import escrow
from contracts import sale as told
from gateway.board.routes import routes
from marketkit.db import Database
from marketkit.facts import Fact
from marketkit.movements import Leg, Movement
from marketkit.units import format_instant
from marketkit.web import create_app
from sale_story import SALE, Story
from told_board import ENERGY, Teller

NOTICE = 4


@pytest.fixture
async def board(gateway_house: Database) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(gateway_house, Trust().verifier, "gateway", [routes({"energy": ENERGY})])
    async with a_client(app) as client:
        yield client


@pytest.fixture
def teller(gateway_house: Database) -> Teller:
    return Teller(gateway_house)


async def shown(board: httpx.AsyncClient, part: str = "") -> dict[str, Any]:
    answer = await board.get(f"/v1/board/sales/{SALE}{part}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def announced(board: httpx.AsyncClient) -> list[tuple[str, str]]:
    """Kind and body of every announcement, the latest first."""
    answer = await board.get("/v1/board/announcements")
    return [(one["kind"], one["body"]) for one in answer.json()["announcements"]]


async def tell(teller: Teller, *facts: Fact) -> None:
    await teller.tell([(SALE, fact) for fact in facts])


async def tell_notice(teller: Teller) -> None:
    await teller.tell(Story().facts()[:NOTICE])


async def tell_confirmed(teller: Teller) -> None:
    await teller.tell(Story().facts())
    await tell(teller, told.SaleConfirmed(movements=[]))


def later(days: int) -> told.Timetable:
    planned = Story().announced([]).timetable
    names = [name for name in told.Timetable.model_fields if not name.endswith("_days")]
    moved = {name: getattr(planned, name) + timedelta(days=days) for name in names}
    return planned.model_copy(update=moved)


def kinds(sale: dict[str, Any]) -> Sequence[str]:
    return [step["kind"] for step in sale["steps"]]


async def test_a_suspension_is_published_with_its_reason_and_a_resumption_with_its_instants(
    board: httpx.AsyncClient, teller: Teller
) -> None:
    await tell_notice(teller)
    await tell(teller, told.SaleOpenedForBids(), told.SaleSuspended(reason="系统检修"))
    sale = await shown(board)
    assert (sale["state"], sale["reason"]) == ("SUSPENDED", "系统检修")
    assert (await announced(board))[0] == ("SUSPENSION", "系统检修")
    await tell(teller, told.SaleResumed(timetable=later(3)))
    sale = await shown(board)
    assert (sale["state"], sale["reason"]) == ("OPEN", "")
    assert sale["closes_at"] == format_instant(later(3).closes_at)
    assert sale["timetable"] == later(3).model_dump(mode="json")
    kind, body = (await announced(board))[0]
    assert kind == "RESUMPTION"
    assert "报价截止2022-06-06 12:00:00" in body
    assert kinds(sale)[-2:] == ["sale.suspended", "sale.resumed"]


async def test_a_cancellation_is_published_with_its_reason(
    board: httpx.AsyncClient, teller: Teller
) -> None:
    await tell_notice(teller)
    await tell(teller, told.SaleCancelled(reason="标的调整", movements=[]))
    sale = await shown(board)
    assert (sale["state"], sale["reason"]) == ("CANCELLED", "标的调整")
    assert (await announced(board))[0] == ("CANCELLATION", "标的调整")


async def test_a_sale_not_opened_in_time_is_published_as_failed(
    board: httpx.AsyncClient, teller: Teller
) -> None:
    await tell_notice(teller)
    await tell(teller, told.SaleFailed(reason="NOT_OPENED_IN_TIME", movements=[]))
    sale = await shown(board)
    assert (sale["state"], sale["reason"]) == ("FAILED", "未能在规定时限内开标。")
    assert (await announced(board))[0] == ("FAILURE", "未能在规定时限内开标。")


async def test_a_default_shows_who_and_what_was_forfeited(
    board: httpx.AsyncClient, teller: Teller
) -> None:
    await tell_confirmed(teller)
    defaulted = {"registration_id": "registration-1", "forfeited_yuan": "160000.00"}
    await tell(teller, told.SaleDefaulted.model_validate(defaulted | {"movements": []}))
    found = (await shown(board, "/settlements"))["settlements"]
    by_name = {one["bidder_name"]: (one["state"], one["forfeited_yuan"]) for one in found}
    assert by_name == {"示例企业1": ("DEFAULTED", "160000.00"), "示例企业2": ("CONFIRMED", None)}
    step = (await shown(board))["steps"][-1]
    assert (step["kind"], step["bidder_name"]) == ("sale.defaulted", "示例企业1")


async def test_a_correction_is_published_with_what_holds_from_now_on(
    board: httpx.AsyncClient, teller: Teller
) -> None:
    await tell_notice(teller)
    before = await shown(board)
    same = Story().announced([]).timetable
    await tell(teller, told.SaleCorrected(correction=1, text="更正", body="新", timetable=same))
    sale = await shown(board)
    assert (sale["body"], sale["state"], sale["timetable"]) == (
        "新", "ANNOUNCED", before["timetable"],
    )  # fmt: skip
    assert (await announced(board))[0] == ("CORRECTION", "更正")
    assert (sale["steps"][-1]["kind"], sale["steps"][-1]["note"]) == ("sale.corrected", "第1次")
    put_off = told.SaleCorrected(correction=2, text="延期", body="新", timetable=later(1))
    await tell(teller, put_off)
    assert (await shown(board))["closes_at"] == format_instant((later(1)).closes_at)
    ((kind, body), *_) = await announced(board)
    assert kind == "CORRECTION"
    assert body.startswith("延期 现行时间安排：报名截止2022-06-02 12:00:00")


async def test_who_accepts_a_correction_does_not_show(
    board: httpx.AsyncClient, teller: Teller
) -> None:
    await tell_notice(teller)
    before = await shown(board)
    accepted = told.CorrectionAccepted(registration_id="registration-1", correction=1)
    await tell(teller, accepted)
    assert await shown(board) == before


REVERSED = {"registration_id": "registration-1", "document_no": "东公资〔2022〕7号"}


async def test_a_deposit_taken_back_does_not_show_before_the_opening(
    board: httpx.AsyncClient, teller: Teller
) -> None:
    await tell_notice(teller)
    before = await shown(board)
    await tell(teller, escrow.DepositReversed.model_validate(REVERSED))
    assert await shown(board) == before
    await teller.tell(Story().facts()[NOTICE:])
    steps = {step["kind"]: step for step in (await shown(board))["steps"]}
    assert steps["sale.deposit_reversed"]["note"] == "文号东公资〔2022〕7号"


async def test_a_payment_taken_back_shows_with_its_document(
    board: httpx.AsyncClient, teller: Teller
) -> None:
    await tell_confirmed(teller)
    taken_back = escrow.PaymentReversed.model_validate(REVERSED | {"amount_yuan": "1.00"})
    await tell(teller, told.SalePaid(registration_id="registration-1"), taken_back)
    found = (await shown(board, "/settlements"))["settlements"]
    states = {one["bidder_name"]: one["state"] for one in found}
    assert states == {"示例企业1": "SIGNED", "示例企业2": "CONFIRMED"}
    step = (await shown(board))["steps"][-1]
    assert (step["kind"], step["note"]) == ("payment.reversed", "文号东公资〔2022〕7号")
    assert step["bidder_name"] == "示例企业1"


async def test_a_forfeit_s_receipt_is_a_step(board: httpx.AsyncClient, teller: Teller) -> None:
    await tell_confirmed(teller)
    remitted = {
        "registration_id": "registration-1",
        "amount_yuan": "160000.00",
        "treasury_receipt_no": "国库1",
    }
    await tell(teller, escrow.ForfeitRemitted.model_validate(remitted))
    assert kinds(await shown(board))[-1] == "forfeit.remitted"


async def test_a_reversed_delivery_is_paid_again_and_says_by_which_document(
    board: httpx.AsyncClient, teller: Teller
) -> None:
    await tell_confirmed(teller)
    winner, account = "registration-1", "enterprise:x:y"

    def moved(quantity: int, held: int = 0) -> list[Movement]:
        return [
            Movement.of(Leg("province:ENERGY", "ENERGY", "lot-1", -quantity, held - quantity)),
            Movement.of(Leg(account, "ENERGY", "lot-1", quantity, 0)),
        ]

    await tell(teller, told.SaleDelivered(registration_id=winner), told.SaleSettled())
    assert (await shown(board))["state"] == "SETTLED"
    reversed_ = told.DeliveryReversed(
        registration_id=winner,
        account=account,
        quantity="4000.000",
        asset="ENERGY",
        document_no="鲁发改冲〔2022〕1号",
        reason="划入有误",
        movements=moved(-4_000_000),
    )
    await tell(teller, reversed_)
    found = await shown(board)
    assert found["state"] == "CONFIRMED"
    step = found["steps"][-1]
    assert (step["kind"], step["note"]) == (
        "sale.delivery_reversed",
        "鲁发改冲〔2022〕1号：划入有误",
    )
    assert step["bidder_name"] == "示例企业1"
    contracts = (await shown(board, "/settlements"))["settlements"]
    assert [one["state"] for one in contracts if one["bidder_name"] == "示例企业1"] == ["PAID"]
    await tell(teller, told.SaleDelivered(registration_id=winner))
    contracts = (await shown(board, "/settlements"))["settlements"]
    assert [one["state"] for one in contracts if one["bidder_name"] == "示例企业1"] == ["DELIVERED"]


async def test_a_sale_announced_again_and_the_one_before_name_each_other(
    board: httpx.AsyncClient, teller: Teller
) -> None:
    await tell_notice(teller)
    again = Story().announced([]).model_copy(update={"follows_sale_id": SALE})
    await teller.tell([("02SALE", again)])
    assert (await shown(board))["followed_by"] == ["02SALE"]
    assert (await shown(board))["follows_sale_id"] is None
    found = (await board.get("/v1/board/sales/02SALE")).json()
    assert (found["follows_sale_id"], found["followed_by"]) == (SALE, [])
    assert found["drilled_at"] == format_instant(NOON - timedelta(days=1))
    news = (await board.get("/v1/board/announcements")).json()["announcements"]
    assert [(one["kind"], one["follows_sale_id"]) for one in news] == [
        ("SALE_AGAIN", SALE),
        ("SALE", None),
    ]
    feed = (await board.get("/v1/board/announcements.atom")).text
    assert feed.count('rel="related"') == 1
    assert f"/sales/{SALE}" in feed
