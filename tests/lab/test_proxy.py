"""What each toxic does to the bytes between two parts: a proxy that harms nothing shows nothing."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from lab.proxy import TOXICS, Edge, Toxic, tcp

REQUEST = b"question " * 100


class Echo:
    """A server that answers what it was asked, and remembers what reached it."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            said = await reader.read(len(REQUEST) + 1)
            while said and len(said) < len(REQUEST):
                more = await reader.read(len(REQUEST))
                if not more:
                    break
                said += more
            self.heard.append(said)
            writer.write(said)
            await writer.drain()
            writer.close()


@asynccontextmanager
async def behind(*toxics: Toxic) -> AsyncIterator[tuple[Echo, Edge]]:
    echo = Echo()
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    edge = Edge("test", [tcp(server.sockets[0].getsockname()[1])], list(toxics))
    await edge.open()
    try:
        yield echo, edge
    finally:
        await edge.close()
        server.close()


async def asked(edge: Edge, patience_s: float = 2.0) -> bytes | None:
    """What comes back: bytes, nothing in time (None), or a reset."""
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    try:
        writer.write(REQUEST)
        await writer.drain()
        answer = b""
        async with asyncio.timeout(patience_s):
            while len(answer) < len(REQUEST) and (piece := await reader.read(1 << 16)):
                answer += piece
        return answer
    except TimeoutError:
        return None
    finally:
        writer.transport.abort()


def always(name: str) -> Toxic:
    toxic = TOXICS[name]
    return Toxic(**{**vars(toxic), "toxicity": 1.0})


async def test_without_toxics_everything_passes() -> None:
    async with behind() as (echo, edge):
        assert await asked(edge) == REQUEST
        assert echo.heard == [REQUEST]


@pytest.mark.parametrize("name", ["latency", "bandwidth", "slicer", "slow_close"])
async def test_what_only_slows_loses_nothing(name: str) -> None:
    async with behind(always(name)) as (_, edge):
        assert await asked(edge, 5.0) == REQUEST


async def test_latency_takes_time_both_ways() -> None:
    async with behind(Toxic("latency", latency_s=0.2)) as (_, edge):
        began = time.monotonic()
        assert await asked(edge) == REQUEST
        assert time.monotonic() - began >= 0.4


async def test_a_timeout_answers_nothing_and_ends_nothing() -> None:
    async with behind(always("timeout")) as (echo, edge):
        assert await asked(edge, 0.3) is None
        assert echo.heard == []


async def test_half_open_lets_the_question_through_alone() -> None:
    async with behind(always("half_open")) as (echo, edge):
        assert await asked(edge, 0.3) is None
        assert echo.heard == [REQUEST]


async def test_a_reset_peer_hears_nothing() -> None:
    async with behind(always("reset_peer")) as (echo, edge):
        with contextlib.suppress(ConnectionError):
            assert await asked(edge, 3.0) in {b"", None}
        assert echo.heard in ([], [b""])


async def test_a_dropped_response_was_acted_upon() -> None:
    async with behind(always("drop_response")) as (echo, edge):
        with contextlib.suppress(ConnectionError):
            assert await asked(edge) in {b"", None}
        assert echo.heard == [REQUEST]


async def test_limited_data_ends_in_the_middle() -> None:
    async with behind(Toxic("limit_data", "back", limit_bytes=100)) as (_, edge):
        with contextlib.suppress(ConnectionError):
            assert len(await asked(edge) or b"") <= 100


async def test_a_duplicate_request_is_heard_twice_and_answered_once() -> None:
    async with behind(always("duplicate_request")) as (echo, edge):
        assert await asked(edge) == REQUEST
        await asyncio.sleep(0.1)
        assert echo.heard == [REQUEST, REQUEST]


async def test_an_edge_that_is_down_takes_nobody_in() -> None:
    async with behind() as (echo, edge):
        edge.is_down = True
        with contextlib.suppress(ConnectionError):
            assert await asked(edge) == b""
        edge.is_down = False
        assert await asked(edge) == REQUEST
        assert echo.heard == [REQUEST]


async def test_several_targets_are_taken_in_turns_and_a_dead_one_is_passed_over() -> None:
    async with behind() as (echo, edge):
        alive = edge.targets[0]
        edge.targets = [alive, tcp(1)]
        assert [await asked(edge) for _ in range(4)] == [REQUEST] * 4
        assert len(echo.heard) == 4
