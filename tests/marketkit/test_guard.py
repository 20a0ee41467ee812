"""What a body, its type and an address must be before any handler sees them."""

from typing import Any

import httpx
import pytest
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from marketkit.errors import Refusal, problem
from marketkit.guard import BODY_BYTES_MAX, Guard

JSON = {"Content-Type": "application/json"}


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer how many bytes came, having read them twice as frameworks do."""
    size, more = 0, scope["method"] != "GET"
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    await JSONResponse({"size": size})(scope, receive, send)


async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
    try:
        await Guard(echo)(scope, receive, send)
    except Refusal as refusal:
        await JSONResponse(problem(refusal), refusal.status)(scope, receive, send)


async def ask(method: str, path: str = "/", **said: Any) -> tuple[int, dict[str, Any]]:
    transport = httpx.ASGITransport(guarded)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.request(method, path, **said)
    return answer.status_code, answer.json()


@pytest.mark.parametrize(
    "kind",
    [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        'application/json;charset="utf-8"',
        "application/json; charset=UTF-8",
    ],
)
async def test_json_in_utf_8_passes(kind: str) -> None:
    body = '{"name":"煤"}'.encode()
    assert await ask("POST", content=body, headers={"Content-Type": kind}) == (
        200,
        {"size": len(body)},
    )


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": ""},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/json; charset=gbk"},
        {"Content-Type": "application/jsonp"},
        {"Content-Type": "multipart/form-data; boundary=x"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        JSON | {"Content-Encoding": "gzip"},
        JSON | {"Content-Encoding": "br"},
    ],
)
async def test_rows_28_and_29_another_type_or_encoding_is_refused(
    headers: dict[str, str],
) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        status, document = await ask(method, content=b"{}", headers=headers)
        assert (status, document["code"]) == (415, "MEDIA_TYPE_UNSUPPORTED")


@pytest.mark.parametrize("body", [b"{", b'{"a":1,"a":2}', b'{"a":NaN}', b"\xff", b"\xef\xbb\xbf{}"])
async def test_what_two_readers_read_differently_is_refused(body: bytes) -> None:
    assert (await ask("POST", content=body, headers=JSON))[0] == 400


async def test_no_body_needs_no_type() -> None:
    assert await ask("POST") == (200, {"size": 0})
    assert await ask("GET") == (200, {"size": 0})


async def test_row_30_a_body_of_the_most_passes_and_one_more_byte_does_not() -> None:
    body = b'"' + b"x" * (BODY_BYTES_MAX - 2) + b'"'
    assert (await ask("POST", content=body, headers=JSON))[0] == 200
    status, document = await ask("POST", content=body + b" ", headers=JSON)
    assert (status, document["code"]) == (413, "BODY_TOO_LARGE")


async def test_rows_30_and_31_a_body_without_end_is_not_read_on() -> None:
    read = 0

    async def receive() -> dict[str, Any]:
        nonlocal read
        read += 1
        return {"type": "http.request", "body": b"x" * 65_536, "more_body": True}

    with pytest.raises(Refusal) as refused:
        await Guard(echo)(scope_of([]), receive, no_answer)
    assert refused.value.status == 413
    assert read == BODY_BYTES_MAX // 65_536 + 1


async def test_row_30_a_length_beyond_the_most_is_refused_unread() -> None:
    async def receive() -> dict[str, Any]:
        raise AssertionError("it was read")

    with pytest.raises(Refusal) as refused:
        await Guard(echo)(scope_of([(b"content-length", b"80000000")]), receive, no_answer)
    assert refused.value.status == 413


async def test_a_client_that_hangs_up_meanwhile_reaches_no_handler() -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    with pytest.raises(Refusal):
        await Guard(no_handler)(scope_of([]), receive, no_answer)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/?a=1&b=2", 200),
        ("/?a=", 200),
        ("/?a=1&a=1", 400),
        ("/?a=1&%61=2", 400),
        ("/?a=%00", 400),
        ("/%00", 404),
        ("/?" + "&".join(f"a{n}=1" for n in range(33)), 400),
    ],
)
async def test_rows_43_and_46_an_address_says_one_thing(path: str, status: int) -> None:
    assert (await ask("GET", path))[0] == status


def scope_of(headers: list[tuple[bytes, bytes]]) -> Scope:
    said = {"type": "http", "method": "POST", "path": "/", "query_string": b""}
    return said | {"headers": [(b"content-type", b"application/json"), *headers]}


async def no_answer(message: Any) -> None:
    raise AssertionError("it was answered")


async def no_handler(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError("it reached the handler")
