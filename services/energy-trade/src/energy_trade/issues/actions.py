"""Quota brought into being by a document and two people."""

from typing import Literal

from contracts.holdings import QuotaIssued
from energy_trade.accounts.actions import check_citywide, ensure_accounts, issue_lot
from energy_trade.accounts.rules import (
    CITY_RETAINED,
    POOL,
    PROVINCE_STORE,
    Holder,
    QuantityTceOrT,
    Restrictions,
    check_effective,
    county_holder,
    issuance_holder,
)
from energy_trade.policy import Asset, policy_on
from energy_trade.pool.actions import fill_pool, locked_pool
from energy_trade.pool.rules import check_pool_lot
from marketkit.codes import RegionUnknown
from marketkit.countersign import Request, RequestOut, RequestUnknown, ask, confirm
from marketkit.db import Session, instant, new_id
from marketkit.identity import Caller
from marketkit.ledger import Booking, Lot
from marketkit.movements import Movement
from marketkit.outbox import tell
from marketkit.units import ASSET_UNITS, Day, Form, Instant, Kgce, Quantity, Text, day_of

KIND = "ISSUE"


class RestrictionsIn(Form):
    is_dual_high_barred: bool
    is_locally_usable: bool = True
    needs_city_consent: bool = False
    valid_until_on: Day | None = None

    @property
    def plain(self) -> Restrictions:
        return Restrictions(
            **self.model_dump(mode="python") | {"valid_until_on": self.valid_until_on}
        )


class IssueIn(Form):
    """A quantity in tce or t for one account, the document that grants it, and its terms."""

    account_kind: Literal["PROVINCE", "CITY", "COUNTY", "POOL"]
    region_code: Text
    asset: Asset
    quantity: QuantityTceOrT
    document_no: Text
    effective_on: Day
    article: Text
    restrictions: RestrictionsIn


class IssueRequestOut(Form):
    """What one person asked for, as another must read it before confirming."""

    request_id: str
    asked_at: Instant
    confirmed_at: Instant | None
    issue: IssueIn


class IssueOut(Form):
    request_id: str
    lot: str
    account: str
    asset: str
    unit: str
    quantity: Quantity
    policy_version: str


async def request_issue(session: Session, caller: Caller, form: IssueIn) -> RequestOut:
    """Note one officer's word that a document grants quota; another's brings it into being.

    Raises:
        CityOfficerRequired: the caller is of one county.
        RegionUnknown: not the code of such an account.
        EffectiveInFuture: the document's day has not come.
        QuotaKindMismatch: art. 3, other than energy for the pool.
        PoolTermsNotAllowed: art. 3, other terms than the pool's.
    """
    check_citywide(caller)
    holder = _holder(form)
    at = await instant(session)
    check_effective(form.effective_on, day_of(at))
    if holder == POOL:
        check_pool_lot(form.asset, form.restrictions.plain, policy_on(day_of(at)))
    return await ask(session, KIND, holder.account, form, asker=caller.sub, at=at)


def _holder(form: IssueIn) -> Holder:
    if form.account_kind == "COUNTY":
        return county_holder(form.region_code)
    holders = {"PROVINCE": PROVINCE_STORE, "CITY": CITY_RETAINED, "POOL": POOL}
    holder = holders[form.account_kind]
    if form.region_code != holder.region_code:
        raise RegionUnknown()
    return holder


async def show_issue_request(session: Session, caller: Caller, request_id: str) -> IssueRequestOut:
    """What was asked for.

    Raises:
        CityOfficerRequired: the caller is of one county.
        RequestUnknown: no such request.
    """
    check_citywide(caller)
    request = await session.get(Request, request_id)
    if request is None or request.kind != KIND:
        raise RequestUnknown()
    return IssueRequestOut(
        request_id=request.id,
        asked_at=request.asked_at,
        confirmed_at=request.confirmed_at,
        issue=IssueIn.model_validate_json(request.content),
    )


async def confirm_issue(session: Session, caller: Caller, request_id: str) -> IssueOut:
    """Bring what one officer asked for into being, as a lot of its own, on another's word.

    Raises:
        CityOfficerRequired: the caller is of one county.
        RequestUnknown: no such request.
        SamePerson: who asked may not confirm.
        AlreadyConfirmed: the lot is there.
        EnergyPoolExceeded: art. 3, more than may still be issued into the pool.
    """
    check_citywide(caller)
    asked_at = await instant(session)
    request = await confirm(session, KIND, request_id, confirmer=caller.sub, at=asked_at)
    form = IssueIn.model_validate_json(request.content)
    holder = _holder(form)
    pool = await locked_pool(session) if holder == POOL else None
    at = await instant(session)
    policy = policy_on(day_of(at))
    if pool is not None:
        await fill_pool(session, pool, Kgce(form.quantity), policy)
    holders = [holder, issuance_holder(form.asset)]
    await ensure_accounts(session, holders, policy_version=policy.version, at=at)
    lot = _lot(form, holder, request_id)
    booking = Booking(KIND, lot.id, form.document_no, form.effective_on, at, policy.version)
    legs = await issue_lot(session, booking, lot, form.quantity, holder.account)
    unit = ASSET_UNITS[form.asset]
    issued = QuotaIssued(
        account=holder.account,
        asset=form.asset,
        quantity=unit.format(form.quantity),
        document_no=form.document_no,
        effective_on=form.effective_on,
        movements=[Movement.of(leg) for leg in legs],
    )
    await tell(session, issued, key=lot.id, region_code=holder.region_code, at=at,
               policy_version=policy.version)  # fmt: skip
    return IssueOut(
        request_id=request_id,
        lot=lot.id,
        account=holder.account,
        asset=form.asset,
        unit=unit.name,
        quantity=issued.quantity,
        policy_version=policy.version,
    )


def _lot(form: IssueIn, holder: Holder, request_id: str) -> Lot:
    return Lot(
        id=new_id(),
        asset=form.asset,
        article=form.article,
        document_no=form.document_no,
        origin_kind=KIND,
        origin_id=request_id,
        origin_region_code=holder.region_code,
        effective_on=form.effective_on,
        **vars(form.restrictions.plain),
    )
