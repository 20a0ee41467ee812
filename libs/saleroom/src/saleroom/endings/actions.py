"""A sale ends without a deal: what it holds is released, deposits go back."""

from sqlmodel import col, select

from contracts import sale as facts
from marketkit.countersign import RequestOut, ask, confirm, content_of
from marketkit.db import Session, instant
from marketkit.identity import Caller
from marketkit.outbox import tell
from saleroom.entries.actions import give_all_back
from saleroom.markets import Market
from saleroom.notices.actions import ReasonIn, SaleRef, advance, locked_sale, require
from saleroom.notices.tables import Sale
from saleroom.openings.actions import take_time

CANCELLABLE = ("DRAFT", "ANNOUNCED", "OPEN", "CLOSED", "SUSPENDED")
KIND = "sale.cancellation"


async def ask_to_cancel(
    session: Session, sale_id: str, caller: Caller, form: ReasonIn
) -> RequestOut:
    """One officer's word that a sale be cancelled, with the reason; another must confirm.

    Raises:
        SaleUnknown: no such sale.
        SaleStateNotAllowed: it is opened already, or has ended.
    """
    sale = await locked_sale(session, sale_id)
    at = await instant(session)
    await advance(session, sale, at)
    require(sale, *CANCELLABLE)
    return await ask(session, KIND, sale_id, form, asker=caller.sub, at=at)


async def cancel_sale(
    session: Session, market: Market, sale_id: str, request_id: str, caller: Caller
) -> SaleRef:
    """The second officer's word: the sale ends, all is given back.

    Raises:
        SaleUnknown: no such sale.
        RequestUnknown, SamePerson, AlreadyConfirmed: as `countersign.confirm`.
        SaleStateNotAllowed: it is opened already, or has ended.
    """
    sale = await locked_sale(session, sale_id)
    at = await instant(session)
    await advance(session, sale, at)
    request = await confirm(session, KIND, request_id, subject=sale_id, confirmer=caller.sub, at=at)
    require(sale, *CANCELLABLE)
    await take_time(session)
    sale.state = "CANCELLED"
    moved = await give_all_back(session, market, sale, at)
    fact = facts.SaleCancelled(reason=str(content_of(request)["reason"]), movements=moved)
    await tell(session, fact, key=sale.id, policy_version=sale.policy_version, at=at)
    return SaleRef(sale_id=sale.id, state=sale.state)


async def fail_unopened(session: Session, market: Market) -> None:
    """The clock's turn: a closed sale whose shares did not join by `opens_by` has failed."""
    await take_time(session)
    at = await instant(session)
    query = (
        select(Sale)
        .where(Sale.state == "CLOSED", col(Sale.opens_by) <= at)
        .order_by(col(Sale.id))
        .limit(10)
    )
    for sale in (await session.exec(query.with_for_update(skip_locked=True))).all():
        at = await instant(session)
        sale.state = "FAILED"
        moved = await give_all_back(session, market, sale, at)
        fact = facts.SaleFailed(reason="NOT_OPENED_IN_TIME", movements=moved)
        await tell(session, fact, key=sale.id, policy_version=sale.policy_version, at=at)
