"""Shutdowns: what each freed, split, credited and told at once."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy.dialects.postgresql import insert as upsert
from sqlmodel import col

from contracts.energy import ShutdownRecorded, SplitPosted
from energy_trade.accounts.actions import check_citywide, ensure_accounts, issue_lot
from energy_trade.accounts.rules import (
    CITY_RETAINED,
    PROVINCE_STORE,
    Holder,
    check_effective,
    county_holder,
    issuance_holder,
)
from energy_trade.policy import Asset, Policy, Tier, policy_on
from energy_trade.shutdowns.rules import (
    TIERS,
    ShutdownAlreadyRecorded,
    ShutdownIn,
    Split,
    restrictions_of,
    split_shutdown,
)
from energy_trade.shutdowns.tables import Shutdown, SplitShare
from energy_trade.units.actions import locked_unit, retire
from energy_trade.units.rules import check_unit_runs
from marketkit.db import Session, instant, new_id
from marketkit.identity import Caller
from marketkit.ledger import Booking, Lot
from marketkit.movements import Leg, Movement
from marketkit.outbox import Telling, tell_all
from marketkit.rows import insert_all
from marketkit.units import (
    ASSET_UNITS,
    TCE,
    TONNE,
    Form,
    Quantity,
    day_of,
)


class SplitOut(Form):
    """What each tier got of an asset, and in which lot; no lot where it got nothing."""

    asset: str
    unit: str
    province: Quantity
    city: Quantity
    county: Quantity
    compensated: list[str]
    usable_locally: bool
    lots: dict[str, str]


class ShutdownOut(Form):
    shutdown_id: str
    splits: list[SplitOut]
    policy_version: str


async def record_shutdown(session: Session, caller: Caller, form: ShutdownIn) -> ShutdownOut:
    """Record what was shut, split what it freed by the table, and credit each tier its lots.

    Raises:
        CityOfficerRequired: the caller is of one county.
        SplitCaseUndefined: art. 4, the case stands outside the table.
        UnitUnknown: no such unit in the register of the county of origin.
        UnitAlreadyRetired: it was shut before.
        EffectiveInFuture: the document's day has not come.
        ShutdownAlreadyRecorded: the same capacity by the same document.
    """
    check_citywide(caller)
    unit = await locked_unit(session, form.unit_id, form.region_code) if form.unit_id else None
    at = await instant(session)
    policy = policy_on(day_of(at))
    splits = {
        asset: split_shutdown(form.case, asset, quantity, policy)
        for asset, quantity in form.freed.items()
    }
    if form.unit_id is not None:
        check_unit_runs(unit.plain if unit else None)
    check_effective(form.effective_on, day_of(at))
    shutdown = await _record(session, form, caller, at, policy)
    await _open_accounts(session, form, splits, at, policy)
    told = [Telling(_recorded(form), shutdown.id)]
    answers = []
    for asset, split in splits.items():
        lots, legs = await _credit(session, shutdown, asset, split, policy)
        answers.append(_split_out(asset, split, lots))
        told.append(Telling(_posted(form, answers[-1], legs), shutdown.id))
    if unit is not None:
        told.append(retire(unit, form.effective_on, shutdown.id))
    await tell_all(
        session,
        [
            one._replace(region_code=form.region_code, policy_version=policy.version, at=at)
            for one in told
        ],
    )
    return ShutdownOut(shutdown_id=shutdown.id, splits=answers, policy_version=policy.version)


async def _record(
    session: Session, form: ShutdownIn, caller: Caller, at: datetime, policy: Policy
) -> Shutdown:
    shutdown = Shutdown(
        id=new_id(),
        split_case=form.case,
        name=form.name,
        industry=form.industry,
        region_code=form.region_code,
        document_no=form.document_no,
        effective_on=form.effective_on,
        energy_kgce=form.energy_tce,
        coal_kg=form.coal_t,
        unit_id=form.unit_id,
        recorded_at=at,
        recorded_by=caller.sub,
        policy_version=policy.version,
    )
    row = upsert(Shutdown).values(**shutdown.model_dump()).on_conflict_do_nothing()
    if (await session.exec(row.returning(col(Shutdown.id)))).first() is None:
        raise ShutdownAlreadyRecorded()
    return shutdown


def _holders(region_code: str) -> dict[Tier, Holder]:
    return {
        "province": PROVINCE_STORE,
        "city": CITY_RETAINED,
        "county": county_holder(region_code),
    }


async def _open_accounts(
    session: Session, form: ShutdownIn, splits: dict[Asset, Split], at: datetime, policy: Policy
) -> None:
    holders = [
        holder
        for tier, holder in _holders(form.region_code).items()
        if any(split.of(tier) for split in splits.values())
    ]
    holders += [issuance_holder(asset) for asset in splits]
    await ensure_accounts(session, holders, policy_version=policy.version, at=at)


async def _credit(
    session: Session, shutdown: Shutdown, asset: Asset, split: Split, policy: Policy
) -> tuple[dict[Tier, str], list[Leg]]:
    lots: dict[Tier, str] = {}
    legs: list[Leg] = []
    booking = Booking(
        "SHUTDOWN", shutdown.id, shutdown.document_no, shutdown.effective_on,
        shutdown.recorded_at, policy.version,
    )  # fmt: skip
    for tier, holder in _holders(shutdown.region_code).items():
        if split.of(tier):
            lot = _lot(shutdown, asset, tier, split, policy)
            legs += await issue_lot(session, booking, lot, split.of(tier), holder.account)
            lots[tier] = lot.id
    await insert_all(session, SplitShare, list(_shares(shutdown, asset, split, lots)))
    return lots, legs


def _lot(shutdown: Shutdown, asset: Asset, tier: Tier, split: Split, policy: Policy) -> Lot:
    return Lot(
        id=new_id(),
        asset=asset,
        article=policy.shutdown_split.article,
        document_no=shutdown.document_no,
        origin_kind="SHUTDOWN",
        origin_id=shutdown.id,
        origin_region_code=shutdown.region_code,
        effective_on=shutdown.effective_on,
        **vars(restrictions_of(tier, split, policy)),
    )


def _shares(
    shutdown: Shutdown, asset: Asset, split: Split, lots: dict[Tier, str]
) -> Iterable[dict[str, object]]:
    for tier in TIERS:
        yield {
            "shutdown_id": shutdown.id,
            "asset": asset,
            "tier": tier,
            "region_code": shutdown.region_code,
            "share_bp": split.share_bp[tier],
            "quantity_minor": split.of(tier),
            "is_compensated": split.compensated[tier],
            "lot": lots.get(tier),
        }


def _recorded(form: ShutdownIn) -> ShutdownRecorded:
    return ShutdownRecorded(
        case=form.case,
        name=form.name,
        industry=form.industry,
        region_code=form.region_code,
        document_no=form.document_no,
        effective_on=form.effective_on,
        energy_tce=TCE.format(form.energy_tce),
        coal_t=TONNE.format(form.coal_t),
    )


def _split_out(asset: Asset, split: Split, lots: dict[Tier, str]) -> SplitOut:
    unit = ASSET_UNITS[asset]
    return SplitOut(
        asset=asset,
        unit=unit.name,
        province=unit.format(split.province),
        city=unit.format(split.city),
        county=unit.format(split.county),
        compensated=[tier for tier in TIERS if split.compensated[tier]],
        usable_locally=split.usable_locally,
        lots={str(tier): lot for tier, lot in lots.items()},
    )


def _posted(form: ShutdownIn, split: SplitOut, legs: Sequence[Leg]) -> SplitPosted:
    return SplitPosted(
        case=form.case,
        asset=split.asset,
        province=split.province,
        city=split.city,
        county=split.county,
        compensated=split.compensated,
        usable_locally=split.usable_locally,
        movements=[Movement.of(leg) for leg in legs],
    )
