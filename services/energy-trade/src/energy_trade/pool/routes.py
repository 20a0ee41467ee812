"""HTTP of the pool: its batches are published by the energy bureau, what is left is anyone's."""

from fastapi import APIRouter, Response
from sqlmodel import col, select

from energy_trade.policy import policy_on
from energy_trade.pool import actions
from energy_trade.pool.actions import IncrementBatchIn, IncrementBatchOut
from energy_trade.pool.rules import BatchUnknown
from energy_trade.pool.tables import BatchLine, IncrementBatch, Pool
from marketkit.db import Session, instant
from marketkit.doors import AskDep, CommandDep, open_to
from marketkit.units import TCE, Form, QuantityTce, QuantityTceOrZero, day_of


class PoolOut(Form):
    """`left_tce` is what may be assigned now, out of what was issued of the whole."""

    total_tce: QuantityTce
    issued_tce: QuantityTceOrZero
    assigned_tce: QuantityTceOrZero
    left_tce: QuantityTceOrZero
    policy_version: str


class BatchLineOut(Form):
    uscc: str
    project_code: str
    name: str
    region_code: str
    quantity_tce: QuantityTce


class BatchOut(Form):
    """The version in force, as far as the caller sees it."""

    batch: str
    batch_version: int
    assignments: list[BatchLineOut]


def routes() -> APIRouter:
    router = APIRouter(tags=["pool"])
    bureau = open_to("bureau_officer", department="energy")
    readers = open_to("enterprise", "county_officer", "bureau_officer", "supervisor", "auditor")

    @router.post(
        "/v1/increment-batches", status_code=201, response_model=IncrementBatchOut, **bureau
    )
    async def publish_increment_batch(form: IncrementBatchIn, command: CommandDep) -> Response:
        caller = command.caller
        return await command.run(
            lambda s: actions.publish_increment_batch(s, caller, form), status=201
        )

    @router.get("/v1/increment-batches/{batch}", response_model=BatchOut, **readers)
    async def show_increment_batch(batch: str, ask: AskDep) -> BatchOut:
        return await ask.run(lambda s: _batch(s, batch))

    @router.get("/v1/pool", response_model=PoolOut, **open_to("anyone"))
    async def show_pool(ask: AskDep) -> PoolOut:
        return await ask.run(_pool)

    return router


async def _pool(session: Session) -> PoolOut:
    pool = await session.get_one(Pool, 1)
    policy = policy_on(day_of(await instant(session)))
    return PoolOut(
        total_tce=TCE.edge(policy.energy_pool.value),
        issued_tce=TCE.edge(pool.issued_kgce),
        assigned_tce=TCE.edge(pool.assigned_kgce),
        left_tce=TCE.edge(pool.issued_kgce - pool.assigned_kgce),
        policy_version=policy.version,
    )


async def _batch(session: Session, name: str) -> BatchOut:
    found = await session.exec(
        select(BatchLine)
        .join(IncrementBatch, col(IncrementBatch.batch) == col(BatchLine.batch))
        .where(
            IncrementBatch.batch == name,
            col(BatchLine.batch_version) == col(IncrementBatch.batch_version),
        )
        .order_by(col(BatchLine.uscc), col(BatchLine.project_code))
    )
    lines = found.all()
    # A batch of which the caller sees no line is as unknown as one that is not there.
    if not lines:
        raise BatchUnknown()
    return BatchOut(
        batch=name,
        batch_version=lines[0].batch_version,
        assignments=[
            BatchLineOut(
                uscc=line.uscc,
                project_code=line.project_code,
                name=line.name,
                region_code=line.region_code,
                quantity_tce=TCE.edge(line.quantity_kgce),
            )
            for line in lines
        ],
    )
