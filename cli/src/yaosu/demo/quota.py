"""Before the sale: the pool, the register of units, a shutdown and its split, the issue."""

from collections.abc import Callable

from yaosu.client import Sent
from yaosu.demo import facts
from yaosu.demo.clock import Clock
from yaosu.demo.facts import BIDDERS, minutes_after
from yaosu.demo.people import Desk, county

ENERGY = "/v1/energy"
FIRST = "pool/request"

Say = Callable[[str], None]


def has_begun(sent: Sent) -> bool:
    """Whether the first command of the demonstration was answered in an earlier life."""
    return sent.answer(f"demo/{FIRST}") is not None


async def play(desk: Desk, clock: Clock, say: Say) -> None:
    """The pool, the register, a shutdown and its split, the issue, the screenings."""
    await clock.move(minutes_after(facts.ISSUED, 60))
    for bidder in BIDDERS:
        form = {
            "uscc": bidder.uscc,
            "project_code": bidder.project_code,
            "name": bidder.name,
            "is_dual_high": False,
        }
        key = f"screening/{bidder.project_code}"
        await desk.act(county(bidder.region_code), f"{ENERGY}/screenings", form, key=key)
    say("五个县区各筛选一个项目，可使用省级收储指标（第五条）")
