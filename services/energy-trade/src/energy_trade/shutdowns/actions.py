"""Units that must go, and shutdowns: what each freed, split, credited and told at once."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Annotated

from pydantic import Field, model_validator
from sqlalchemy import insert
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlmodel import col

from contracts.energy import ShutdownRecorded, SplitPosted, UnitRegistered, UnitRetired
from energy_trade.accounts.actions import check_citywide, ensure_accounts, issue_lot
from energy_trade.accounts.rules import (
    CITY_RETAINED,
    PROVINCE_STORE,
    Holder,
    QuantityTceOrTOrZero,
    check_effective,
    county_holder,
    issuance_holder,
)
from energy_trade.policy import Asset, Policy, Tier, policy_on
from energy_trade.shutdowns.rules import (
    TIERS,
    ShutdownAlreadyRecorded,
    Split,
    Unit,
    UnitRegisterStands,
    check_register,
    check_unit,
    check_unit_runs,
    restrictions_of,
    split_shutdown,
)
from energy_trade.shutdowns.tables import ExtractionUnit, Shutdown, SplitShare, UnitRegister
from marketkit.codes import CountyCode
from marketkit.db import Session, instant, new_id
from marketkit.identity import Caller
from marketkit.ledger import Booking, Lot
from marketkit.movements import Leg, Movement
from marketkit.outbox import Telling, tell_all
from marketkit.units import (
    ASSET_UNITS,
    MW,
    TCE,
    TONNE,
    Day,
    Edge,
    Form,
    LongText,
    Quantity,
    QuantityTceOrZero,
    Text,
    day_of,
)

CapacityMw = Annotated[int, Edge(MW, positive=True)]
UNITS_MAX = 200


class UnitIn(Form):
    unit_id: Annotated[str, Field(pattern=r"^[0-9A-Za-z_-]{1,40}$")]
    name: Text
    region_code: CountyCode
    capacity_mw: CapacityMw
    retire_by: Day
    replacement_measure: LongText


class UnitRegisterIn(Form):
    """The whole register."""

    units: Annotated[list[UnitIn], Field(min_length=1, max_length=UNITS_MAX)]

    @model_validator(mode="after")
    def _each_unit_once(self) -> "UnitRegisterIn":
        if len({unit.unit_id for unit in self.units}) < len(self.units):
            raise ValueError("机组编号重复")
        return self


class UnitRegisterOut(Form):
    count: int
    capacity_mw: Quantity
    policy_version: str


class ShutdownIn(Form):
    case: Text
    name: Text
    industry: Text
    region_code: CountyCode
    document_no: Text
    effective_on: Day
    energy_tce: QuantityTceOrZero
    coal_t: QuantityTceOrTOrZero
    unit_id: str | None = None

    @model_validator(mode="after")
    def _frees_something(self) -> "ShutdownIn":
        if not self.energy_tce and not self.coal_t:
            raise ValueError("能耗指标与煤炭指标不得同时为零")
        return self

    @property
    def freed(self) -> dict[Asset, int]:
        freed: dict[Asset, int] = {"ENERGY": self.energy_tce, "COAL": self.coal_t}
        return {asset: quantity for asset, quantity in freed.items() if quantity}


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


async def register_units(session: Session, caller: Caller, form: UnitRegisterIn) -> UnitRegisterOut:
    """Enter the whole register of units that must go, once.

    Raises:
        CityOfficerRequired: the caller is of one county.
        UnitNotOnList: art. 4, a unit as large as those that may stay.
        UnitRetiresTooLate: art. 4, a unit planned past the last day.
        UnitRegisterIncomplete: art. 4, another number of units, or another capacity in all.
        UnitRegisterStands: it was entered before.
    """
    check_citywide(caller)
    at = await instant(session)
    policy = policy_on(day_of(at))
    units = [Unit(one.capacity_mw, one.retire_by) for one in form.units]
    for unit in units:
        check_unit(unit, policy)
    check_register(units, policy)
    register = upsert(UnitRegister).values(
        id=1, registered_at=at, registered_by=caller.sub, policy_version=policy.version
    )
    new = register.on_conflict_do_nothing().returning(col(UnitRegister.id))
    if (await session.exec(new)).first() is None:
        raise UnitRegisterStands()
    rows = [
        {"id": one.unit_id, "capacity_kw": one.capacity_mw}
        | one.model_dump(exclude={"unit_id", "capacity_mw", "retire_by"})
        | {"retire_by": one.retire_by}
        for one in form.units
    ]
    await session.exec(insert(ExtractionUnit), params=rows)
    await tell_all(session, [_registered(one, at, policy) for one in form.units])
    return UnitRegisterOut(
        count=len(units),
        capacity_mw=MW.format(sum(unit.capacity_kw for unit in units)),
        policy_version=policy.version,
    )


def _registered(unit: UnitIn, at: datetime, policy: Policy) -> Telling:
    fact = UnitRegistered(
        unit_id=unit.unit_id,
        name=unit.name,
        region_code=unit.region_code,
        capacity_mw=MW.format(unit.capacity_mw),
        retire_by=unit.retire_by,
        replacement_measure=unit.replacement_measure,
    )
    return Telling(fact, unit.unit_id, region_code=unit.region_code, at=at,
                   policy_version=policy.version)  # fmt: skip


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
    unit = await _locked_unit(session, form)
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
        unit.retired_on, unit.shutdown_id = form.effective_on, shutdown.id
        retired = UnitRetired(
            unit_id=unit.id, retired_on=form.effective_on, shutdown_id=shutdown.id
        )
        told.append(Telling(retired, unit.id))
    await tell_all(
        session,
        [
            one._replace(region_code=form.region_code, policy_version=policy.version, at=at)
            for one in told
        ],
    )
    return ShutdownOut(shutdown_id=shutdown.id, splits=answers, policy_version=policy.version)


async def _locked_unit(session: Session, form: ShutdownIn) -> ExtractionUnit | None:
    if form.unit_id is None:
        return None
    unit = await session.get(ExtractionUnit, form.unit_id, with_for_update=True)
    return unit if unit is not None and unit.region_code == form.region_code else None


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
    await session.exec(insert(SplitShare), params=list(_shares(shutdown, asset, split, lots)))
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
