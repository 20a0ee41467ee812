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


@app.post("/floor", status_code=201)
async def floor(request: Request) -> Response:
    await request.body()
    return Response(b'{"receipt_id":"01"}', 201, media_type="application/json")


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), access_log=False, log_level="warning")
