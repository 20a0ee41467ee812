"""The embedded broker with errors in its answers: what no broker of the product can be told.

Run as a program it is `python -m yaosu.broker` with one order more: `err KIND CODE COUNT`.
"""

import argparse
import asyncio
import contextlib
import ctypes

from yaosu.broker import Door, MockCluster, orders, read_topics

REQUESTS = {"produce": 0, "fetch": 1, "offsets": 2, "metadata": 3}
# Unknown topic, leader missing or another, time is out, coordinators, too few replicas, …
CODES = (3, 5, 6, 7, 13, 14, 15, 16, 19, 20, 27, 45)
# After these a producer gives a batch up and sends the next: the wire has no order to judge then.
FINAL = (13, 27, 45)


class Erring(MockCluster):
    """A cluster that can be told to answer with errors for a while."""

    def err(self, kind: str, code: int, count: int) -> None:
        push = self._library.rd_kafka_mock_push_request_errors_array
        push.restype = None
        push.argtypes = [
            ctypes.c_void_p, ctypes.c_int16, ctypes.c_size_t, ctypes.POINTER(ctypes.c_int),
        ]  # fmt: skip
        push(self._cluster, REQUESTS[kind], count, (ctypes.c_int * count)(*[code] * count))


async def serve(port: int) -> None:
    """Be a broker at `port` until standard input ends."""
    cluster = Erring(read_topics())
    door = await Door.opened(cluster, port)
    async for order in orders():
        match order.split():
            case ["err", kind, code, count]:
                cluster.err(kind, int(code), int(count))
            case _:
                await door.obey(order)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(parser.parse_args().port))
