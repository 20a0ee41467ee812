"""Reports of coal stocks, taken in by the list: each row its own verdict, whatever its neighbours.

One action for every door a report may come by.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field
from sqlalchemy import tuple_
from sqlmodel import col, select

from contracts.energy import CoalStockAlerted, CoalStockLevel, CoalStockReported
from energy_trade.coal_stocks.rules import CoalDays, Stock, check_report, days_of_coal
from energy_trade.coal_stocks.tables import CoalStock
from energy_trade.policy import Policy, policy_on
from marketkit.batch import COMMANDS_MAX, Hot
from marketkit.db import Session, instant, sql
from marketkit.errors import Refusal
from marketkit.outbox import Telling, tell_all
from marketkit.rows import insert_all
from marketkit.units import (
    TONNE,
    Day,
    Form,
    Quantity,
    QuantityTonne,
    QuantityTonneOrZero,
    Text,
    day_of,
)

LOCK = 7_370_507
Place = tuple[str, str, date]


class CoalStockRow(Form):
    """One plant's coal on one day; a correction is the next revision of the same plant and day."""

    plant_id: Annotated[str, Field(pattern=r"^[0-9A-Za-z_-]{1,40}$")]
    name: Text
    effective_on: Day
    revision: Annotated[int, Field(ge=1, le=1_000)] = 1
    stock_t: QuantityTonneOrZero
    daily_burn_t: QuantityTonne

    @property
    def stock(self) -> Stock:
        return Stock(self.name, self.stock_t, self.daily_burn_t)


class CoalStockIn(Form):
    rows: Annotated[list[CoalStockRow], Field(min_length=1, max_length=COMMANDS_MAX)]


class RowVerdict(Form):
    """What came of a row, in the order of the rows: an outcome, or the code of a refusal."""

    plant_id: str
    effective_on: Day
    revision: int
    outcome: Literal["ACCEPTED"] | None = None
    days: Quantity | None = None
    level: CoalStockLevel | None = None
    code: str | None = None
    title: str | None = None
    article: str | None = None


class CoalStockOut(Form):
    rows: list[RowVerdict]
    accepted_count: int
    refused_count: int


@dataclass(frozen=True)
class Report:
    """Rows as one caller brought them, for the plants of one county."""

    sub: str
    region_code: str
    rows: Sequence[CoalStockRow]

    def place(self, row: CoalStockRow) -> Place:
        return self.region_code, row.plant_id, row.effective_on


class Prepared(NamedTuple):
    report: Report
    at: datetime


class Taken(NamedTuple):
    """A row that has its effect, and all that is written and told of it."""

    report: Report
    row: CoalStockRow
    lasting: CoalDays
    policy: Policy
    at: datetime


async def lock_regions(session: Session, reports: Sequence[Report]) -> list[Prepared]:
    """Wait for those who report for the same counties, and give the reports their instant."""
    for region in sorted({report.region_code for report in reports}):
        # A plant has no row before its first report, so there is none to lock.
        await sql(
            session,
            "SELECT pg_advisory_xact_lock(hashtextextended(:region, :lock))",
            region=region,
            lock=LOCK,
        )
    at = await instant(session)
    return [Prepared(report, at) for report in reports]


async def report_coal_stocks(
    session: Session, prepared: Sequence[Prepared]
) -> Sequence[CoalStockOut]:
    """Take in reports; each row gets its verdict under its own identity: region, plant and day.

    The same again has the same verdict and no effect. Refusals, each a row's verdict, in order:
    EffectiveInFuture, ReportDiffers, RevisionWrong, PolicyDateTooEarly.
    """
    known = await _known(session, [report for report, _ in prepared])
    taken: list[Taken] = []
    answers = []
    for report, at in prepared:
        verdicts = [_judged(row, Prepared(report, at), known, taken) for row in report.rows]
        accepted = sum(verdict.outcome is not None for verdict in verdicts)
        answers.append(
            CoalStockOut(
                rows=verdicts, accepted_count=accepted, refused_count=len(verdicts) - accepted
            )
        )
    if taken:
        await insert_all(session, CoalStock, [_row(one) for one in taken])
        await tell_all(session, [told for one in taken for told in _told(one)])
    return answers


async def _known(session: Session, reports: Sequence[Report]) -> dict[Place, dict[int, Stock]]:
    places = {report.place(row) for report in reports for row in report.rows}
    identity = tuple_(
        col(CoalStock.region_code), col(CoalStock.plant_id), col(CoalStock.effective_on)
    )
    found = await session.exec(select(CoalStock).where(identity.in_(places)))
    known: dict[Place, dict[int, Stock]] = {place: {} for place in places}
    for one in found.all():
        known[one.region_code, one.plant_id, one.effective_on][one.revision] = one.plain
    return known


def _judged(
    row: CoalStockRow,
    prepared: Prepared,
    known: dict[Place, dict[int, Stock]],
    taken: list[Taken],
) -> RowVerdict:
    report, at = prepared
    said = known[report.place(row)]
    identity: dict[str, Any] = row.model_dump(include={"plant_id", "revision"})
    identity["effective_on"] = row.effective_on
    try:
        is_new = check_report(
            row.stock, row.revision, known=said, effective_on=row.effective_on, today=day_of(at)
        )
        # The levels in force on the day of the stock decide, whenever it is reported.
        policy = policy_on(row.effective_on)
        lasting = days_of_coal(row.stock_t, row.daily_burn_t, policy)
    except Refusal as refusal:
        return RowVerdict(**identity, code=refusal.code,
                          title=refusal.title, article=refusal.article)  # fmt: skip
    if is_new:
        said[row.revision] = row.stock
        taken.append(Taken(report, row, lasting, policy, at))
    return RowVerdict(**identity, outcome="ACCEPTED",
                      days=lasting.days, level=lasting.level)  # fmt: skip


def _row(one: Taken) -> dict[str, object]:
    return {
        "region_code": one.report.region_code,
        "plant_id": one.row.plant_id,
        "effective_on": one.row.effective_on,
        "revision": one.row.revision,
        "name": one.row.name,
        "stock_kg": one.row.stock_t,
        "daily_burn_kg": one.row.daily_burn_t,
        "level": one.lasting.level,
        "reported_at": one.at,
        "reported_by": one.report.sub,
        "policy_version": one.policy.version,
    }


def _told(one: Taken) -> list[Telling]:
    row, region = one.row, one.report.region_code
    identity: dict[str, Any] = {
        "plant_id": row.plant_id,
        "name": row.name,
        "region_code": region,
        "effective_on": row.effective_on,
        "revision": row.revision,
        "days": one.lasting.days,
    }
    facts: list[CoalStockReported | CoalStockAlerted] = [
        CoalStockReported(
            **identity,
            stock_t=TONNE.edge(row.stock_t),
            daily_burn_t=TONNE.edge(row.daily_burn_t),
            level=one.lasting.level,
        )
    ]
    if one.lasting.level == "BREACH":
        floor = one.policy.coal_stock.floor.value
        facts.append(CoalStockAlerted(**identity, floor_days=floor))
    return [
        Telling(fact, f"plant:{region}:{row.plant_id}", actor=one.report.sub, region_code=region,
                policy_version=one.policy.version, at=one.at)
        for fact in facts
    ]  # fmt: skip


REPORT = Hot(lock_regions, report_coal_stocks)
