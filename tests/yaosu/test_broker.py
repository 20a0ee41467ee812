from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from brokers import Broker
from yaosu.broker import read_topics

ENERGY = "yaosu.energy.v1"


async def produce(servers: str, values: list[bytes], partition: int = 3) -> list[int]:
    producer = AIOKafkaProducer(bootstrap_servers=servers, acks="all", enable_idempotence=False)
    async with producer:
        sent = [await producer.send(ENERGY, value, partition=partition) for value in values]
        return [(await one).offset for one in sent]


async def consume(servers: str, count: int, partition: int = 3) -> list[bytes | None]:
    place = TopicPartition(ENERGY, partition)
    consumer = AIOKafkaConsumer(bootstrap_servers=servers, group_id=None)
    async with consumer:
        consumer.assign([place])
        await consumer.seek_to_beginning(place)
        values: list[bytes | None] = []
        while len(values) < count:
            batches = await consumer.getmany(timeout_ms=1000)
            values += [record.value for records in batches.values() for record in records]
        return values


async def test_what_is_produced_is_read_back_in_order(broker: Broker) -> None:
    values = [f"{n}".encode() for n in range(2000)]
    assert await produce(broker.servers, values) == list(range(2000))
    assert await consume(broker.servers, 2000) == values


async def test_an_erased_broker_is_empty_at_the_same_address(broker: Broker) -> None:
    servers = broker.servers
    await produce(servers, [b"before"])
    broker.erase()
    assert broker.servers == servers
    assert await produce(servers, [b"after"]) == [0]
    assert await consume(servers, 1) == [b"after"]


async def test_a_broker_that_was_down_still_has_its_records(broker: Broker) -> None:
    await produce(broker.servers, [b"kept"])
    broker.down()
    broker.up()
    assert await consume(broker.servers, 1) == [b"kept"]


async def test_every_topic_has_the_declared_partitions(broker: Broker) -> None:
    declared = read_topics()
    async with AIOKafkaProducer(bootstrap_servers=broker.servers) as producer:
        for topic in declared.topics:
            assert await producer.partitions_for(topic) == set(range(declared.partitions))
