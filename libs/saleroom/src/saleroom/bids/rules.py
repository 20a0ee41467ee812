"""When a sealed bid is taken in, and when it may go again. Pure: no clock, no database.

What a bid offers is judged at opening only; here it is bytes of one size.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from marketkit.errors import Conflict, NotFound
from saleroom.sealing import CIPHERTEXT_BYTES, BidKeyWrong, BidSizeWrong

TICK = timedelta(microseconds=1)


class BiddingClosed(Conflict):
    title = "报价已截止"
    article = "notice"


class BiddingNotOpen(Conflict):
    title = "报价尚未开始，或交易已中止"
    article = "notice"


class NotQualified(Conflict):
    title = "未通过资格审查，不得报价"
    article = "notice"


class CorrectionNotAccepted(Conflict):
    title = "尚未接受最近一次变更公告"
    article = "notice"


class BidVersionWrong(Conflict):
    title = "报价版本号应为上一版本加一"


class BidUnknown(NotFound):
    title = "报价不存在"


class BidNotStanding(Conflict):
    title = "该报价已被替换或撤回"


@dataclass(frozen=True)
class Window:
    """What of a sale decides whether a bid is taken in."""

    sale_id: str
    state: str
    opens_at: datetime
    closes_at: datetime
    key_sm3: bytes | None
    policy_version: str
    correction_count: int = 0


@dataclass(frozen=True)
class PlacedBid:
    """A bid as it came in: whose, for which sale, and the sealed bytes."""

    sale_id: str
    uscc: str
    version: int
    ciphertext: bytes
    commitment: bytes
    key_sm3: bytes


def instants_of(first_at: datetime, last_at: datetime, count: int) -> list[datetime]:
    """An instant for each bid, in order of arrival: never a tie, never a step backwards."""
    first = max(first_at, last_at + TICK)
    return [first + TICK * place for place in range(count)]


def check_window(window: Window, at: datetime) -> None:
    """Return if bids may come or go at this instant.

    Raises:
        BiddingClosed: `at` is not before closing; `notice`.
        BiddingNotOpen: before opening for bids, or suspended; `notice`.
    """
    ended = {"CLOSED", "OPENED", "CLEARED", "CONFIRMED", "SETTLED", "ARCHIVED"}
    if window.state in ended or (window.state == "OPEN" and at >= window.closes_at):
        raise BiddingClosed()
    if window.state != "OPEN" or at < window.opens_at:
        raise BiddingNotOpen()


def check_sealed_bid(
    window: Window,
    bid: PlacedBid,
    *,
    registration: str | None,
    accepted_correction: int = 0,
    last_version: int,
    at: datetime,
) -> None:
    """Return if the bid may be taken in; raise the first refusal, in this order.

    Args:
        window: The sale, as it stands under its lock.
        bid: HPKE ciphertext, padded; what it offers is judged at opening.
        registration: State of the bidder's registration, if there is one.
        accepted_correction: The last correction of the notice that the bidder has accepted.
        last_version: The bidder's last version, 0 for none.
        at: The bid's instant, read after the sale's row was locked.

    Raises:
        BidSizeWrong: not the one padded size.
        BiddingClosed, BiddingNotOpen: `notice`.
        NotQualified: no registration, or not qualified; `notice`.
        CorrectionNotAccepted: the notice was corrected since; `notice`.
        BidKeyWrong: sealed to another key than this sale's.
        BidVersionWrong: not the next version.
    """
    if len(bid.ciphertext) != CIPHERTEXT_BYTES or len(bid.commitment) != 32:
        raise BidSizeWrong()
    check_window(window, at)
    if registration != "QUALIFIED":
        raise NotQualified()
    if accepted_correction != window.correction_count:
        raise CorrectionNotAccepted()
    if bid.key_sm3 != window.key_sm3:
        raise BidKeyWrong()
    if bid.version != last_version + 1:
        raise BidVersionWrong()
