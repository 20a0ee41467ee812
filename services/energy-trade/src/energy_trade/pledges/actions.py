"""Quota is pledged by the list, and let go by its creditor; the ledger holds it meanwhile."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import NamedTuple

from sqlmodel import col, select

from contracts.energy import PledgeRegistered, PledgeReleased
from energy_trade.accounts.rules import QuantityTceOrT, check_effective
from energy_trade.pledges.rules import (
    PledgeUnknown,
    check_pledge,
    pledge_account,
    remaining_after,
)
from energy_trade.pledges.tables import Pledge, PledgeRelease
from energy_trade.policy import Asset, policy_on
from marketkit.batch import Hot, Verdict
from marketkit.codes import ProjectCode, Uscc
from marketkit.db import Session, instant, new_id, sql
from marketkit.errors import Refusal
from marketkit.holds import Take, hold_each, void_part
from marketkit.identity import Caller
from marketkit.ledger import Account, Booking
from marketkit.movements import Leg, Movement
from marketkit.outbox import Telling, tell, tell_all
from marketkit.rows import insert_all
from marketkit.units import ASSET_UNITS, Day, Form, Instant, Quantity, Text, day_of

TICK = timedelta(microseconds=1)
Contract = tuple[str, str, str, str]


class PledgeIn(Form):
    """What an enterprise pledges, of one project's quota, to whom and by which contract."""

    project_code: ProjectCode
    asset: Asset
    quantity: QuantityTceOrT
    creditor_uscc: Uscc
    document_no: Text
    effective_on: Day


class ReleaseIn(Form):
    quantity: QuantityTceOrT
    document_no: Text
    effective_on: Day


class PledgeOut(Form):
    pledge_id: str
    account: str
    creditor_uscc: str
    asset: str
    unit: str
    quantity: Quantity
    remaining: Quantity
    document_no: str
    effective_on: Day
    registered_at: Instant


@dataclass(frozen=True)
class Asked:
    """A pledge as it was asked for, and by whom."""

    caller: Caller
    form: PledgeIn

    @cached_property
    def account(self) -> str:
        return pledge_account(self.caller.uscc, self.form.project_code)

    @cached_property
    def contract(self) -> Contract:
        form = self.form
        return self.account, form.asset, form.creditor_uscc, form.document_no


class Prepared(NamedTuple):
    """A pledge with its account, if there is one, and the instant it got under its lock."""

    asked: Asked
    account: Account | None
    at: datetime


class _New(NamedTuple):
    """The row of a pledge before it is one: a table's object costs more than all its columns."""

    id: str
    account: str
    region_code: str
    uscc: str
    creditor_uscc: str
    asset: str
    quantity_minor: int
    remaining_minor: int
    document_no: str
    effective_on: date
    registered_at: datetime
    registered_by: str
    policy_version: str


async def lock_accounts(session: Session, asked: Sequence[Asked]) -> list[Prepared]:
    """Lock the accounts of these pledges, and give each its instant, in order of arrival."""
    query = select(Account).where(col(Account.id).in_({one.account for one in asked}))
    # Nobody updates an account, and who opens a balance on it need not wait.
    locked = await session.exec(query.order_by(col(Account.id)).with_for_update(key_share=True))
    accounts = {account.id: account for account in locked.all()}
    at = await instant(session)
    return [
        Prepared(one, accounts.get(one.account), at + TICK * place)
        for place, one in enumerate(asked)
    ]


async def register_pledges(session: Session, prepared: Sequence[Prepared]) -> list[Verdict]:
    """Pledge quota of enterprises to their creditors; each gets its pledge or its own refusal.

    Refusals, each a verdict, in order: AccountUnknown, EffectiveInFuture, CreditorIsHolder,
    PledgeAlreadyRegistered, PledgedQuantity, RightExpired, InsufficientFreeQuantity.
    """
    verdicts: list[Verdict] = []
    for run in _runs(prepared):
        verdicts += await _register(session, run)
    return verdicts


def _runs(prepared: Sequence[Prepared]) -> list[list[Prepared]]:
    """The pledges in their order, cut where a contract comes again: it is judged by the first."""
    runs: list[list[Prepared]] = [[]]
    seen: set[Contract] = set()
    for one in prepared:
        if one.asked.contract in seen:
            runs.append([])
            seen.clear()
        runs[-1].append(one)
        seen.add(one.asked.contract)
    return runs


async def _register(session: Session, prepared: Sequence[Prepared]) -> list[Verdict]:
    registered = await _registered(session, [one.asked.contract for one in prepared])
    outcomes: list[_New | Refusal] = [_judged(one, registered) for one in prepared]
    takes = [_take(one) for one in outcomes if isinstance(one, _New)]
    held = iter(await hold_each(session, takes) if takes else [])
    verdicts: list[Verdict] = []
    rows, tellings = [], []
    for pledge in outcomes:
        if isinstance(pledge, Refusal):
            verdicts.append(pledge)
            continue
        legs = next(held)
        if isinstance(legs, Refusal):
            verdicts.append(legs)
            continue
        rows.append(pledge._asdict())
        tellings.append(_told(pledge, legs))
        verdicts.append(pledge_out(pledge))
    if rows:
        await insert_all(session, Pledge, rows)
        await tell_all(session, tellings)
    return verdicts


async def _registered(session: Session, contracts: Sequence[Contract]) -> set[Contract]:
    names = ("accounts", "assets", "creditors", "documents")
    found = await sql(
        session,
        "SELECT account, asset, creditor_uscc, document_no FROM pledge JOIN unnest("
        "CAST(:accounts AS text[]), CAST(:assets AS text[]), CAST(:creditors AS text[]), "
        "CAST(:documents AS text[])) AS asked(account, asset, creditor_uscc, document_no) "
        "USING (account, asset, creditor_uscc, document_no)",
        **dict(zip(names, map(list, zip(*contracts, strict=True)), strict=True)),
    )
    return {(row.account, row.asset, row.creditor_uscc, row.document_no) for row in found.all()}


def _judged(one: Prepared, registered: set[Contract]) -> _New | Refusal:
    form, account = one.asked.form, one.account
    try:
        check_pledge(
            holder_uscc=account.uscc if account else None,
            creditor_uscc=form.creditor_uscc,
            contract=one.asked.contract,
            registered=registered,
            effective_on=form.effective_on,
            today=day_of(one.at),
        )
    except Refusal as refusal:
        return refusal
    assert account is not None
    return _New(
        id=new_id(),
        account=account.id,
        region_code=account.region_code,
        uscc=one.asked.caller.uscc,
        creditor_uscc=form.creditor_uscc,
        asset=form.asset,
        quantity_minor=form.quantity,
        remaining_minor=form.quantity,
        document_no=form.document_no,
        effective_on=form.effective_on,
        registered_at=one.at,
        registered_by=one.asked.caller.sub,
        policy_version=policy_on(day_of(one.at)).version,
    )


def _take(pledge: _New) -> Take:
    booking = Booking(
        kind="PLEDGE",
        key=pledge.id,
        document_no=pledge.document_no,
        effective_on=pledge.effective_on,
        booked_at=pledge.registered_at,
        policy_version=pledge.policy_version,
    )
    return Take(booking, pledge.account, pledge.asset, pledge.quantity_minor, pledge.creditor_uscc)


def _told(pledge: _New, legs: Sequence[Leg]) -> Telling:
    fact = PledgeRegistered(
        account=pledge.account,
        creditor_uscc=pledge.creditor_uscc,
        asset=pledge.asset,
        quantity=ASSET_UNITS[pledge.asset].format(pledge.quantity_minor),
        document_no=pledge.document_no,
        effective_on=pledge.effective_on,
        movements=[Movement.of(leg) for leg in legs],
    )
    return Telling(fact, pledge.id, actor=pledge.registered_by, region_code=pledge.region_code,
                   policy_version=pledge.policy_version, at=pledge.registered_at)  # fmt: skip


PLEDGE = Hot(lock_accounts, register_pledges)


async def release_pledge(
    session: Session, pledge_id: str, caller: Caller, form: ReleaseIn
) -> PledgeOut:
    """Let go of part of a pledge, or of all that is left of it; its creditor alone may.

    Raises:
        PledgeUnknown: no such pledge, or another creditor's.
        EffectiveInFuture: the document's day has not come.
        ReleaseExceedsPledge: art. 19, less stands.
    """
    pledge = await session.get(Pledge, pledge_id, with_for_update=True)
    if pledge is None or pledge.creditor_uscc != caller.uscc:
        raise PledgeUnknown()
    at = await instant(session)
    check_effective(form.effective_on, day_of(at))
    pledge.remaining_minor = remaining_after(pledge.remaining_minor, form.quantity)
    version = policy_on(day_of(at)).version
    booking = Booking("RELEASE", pledge.id, form.document_no, form.effective_on, at, version)
    legs = await void_part(session, booking, form.quantity)
    release = PledgeRelease(
        id=new_id(),
        pledge_id=pledge.id,
        quantity_minor=form.quantity,
        document_no=form.document_no,
        effective_on=form.effective_on,
        released_at=at,
        released_by=caller.sub,
    )
    session.add(release)
    await session.flush()
    unit = ASSET_UNITS[pledge.asset]
    fact = PledgeReleased(
        account=pledge.account,
        creditor_uscc=pledge.creditor_uscc,
        asset=pledge.asset,
        quantity=unit.format(form.quantity),
        remaining=unit.format(pledge.remaining_minor),
        document_no=form.document_no,
        effective_on=form.effective_on,
        movements=[Movement.of(leg) for leg in legs],
    )
    await tell(session, fact, key=pledge.id, region_code=pledge.region_code,
               policy_version=version, at=at)  # fmt: skip
    return pledge_out(pledge)


def pledge_out(pledge: Pledge | _New) -> PledgeOut:
    unit = ASSET_UNITS[pledge.asset]
    return PledgeOut(
        pledge_id=pledge.id,
        account=pledge.account,
        creditor_uscc=pledge.creditor_uscc,
        asset=pledge.asset,
        unit=unit.name,
        quantity=unit.format(pledge.quantity_minor),
        remaining=unit.format(pledge.remaining_minor),
        document_no=pledge.document_no,
        effective_on=pledge.effective_on,
        registered_at=pledge.registered_at,
    )
