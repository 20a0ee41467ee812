"""HTTP of openings: asked for by one officer, confirmed by another, shares from key officers."""

from fastapi import APIRouter, Response
from sqlmodel import col, select

from marketkit.countersign import RequestOut
from marketkit.db import Session, house
from marketkit.doors import AskDep, CommandDep, open_to
from marketkit.identity import Caller
from marketkit.signing import b64, canonical
from marketkit.units import Form, Instant
from saleroom.markets import Market
from saleroom.notices.routes import open_at_the_city
from saleroom.notices.rules import RegionNotAllowed
from saleroom.notices.tables import SaleOfficer
from saleroom.officers.actions import officer_of
from saleroom.openings import actions
from saleroom.openings.actions import OpeningRef, ShareIn, ShareOut
from saleroom.openings.rules import OpeningUnknown
from saleroom.openings.tables import Opening, OpeningSession, SessionShare

OPENINGS = "/v1/sales/{sale_id}/openings"


class OpeningOut(Form):
    """An opening as its officers see it; empty texts where there is nothing yet.

    `signature` is the service's over sale_id, opening_id, session_id and session_key. A key
    officer finds its own wrapped share, and whether it was given to this session.
    """

    sale_id: str
    opening_id: str
    state: str
    confirmed_at: Instant
    session_id: str
    session_key: str
    kid: str
    signature: str
    officer_id: str
    share: str
    is_given: bool


def routes(market: Market) -> APIRouter:
    router = APIRouter(tags=["openings"])
    center = open_at_the_city("trading_center")
    officer = open_to("key_officer")

    @router.post(OPENINGS + "/requests", status_code=201, response_model=RequestOut, **center)
    async def ask_to_open(sale_id: str, command: CommandDep) -> Response:
        caller = command.caller
        return await command.run(lambda s: actions.ask_to_open(s, sale_id, caller), status=201)

    @router.post(
        OPENINGS + "/requests/{request_id}/confirmations", response_model=OpeningRef, **center
    )
    async def confirm_opening(sale_id: str, request_id: str, command: CommandDep) -> Response:
        caller = command.caller
        return await command.run(lambda s: actions.confirm_opening(s, sale_id, request_id, caller))

    @router.post(
        OPENINGS + "/{opening_id}/shares", status_code=202, response_model=ShareOut, **officer
    )
    async def give_share(
        sale_id: str, opening_id: str, form: ShareIn, command: CommandDep
    ) -> Response:
        caller = command.caller
        return await command.run(
            lambda s: actions.give_share(s, sale_id, opening_id, caller, form), status=202
        )

    @router.get(
        "/v1/sales/{sale_id}/opening",
        response_model=OpeningOut,
        **open_to("key_officer", "trading_center"),
    )
    async def show_opening(sale_id: str, ask: AskDep) -> OpeningOut:
        assert ask.caller is not None
        caller = ask.caller
        # Of the trading centre's, those of the city: a sale is no county's.
        if "key_officer" not in caller.roles and not caller.is_citywide:
            raise RegionNotAllowed()
        return await ask.run(lambda s: _opening(s, sale_id, caller))

    return router


async def _opening(session: Session, sale_id: str, caller: Caller) -> OpeningOut:
    opening = (await session.exec(select(Opening).where(Opening.sale_id == sale_id))).first()
    officer_id = await officer_of(session, sale_id, caller) or ""
    if opening is None or ("key_officer" in caller.roles and not officer_id):
        raise OpeningUnknown()
    newest = select(OpeningSession).where(
        OpeningSession.opening_id == opening.id, OpeningSession.state == "LIVE"
    )
    live = (await session.exec(newest)).first()
    said = {
        "sale_id": sale_id,
        "opening_id": opening.id,
        "session_id": live.id if live else "",
        "session_key": b64(live.public_key) if live else "",
    }
    signer = house(session).signer
    own = await session.get(SaleOfficer, (sale_id, officer_id))
    return OpeningOut(
        **said,
        state=opening.state,
        confirmed_at=opening.confirmed_at,
        kid=signer.kid,
        signature=b64(signer.sign(canonical(said))) if live else "",
        officer_id=officer_id,
        share=b64(own.wrapped_share) if own and own.wrapped_share else "",
        is_given=await _is_given(session, said["session_id"], officer_id),
    )


async def _is_given(session: Session, session_id: str, officer_id: str) -> bool:
    query = select(SessionShare.given_at).where(
        col(SessionShare.session_id) == session_id, col(SessionShare.officer_id) == officer_id
    )
    return (await session.exec(query)).first() is not None
