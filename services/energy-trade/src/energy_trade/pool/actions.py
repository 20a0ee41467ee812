"""What goes into the pool of art. 3 and what its published batches give out of it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from pydantic import Field, model_validator
from sqlalchemy import insert
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlmodel import col, select

from contracts.energy import Assignment, IncrementBatchPublished, QuotaAssigned
from energy_trade.accounts.actions import check_citywide, ensure_accounts
from energy_trade.accounts.rules import POOL, enterprise_holder
from energy_trade.policy import Policy, policy_on
from energy_trade.pool.rules import (
    BatchVersionWrong,
    Line,
    Project,
    additions,
    check_assignment,
    check_issue,
    check_stock,
    draw,
)
from energy_trade.pool.tables import BatchLine, BatchVersion, IncrementBatch, Pool
from marketkit.codes import CountyCode, ProjectCode, Uscc
from marketkit.db import Session, instant
from marketkit.identity import Caller
from marketkit.ledger import Balance, Booking, Lot, book
from marketkit.movements import Leg, Movement
from marketkit.outbox import Telling, tell_all
from marketkit.rows import insert_all
from marketkit.units import TCE, Form, Kgce, QuantityTce, QuantityTceOrZero, Text, day_of

ASSIGNMENTS_MAX = 200


class AssignmentIn(Form):
    uscc: Uscc
    project_code: ProjectCode
    name: Text
    quantity_tce: QuantityTce
    region_code: CountyCode
    is_dual_high: bool


class IncrementBatchIn(Form):
    """The whole list of a batch, as its next version is to be."""

    batch: Text
    batch_version: Annotated[int, Field(ge=1, lt=2**31)]
    assignments: Annotated[list[AssignmentIn], Field(min_length=1, max_length=ASSIGNMENTS_MAX)]

    @model_validator(mode="after")
    def _each_project_once(self) -> "IncrementBatchIn":
        projects = {(one.uscc, one.project_code) for one in self.assignments}
        if len(projects) < len(self.assignments):
            raise ValueError("同一项目在清单中重复")
        return self

    @property
    def lines(self) -> list[Line]:
        return [
            Line(one.uscc, one.project_code, one.name, one.region_code, one.quantity_tce)
            for one in self.assignments
        ]


class IncrementBatchOut(Form):
    batch: str
    batch_version: int
    added_tce: QuantityTceOrZero
    left_tce: QuantityTceOrZero
    policy_version: str


async def locked_pool(session: Session) -> Pool:
    return await session.get_one(Pool, 1, with_for_update=True)


async def fill_pool(session: Session, pool: Pool, quantity: Kgce, policy: Policy) -> None:
    """Count an issue into the locked pool; the caller brings the lot onto its account.

    Raises:
        EnergyPoolExceeded: art. 3, more than the province gave.
    """
    check_issue(Kgce(pool.issued_kgce), quantity, policy)
    pool.issued_kgce += quantity
    await session.flush()


async def drain_pool(session: Session, pool: Pool, quantity: Kgce) -> None:
    """Count a reversed issue out of the locked pool: so much may be issued into it again."""
    pool.issued_kgce -= quantity
    await session.flush()


async def publish_increment_batch(
    session: Session, caller: Caller, form: IncrementBatchIn
) -> IncrementBatchOut:
    """Publish the next version of a batch's list and assign out of the pool what it adds.

    The list is in force, and the quota assigned, on the day it is published; its own name and
    version stand as the document.

    Raises:
        CityOfficerRequired: the caller is of one county.
        BatchVersionWrong: not the version in force + 1, for a new batch not 1.
        AssignmentNotKept: art. 3, a project is gone, gets less or stands in another county.
        DualHighNotAllowed: art. 3, some project of the list is high-energy, high-emission.
        EnergyPoolExceeded: art. 3, all that is added is more than is left.
        AccountElsewhere: a project's account stands in another county.
    """
    check_citywide(caller)
    listed = await _next_version(session, form)
    pool = await locked_pool(session)
    at = await instant(session)
    policy = policy_on(day_of(at))
    added = additions(listed, form.lines, policy)
    asked = Kgce(sum(more for _, more in added))
    assigned = Kgce(pool.assigned_kgce)
    is_dual_high = any(one.is_dual_high for one in form.assignments)
    check_assignment(assigned, asked, is_dual_high=is_dual_high, policy=policy)
    check_stock(Kgce(pool.issued_kgce), assigned, asked, policy)
    pool.assigned_kgce += asked
    await _write_version(session, form, caller, at, policy)
    told = [Telling(_published(form), form.batch, at=at, policy_version=policy.version)]
    told += await _assign(session, form, added, at, policy)
    await tell_all(session, told)
    return IncrementBatchOut(
        batch=form.batch,
        batch_version=form.batch_version,
        added_tce=TCE.edge(asked),
        left_tce=TCE.edge(pool.issued_kgce - pool.assigned_kgce),
        policy_version=policy.version,
    )


async def _next_version(session: Session, form: IncrementBatchIn) -> dict[Project, Line]:
    # An absent row cannot be locked: make it first, at version 0.
    made = upsert(IncrementBatch).values(batch=form.batch, batch_version=0)
    await session.exec(made.on_conflict_do_nothing())
    batch = await session.get_one(IncrementBatch, form.batch, with_for_update=True)
    if form.batch_version != batch.batch_version + 1:
        raise BatchVersionWrong()
    found = await session.exec(
        select(BatchLine).where(
            BatchLine.batch == batch.batch, BatchLine.batch_version == batch.batch_version
        )
    )
    batch.batch_version = form.batch_version
    return {
        (row.uscc, row.project_code): Line(
            row.uscc, row.project_code, row.name, row.region_code, Kgce(row.quantity_kgce)
        )
        for row in found.all()
    }


async def _write_version(
    session: Session, form: IncrementBatchIn, caller: Caller, at: datetime, policy: Policy
) -> None:
    version = {"batch": form.batch, "batch_version": form.batch_version}
    await session.flush()
    await session.exec(
        insert(BatchVersion).values(
            **version, published_at=at, published_by=caller.sub, policy_version=policy.version
        )
    )
    await insert_all(session, BatchLine, [version | vars(line) for line in form.lines])


def _published(form: IncrementBatchIn) -> IncrementBatchPublished:
    return IncrementBatchPublished(
        batch=form.batch,
        batch_version=form.batch_version,
        assignments=[
            Assignment(
                uscc=line.uscc,
                project_code=line.project_code,
                name=line.name,
                quantity_tce=TCE.edge(line.quantity_kgce),
            )
            for line in form.lines
        ],
    )


async def _assign(
    session: Session,
    form: IncrementBatchIn,
    added: Sequence[tuple[Line, Kgce]],
    at: datetime,
    policy: Policy,
) -> list[Telling]:
    if not added:
        return []
    holders = [
        enterprise_holder(line.uscc, line.project_code, line.region_code) for line, _ in added
    ]
    await ensure_accounts(session, holders, policy_version=policy.version, at=at)
    drawn = draw(await _lots(session), [more for _, more in added])
    legs = [
        [leg for lot, part in parts for leg in _legs(lot, part, holder.account)]
        for holder, parts in zip(holders, drawn, strict=True)
    ]
    document_no = f"{form.batch} v{form.batch_version}"
    booking = Booking("INCREMENT", form.batch, document_no, day_of(at), at, policy.version)
    await book(session, booking, [leg for each in legs for leg in each])
    return [
        Telling(
            QuotaAssigned(
                account=holder.account,
                quantity_tce=TCE.edge(more),
                movements=[Movement.of(leg) for leg in each],
            ),
            form.batch,
            subject=holder.account,
            region_code=holder.region_code,
            policy_version=policy.version,
            at=at,
        )
        for holder, (_, more), each in zip(holders, added, legs, strict=True)
    ]


async def _lots(session: Session) -> list[tuple[str, int]]:
    found = await session.exec(
        select(Lot.id, Balance.posted)
        .join(Balance, col(Balance.lot) == col(Lot.id))
        .where(Balance.account == POOL.account, col(Balance.posted) > 0)
        .order_by(col(Lot.effective_on), col(Lot.id))
    )
    return [(lot, posted) for lot, posted in found.all()]


def _legs(lot: str, part: int, account: str) -> list[Leg]:
    return [
        Leg(POOL.account, "ENERGY", lot, -part, 0),
        Leg(account, "ENERGY", lot, part, 0),
    ]
