"""HTTP of accounts: what each holds, where it came from, and who holds it now.

A county sees its own region's accounts, an enterprise its own, the city's officers all.
"""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query
from sqlmodel import col, func, or_, select

from energy_trade.accounts.rules import AccountUnknown, LotUnknown
from marketkit.db import Session, sql
from marketkit.doors import AskDep, open_to
from marketkit.ledger import Account, Balance, Hold, Lot
from marketkit.units import ASSET_UNITS, Day, Form, SignedQuantity

Page = Annotated[int, Query(ge=1, le=100_000)]
PageSize = Annotated[int, Query(ge=1, le=200)]


class HoldingOut(Form):
    """What stands of an asset; `pledged` is part of `held`."""

    asset: str
    unit: str
    posted: SignedQuantity
    held: SignedQuantity
    pledged: SignedQuantity
    available: SignedQuantity


class AccountOut(Form):
    account: str
    owner_kind: str
    region_code: str
    uscc: str | None
    project_code: str | None
    holdings: list[HoldingOut]


class AccountPage(Form):
    items: list[AccountOut]
    page: int
    page_size: int
    total: int


class LotOut(Form):
    """Where a quantity came from, and what may be done with it."""

    lot: str
    asset: str
    unit: str
    article: str
    document_no: str
    origin_kind: str
    origin_id: str
    origin_region_code: str
    effective_on: Day
    is_dual_high_barred: bool
    is_locally_usable: bool
    needs_city_consent: bool
    valid_until_on: Day | None
    parent_lot: str | None


class AccountLotOut(LotOut):
    posted: SignedQuantity
    held: SignedQuantity
    available: SignedQuantity


class AccountLotPage(Form):
    items: list[AccountLotOut]
    page: int
    page_size: int
    total: int


class HolderOut(Form):
    account: str
    region_code: str
    lot: str
    posted: SignedQuantity
    held: SignedQuantity


class TraceOut(Form):
    lot: LotOut
    holders: list[HolderOut]


def routes() -> APIRouter:
    router = APIRouter(tags=["accounts"])
    readers = open_to("enterprise", "county_officer", "bureau_officer", "supervisor", "auditor")
    officers = open_to("bureau_officer", "supervisor", "auditor")

    @router.get("/v1/accounts", response_model=AccountPage, **readers)
    async def list_accounts(ask: AskDep, page: Page = 1, page_size: PageSize = 50) -> AccountPage:
        return await ask.run(lambda s: _accounts(s, page, page_size))

    @router.get("/v1/accounts/{account}", response_model=AccountOut, **readers)
    async def show_account(account: str, ask: AskDep) -> AccountOut:
        return await ask.run(lambda s: _account(s, account))

    @router.get("/v1/accounts/{account}/lots", response_model=AccountLotPage, **readers)
    async def list_account_lots(
        account: str, ask: AskDep, page: Page = 1, page_size: PageSize = 50
    ) -> AccountLotPage:
        return await ask.run(lambda s: _lots(s, account, page, page_size))

    @router.get("/v1/lots/{lot}", response_model=TraceOut, **officers)
    async def trace_lot(lot: str, ask: AskDep) -> TraceOut:
        return await ask.run(lambda s: _trace(s, lot))

    return router


async def _accounts(session: Session, page: int, page_size: int) -> AccountPage:
    by_id = select(Account).order_by(col(Account.id))
    found = (await session.exec(by_id.offset((page - 1) * page_size).limit(page_size))).all()
    total = (await session.exec(select(func.count()).select_from(Account))).one()
    items = await _with_holdings(session, found)
    return AccountPage(items=items, page=page, page_size=page_size, total=total)


async def _account(session: Session, account_id: str) -> AccountOut:
    return (await _with_holdings(session, [await _seen(session, account_id)]))[0]


async def _seen(session: Session, account_id: str) -> Account:
    account = await session.get(Account, account_id)
    if account is None:
        raise AccountUnknown()
    return account


async def _with_holdings(session: Session, accounts: Sequence[Account]) -> list[AccountOut]:
    ids = [account.id for account in accounts]
    found = await session.exec(
        select(Balance.account, Lot.asset, func.sum(Balance.posted), func.sum(Balance.held))
        .join(Lot, col(Lot.id) == col(Balance.lot))
        .where(col(Balance.account).in_(ids))
        .group_by(col(Balance.account), col(Lot.asset))
        .order_by(col(Lot.asset))
    )
    pledged = await _pledged(session, ids)
    holdings: dict[str, list[HoldingOut]] = {account.id: [] for account in accounts}
    for account_id, asset, posted, held in found.all():
        quantities = _quantities(asset, int(posted), int(held))
        quantities["pledged"] = ASSET_UNITS[asset].format(pledged.get((account_id, asset), 0))
        holdings[account_id].append(HoldingOut(asset=asset, **quantities))
    return [
        AccountOut(
            account=account.id,
            owner_kind=account.owner_kind,
            region_code=account.region_code,
            uscc=account.uscc,
            project_code=account.project_code,
            holdings=holdings[account.id],
        )
        for account in accounts
    ]


async def _pledged(session: Session, accounts: Sequence[str]) -> dict[tuple[str, str], int]:
    found = await session.exec(
        select(Hold.account, Hold.asset, func.sum(Hold.remaining))
        .where(col(Hold.account).in_(accounts), col(Hold.creditor).is_not(None))
        .group_by(col(Hold.account), col(Hold.asset))
    )
    return {(account, asset): int(remaining) for account, asset, remaining in found.all()}


def _quantities(asset: str, posted: int, held: int) -> dict[str, Any]:
    unit = ASSET_UNITS[asset]
    said = {"posted": posted, "held": held, "available": posted - held}
    return {"unit": unit.name} | {name: unit.format(minor) for name, minor in said.items()}


async def _lots(session: Session, account_id: str, page: int, page_size: int) -> AccountLotPage:
    await _seen(session, account_id)
    standing = (
        select(Lot, Balance)
        .join(Balance, col(Balance.lot) == col(Lot.id))
        .where(Balance.account == account_id, or_(col(Balance.posted) != 0, col(Balance.held) != 0))
    )
    oldest = standing.order_by(col(Lot.effective_on), col(Lot.id))
    found = await session.exec(oldest.offset((page - 1) * page_size).limit(page_size))
    total = (await session.exec(select(func.count()).select_from(standing.subquery()))).one()
    items = [
        AccountLotOut(**_origin(lot), **_quantities(lot.asset, balance.posted, balance.held))
        for lot, balance in found.all()
    ]
    return AccountLotPage(items=items, page=page, page_size=page_size, total=total)


def _origin(lot: Lot) -> dict[str, Any]:
    return {"lot": lot.id, **lot.model_dump(exclude={"id"})}


async def _trace(session: Session, lot_id: str) -> TraceOut:
    lot = await session.get(Lot, lot_id)
    found = await sql(
        session,
        "WITH RECURSIVE family AS (SELECT id FROM lot WHERE id = :lot "
        "UNION ALL SELECT l.id FROM lot l JOIN family f ON l.parent_lot = f.id) "
        "SELECT b.account, a.region_code, b.lot, b.posted, b.held, b.is_issuance "
        "FROM family f JOIN balance b ON b.lot = f.id JOIN account a ON a.id = b.account "
        "ORDER BY b.account, b.lot",
        lot=lot_id,
    )
    rows = found.all()
    # Whoever sees none of its accounts has not seen the lot.
    if lot is None or not rows:
        raise LotUnknown()
    unit = ASSET_UNITS[lot.asset]
    holders = [
        HolderOut(
            account=row.account,
            region_code=row.region_code,
            lot=row.lot,
            posted=unit.format(row.posted),
            held=unit.format(row.held),
        )
        for row in rows
        if not row.is_issuance and (row.posted or row.held)
    ]
    return TraceOut(lot=LotOut(unit=unit.name, **_origin(lot)), holders=holders)
