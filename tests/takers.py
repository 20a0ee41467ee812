"""A process that pledges quota, as one of several that do; its parent says when.

`python takers.py URL [freeze]`: says `ready`. For each line `HOLDER FIRST COUNT KGCE` it does that
many pledges at once and says in JSON how many of each status came of it. With `freeze` it stops
itself in its first transaction, its locks taken.
"""

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import date

from sqlalchemy.exc import DBAPIError

from builders import a_caller, a_project_code, a_signer, a_uscc
from energy_trade.pledges.actions import PLEDGE, Asked, PledgeIn, Prepared, register_pledges
from marketkit.batch import Command, Hot, Verdict
from marketkit.db import Database, Session
from marketkit.errors import Busy
from marketkit.meeting import Meeting
from marketkit.units import Kgce


def a_command(holder: int, number: int, kgce: int) -> Command[Asked]:
    """A pledge of an enterprise's, by the contract of this number."""
    form = PledgeIn.model_construct(
        project_code=a_project_code(holder),
        asset="ENERGY",
        quantity=Kgce(kgce),
        creditor_uscc=a_uscc(900),
        document_no=f"合同{number}",
        effective_on=date(2022, 5, 20),
    )
    asked = Asked(a_caller("enterprise", region_code="", uscc=a_uscc(holder)), form)
    return Command("p", f"key-{holder}-{number}", b"f", asked, 201)


def freezing(hot: Hot[Asked, Prepared]) -> Hot[Asked, Prepared]:
    """The hot action, stopped once by the kernel as soon as its locks are taken."""
    is_due = True

    async def act(session: Session, prepared: Sequence[Prepared]) -> Sequence[Verdict]:
        nonlocal is_due
        if is_due:
            is_due = False
            os.kill(os.getpid(), signal.SIGSTOP)
        return await register_pledges(session, prepared)

    return Hot(hot.lock, act)


async def status_of(meeting: Meeting[Asked, Prepared], command: Command[Asked]) -> int:
    """The status in the end: Busy and a broken line are no answer, so it is sent again."""
    for _ in range(100):
        try:
            answer = await meeting.join(command.content.account, command)
        except (Busy, DBAPIError):
            await asyncio.sleep(0.05)
            continue
        if answer.status != 503:
            return answer.status
        await asyncio.sleep(0.05)
    raise AssertionError("it is never its turn")


async def take(url: str, *, is_freezing: bool) -> None:
    house = Database(url, "/370500/energy-trade", "energy", a_signer(), pool_size=2)
    meeting = Meeting(house, freezing(PLEDGE) if is_freezing else PLEDGE)
    print("ready", flush=True)
    while line := sys.stdin.readline():
        holder, first, count, kgce = map(int, line.split())
        commands = [a_command(holder, number, kgce) for number in range(first, first + count)]
        statuses = await asyncio.gather(*(status_of(meeting, one) for one in commands))
        print(json.dumps(Counter(statuses)), flush=True)
    await house.close()


if __name__ == "__main__":
    asyncio.run(take(sys.argv[1], is_freezing=sys.argv[2:] == ["freeze"]))
