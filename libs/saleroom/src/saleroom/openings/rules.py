"""When a sale may be opened, and what becomes of each bid then. Pure: no clock, no database."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from contracts.sale import RevealedBid
from marketkit.errors import Conflict, NotFound, RuleBroken
from marketkit.signing import b64
from marketkit.units import Unit
from saleroom.bids.rules import CorrectionNotAccepted
from saleroom.recompute import TooManySteps
from saleroom.sealing import (
    BidMalformed,
    BidPlace,
    BidVoid,
    SealedBid,
    open_bid,
    unwrap,
)

# A share of 33 bytes, and what HPKE adds.
WRAPPED_SHARE_BYTES = 33 + 48


class OpeningUnknown(NotFound):
    title = "开启程序不存在"


class ResultUnknown(NotFound):
    title = "报价尚未公开"


class DepositsNotReconciled(Conflict):
    title = "保证金尚未完成对账，不能开启"
    article = "notice"


class OpeningTooLate(Conflict):
    title = "已过公告规定的最迟开启时间"
    article = "notice"


class OpeningAlreadyConfirmed(Conflict):
    title = "本场交易的开启已经确认"


class SessionNotLive(Conflict):
    title = "该开启会话已失效，请向当前会话重新提交"


class ShareSizeWrong(RuleBroken):
    title = "密钥份额长度不符"


class ShareAlreadyGiven(Conflict):
    title = "本次会话中已提交过密钥份额"


def check_openable(*, reconciled_at: datetime | None, opens_by: datetime, at: datetime) -> None:
    """Return if a closed sale may be opened at this instant.

    Raises:
        DepositsNotReconciled: deposits are not decided yet; `notice`.
        OpeningTooLate: `at` is not before `opens_by`; `notice`.
    """
    if reconciled_at is None:
        raise DepositsNotReconciled()
    if at >= opens_by:
        raise OpeningTooLate()


@dataclass(frozen=True)
class Standing:
    """A bid that stood at closing, whose it is, and what of its bidder decides if it counts."""

    receipt_id: str
    registration_id: str
    bidder_name: str
    project_code: str
    quantity_max_minor: int
    place: BidPlace
    sealed: SealedBid
    submitted_at: datetime
    registration_state: str
    deposit_state: str
    booked_at: datetime | None
    has_accepted: bool = True


class _Said(NamedTuple):
    plaintext: str | None
    void_code: str | None


def reveal(
    bid: Standing, *, private_key: bytes, unit: Unit, deposit_due_at: datetime, steps_max: int
) -> RevealedBid:
    """The bid as it is told; void for its bidder's sake before for its own.

    `NOT_QUALIFIED`, `CORRECTION_NOT_ACCEPTED`, `DEPOSIT_NOT_CONFIRMED`, then as
    `sealing.open_bid`, then `TOO_MANY_STEPS`: each voids that bid only.
    """
    said = _opened(bid, private_key, unit, steps_max)
    booked_at = bid.booked_at
    if bid.registration_state != "QUALIFIED":
        said = said._replace(void_code="NOT_QUALIFIED")
    elif not bid.has_accepted:
        said = said._replace(void_code=CorrectionNotAccepted.code)
    elif bid.deposit_state != "CONFIRMED" or booked_at is None or booked_at > deposit_due_at:
        said = said._replace(void_code="DEPOSIT_NOT_CONFIRMED")
    return RevealedBid(
        receipt_id=bid.receipt_id,
        registration_id=bid.registration_id,
        bidder=bid.place.uscc,
        bidder_name=bid.bidder_name,
        project_code=bid.project_code,
        quantity_max=unit.format(bid.quantity_max_minor),
        version=bid.place.version,
        submitted_at=bid.submitted_at,
        commitment=b64(bid.sealed.commitment),
        **said._asdict(),
    )


def _opened(bid: Standing, private_key: bytes, unit: Unit, steps_max: int) -> _Said:
    try:
        opened = open_bid(bid.sealed, bid.place, private_key=private_key, unit=unit)
        plaintext: bytes | None = opened.plaintext
        void_code = TooManySteps.code if len(opened.steps) > steps_max else None
    except BidVoid as void:
        plaintext = unwrap(bid.sealed.ciphertext, private_key, bid.place.info)
        void_code = void.code
    text = _text(plaintext)
    return _Said(text, void_code if text is not None else void_code or BidMalformed.code)


def _text(plaintext: bytes | None) -> str | None:
    # What is no text, or holds what the database's text cannot, is told as void without it.
    if plaintext is None or b"\0" in plaintext:
        return None
    try:
        return plaintext.rstrip(b" ").decode()
    except UnicodeDecodeError:
        return None
