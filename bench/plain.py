"""What people usually write: same tokens, same rows, one transaction a request; and a floor.

`python -m bench.plain PORT` serves both. It is the peer of our hot paths, not a model for them.
"""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import uvicorn
from fastapi import Depends, FastAPI, Header, HTTPException, Request, Response
from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from marketkit.db import new_id
from marketkit.identity import Caller, Verifier
from marketkit.signing import unb64

ENGINE = create_async_engine(os.environ["BENCH_DATABASE_URL"], pool_size=20, max_overflow=0)
VERIFIER = Verifier.read(Path(os.environ["BENCH_TRUST"]))
EVENT = b'{"specversion":"1.0","type":"yaosu.energy.sale.sealed_bid_placed.v1","data":{}}' * 6

app = FastAPI()


class Bid(BaseModel):
    version: int
    ciphertext: str
    commitment: str
    key_sm3: str


def caller(authorization: Annotated[str, Header()]) -> Caller:
    return VERIFIER.caller(authorization.removeprefix("Bearer "))


async def _one(connection: AsyncConnection, statement: str, **values: Any) -> Any:
    return (await connection.execute(text(statement), values)).first()


@app.post("/v1/sales/{sale_id}/sealed-bids", status_code=201)
async def place_bid(
    sale_id: str,
    bid: Bid,
    who: Annotated[Caller, Depends(caller)],
    idempotency_key: Annotated[str, Header()],
) -> dict[str, str]:
    async with ENGINE.begin() as connection:
        await connection.execute(text("SET LOCAL ROLE yaosu_market"))
        if await _one(
            connection,
            "SELECT 1 FROM stored_answer WHERE principal = :who AND key = :key",
            who=who.sub,
            key=idempotency_key,
        ):
            raise HTTPException(409)
        sale = await _one(
            connection, "SELECT state, closes_at FROM sale WHERE id = :id FOR UPDATE", id=sale_id
        )
        entrant = await _one(
            connection,
            "SELECT id, state FROM registration WHERE sale_id = :id AND uscc = :uscc",
            id=sale_id,
            uscc=who.uscc,
        )
        if sale is None or entrant is None or entrant.state != "QUALIFIED":
            raise HTTPException(409)
        receipt_id = new_id()
        await _insert(connection, sale_id, receipt_id, bid, who, entrant.id)
        await _told(connection, sale_id, receipt_id, who, idempotency_key)
    return {"receipt_id": receipt_id}


async def _insert(
    connection: AsyncConnection, sale_id: str, receipt_id: str, bid: Bid, who: Caller, entrant: str
) -> None:
    await connection.execute(
        text(
            "INSERT INTO sealed_bid (id, sale_id, registration_id, uscc, version, ciphertext, "
            "commitment, key_sm3, kid, submitted_at) VALUES (:id, :sale, :entrant, :uscc, "
            ":version, :ciphertext, :commitment, :key, 'plain', clock_timestamp())"
        ),
        {
            "id": receipt_id,
            "sale": sale_id,
            "entrant": entrant,
            "uscc": who.uscc,
            "version": bid.version,
            "ciphertext": unb64(bid.ciphertext),
            "commitment": unb64(bid.commitment),
            "key": unb64(bid.key_sm3),
        },
    )


async def _told(
    connection: AsyncConnection, key: str, receipt_id: str, who: Caller, idempotency_key: str
) -> None:
    await connection.execute(
        text("INSERT INTO outbox (key, is_step, event) VALUES (:key, false, :event)"),
        {"key": key, "event": EVENT},
    )
    await connection.execute(
        text(
            "INSERT INTO stored_answer (principal, key, fingerprint, status, location, body, "
            "answered_at) VALUES (:who, :key, '', 201, '', :body, clock_timestamp())"
        ),
        {"who": who.sub, "key": idempotency_key, "body": receipt_id.encode()},
    )


class Pledge(BaseModel):
    project_code: str
    asset: str
    quantity: str
    creditor_uscc: str
    document_no: str
    effective_on: str


@app.post("/v1/pledges", status_code=201)
async def pledge(
    asked: Pledge,
    who: Annotated[Caller, Depends(caller)],
    idempotency_key: Annotated[str, Header()],
) -> dict[str, str]:
    account = f"enterprise:{who.uscc}:{asked.project_code}"
    kgce = int(asked.quantity.replace(".", ""))
    async with ENGINE.begin() as connection:
        await connection.execute(text("SET LOCAL ROLE yaosu_market"))
        if await _one(
            connection,
            "SELECT 1 FROM stored_answer WHERE principal = :who AND key = :key",
            who=who.sub,
            key=idempotency_key,
        ):
            raise HTTPException(409)
        free = await _one(
            connection,
            "SELECT b.lot, b.posted - b.held AS quantity FROM balance b JOIN lot l ON l.id = b.lot "
            "WHERE b.account = :account AND l.asset = :asset FOR UPDATE OF b",
            account=account,
            asset=asked.asset,
        )
        if free is None or free.quantity < kgce:
            raise HTTPException(409)
        pledge_id = new_id()
        await _hold(connection, pledge_id, account, free.lot, kgce)
        await _pledged(connection, pledge_id, account, asked, who, kgce)
        await _told(connection, pledge_id, pledge_id, who, idempotency_key)
    return {"pledge_id": pledge_id}


async def _hold(
    connection: AsyncConnection, key: str, account: str, lot: str, quantity: int
) -> None:
    values = {"id": new_id(), "key": key, "account": account, "lot": lot, "quantity": quantity}
    for statement in (
        "UPDATE balance SET held = held + :quantity WHERE account = :account AND lot = :lot",
        "INSERT INTO hold (id, purpose, key, account, asset, lot, quantity, remaining, creditor) "
        "VALUES (:id, 'PLEDGE', :key, :account, 'ENERGY', :lot, :quantity, :quantity, 'bank')",
        "INSERT INTO transfer (id, kind, key, document_no, effective_on, booked_at, "
        "policy_version) VALUES (:id, 'PLEDGE', :key, 'no', now(), clock_timestamp(), 'plain')",
        "INSERT INTO movement (transfer_id, account, asset, lot, posted, held) "
        "VALUES (:id, :account, 'ENERGY', :lot, 0, :quantity)",
    ):
        await connection.execute(text(statement), values)


async def _pledged(
    connection: AsyncConnection, key: str, account: str, asked: Pledge, who: Caller, quantity: int
) -> None:
    await connection.execute(
        text(
            "INSERT INTO pledge (id, account, region_code, uscc, creditor_uscc, asset, "
            "quantity_minor, remaining_minor, document_no, effective_on, registered_at, "
            "registered_by, policy_version) VALUES (:id, :account, '370502', :uscc, :creditor, "
            "'ENERGY', :quantity, :quantity, :document, now(), clock_timestamp(), :who, 'plain')"
        ),
        {
            "id": key,
            "account": account,
            "uscc": who.uscc,
            "creditor": asked.creditor_uscc,
            "quantity": quantity,
            "document": asked.document_no,
            "who": who.sub,
        },
    )


@app.post("/floor", status_code=201)
async def floor(request: Request) -> Response:
    await request.body()
    return Response(b'{"receipt_id":"01"}', 201, media_type="application/json")


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), access_log=False, log_level="warning")
