"""What the board answers and how it words it: figures, units, titles. Pure."""

from collections.abc import Mapping
from typing import NamedTuple

from pydantic import BaseModel, ValidationError

from contracts.sale import Outcome, SaleKey, SaleTerms, Timetable
from gateway.holdings.rules import UNIT_TITLES, OwnHolding, grouped, unit_of
from marketkit.errors import Refusal
from marketkit.strict_json import loads
from marketkit.units import (
    SHANGHAI,
    YUAN,
    AmountYuan,
    AmountYuanOrZero,
    Form,
    Instant,
    PriceYuan,
    Quantity,
    SignedQuantity,
)

# From its announcement to its opening nothing may show that depends on who takes part.
SEALED_STATES = ("ANNOUNCED", "OPEN", "CLOSED", "SUSPENDED")
# Steps that would tell it: kept, and shown once the sale is no longer sealed.
STEPS_UNSEEN = ("sale.deposit_reversed",)
ENDED_STATES = ("SETTLED", "ARCHIVED", "FAILED", "CANCELLED")

ANNOUNCEMENT_TITLES = {
    "SALE": "竞购公告",
    "SALE_AGAIN": "再次竞购公告",
    "CORRECTION": "变更公告",
    "SUSPENSION": "中止公告",
    "RESUMPTION": "恢复交易公告",
    "CANCELLATION": "终止公告",
    "FAILURE": "未成交公告",
    "RESULT": "成交结果公告",
}
FAILURES = {
    "NO_AWARD": "没有可成交的有效报价。",
    "UNDERSUBSCRIBED": "申购量不足，按公告约定不予成交。",
    "TOO_FEW_BIDDERS": "有效竞买人数不足公告规定的最低人数。",
    "NOT_OPENED_IN_TIME": "未能在规定时限内开标。",
}


class Result(NamedTuple):
    """What a result announcement tells, in minor units."""

    asset: str
    clearing_price_fen: int | None
    sold_minor: int
    unsold_minor: int
    proceeds_fen: int


def announcement_title(kind: str, sale_title: str) -> str:
    return f"{sale_title}{ANNOUNCEMENT_TITLES[kind]}"


def deadlines_text(timetable: Timetable) -> str:
    """The sentence of an announcement after which other instants hold."""
    said = (
        ("报名截止", timetable.registration_closes_at),
        ("报价开始", timetable.opens_at),
        ("保证金到账截止", timetable.deposit_due_at),
        ("报价截止", timetable.closes_at),
        ("最迟开标", timetable.opens_by),
    )
    instants = (
        f"{name}{at.astimezone(SHANGHAI).strftime('%Y-%m-%d %H:%M:%S')}" for name, at in said
    )
    return f"现行时间安排：{'，'.join(instants)}。"


def result_text(result: Result) -> str:
    """The sentence of a result announcement."""
    unit = unit_of(result.asset)
    title = UNIT_TITLES[unit.name]
    sold, unsold = (grouped(unit.format(q)) for q in (result.sold_minor, result.unsold_minor))
    price = result.clearing_price_fen
    priced = (
        "各按其报价成交" if price is None else f"成交价每{title}{grouped(YUAN.format(price))}元"
    )
    proceeds = grouped(YUAN.format(result.proceeds_fen))
    rest = f"；未成交{unsold}{title}，已释放" if result.unsold_minor else ""
    return f"成交{sold}{title}，{priced}，成交金额合计{proceeds}元{rest}。"


class StepText(Form):
    """One step of a revealed bid, as its bidder wrote it."""

    price_yuan: PriceYuan
    quantity: Quantity
    min_accept_quantity: Quantity | None = None


class _BidText(BaseModel):
    steps: list[StepText]


def steps_in(plaintext: str | None) -> list[StepText]:
    """The steps of a revealed plaintext; none where it says nothing that can be read."""
    if plaintext is None:
        return []
    try:
        return _BidText.model_validate(loads(plaintext.encode())).steps
    except (ValidationError, Refusal, UnicodeEncodeError):
        return []


def lag_events(heads: Mapping[int, int], positions: Mapping[int, int]) -> int:
    """How many events of an owner's log, as far as it is known, are not yet applied."""
    return sum(max(0, head - positions.get(number, 0)) for number, head in heads.items())


class SourceStaleness(Form):
    """How far a service's facts are applied, against what it last said of itself.

    `lag_events` is absent while a sale of that market is sealed: a growing log would count bids.
    """

    market: str
    source: str
    lag_events: int | None
    known_at: Instant | None
    is_stopped: bool


class Answer(Form):
    """What every answer says of itself: the time of the last event in it, and how current."""

    as_of: Instant | None
    sources: tuple[SourceStaleness, ...] = ()


class Paged(Answer):
    page: int
    page_size: int
    total: int


class SaleLine(Form):
    sale_id: str
    market: str
    title: str
    state: str
    format: str
    asset: str
    unit: str
    supply: Quantity
    floor_price_yuan: PriceYuan
    announced_at: Instant
    opens_at: Instant
    closes_at: Instant
    outcome: Outcome | None
    clearing_price_yuan: PriceYuan | None
    sold: Quantity | None
    as_of: Instant


class SalesOut(Paged):
    sales: list[SaleLine]


class StepOut(Form):
    kind: str
    note: str
    taken_at: Instant
    registration_id: str | None
    bidder_name: str | None


class ResultOut(Form):
    outcome: Outcome
    clearing_price_yuan: PriceYuan | None
    sold: Quantity
    unsold: Quantity
    proceeds_yuan: AmountYuanOrZero
    draw_secret: str
    seed: str


class SaleOut(SaleLine):
    """A sale as anyone may see it; bids, awards and settlements are lists of their own.

    `followed_by` are the sales that offer once more what came back from this one.
    """

    sources: tuple[SourceStaleness, ...] = ()

    body: str
    seller: str
    terms: SaleTerms
    timetable: Timetable
    key: SaleKey
    policy_version: str
    drilled_at: Instant | None
    follows_sale_id: str | None
    followed_by: list[str]
    reason: str
    steps: list[StepOut]
    result: ResultOut | None


class BidStepOut(Form):
    bid_id: str
    price_yuan: PriceYuan
    quantity: Quantity
    min_accept_quantity: Quantity | None
    awarded: Quantity | None
    rejected_code: str | None


class BidOut(Form):
    receipt_id: str
    bidder: str
    bidder_name: str
    project_code: str
    quantity_max: Quantity
    version: int
    submitted_at: Instant
    commitment: str
    plaintext: str | None
    void_code: str | None
    steps: list[BidStepOut]


class BidsOut(Paged):
    bids: list[BidOut]


class AwardOut(Form):
    bid_id: str
    bidder: str
    bidder_name: str
    project_code: str
    quantity: Quantity
    price_yuan: PriceYuan
    amount_yuan: AmountYuan


class AwardsOut(Paged):
    awards: list[AwardOut]


class SettlementOut(Form):
    bidder: str
    bidder_name: str
    project_code: str
    quantity: Quantity
    amount_yuan: AmountYuan
    state: str
    pay_by: Instant | None
    forfeited_yuan: AmountYuanOrZero | None


class SettlementsOut(Paged):
    settlements: list[SettlementOut]


class HoldingLine(Form):
    """What all accounts of a region hold of an asset, issuance aside."""

    market: str
    region_code: str
    region_name: str
    asset: str
    unit: str
    posted: SignedQuantity
    held: SignedQuantity
    available: SignedQuantity


class HoldingsOut(Answer):
    holdings: list[HoldingLine]


class OwnHoldingsOut(Answer):
    holdings: list[OwnHolding]


class AnnouncementOut(Form):
    """`follows_sale_id` is the sale whose unsold or returned quantity is offered once more."""

    id: str
    market: str
    sale_id: str
    follows_sale_id: str | None
    kind: str
    title: str
    body: str
    published_at: Instant


class AnnouncementsOut(Paged):
    announcements: list[AnnouncementOut]
