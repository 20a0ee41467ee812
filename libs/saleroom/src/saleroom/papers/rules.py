"""What each paper says, and the digest that proves it. Pure: no clock, no database, no fonts.

A paper shows its facts and nothing else; the same facts have the same digest for ever.
"""

from datetime import date
from typing import Literal

from marketkit.errors import Conflict, NotFound
from marketkit.signing import canonical, sm3
from marketkit.units import (
    AmountYuan,
    AmountYuanOrZero,
    Day,
    Form,
    Instant,
    PriceYuan,
    Quantity,
)

Kind = Literal["bid-receipt", "deposit-receipt", "deal-confirmation", "payment-notice"]

_DIGITS = "零壹贰叁肆伍陆柒捌玖"
_POWERS = ((10**8, "亿"), (10**4, "万"), (1000, "仟"), (100, "佰"), (10, "拾"))
_NUMBER_WORDS: dict[Kind, str] = {
    "bid-receipt": "报回",
    "deposit-receipt": "保收",
    "deal-confirmation": "成确",
    "payment-notice": "缴通",
}


class PaperUnknown(NotFound):
    title = "文书不存在"


class DepositNotBooked(Conflict):
    title = "保证金尚未确认到账，暂无收据"


class DealNotConfirmed(Conflict):
    title = "交易结果尚未确认，暂无此文书"


class PaperNotProven(NotFound):
    """The one answer for a paper that never was, is not yet, or says something else."""

    title = "没有与此编号和摘要相符的文书"


class SaleOnPaper(Form):
    """The sale a paper is of, by its own id and by what people call it."""

    sale_id: str
    title: str
    asset: str
    unit: str
    seller: str
    policy_version: str


class PartyOnPaper(Form):
    """Whom a paper is for, as registered."""

    name: str
    uscc: str
    project_code: str


class Facts(Form):
    """What every paper says: whose, of which sale, from whom and on which day."""

    kind: Kind
    id: str
    paper_no: str
    issuer: str
    issued_on: Day
    sale: SaleOnPaper
    party: PartyOnPaper


class BidReceipt(Facts):
    """That sealed bytes came in at an instant; of what they hide nobody knows anything."""

    version: int
    received_at: Instant
    commitment: str
    bid_sm3: str
    kid: str


class DepositReceipt(Facts):
    """That a deposit came into escrow."""

    amount_yuan: AmountYuan
    amount_in_words: str
    booked_at: Instant
    bank_serial: str


class Deal(Form):
    """One step of a bid that got something."""

    bid_id: str
    quantity: Quantity
    price_yuan: PriceYuan
    amount_yuan: AmountYuan


class DealConfirmation(Facts):
    """What a participant bought, step by step, and for how much."""

    format: str
    price_rule: str
    deals: list[Deal]
    quantity: Quantity
    amount_yuan: AmountYuan
    amount_in_words: str
    confirmed_at: Instant
    pay_by: Instant


class PaymentNotice(Facts):
    """What a winner has still to pay, and by when."""

    quantity: Quantity
    amount_yuan: AmountYuan
    deposit_yuan: AmountYuanOrZero
    converted_yuan: AmountYuanOrZero
    refund_yuan: AmountYuanOrZero
    due_yuan: AmountYuanOrZero
    due_in_words: str
    pay_by: Instant


class Seal(Form):
    """The checkpoint that covers a place in a log: signed by the service, kept by others."""

    id: int
    signed_at: Instant
    kid: str


class Place(Form):
    """Where the fact that a paper is of stands in the log of its service."""

    source: str
    type: str
    event_id: str
    partition: int
    sequence: int
    chain: str
    checkpoint: Seal | None


class Proof(Form):
    """That this very paper was issued. It names nobody: its holder knows whose it is.

    `is_sealed` while bids of its sale are, or of another then in the same log: places would count
    them, so none is told.
    """

    kind: Kind
    paper_no: str
    issuer: str
    issued_on: Day
    sale_id: str
    sale_title: str
    sm3: str
    is_sealed: bool
    place: Place | None


def paper_no(kind: Kind, of: str, issued_on: date) -> str:
    """The paper's number (文号): its kind, the year it was issued, the id of what it is about."""
    return f"{_NUMBER_WORDS[kind]}〔{issued_on.year}〕{of}号"


def said(facts: Facts) -> bytes:
    """The canonical JSON of all a paper says: what its digest is over, and all it may print."""
    return canonical(facts.model_dump(mode="json"))


def digest(facts: Facts) -> str:
    """SM3 of what a paper says, in lower-case hexadecimal."""
    return sm3(said(facts)).hex()


def proof(facts: Facts) -> str:
    """The address that the code on the paper leads to."""
    return f"/proofs/{facts.sale.sale_id}/{facts.kind}/{facts.id}?sm3={digest(facts)}"


def in_words(amount_fen: int) -> str:
    """An amount of money in Chinese capitals (大写), by 银发〔1997〕393号 annex 1.

    整 stands only where the amount ends at the yuan.
    """
    yuan, cents = divmod(amount_fen, 100)
    jiao, fen = divmod(cents, 10)
    words = f"{_whole(yuan)}元" if yuan or not cents else ""
    if not cents:
        return f"{words}整"
    if jiao:
        words += f"{_DIGITS[jiao]}角"
    elif yuan:
        words += "零"
    return words + (f"{_DIGITS[fen]}分" if fen else "")


def _whole(number: int) -> str:
    for power, word in _POWERS:
        if number >= power:
            high, rest = divmod(number, power)
            # One 零 for any number of places left empty.
            gap = "零" if 0 < rest < power // 10 else ""
            return _whole(high) + word + gap + (_whole(rest) if rest else "")
    return _DIGITS[number]
