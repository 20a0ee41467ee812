"""What of a published notice may still change. Pure: no clock, no database.

Nothing that decides what a bid is worth: a correction says more, and puts off what is to come.
"""

from datetime import datetime, timedelta
from typing import Annotated

from pydantic import Field

from contracts.sale import Timetable
from marketkit.errors import Conflict
from marketkit.policy import Rule
from marketkit.units import Form, Instant, LongText
from saleroom.notices.rules import TimetableWrong, check_order


class CorrectionNotCurrent(Conflict):
    title = "接受的不是最近一次变更公告"
    article = "notice"


class CorrectionAlreadyAccepted(Conflict):
    title = "已接受最近一次变更公告"


class TimetableIn(Form):
    """Instants of a notice that are put off; what is not named stays."""

    registration_closes_at: Instant | None = None
    opens_at: Instant | None = None
    closes_at: Instant | None = None
    deposit_due_at: Instant | None = None
    opens_by: Instant | None = None


class CorrectionIn(Form):
    """What is published as a correction; a new body stands in the place of the whole old one."""

    text: LongText
    body: LongText | None = None
    timetable: TimetableIn = TimetableIn()


class AcceptanceIn(Form):
    """The number of the correction that an enterprise has read and accepts."""

    correction: Annotated[int, Field(ge=1, lt=2**31)]


def put_off(timetable: Timetable, changes: TimetableIn, at: datetime, days: Rule[int]) -> Timetable:
    """The instants of a notice after a correction: only later ones, only of what is to come.

    Args:
        days: How many there are at least until bidding ends: who has not accepted by then is out.

    Raises:
        TimetableWrong: an instant has passed or would come sooner, or they would not follow each
            other, `notice`; or too little time is left to accept, art. 5.
    """
    moved = {name: to for name, to in changes if to is not None}
    for name, to in moved.items():
        if not at < getattr(timetable, name) < to:
            raise TimetableWrong("只能推迟尚未到来的时间", article="notice")
    later = timetable.model_copy(update=moved)
    check_order(later)
    if later.closes_at < at + timedelta(days=days.value):
        said = f"变更公告发布后至报价截止不得少于{days.value}日，须同时推迟报价截止"
        raise TimetableWrong(said, article=days.article)
    return later


def check_acceptance(correction: int, *, accepted: int, published: int) -> None:
    """Return if a participant may accept this correction.

    Args:
        correction: The number of the one it has read.
        accepted: The last one it accepted, or that was there when it entered.
        published: The last one published.

    Raises:
        CorrectionNotCurrent: another one came since, or there is none; `notice`.
        CorrectionAlreadyAccepted: it needs no second word.
    """
    if correction != published:
        raise CorrectionNotCurrent()
    if accepted == published:
        raise CorrectionAlreadyAccepted()
