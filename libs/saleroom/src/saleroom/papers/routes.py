"""HTTP of papers: what one says with its digest, and the same as a PDF to print and seal.

Quiet, like all that happens before an opening: a receipt asked for is a bid or a deposit made.
"""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, time
from functools import partial
from importlib.resources import files
from typing import Any, Generic, TypeVar

from fastapi import APIRouter, Response

from marketkit.db import Session
from marketkit.doors import AskDep, Asked, open_to
from marketkit.errors import Busy
from marketkit.units import SHANGHAI, Form
from saleroom.markets import Market
from saleroom.papers import actions
from saleroom.papers.rules import (
    BidReceipt,
    DealConfirmation,
    DepositReceipt,
    Facts,
    Kind,
    PaymentNotice,
    Proof,
    digest,
    proof,
    said,
)
from saleroom.typesetting import code_of, typeset

F = TypeVar("F", bound=Facts)
Finding = Callable[[Session, Market, str, str], Awaitable[F]]

PAPERS = "/v1/sales/{sale_id}/papers"
PRESSES = 2
WAIT_S = 2.0
_PDF: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/pdf": {"schema": {"type": "string", "format": "binary"}}}}
}


class Paper(Form, Generic[F]):
    """What a paper says, the digest over its canonical JSON, and where its code leads."""

    facts: F
    sm3: str
    proof: str


def routes(market: Market) -> APIRouter:
    router = APIRouter(tags=["quiet"])
    bidder = open_to("enterprise")
    payer = open_to("enterprise", "trading_center")
    buyer = open_to("enterprise", "trading_center", "bureau_officer", department=market.department)
    # A thread that is waited for no longer keeps its place, so never more than these are set.
    press = ThreadPoolExecutor(PRESSES, "press")
    add = partial(_add, router, market, press)
    add("bid-receipt", actions.bid_receipt, Paper[BidReceipt], bidder)
    add("deposit-receipt", actions.deposit_receipt, Paper[DepositReceipt], payer)
    add("deal-confirmation", actions.deal_confirmation, Paper[DealConfirmation], buyer)
    add("payment-notice", actions.payment_notice, Paper[PaymentNotice], buyer)
    _add_proof(router, market)
    return router


def _add_proof(router: APIRouter, market: Market) -> None:
    @router.get(
        f"{PAPERS}/{{kind}}/{{paper_id}}/proof",
        response_model=Proof,
        summary="核验文书：摘要相符才有答复，不含任何当事人",
        **open_to("anyone"),
    )
    async def prove_paper(
        sale_id: str, kind: str, paper_id: str, ask: AskDep, sm3: str = ""
    ) -> Proof:
        proven = await ask.run(
            lambda s: actions.prove(s, market, kind, sale_id, paper_id, sm3), "market"
        )
        if proven.is_sealed:
            return proven
        place = await ask.run(
            lambda s: actions.place_of(s, proven.kind, sale_id, paper_id), "worker"
        )
        return proven.model_copy(update={"place": place})


def _add(
    router: APIRouter,
    market: Market,
    press: ThreadPoolExecutor,
    kind: Kind,
    find: Finding[Any],
    answer: type[Any],
    door: dict[str, Any],
) -> None:
    name = kind.replace("-", "_")

    # The longer address first: the shorter one would take it for an id.
    @router.get(
        f"{PAPERS}/{kind}/{{paper_id}}.pdf",
        name=f"print_{name}",
        response_class=Response,
        responses=_PDF,
        **door,
    )
    async def print_paper(sale_id: str, paper_id: str, ask: AskDep) -> Response:
        facts = await _found(ask, market, find, sale_id, paper_id)
        headers = {"Content-Disposition": f'inline; filename="{kind}-{paper_id}.pdf"'}
        return Response(await _pdf(press, facts), 200, headers, media_type="application/pdf")

    @router.get(f"{PAPERS}/{kind}/{{paper_id}}", name=f"show_{name}", response_model=answer, **door)
    async def show_paper(sale_id: str, paper_id: str, ask: AskDep) -> Any:
        facts = await _found(ask, market, find, sale_id, paper_id)
        return answer(facts=facts, sm3=digest(facts), proof=proof(facts))


async def _found(
    ask: Asked, market: Market, find: Finding[Any], sale_id: str, paper_id: str
) -> Facts:
    found: Facts = await ask.run(lambda session: find(session, market, sale_id, paper_id))
    return found


async def _pdf(press: ThreadPoolExecutor, facts: Facts) -> bytes:
    setting = asyncio.get_running_loop().run_in_executor(press, _set, facts)
    try:
        return await asyncio.wait_for(setting, WAIT_S)
    except TimeoutError:
        raise Busy() from None


def _set(facts: Facts) -> bytes:
    folder = files("saleroom.papers").joinpath("templates")
    template = "".join(
        folder.joinpath(f"{name}.typ").read_text("utf-8") for name in ("frame", facts.kind)
    )
    inputs = {"facts": said(facts).decode(), "sm3": digest(facts), "code": code_of(proof(facts))}
    dated = datetime.combine(facts.issued_on, time(), SHANGHAI)
    return typeset(template, inputs, dated)
