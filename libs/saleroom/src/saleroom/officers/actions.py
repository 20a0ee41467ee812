"""Key officers register their keys; a drill lets each prove that it opens what is wrapped to it."""

from sqlalchemy.dialects.postgresql import insert as upsert
from sqlmodel import col, select

from contracts import drill as facts
from marketkit.db import Session, instant, new_id
from marketkit.errors import InputInvalid
from marketkit.identity import Caller
from marketkit.outbox import tell
from marketkit.signing import b64, unb64
from marketkit.units import Form, Id, Instant
from saleroom.drills import Drill
from saleroom.notices.actions import locked_sale, officers_of, require
from saleroom.notices.rules import SaleUnknown
from saleroom.notices.tables import KeyOfficer, Sale, SaleOfficer
from saleroom.officers.rules import (
    DrillAlreadyAnswered,
    DrillAnswerWrong,
    DrillUnknown,
    check_answer,
    check_current,
)
from saleroom.sealing import check_public_key
from saleroom.shares import check_key_officers


class OfficerIn(Form):
    public_key: str


class OfficerOut(Form):
    officer_id: str
    public_key: str


class DrillRef(Form):
    sale_id: str
    drill_id: str


class AnswerIn(Form):
    """What an officer's own machine made of the challenge; never the challenge itself."""

    answer: Id


class AnswerOut(Form):
    drill_id: str
    officer_id: str
    drilled_at: Instant


class DrilledOfficer(Form):
    """One of the five: when it answered, if its answer stands for the key it has now."""

    officer_id: str
    drilled_at: Instant | None


class DrillOut(Form):
    """The last drill of a draft; an officer sees its own challenge beside."""

    sale_id: str
    drill_id: str
    officers: list[DrilledOfficer]
    officer_id: str = ""
    challenge: str = ""


async def register_key_officer(session: Session, caller: Caller, form: OfficerIn) -> OfficerOut:
    """Register or replace the caller's public key, to which shares of later sales are wrapped.

    Raises:
        InputInvalid: not 32 bytes in base64url.
        PublicKeyUnusable: nothing can be wrapped to it.
    """
    try:
        public_key = unb64(form.public_key)
    except ValueError:
        raise InputInvalid("公钥须为base64url文本") from None
    check_public_key(public_key)
    at = await instant(session)
    new = {"public_key": public_key, "registered_at": at}
    officer = upsert(KeyOfficer).values(id=new_id(), sub=caller.sub, **new)
    await session.exec(officer.on_conflict_do_update(index_elements=["sub"], set_=new))
    found = await session.exec(select(KeyOfficer.id).where(KeyOfficer.sub == caller.sub))
    return OfficerOut(officer_id=found.one(), public_key=form.public_key)


async def begin_drill(session: Session, sale_id: str) -> DrillRef:
    """Ask all five officers of a draft, each by a fresh challenge; answers before count no more.

    Raises:
        SaleUnknown: no such sale.
        SaleStateNotAllowed: it is no draft.
        KeyOfficersWrong: not five key officers with a key each.
    """
    sale = await locked_sale(session, sale_id)
    require(sale, "DRAFT")
    at = await instant(session)
    pairs = await officers_of(session, sale_id)
    check_key_officers([officer.public_key for _, officer in pairs])
    drill = Drill(sale_id, new_id())
    for row, officer in pairs:
        row.drill_id, row.drill_key, row.drilled_at = drill.drill_id, officer.public_key, None
        row.drill_challenge, row.drill_answer_sha256 = drill.challenge(
            officer.id, officer.public_key
        )
    await session.flush()
    fact = facts.DrillBegun(drill_id=drill.drill_id)
    await tell(session, fact, key=sale.id, policy_version=sale.policy_version, at=at)
    return DrillRef(sale_id=sale.id, drill_id=drill.drill_id)


async def answer_drill(
    session: Session, sale_id: str, drill_id: str, caller: Caller, form: AnswerIn
) -> AnswerOut:
    """Note that an officer has opened its challenge, if it has.

    Raises:
        SaleUnknown: no such sale.
        DrillUnknown: none has begun, or the caller is none of its officers.
        SaleStateNotAllowed: it is no draft any more.
        DrillNotCurrent: another drill has begun, or the officer has registered another key.
        DrillAlreadyAnswered: once a drill.
        DrillAnswerWrong: whatever is wrong with it.
    """
    sale = await locked_sale(session, sale_id)
    row, officer = await _drilled(session, sale_id, caller)
    require(sale, "DRAFT")
    at = await instant(session)
    drill_key, answer_sha256 = row.drill_key or b"", row.drill_answer_sha256 or b""
    check_current(
        asked=drill_id,
        current=row.drill_id or "",
        drill_key=drill_key,
        public_key=officer.public_key,
    )
    if row.drilled_at is not None:
        raise DrillAlreadyAnswered()
    check_answer(_answer(form), answer_sha256)
    row.drilled_at = at
    await session.flush()
    fact = facts.DrillAnswered(drill_id=drill_id, officer_id=officer.id)
    await tell(session, fact, key=sale.id, policy_version=sale.policy_version, at=at)
    return AnswerOut(drill_id=drill_id, officer_id=officer.id, drilled_at=at)


def _answer(form: AnswerIn) -> bytes:
    try:
        return unb64(form.answer)
    except ValueError:
        raise DrillAnswerWrong() from None


async def _drilled(
    session: Session, sale_id: str, caller: Caller
) -> tuple[SaleOfficer, KeyOfficer]:
    for row, officer in await officers_of(session, sale_id):
        if officer.sub == caller.sub and row.drill_id is not None:
            return row, officer
    raise DrillUnknown()


async def drill_of(session: Session, sale_id: str, caller: Caller) -> DrillOut:
    """How far the last drill has come; for one of its officers, with what to answer.

    Raises:
        SaleUnknown: no such sale.
        DrillUnknown: none has begun, or the caller is a key officer and none of its.
    """
    if await session.get(Sale, sale_id) is None:
        raise SaleUnknown()
    found = await session.exec(
        select(SaleOfficer, KeyOfficer)
        .join(KeyOfficer, col(KeyOfficer.id) == col(SaleOfficer.officer_id))
        .where(SaleOfficer.sale_id == sale_id, col(SaleOfficer.drill_id).is_not(None))
        .order_by(col(KeyOfficer.id))
    )
    pairs = found.all()
    own = [row for row, officer in pairs if officer.sub == caller.sub]
    if not pairs or ("key_officer" in caller.roles and not own):
        raise DrillUnknown()
    return DrillOut(
        sale_id=sale_id,
        drill_id=pairs[0][0].drill_id or "",
        officers=[
            DrilledOfficer(officer_id=officer.id, drilled_at=row.drilled_with(officer.public_key))
            for row, officer in pairs
        ],
        officer_id=own[0].officer_id if own else "",
        challenge=b64(own[0].drill_challenge or b"") if own else "",
    )


async def officer_of(session: Session, sale_id: str, caller: Caller) -> str | None:
    """The caller as one of the sale's five key officers."""
    query = (
        select(KeyOfficer.id)
        .join(SaleOfficer, col(SaleOfficer.officer_id) == col(KeyOfficer.id))
        .where(SaleOfficer.sale_id == sale_id, KeyOfficer.sub == caller.sub)
    )
    return (await session.exec(query)).first()
