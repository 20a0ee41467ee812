"""An issue that was wrong is taken back by a document and two people."""

from contracts.holdings import IssueReversed
from energy_trade.accounts.actions import check_citywide
from energy_trade.accounts.rules import POOL
from energy_trade.issues.actions import KIND as ISSUE
from energy_trade.issues.actions import IssueOut
from energy_trade.policy import policy_on
from energy_trade.pool.actions import drain_pool, locked_pool
from marketkit.countersign import RequestOut, ask, confirm
from marketkit.db import Session, instant
from marketkit.errors import NotFound
from marketkit.identity import Caller
from marketkit.ledger import Booking, Lot
from marketkit.movements import Movement
from marketkit.outbox import tell
from marketkit.reversal import Reversal, ReversalIn, credit_of, reversal_asked, reverse
from marketkit.units import ASSET_UNITS, Kgce, day_of

KIND = "ISSUE_REVERSAL"


class IssueUnknown(NotFound):
    title = "没有这一次核增"


async def request_reversal(
    session: Session, caller: Caller, lot_id: str, form: ReversalIn
) -> RequestOut:
    """Note one officer's word that an issue was wrong; another's takes the lot back.

    Raises:
        CityOfficerRequired: the caller is of one county.
        IssueUnknown: no issue made this lot.
        AlreadyReversed: it is taken back.
    """
    check_citywide(caller)
    lot = await _issued(session, lot_id)
    transfer_id = await credit_of(session, lot.id)
    at = await instant(session)
    content = Reversal(**form.model_dump(), transfer_id=transfer_id)
    return await ask(session, KIND, lot.id, content, asker=caller.sub, at=at)


async def show_reversal_request(
    session: Session, caller: Caller, lot_id: str, request_id: str
) -> Reversal:
    """What was asked for.

    Raises:
        CityOfficerRequired: the caller is of one county.
        RequestUnknown: no such request for this lot.
    """
    check_citywide(caller)
    return await reversal_asked(session, (KIND, lot_id), request_id)


async def confirm_reversal(
    session: Session, caller: Caller, lot_id: str, request_id: str
) -> IssueOut:
    """Take an issue back on another's word, while all of its lot lies free where it was issued.

    Raises:
        CityOfficerRequired: the caller is of one county.
        IssueUnknown: no issue made this lot.
        RequestUnknown, SamePerson, AlreadyConfirmed: as `countersign.confirm`.
        AlreadyReversed: on another request.
        InsufficientFreeQuantity: some of it is held or gone.
    """
    check_citywide(caller)
    lot = await _issued(session, lot_id)
    asked_at = await instant(session)
    request = await confirm(
        session, KIND, request_id, subject=lot.id, confirmer=caller.sub, at=asked_at
    )
    asked = Reversal.model_validate_json(request.content)
    # In the order of an issue: first the pool, then balances.
    pool = await locked_pool(session) if lot.origin_region_code == POOL.region_code else None
    at = await instant(session)
    policy = policy_on(day_of(at))
    booking = Booking(
        "REVERSAL", lot.id, asked.document_no, day_of(at), at, policy.version, asked.transfer_id
    )
    legs = await reverse(session, booking)
    (taken,) = [leg for leg in legs if leg.posted < 0]
    if pool is not None and taken.account == POOL.account:
        await drain_pool(session, pool, Kgce(-taken.posted))
    unit = ASSET_UNITS[lot.asset]
    issue = IssueOut(
        request_id=request_id,
        lot=lot.id,
        account=taken.account,
        asset=lot.asset,
        unit=unit.name,
        quantity=unit.format(-taken.posted),
        policy_version=policy.version,
    )
    fact = IssueReversed(
        **issue.model_dump(include={"lot", "account", "asset", "quantity"}),
        **asked.model_dump(exclude={"transfer_id"}),
        article=lot.article,
        movements=[Movement.of(leg) for leg in legs],
    )
    await tell(session, fact, key=lot.id, region_code=lot.origin_region_code, at=at,
               policy_version=policy.version)  # fmt: skip
    return issue


async def _issued(session: Session, lot_id: str) -> Lot:
    lot = await session.get(Lot, lot_id)
    if lot is None or lot.origin_kind != ISSUE:
        raise IssueUnknown()
    return lot
