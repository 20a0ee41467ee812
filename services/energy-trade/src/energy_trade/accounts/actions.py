"""Accounts opened and lots brought onto them, each told as it comes into being."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.dialects.postgresql import insert as upsert
from sqlmodel import col, select

from contracts.holdings import AccountOpened, LotCreated
from energy_trade.accounts.rules import (
    AccountElsewhere,
    CityOfficerRequired,
    Holder,
)
from marketkit import ledger
from marketkit.db import Session
from marketkit.identity import Caller
from marketkit.ledger import Account, Booking, Lot
from marketkit.movements import Leg
from marketkit.outbox import Telling, tell, tell_all


def check_citywide(caller: Caller) -> None:
    """Return if the caller may touch rows of every region.

    Raises:
        CityOfficerRequired: of one county only.
    """
    if not caller.is_citywide:
        raise CityOfficerRequired()


async def ensure_account(
    session: Session, holder: Holder, *, policy_version: str, at: datetime
) -> str:
    """Open the holder's account unless it stands, and answer its id; a new one is told.

    Raises:
        AccountElsewhere: it stands, in another region.
    """
    await ensure_accounts(session, [holder], policy_version=policy_version, at=at)
    return holder.account


async def ensure_accounts(
    session: Session, holders: Sequence[Holder], *, policy_version: str, at: datetime
) -> None:
    """Open the accounts that do not stand yet, in the order of their ids, and tell each.

    Raises:
        AccountElsewhere: one stands, in another region.
    """
    by_id = {holder.account: holder for holder in sorted(holders, key=lambda one: one.account)}
    opened = await session.exec(
        upsert(Account)
        .values([_row(holder) for holder in by_id.values()])
        .on_conflict_do_nothing()
        .returning(col(Account.id))
    )
    new = {account for (account,) in opened.all()}
    standing = await session.exec(select(Account).where(col(Account.id).in_(by_id)))
    if any(one.region_code != by_id[one.id].region_code for one in standing.all()):
        raise AccountElsewhere()
    told = [
        Telling(_opened(holder), account, region_code=holder.region_code, at=at,
                policy_version=policy_version)
        for account, holder in by_id.items() if account in new
    ]  # fmt: skip
    await tell_all(session, told)


def _opened(holder: Holder) -> AccountOpened:
    return AccountOpened(
        account=holder.account,
        owner_kind=holder.owner_kind,
        region_code=holder.region_code,
        uscc=holder.uscc,
        project_code=holder.project_code,
    )


async def issue_lot(
    session: Session, booking: Booking, lot: Lot, quantity: int, to_account: str
) -> list[Leg]:
    """Bring a lot into being on an account that stands, tell it, and answer its legs.

    The asset's issuance account must stand too.
    """
    legs = await ledger.issue(session, booking, lot, quantity, to_account)
    await tell(
        session,
        LotCreated(
            lot=lot.id,
            asset=lot.asset,
            article=lot.article,
            document_no=lot.document_no,
            origin_kind=lot.origin_kind,
            origin_id=lot.origin_id,
            origin_region_code=lot.origin_region_code,
            effective_on=lot.effective_on,
            is_dual_high_barred=lot.is_dual_high_barred,
            is_locally_usable=lot.is_locally_usable,
            needs_city_consent=lot.needs_city_consent,
            valid_until_on=lot.valid_until_on,
            parent_lot=lot.parent_lot,
        ),
        key=lot.id,
        region_code=lot.origin_region_code,
        policy_version=booking.policy_version,
        at=booking.booked_at,
    )
    return legs


def _row(holder: Holder) -> dict[str, object]:
    return {
        "id": holder.account,
        "owner_kind": holder.owner_kind,
        "region_code": holder.region_code,
        "uscc": holder.uscc,
        "project_code": holder.project_code,
        "is_issuance": holder.owner_kind == "ISSUANCE",
    }
