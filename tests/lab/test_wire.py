"""Who listens on the wire listens on after its broker died; a broker's errors reach its clients."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError

from lab.brokers import Embedded
from lab.findings import Findings
from lab.parts import end
from lab.wire import FORGER, TOPIC, WireListener

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

KILLS = 4
TOO_LARGE = 10


@asynccontextmanager
async def a_broker(tmp_path: Path) -> AsyncIterator[Embedded]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    broker = Embedded(port, dict(os.environ), tmp_path / "broker.log")
    await broker.start()
    try:
        yield broker
    finally:
        await broker.stop()


@asynccontextmanager
async def a_producer(broker: Embedded) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(bootstrap_servers=broker.servers, request_timeout_ms=3000)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


def has_listened(findings: Findings, times: int) -> bool:
    return bool(findings.figures.get("wire_listens", 0) >= times)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.05)


async def test_the_listener_outlives_its_broker(tmp_path: Path) -> None:
    async with a_broker(tmp_path) as broker:
        house: Any = SimpleNamespace(kafka_servers=broker.servers)
        findings = Findings()
        listener = WireListener(house, findings)
        listening = asyncio.create_task(listener.forever())
        try:
            for times in range(1, KILLS + 1):
                await until(partial(has_listened, findings, times))
                # While a fetch is under way.
                await asyncio.sleep(0.7)
                listener.doubt()
                assert await broker.kill(Random(times))
            await until(partial(has_listened, findings, KILLS + 1))
            assert not listening.done()
        finally:
            await end([listening])


async def test_a_broker_answers_with_the_error_it_was_told_and_then_no_more(
    tmp_path: Path,
) -> None:
    async with a_broker(tmp_path) as broker, a_producer(broker) as producer:
        assert broker.tell(f"err produce {TOO_LARGE} 1")
        with pytest.raises(MessageSizeTooLargeError):
            await until_told(producer)
        await producer.send_and_wait(TOPIC, b"x", key=FORGER, partition=0)
        for number in range(12):
            assert await broker.err(Random(number))
        await asyncio.wait_for(producer.send_and_wait(TOPIC, b"x", key=FORGER, partition=0), 20)


async def until_told(producer: AIOKafkaProducer) -> None:
    """Send until the broker has heard of its order; it hears of it on its own time."""
    async with asyncio.timeout(10):
        while True:
            await producer.send_and_wait(TOPIC, b"x", key=FORGER, partition=0)
            await asyncio.sleep(0.05)
