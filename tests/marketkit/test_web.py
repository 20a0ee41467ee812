"""What any answer is like, and that none leaves before its commit."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from prometheus_client import generate_latest
from structlog.testing import capture_logs

from builders import Trust, a_client, a_key
from databases import rows
from marketkit.db import Database
from marketkit.web import UNEXPECTED
from real_logs import real_logs
from toy_app import CANARY, FAULTS, toy_app

pytestmark = pytest.mark.usefixtures("toy")
THING = {"name": "煤", "quantity_tce": "1.000"}
PROBLEM = "application/problem+json"


@pytest.fixture
async def client(kit_house: Database) -> AsyncIterator[httpx.AsyncClient]:
    trust = Trust()
    async with a_client(toy_app(kit_house, trust), trust.token("trading_center")) as found:
        yield found


async def kept(house: Database) -> list[str]:
    return [row.key for row in await rows(house, "SELECT key FROM toy.thing ORDER BY key")]


def is_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == PROBLEM
    document: dict[str, Any] = answer.json()
    assert (document["status"], document["code"]) == (status, code)
    assert document["type"] == f"/problems/{code}"
    assert re.search("[\u4e00-\u9fff]", document["title"])
    assert CANARY not in answer.text
    return document


async def test_a_command_is_answered_after_its_commit(
    client: httpx.AsyncClient, kit_house: Database
) -> None:
    answer = await client.post("/v1/things", json=THING, headers=a_key())
    assert answer.status_code == 201
    assert answer.headers["location"] == "/v1/things/%E7%85%A4"
    assert answer.json() == {"name": "煤"}
    assert await kept(kit_house) == ["煤"]


async def test_row_67_twins_over_http_have_one_effect(
    client: httpx.AsyncClient, kit_house: Database
) -> None:
    key = a_key()
    answers = await asyncio.gather(
        *(client.post("/v1/things", json=THING, headers=key) for _ in range(20))
    )
    assert {answer.status_code for answer in answers} <= {201, 409, 503}
    assert len({answer.content for answer in answers if answer.status_code == 201}) == 1
    # Written otherwise, it is the same request.
    text = '{"quantity_tce" : "1.000",\n "name":"\\u7164"}'
    again = await client.post(
        "/v1/things", content=text, headers=key | {"Content-Type": "application/json"}
    )
    assert again.status_code == 201
    other = await client.post("/v1/things", json=THING | {"name": "气"}, headers=key)
    is_problem(other, 422, "IDEMPOTENCY_KEY_REUSED")
    elsewhere = await client.post("/v1/faults/bug", headers=key)
    is_problem(elsewhere, 422, "IDEMPOTENCY_KEY_REUSED")
    assert await kept(kit_house) == ["煤"]


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("refused", 409, "CLOSED"),
        ("busy", 503, "BUSY"),
        ("busy lock", 503, "BUSY"),
        ("timeout", 503, "BUSY"),
        ("shutdown", 503, "BUSY"),
        ("full", 507, "STORAGE_FULL"),
        ("constraint", 500, "UNEXPECTED"),
        ("data", 500, "UNEXPECTED"),
        ("twice", 500, "UNEXPECTED"),
        ("commit", 500, "UNEXPECTED"),
        ("bug", 500, "UNEXPECTED"),
    ],
)
async def test_whatever_happens_is_a_problem_document(
    client: httpx.AsyncClient, kit_house: Database, fault: str, status: int, code: str
) -> None:
    before = UNEXPECTED._value.get()
    key = a_key()
    answer = await client.post(f"/v1/faults/{fault}", headers=key)
    document = is_problem(answer, status, code)
    assert UNEXPECTED._value.get() == before + (status == 500)
    assert (answer.headers.get("retry-after") is not None) == (status == 503)
    if fault not in {"refused", "busy"}:  # an answer of the action's is the same for every asker
        assert document["trace_id"] == answer.headers["x-request-id"]
    assert await kept(kit_house) == []
    # What was no answer is not stored: the same key may be tried again.
    stored = await rows(kit_house, "SELECT * FROM stored_answer")
    assert len(stored) == (status == 409)


async def test_a_lost_database_is_busy(kit_house: Database) -> None:
    trust = Trust()
    gone = Database(
        "postgresql+psycopg://yaosu_app@127.0.0.1:1/nowhere",
        "/s",
        "m",
        kit_house.signer,
    )
    async with a_client(toy_app(gone, trust), trust.token("trading_center")) as client:
        answer = await client.post("/v1/things", json=THING, headers=a_key())
    is_problem(answer, 503, "BUSY")
    await gone.close()


async def test_a_full_pool_is_busy(kit_house: Database) -> None:
    trust = Trust()
    small = Database(kit_house.url, "/s", "m", kit_house.signer, pool_size=1)
    app = toy_app(small, trust)
    async with a_client(app, trust.token("trading_center")) as client, small.transaction("worker"):
        answer = await client.post("/v1/things", json=THING, headers=a_key())
    is_problem(answer, 503, "BUSY")
    assert answer.headers["retry-after"] == "1"
    await small.close()


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nothing", 404, "ROUTE_UNKNOWN"),
        ("GET", "/docs", 404, "ROUTE_UNKNOWN"),
        ("GET", "/openapi.json", 404, "ROUTE_UNKNOWN"),
        ("GET", "/metrics", 404, "ROUTE_UNKNOWN"),
        ("GET", f"/v1/{CANARY}", 404, "ROUTE_UNKNOWN"),
        ("GET", f"/v1/things/{CANARY}", 404, "THING_UNKNOWN"),
        ("GET", "/v1/things/x?limit=abc", 422, "INPUT_INVALID"),
        ("GET", f"/v1/things/x?limit={CANARY}", 422, "INPUT_INVALID"),
        ("PUT", "/v1/things", 405, "METHOD_NOT_ALLOWED"),
        ("TRACE", "/v1/things", 405, "METHOD_NOT_ALLOWED"),
        ("FOO", "/v1/things", 405, "METHOD_NOT_ALLOWED"),
    ],
)
async def test_rows_41_and_91_what_is_not_there(
    client: httpx.AsyncClient, method: str, path: str, status: int, code: str
) -> None:
    answer = await client.request(method, path)
    document = is_problem(answer, status, code)
    assert document["trace_id"] == answer.headers["x-request-id"]
    if status == 405:
        assert "POST" in answer.headers["allow"]


WRONG: dict[str, dict[str, Any]] = {
    "an unknown field": THING | {"other": 1},
    "a missing field": {"name": CANARY},
    "a number for a quantity": THING | {"quantity_tce": 7},
    "text for a quantity": THING | {"quantity_tce": CANARY},
    "too many places": THING | {"quantity_tce": "1.0001"},
    "zero": THING | {"quantity_tce": "0.000"},
    "no text": THING | {"name": 1},
    "blank text": THING | {"name": " \u3000 "},
    "a mark of direction": THING | {"name": f"{CANARY}\u202e"},
    "no day": THING | {"due_on": "2022-02-30"},
    "no time": THING | {"due_at": "2022-02-30T12:00:00+08:00"},
    "a time without a zone": THING | {"due_at": "2022-02-03T12:00:00"},
}


@pytest.mark.parametrize("name", WRONG)
async def test_a_malformed_field_is_named_in_chinese_and_not_echoed(
    client: httpx.AsyncClient, name: str
) -> None:
    answer = await client.post("/v1/things", json=WRONG[name], headers=a_key())
    document = is_problem(answer, 422, "INPUT_INVALID")
    for fault in document["errors"]:
        assert fault["pointer"].startswith("/")
        assert re.search("[\u4e00-\u9fff]", fault["message"]), fault
        assert not re.search("[A-Za-z]{4}", fault["message"].replace("YYYY-MM-DD", "")), fault


async def test_a_trace_is_taken_from_who_asks_or_begun(client: httpx.AsyncClient) -> None:
    given = "0af7651916cd43dd8448eb211c80319c"
    headers = {"traceparent": f"00-{given}-b7ad6b7169203331-01"}
    answer = await client.get("/v1/things/x", headers=headers)
    assert answer.headers["x-request-id"] == answer.json()["trace_id"] == given
    for wrong in ("", "00-xyz-1-01", f"00-{given.upper()}-b7ad6b7169203331-01", f"00-{given}"):
        answer = await client.get("/v1/things/x", headers={"traceparent": wrong})
        assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])
        assert answer.headers["x-request-id"] != given


def counted() -> dict[str, str]:
    """Every line of the HTTP metrics, by what stands before its value."""
    lines = generate_latest().decode().splitlines()
    pairs = (line.rpartition(" ")[::2] for line in lines if line.startswith("yaosu_http_request"))
    return dict(pairs)


async def test_a_request_is_counted_by_its_route_not_by_its_words(
    client: httpx.AsyncClient,
) -> None:
    before = counted()
    await client.get(f"/v1/things/{CANARY}")
    await client.get(f"/{CANARY}")
    for number in range(50):
        await client.request(f"FOO{number}", "/v1/things")
    new = set(counted()) - set(before)
    assert CANARY not in str(new)
    assert 'route="/v1/things/{name}"' in str(counted())
    # Whoever invents methods makes no series of them.
    assert "FOO" not in str(counted())
    assert len({line.partition("{")[2].split('le="')[0] for line in new}) < 12


@pytest.mark.parametrize("body", [THING, {"name": 1}])
async def test_a_quiet_route_shows_in_no_metric_and_no_line(
    client: httpx.AsyncClient, body: dict[str, Any]
) -> None:
    before = counted()
    with capture_logs() as lines:
        for _ in range(3):
            await client.post("/v1/sealed-bids", json=body)
    assert lines == []
    assert counted() == before


async def test_other_routes_show_in_both(client: httpx.AsyncClient) -> None:
    before = counted()
    with capture_logs() as lines:
        await client.get(f"/v1/things/{CANARY}")
    (line,) = lines
    assert (line["event"], line["route"], line["status"]) == ("request", "/v1/things/{name}", 404)
    assert CANARY not in str(lines)
    assert counted() != before


@pytest.mark.parametrize("fault", [*FAULTS, "bug"])
async def test_a_defect_is_logged_once_without_what_was_sent(
    kit_house: Database, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    trust = Trust()
    with real_logs():
        async with a_client(toy_app(kit_house, trust), trust.token("trading_center")) as client:
            answer = await client.post(f"/v1/faults/{fault}", headers=a_key())
    written = capsys.readouterr().out
    said = [json.loads(line) for line in written.splitlines()]
    defects = [line for line in said if line["event"] == "unexpected_error"]
    assert len(defects) == (answer.status_code == 500)
    for line in defects:
        assert line["trace_id"] == answer.json()["trace_id"]
        assert "marketkit/db.py" in line["exception"]
    if fault == "bug":  # its message is the code's own
        assert f"LookupError: {CANARY}" in written
    else:
        assert CANARY not in written
    assert [line["service"] for line in said] == ["toy"] * len(said)


async def test_row_63_who_tried_what_they_may_not_is_logged(kit_house: Database) -> None:
    trust = Trust()
    bidder = trust.token("enterprise", sub="person-of-1")
    async with a_client(toy_app(kit_house, trust), bidder) as client:
        with capture_logs() as lines:
            is_problem(await client.get("/v1/officers"), 403, "ROLE_NOT_ALLOWED")
            is_problem(await client.get("/v1/nowhere"), 404, "ROUTE_UNKNOWN")
    refused, unknown = (line for line in lines if line["event"] == "request")
    assert (refused["route"], refused["status"]) == ("/v1/officers", 403)
    assert refused["principal"].endswith("|person-of-1")
    assert "principal" not in unknown
