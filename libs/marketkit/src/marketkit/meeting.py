"""Where hot commands meet: concurrent ones on one aggregate share a transaction and a commit."""

import asyncio
from collections import deque
from typing import Generic, TypeVar

from marketkit.batch import COMMANDS_MAX, Answer, Command, Hot, execute
from marketkit.db import Database
from marketkit.errors import Busy

C = TypeVar("C")
P = TypeVar("P")
Waiting = tuple[Command[C], asyncio.Future[Answer]]

# In changes asked for, not in requests: a list of 256 rows is as long a wait as 256 bids.
WAITING_MAX = 4096


class Meeting(Generic[C, P]):
    """Where concurrent commands on one aggregate meet, to share one transaction and one commit.

    The first goes at once; those that come while it is under way go together after it, in order of
    arrival. A caller that hangs up leaves its command to be done.
    """

    def __init__(self, house: Database, hot: Hot[C, P]) -> None:
        self._house = house
        self._hot = hot
        self._queues: dict[str, deque[Waiting[C]]] = {}
        self._serving: set[asyncio.Task[None]] = set()
        self._waiting = 0

    async def join(self, place: str, command: Command[C]) -> Answer:
        """The command's answer, after its commit; `place` names the aggregate.

        Raises:
            Busy: more are waiting than could be answered in time.
        """
        if self._waiting + command.weight > WAITING_MAX:
            raise Busy(retry_after_s=1)
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting += command.weight
        if place in self._queues:
            self._queues[place].append((command, answer))
        else:
            self._queues[place] = deque([(command, answer)])
            serving = asyncio.create_task(self._serve(place))
            self._serving.add(serving)
            serving.add_done_callback(self._serving.discard)
        return await answer

    async def _serve(self, place: str) -> None:
        queue = self._queues[place]
        while queue:
            turn = _turn(queue)
            commands = [command for command, _ in turn]
            (outcome,) = await asyncio.gather(self._run(commands), return_exceptions=True)
            self._waiting -= sum(command.weight for command in commands)
            for position, (_, answer) in enumerate(turn):
                if answer.done():
                    continue
                if isinstance(outcome, BaseException):
                    answer.set_exception(outcome)
                else:
                    answer.set_result(outcome[position])
        del self._queues[place]

    async def _run(self, commands: list[Command[C]]) -> list[Answer]:
        return await self._house.run(
            lambda session: execute(session, commands, self._hot), is_hot=True
        )


def _turn(queue: deque[Waiting[C]]) -> list[Waiting[C]]:
    """Those next in line, as many as one transaction does in time; always one."""
    turn = [queue.popleft()]
    weight = turn[0][0].weight
    while queue and (weight := weight + queue[0][0].weight) <= COMMANDS_MAX:
        turn.append(queue.popleft())
    return turn
