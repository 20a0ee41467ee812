"""What a notice must satisfy before it may be announced. Pure: no clock, no database."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Annotated

from pydantic import Field, ValidationError

from contracts.sale import Format, PriceRule, TieRule, Timetable, Undersubscribed
from marketkit.errors import Conflict, Forbidden, InputInvalid, NotFound, RuleBroken
from marketkit.policy import Rule
from marketkit.units import (
    ASSET_UNITS,
    Day,
    Form,
    Id,
    Instant,
    LongText,
    PriceYuan,
    Quantity,
    Text,
)
from saleroom.markets import Bounds, SaleRules

# One contract may be delivered out of all of them, each as two movements of one event.
SALE_LOTS_MAX = 1_000


class SaleUnknown(NotFound):
    title = "交易不存在"


class RegionNotAllowed(Forbidden):
    title = "本场交易由市级人员办理"


class SaleStateNotAllowed(Conflict):
    title = "交易当前状态不允许此操作"


class TermsOutOfBounds(RuleBroken):
    title = "公告条款超出政策规定的范围"


class TimetableWrong(RuleBroken):
    title = "公告的时间安排有误"


class DrillNotPassed(Conflict):
    title = "五名密钥管理员须先以现有密钥完成演练"
    article = "notice"


class FollowedSaleWrong(RuleBroken):
    title = "所接续的交易未曾公告，或指标种类不同"
    article = "notice"


class FollowedQuantityExceeded(Conflict):
    title = "出让数量超过所接续交易收回而尚未再次出让的数量"
    article = "notice"


class TooManyLots(Conflict):
    title = "出让数量所含指标批次过多，请分作几场公告"
    article = "notice"


class FairReviewMissing(RuleBroken):
    title = "缺少通过的公平竞争审查结论"
    article = "measure 2"


class FairReview(Form):
    """The checklist of 公平竞争审查: nothing in the notice keeps anybody out unfairly."""

    document_no: Text
    reviewed_on: Day
    has_locality_condition: bool
    has_ownership_condition: bool
    has_designated_supplier: bool

    @property
    def is_clean(self) -> bool:
        return not (
            self.has_locality_condition
            or self.has_ownership_condition
            or self.has_designated_supplier
        )


class SaleDraftIn(Form):
    """A sale as an officer drafts it; judged when it is announced."""

    title: Text
    body: LongText
    asset: Id
    format: Format
    supply: Quantity
    lot_size: Quantity
    floor_price_yuan: PriceYuan
    price_rule: PriceRule
    tie_rule: TieRule
    undersubscribed: Undersubscribed
    purchase_limit: Quantity | None = None
    bidders_min: Annotated[int, Field(ge=1, le=1000)]
    deposit_ratio_bp: Annotated[int, Field(ge=0, le=10_000)]
    deposit_interest_bp: Annotated[int, Field(ge=0, le=10_000)] = 0
    pay_days: Annotated[int, Field(ge=1, le=365)]
    publicity_days: Annotated[int, Field(ge=1, le=365)]
    registration_closes_at: Instant
    opens_at: Instant
    closes_at: Instant
    deposit_due_at: Instant
    opens_by: Instant
    fair_review: FairReview | None = None
    key_officers: Annotated[list[Id], Field(max_length=20)]
    follows_sale_id: Id | None = None


@dataclass(frozen=True)
class Notice:
    """A draft's terms in minor units, as the rules judge them."""

    asset: str
    format: str
    supply_minor: int
    lot_minor: int
    floor_fen: int
    price_rule: str
    tie_rule: str
    undersubscribed: str
    purchase_limit_minor: int | None
    bidders_min: int
    deposit_ratio_bp: int
    deposit_interest_bp: int
    pay_days: int
    publicity_days: int
    registration_closes_at: datetime
    opens_at: datetime
    closes_at: datetime
    deposit_due_at: datetime
    opens_by: datetime
    fair_review: FairReview | None


def quantity_minor(asset: str, text: str) -> int:
    """A quantity in the minor unit of its asset.

    Raises:
        InputInvalid: an unknown asset, more places than its unit has, or nothing at all.
    """
    unit = ASSET_UNITS.get(asset)
    if unit is None:
        raise InputInvalid("未知的指标种类")
    try:
        minor = unit.parse(text)
    except ValueError as error:
        raise InputInvalid(str(error)) from None
    if minor <= 0:
        raise InputInvalid("数量必须大于零")
    return minor


def read_fair_review(text: str) -> FairReview | None:
    """The stored checklist, or none."""
    try:
        return FairReview.model_validate_json(text) if text else None
    except ValidationError:
        return None


def check_notice(notice: Notice, rules: SaleRules, at: datetime, today: date) -> None:
    """Return if the notice may be announced at this instant; raise the first refusal, in order.

    Raises:
        TermsOutOfBounds: a term outside what policy allows, art. 5 and the city's configuration.
        TimetableWrong: announced for too short or too long, art. 5; out of order, `notice`.
        FairReviewMissing: no checklist, or one with a finding; measure 2.
    """
    _check_choices(notice, rules)
    _check_amounts(notice, rules)
    _check_timetable(notice, rules, at)
    review = notice.fair_review
    if review is None or not review.is_clean or review.reviewed_on > today:
        raise FairReviewMissing()


def check_drill(drilled_at: Sequence[datetime | None]) -> datetime:
    """When the last of the key officers answered the drill before an announcement.

    Args:
        drilled_at: When each of them did, with the key its share will be wrapped to.

    Raises:
        DrillNotPassed: one of them has not; `notice`.
    """
    answered = [at for at in drilled_at if at is not None]
    if len(answered) < len(drilled_at):
        raise DrillNotPassed()
    return max(answered)


def check_follows(supply_minor: int, *, is_alike: bool, left_minor: int) -> None:
    """Return if a sale may follow another with so much on offer.

    Args:
        supply_minor: What the new one offers.
        is_alike: Whether the one it follows was announced, for the same asset.
        left_minor: What came back from that one and no other sale took.

    Raises:
        FollowedSaleWrong: there is none to follow; `notice`.
        FollowedQuantityExceeded: more than is left; `notice`.
    """
    if not is_alike:
        raise FollowedSaleWrong()
    if supply_minor > left_minor:
        raise FollowedQuantityExceeded()


def _check_choices(notice: Notice, rules: SaleRules) -> None:
    for chosen, rule, name in (
        (notice.format, rules.formats, "交易方式"),
        (notice.price_rule, rules.price_rules, "价格规则"),
        (notice.tie_rule, rules.tie_rules, "同价规则"),
        (notice.undersubscribed, rules.undersubscribed, "认购不足规则"),
        (notice.asset, rules.floor_price, "指标种类"),
    ):
        if chosen not in rule.value:
            raise TermsOutOfBounds(name, article=rule.article)


def _check_amounts(notice: Notice, rules: SaleRules) -> None:
    floor = rules.floor_price
    bounds = floor.value[notice.asset]
    if not bounds.least <= notice.floor_fen <= bounds.most:
        raise TermsOutOfBounds("底价", article=floor.article)
    if notice.supply_minor < notice.lot_minor or notice.supply_minor % notice.lot_minor:
        raise TermsOutOfBounds("出让数量须为交易单位的整数倍", article="notice")
    _check_bounds(notice.deposit_ratio_bp, rules.deposit_ratio, "保证金比例")
    _check_bounds(notice.deposit_interest_bp, rules.deposit_interest, "保证金利率")
    _check_bounds(notice.bidders_min, rules.bidders_min, "最少竞买人数")
    _check_bounds(notice.pay_days, rules.payment_days, "付款期限")
    _check_bounds(notice.publicity_days, rules.publicity_days, "公示期")
    # No limit is a limit of all that is offered.
    limit_minor = notice.purchase_limit_minor or notice.supply_minor
    if limit_minor < notice.lot_minor:
        raise TermsOutOfBounds("购买上限小于一个交易单位", article="notice")
    limit = rules.purchase_limit
    least, most = (bp * notice.supply_minor for bp in (limit.value.least, limit.value.most))
    if not least <= limit_minor * 10_000 <= most:
        raise TermsOutOfBounds("购买上限", article=limit.article)


def _check_bounds(value: int, rule: Rule[Bounds], name: str) -> None:
    if not rule.value.least <= value <= rule.value.most:
        raise TermsOutOfBounds(name, article=rule.article)


def _check_timetable(notice: Notice, rules: SaleRules, at: datetime) -> None:
    days = rules.announcement_days
    least, most = (timedelta(days=count) for count in (days.value.least, days.value.most))
    if not least <= notice.opens_at - at <= most:
        raise TimetableWrong(
            f"公告期应为{days.value.least}至{days.value.most}天", article=days.article
        )
    check_order(notice)
    if not at < min(notice.registration_closes_at, notice.deposit_due_at):
        raise TimetableWrong("报名与保证金截止时间已过", article="notice")


def check_order(timetable: SaleDraftIn | Notice | Timetable) -> None:
    """Return if the instants of a sale follow each other.

    Raises:
        TimetableWrong: bids close before they open, or something is due after they close; `notice`.
    """
    if not (
        timetable.opens_at < timetable.closes_at < timetable.opens_by
        and timetable.registration_closes_at <= timetable.closes_at
        and timetable.deposit_due_at <= timetable.closes_at
    ):
        raise TimetableWrong("各时间先后次序有误", article="notice")


def check_lots(count: int) -> None:
    """A supply of so many lots can be delivered by one event, whoever buys it.

    Raises:
        TooManyLots: more than 1,000; `notice`.
    """
    if count > SALE_LOTS_MAX:
        raise TooManyLots(f"共{count}批，至多{SALE_LOTS_MAX}批")
