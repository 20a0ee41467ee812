"""The doors of sealed bids: own bids only, one answer however often sent, no count."""

import asyncio
from typing import Any

import pytest
from prometheus_client import REGISTRY

from builders import a_uscc
from databases import rows
from marketkit.db import Database
from marketkit.signing import b64
from saleroom.bids.routes import routes
from saleroom.bids.rules import PlacedBid
from toy_market import CLOSES, OPENS, TICK, Doors, Room


def a_body(bid: PlacedBid, **changes: Any) -> dict[str, Any]:
    said = {
        "version": bid.version,
        "ciphertext": b64(bid.ciphertext),
        "commitment": b64(bid.commitment),
        "key_sm3": b64(bid.key_sm3),
    }
    return said | changes


@pytest.fixture
async def room(energy_house: Database) -> Room:
    """A sale open for bids; 1 and 2 may bid."""
    room = Room(energy_house)
    await room.announce()
    for number in (1, 2):
        await room.enter(number)
    return room.at(OPENS)


@pytest.fixture
def doors(room: Room) -> Doors:
    return Doors.of(room.house, routes)


def address(room: Room) -> str:
    return f"/v1/sales/{room.sale_id}/sealed-bids"


async def test_only_enterprises_bid_withdraw_and_see_their_bids(room: Room, doors: Doors) -> None:
    body = a_body(await room.seal(1))
    for method, path in (
        ("POST", address(room)),
        ("POST", f"{address(room)}/x/withdrawals"),
        ("GET", address(room)),
    ):
        assert await doors.refusals(method, path, "enterprise", body) == {
            "UNAUTHENTICATED", "ROLE_NOT_ALLOWED",
        }  # fmt: skip
    assert await rows(room.house, "SELECT 1 FROM sealed_bid") == []


async def test_a_bid_is_placed_seen_and_withdrawn_by_its_own_enterprise(
    room: Room, doors: Doors
) -> None:
    one, two = doors.token("enterprise"), doors.token("enterprise", uscc=a_uscc(2))
    placed = await doors.send("POST", address(room), a_body(await room.seal(1)), token=one)
    assert placed.status_code == 201
    receipt = placed.json()
    (own,) = (await doors.send("GET", address(room), token=one)).json()["items"]
    assert (own["receipt_id"], own["is_standing"]) == (receipt["receipt_id"], True)
    assert (await doors.send("GET", address(room), token=two)).json() == {"items": []}
    withdrawal = f"{address(room)}/{receipt['receipt_id']}/withdrawals"
    foreign = await doors.send("POST", withdrawal, token=two)
    unknown = await doors.send("POST", f"{address(room)}/x/withdrawals", token=two)
    assert foreign.status_code == unknown.status_code == 404
    assert foreign.json() | {"trace_id": ""} == unknown.json() | {"trace_id": ""}
    done = await doors.send("POST", withdrawal, token=one)
    assert (done.status_code, done.json()["is_standing"]) == (200, False)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"ciphertext": ""}, "BID_SIZE_WRONG"),
        ({"ciphertext": b64(bytes(4096))}, "BID_SIZE_WRONG"),
        ({"ciphertext": "x" * 16_001}, "INPUT_INVALID"),
        ({"ciphertext": "="}, "INPUT_INVALID"),
        ({"key_sm3": b64(bytes(32))}, "BID_KEY_WRONG"),
        ({"version": 0}, "INPUT_INVALID"),
        ({"price_yuan": "210.00"}, "INPUT_INVALID"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_a_bid_in_another_form_is_refused_and_not_echoed(
    room: Room, doors: Doors, changes: dict[str, Any], code: str
) -> None:
    body = a_body(await room.seal(1), **changes)
    answer = await doors.send("POST", address(room), body, token=doors.token("enterprise"))
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert "210.00" not in answer.text


async def test_a_bid_of_a_megabyte_is_too_large(room: Room, doors: Doors) -> None:
    body = a_body(await room.seal(1), ciphertext="x" * 1_000_000)
    answer = await doors.send("POST", address(room), body, token=doors.token("enterprise"))
    assert answer.status_code == 413


async def test_early_late_and_unqualified_bids_are_conflicts(room: Room, doors: Doors) -> None:
    bid = a_body(await room.seal(1))
    stranger = a_body(await room.seal(3))
    for instant, body, number, code in (
        (OPENS - TICK, bid, 1, "BIDDING_NOT_OPEN"),
        (OPENS, stranger, 3, "NOT_QUALIFIED"),
        (CLOSES, bid, 1, "BIDDING_CLOSED"),
    ):
        room.at(instant)
        token = doors.token("enterprise", uscc=a_uscc(number))
        answer = await doors.send("POST", address(room), body, token=token)
        assert (answer.status_code, answer.json()["code"]) == (409, code)
        assert answer.json()["article"] == "notice"


async def test_one_request_sent_five_times_at_once_has_one_effect(room: Room, doors: Doors) -> None:
    body, token = a_body(await room.seal(1)), doors.token("enterprise")
    answers = await asyncio.gather(
        *(doors.send("POST", address(room), body, token=token, key="one") for _ in range(5))
    )
    again = await doors.send("POST", address(room), body, token=token, key="one")
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert {answer.content for answer in answers if answer.status_code == 201} == {again.content}
    assert len(await rows(room.house, "SELECT 1 FROM sealed_bid")) == 1
    other = await doors.send("POST", address(room), body | {"version": 2}, token=token, key="one")
    assert (other.status_code, other.json()["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")


async def test_a_hundred_bids_at_once_meet_and_never_tie(room: Room, doors: Doors) -> None:
    numbers = range(10, 110)
    await room.enter_many(numbers)
    bids = {number: a_body(await room.seal(number)) for number in numbers}
    answers = await asyncio.gather(
        *(
            doors.send(
                "POST", address(room), body, token=doors.token("enterprise", uscc=a_uscc(number))
            )
            for number, body in bids.items()
        )
    )
    assert {answer.status_code for answer in answers} == {201}
    found = await rows(room.house, "SELECT submitted_at FROM sealed_bid ORDER BY submitted_at")
    assert [row.submitted_at for row in found] == [OPENS + place * TICK for place in range(100)]
    (transactions,) = await rows(
        room.house, "SELECT count(DISTINCT xmin::text) AS n FROM sealed_bid"
    )
    assert transactions.n < 100


async def test_no_metric_and_no_log_line_tells_of_bids(
    room: Room, doors: Doors, capfd: pytest.CaptureFixture[str]
) -> None:
    body, token = a_body(await room.seal(1)), doors.token("enterprise")
    for _ in range(2):
        await doors.send("POST", address(room), body, token=token)
        await doors.send("GET", address(room), token=token)
    measured = {
        sample.labels.get("route") for metric in REGISTRY.collect() for sample in metric.samples
    }
    assert not [route for route in measured if route and "sealed-bid" in route]
    output = capfd.readouterr()
    assert "sealed-bid" not in output.out + output.err
    assert a_uscc(1) not in output.out + output.err
