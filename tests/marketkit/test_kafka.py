"""The wire alone: what it brings, what it refuses, and that it never keeps us waiting."""

import time
from collections.abc import Sequence

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # re-exported unsaid
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
)

from brokers import Broker
from builders import MAC_KEY
from marketkit.kafka import Hint, Listener, WireDown, listening, producing
from marketkit.outbox import Placed
from marketkit.signing import ZERO, chain_after

TOPIC = "yaosu.land.v1"


def events(count: int, partition: int = 0, size: int = 10) -> list[Placed]:
    chain, made = ZERO, []
    for number in range(1, count + 1):
        body = b'{"n":%d,"x":"%s"}' % (number, b"x" * size)
        chain = chain_after(chain, body)
        made.append(Placed("/s", partition, 1, number, chain, body))
    return made


async def heard(listener: Listener, count: int, within_s: float = 15.0) -> list[Hint]:
    found: list[Hint] = []
    deadline = time.monotonic() + within_s
    while len(found) < count and time.monotonic() < deadline:
        found += await listener.hints(0.2)
    return found


async def send(broker: Broker, told: Sequence[Placed]) -> list[Placed]:
    async with producing(broker.servers, TOPIC, MAC_KEY) as wire:
        return await wire.send(told)


async def test_records_come_in_order_with_their_place_beside_them(broker: Broker) -> None:
    told = events(30) + events(20, partition=5)
    async with listening(broker.servers, [TOPIC]) as listener:
        assert await send(broker, told) == []
        found = await heard(listener, 50)
    assert {hint.topic for hint in found} == {TOPIC}
    for partition, count in ((0, 30), (5, 20)):
        mine = [hint for hint in found if hint.partition == partition]
        wanted = [event for event in told if event.partition == partition]
        assert [hint.value for hint in mine] == [event.event for event in wanted]
        assert len(mine) == count
    first = dict(found[0].headers)
    event = told[0] if found[0].partition == 0 else told[30]
    assert first["epoch"] == first["sequence"] == b"1"
    assert (first["chain"], first["mac"]) == (event.chain, event.mac(MAC_KEY))


async def test_a_listener_hears_what_comes_after_it(broker: Broker) -> None:
    await send(broker, events(3))
    async with listening(broker.servers, [TOPIC]) as listener:
        await send(broker, events(1, partition=1))
        assert [hint.partition for hint in await heard(listener, 1)] == [1]
        assert await listener.hints(0.1) == []


async def test_a_broker_that_is_down_is_noticed_in_time(broker: Broker) -> None:
    async with producing(broker.servers, TOPIC, MAC_KEY) as wire:
        await wire.send(events(1))
        broker.down()
        began = time.monotonic()
        with pytest.raises(WireDown):
            await wire.send(events(2))
        assert time.monotonic() - began < 12
    began = time.monotonic()
    with pytest.raises(WireDown):
        async with producing(broker.servers, TOPIC, MAC_KEY):
            pass
    with pytest.raises(WireDown):
        async with listening(broker.servers, [TOPIC]):
            pass
    assert time.monotonic() - began < 16
    broker.up()
    assert await send(broker, events(2)) == []


async def test_a_listener_outlives_a_broker_that_forgets(broker: Broker) -> None:
    async with listening(broker.servers, [TOPIC]) as listener:
        await send(broker, events(9))
        assert len(await heard(listener, 9)) == 9
        broker.erase()
        for _ in range(20):
            try:
                await send(broker, events(1))
                if await heard(listener, 1, 1.0):
                    break
            except WireDown:
                continue
        else:
            pytest.fail("nothing was heard after the broker was erased")


async def test_what_no_broker_takes_is_passed_over(broker: Broker) -> None:
    small, large, other = events(3)
    large = large._replace(event=b"x" * 2_000_000)
    async with listening(broker.servers, [TOPIC]) as listener:
        assert await send(broker, [small, large, other]) == [large]
        found = await heard(listener, 2)
    assert [hint.value for hint in found] == [small.event, other.event]


@pytest.mark.kafka
async def test_what_this_broker_does_not_take_is_passed_over(kafka_servers: str) -> None:
    """Its limit is lower than ours, so only its answer says so."""
    narrow = "yaosu.emission.v1"
    admin = AdminClient({"bootstrap.servers": kafka_servers, "log_level": 0})
    limit = ConfigEntry("max.message.bytes", "50000", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, narrow, incremental_configs=[limit])
    for altered in admin.incremental_alter_configs([resource]).values():
        altered.result(20)
    told = events(2) + events(1, partition=3, size=100_000) + events(2, partition=4)
    async with listening(kafka_servers, [narrow]) as listener:
        async with producing(kafka_servers, narrow, MAC_KEY) as wire:
            assert await wire.send(told) == [told[2]]
        found = await heard(listener, 4)
    assert {hint.value for hint in found} == {event.event for event in told} - {told[2].event}
