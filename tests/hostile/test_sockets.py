"""Rows 31-39, 42 and 60: what a parser must survive, said byte by byte to a listening service."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest
import uvicorn
from fastapi import FastAPI

from builders import Trust
from hostile.house import energy_app
from hostile.target import commands
from marketkit.db import Database
from marketkit.program import listening

HEAD = b"POST /v1/trials/party.uscc HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
GOOD = b'{"code":"91370500000000000E"}'
WHOLE = HEAD + b"Content-Length: %d\r\n\r\n" % len(GOOD) + GOOD
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
TLS_HELLO = bytes.fromhex("16030100c8010000c40303") + bytes(200)


class Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # The test run's signals stay its own.
        yield

    @property
    def port(self) -> int:
        found: int = self.servers[0].sockets[0].getsockname()[1]
        return found


class Answer(NamedTuple):
    """What came back until the server closed, and how long that took."""

    status: int
    text: str
    spent_s: float


@dataclass
class Line:
    """A service listening on loopback; each request goes over a connection of its own."""

    port: int
    app: FastAPI

    async def say(self, *parts: bytes, within_s: float = 16.0) -> Answer:
        """The answer to these bytes, sent one after another; then silence."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        began = time.monotonic()
        try:
            for part in parts:
                writer.write(part)
                await writer.drain()
            text = (await asyncio.wait_for(reader.read(), within_s)).decode()
        except ConnectionError:
            text = ""
        finally:
            writer.close()
        status = int(text.split(" ", 2)[1]) if text.startswith("HTTP/1.1 ") else 0
        return Answer(status, text, time.monotonic() - began)


@pytest.fixture
async def line(energy_house: Database, tmp_path: Path) -> AsyncIterator[Line]:
    app = energy_app(energy_house, Trust(), tmp_path)
    config = listening(app, "127.0.0.1", 0)
    server = Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield Line(server.port, app)
    server.should_exit = True
    await serving


def problem(answer: Answer) -> dict[str, object]:
    head, _, body = answer.text.partition("\r\n\r\n")
    assert "content-type: application/problem+json" in head.lower()
    assert "connection: close" in head.lower()
    said: dict[str, object] = json.loads(body)
    assert said["status"] == answer.status
    assert said["trace_id"]
    return said


def with_headers(*lines: bytes) -> bytes:
    return HEAD + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


LENGTH = b"Content-Length: %d" % len(GOOD)
AT_ONCE = {
    "34 a header of 1 MB": (with_headers(b"X-Long: " + b"a" * 2**20), 431, "HEADERS_TOO_LARGE"),
    "34 a header of 17 KB": (with_headers(b"X-Long: " + b"a" * 17_000), 431, "HEADERS_TOO_LARGE"),
    "35 5,000 headers": (
        with_headers(*(b"X-%d: 1" % n for n in range(5000))), 431, "HEADERS_TOO_LARGE"
    ),
    "35 65 headers": (
        with_headers(*(b"X-%d: 1" % n for n in range(65))), 431, "HEADERS_TOO_LARGE"
    ),
    "36 an address of 64 KB": (
        b"GET /v1/pool?" + b"a" * 65_536 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414, "URL_TOO_LONG"
    ),
    "37 both lengths": (
        with_headers(LENGTH, b"Transfer-Encoding: chunked") + GOOD, 400, "UNREADABLE"
    ),
    "37 an unknown coding": (
        with_headers(b"Transfer-Encoding: gzip, chunked, x") + GOOD, 400, "UNREADABLE"
    ),
    "37 a coding twice": (
        with_headers(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity") + GOOD,
        400, "UNREADABLE",
    ),
    "38 two lengths": (with_headers(LENGTH, b"Content-Length: 5") + GOOD, 400, "UNREADABLE"),
    "38 a negative length": (with_headers(b"Content-Length: -1"), 400, "UNREADABLE"),
    "38 a signed length": (with_headers(b"Content-Length: +29") + GOOD, 400, "UNREADABLE"),
    "38 a length in hex": (with_headers(b"Content-Length: 0x1d") + GOOD, 400, "UNREADABLE"),
    "38 a length beyond all": (with_headers(b"Content-Length: " + b"9" * 40), 400, "UNREADABLE"),
    "39 no host": (b"GET /v1/pool HTTP/1.1\r\n\r\n", 400, "HOST_NOT_NAMED"),
    "39 two hosts": (
        b"GET /v1/pool HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400, "HOST_NOT_NAMED"
    ),
    "39 a folded header": (
        b"GET /v1/pool HTTP/1.1\r\nHost: x\r\nX-A: 1\r\n more\r\n\r\n", 400, "UNREADABLE"
    ),
    "39 a space before the colon": (
        b"GET /v1/pool HTTP/1.1\r\nHost : x\r\n\r\n", 400, "UNREADABLE"
    ),
    "39 a NUL in a header": (
        b"GET /v1/pool HTTP/1.1\r\nHost: x\r\nX-A: a\x00b\r\n\r\n", 400, "UNREADABLE"
    ),
    "39 a bare line feed in a header": (
        b"GET /v1/pool HTTP/1.1\r\nHost: x\r\nX-A: a\rb\r\n\r\n", 400, "UNREADABLE"
    ),
    "39 another protocol": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "UNREADABLE"),
    "41 a tunnel": (
        b"CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test:443\r\n\r\n", 400, "UNREADABLE"
    ),
    "60 a token of 64 KB": (
        with_headers(b"Authorization: Bearer " + b"a" * 65_536), 431, "HEADERS_TOO_LARGE"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", AT_ONCE)
async def test_what_breaks_a_limit_is_refused_at_once(line: Line, name: str) -> None:
    sent, status, code = AT_ONCE[name]
    answer = await line.say(sent)
    assert answer.status == status, answer.text
    assert problem(answer)["code"] == code
    assert answer.spent_s < 3
    assert answer.text.count("HTTP/1.1 ") == 1


async def test_a_good_request_is_served(line: Line) -> None:
    answer = await line.say(WHOLE.replace(b"Host: x", b"Host: x\r\nConnection: close"))
    assert answer.status == 200, answer.text


async def test_an_upgrade_is_refused(line: Line) -> None:
    asked = WHOLE.replace(
        b"Host: x", b"Host: x\r\nConnection: Upgrade, close\r\nUpgrade: websocket"
    )
    answer = await line.say(asked)
    assert (answer.status, problem(answer)["code"]) == (400, "UNREADABLE")


async def test_a_tls_hello_is_hung_up_on(line: Line) -> None:
    answer = await line.say(TLS_HELLO)
    assert answer.status in {0, 400}
    assert answer.spent_s < 3


async def test_a_second_request_behind_a_refused_one_is_never_served(line: Line) -> None:
    smuggled = with_headers(LENGTH, b"Transfer-Encoding: chunked") + b"0\r\n\r\n" + WHOLE
    answer = await line.say(smuggled)
    assert answer.status == 400
    assert answer.text.count("HTTP/1.1 ") == 1


def endless() -> Iterator[bytes]:
    chunk = b"10000\r\n" + b"0" * 65_536 + b"\r\n"
    yield CHUNKED
    yield from (chunk for _ in range(64))


async def test_a_body_without_end_is_refused_at_the_limit(line: Line) -> None:
    answer = await line.say(*endless())
    # A client that will not listen while it sends may lose the answer with the connection.
    assert answer.status in {413, 0}
    assert answer.spent_s < 3


async def slow(line: Line, part: bytes, pause_s: float, count: int) -> Answer:
    """A header or a body that comes a little at a time."""
    reader, writer = await asyncio.open_connection("127.0.0.1", line.port)
    began = time.monotonic()
    answering = asyncio.create_task(reader.read())
    try:
        writer.write(HEAD)
        for _ in range(count):
            if answering.done():
                break
            writer.write(part)
            await asyncio.sleep(pause_s)
        text = (await asyncio.wait_for(answering, 12)).decode()
    finally:
        writer.close()
    return Answer(int(text.split(" ", 2)[1]), text, time.monotonic() - began)


async def test_whoever_falls_silent_loses_the_line(line: Line) -> None:
    """Every kind of silence at once, on every command: it takes as long as the longest."""
    unfinished = HEAD + b"Content-Length: 100\r\n\r\n" + b'{"code":1'
    held = [
        line.say(unfinished.replace(b"/v1/trials/party.uscc", name.partition(" ")[2].encode()))
        for name in commands(line.app)
    ]
    heads = [line.say(HEAD), line.say(b""), line.say(b"PO"), slow(line, b"X-A: 1\r\n", 0.5, 16)]
    bodies = [line.say(CHUNKED), line.say(CHUNKED + b"5\r\nab"), *held]
    answers = await asyncio.gather(*heads, *bodies)
    for answer in answers:
        assert answer.status == 408, answer
        assert problem(answer)["code"] == "REQUEST_TIMED_OUT"
    assert max(answer.spent_s for answer in answers[: len(heads)]) <= 7
    assert max(answer.spent_s for answer in answers) <= 12
    # The places they held are free.
    again = await line.say(WHOLE.replace(b"Host: x", b"Host: x\r\nConnection: close"))
    assert again.status == 200
