"""HTTP of sealed bids. No metric, no log line, no count of these routes."""

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import Field
from sqlmodel import col, select

from marketkit.db import Session
from marketkit.doors import AskDep, CommandDep, Commanded, HotRoute, open_to
from marketkit.errors import FieldFault, InputInvalid
from marketkit.signing import unb64
from marketkit.units import Base64Url, Form
from saleroom.bids import actions
from saleroom.bids.actions import PLACE, OwnBid, Receipt
from saleroom.bids.rules import PlacedBid
from saleroom.bids.tables import SealedBid
from saleroom.markets import Market

Bytes = Annotated[str, Field(max_length=16_000, json_schema_extra={"contentEncoding": "base64url"})]
BIDS = "/v1/sales/{sale_id}/sealed-bids"


class SealedBidIn(Form):
    """A bid sealed on the bidder's own machine."""

    version: Annotated[int, Field(ge=1, le=100_000)]
    ciphertext: Base64Url
    commitment: Base64Url
    key_sm3: Base64Url


class OwnBids(Form):
    items: list[OwnBid]


def routes(market: Market) -> APIRouter:
    router = APIRouter(tags=["quiet"], route_class=HotRoute)
    enterprise = open_to("enterprise")

    @router.post(BIDS, status_code=201, response_model=Receipt, **enterprise)
    async def place_sealed_bid(sale_id: str, form: SealedBidIn, command: CommandDep) -> Response:
        bid = _read(sale_id, form, command)
        return await command.meet(PLACE, sale_id, bid, status=201)

    @router.post(BIDS + "/{receipt_id}/withdrawals", response_model=OwnBid, **enterprise)
    async def withdraw_sealed_bid(sale_id: str, receipt_id: str, command: CommandDep) -> Response:
        caller = command.caller
        return await command.run(
            lambda s: actions.withdraw_sealed_bid(s, sale_id, receipt_id, caller)
        )

    @router.get(BIDS, response_model=OwnBids, **enterprise)
    async def own_bids(sale_id: str, ask: AskDep) -> OwnBids:
        return await ask.run(lambda s: _own(s, sale_id))

    return router


def _read(sale_id: str, form: SealedBidIn, command: Commanded) -> PlacedBid:
    sealed = {}
    for name in ("ciphertext", "commitment", "key_sm3"):
        try:
            sealed[name] = unb64(getattr(form, name))
        except ValueError:
            raise InputInvalid(errors=[FieldFault(f"/{name}", "须为base64url文本")]) from None
    return PlacedBid(sale_id, command.caller.uscc, form.version, **sealed)


async def _own(session: Session, sale_id: str) -> OwnBids:
    query = select(SealedBid).where(SealedBid.sale_id == sale_id).order_by(col(SealedBid.version))
    bids = (await session.exec(query)).all()
    return OwnBids(
        items=[
            actions.own_bid(bid, is_standing=bid is bids[-1] and bid.withdrawn_at is None)
            for bid in bids
        ]
    )
