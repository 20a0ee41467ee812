"""A notice is corrected in public; whoever had registered must say yes to it once more."""

from sqlmodel import col, select

from contracts import sale as facts
from marketkit.db import Session, instant
from marketkit.identity import Caller
from marketkit.outbox import tell
from marketkit.units import Form, Instant, day_of
from saleroom.corrections.rules import AcceptanceIn, CorrectionIn, check_acceptance, put_off
from saleroom.corrections.tables import Correction
from saleroom.entries.actions import RegistrationOut, entered, out, tell_unnamed
from saleroom.entries.rules import RegistrationStateNotAllowed
from saleroom.markets import Market
from saleroom.notices.actions import INSTANTS, advance, locked_sale, require, timetable
from saleroom.notices.rules import SaleUnknown
from saleroom.notices.tables import Sale


class CorrectionOut(Form):
    sale_id: str
    correction: int
    text: str
    corrected_at: Instant


class Corrections(Form):
    items: list[CorrectionOut]


async def correct_notice(
    session: Session, market: Market, sale_id: str, form: CorrectionIn
) -> CorrectionOut:
    """Publish a correction; bids of those who do not accept it will be void.

    Raises:
        SaleUnknown: no such sale.
        SaleStateNotAllowed: neither announced nor open.
        TimetableWrong: an instant that has passed, comes sooner or stands out of order, `notice`;
            or bidding ends before others can have accepted, art. 5.
    """
    sale = await locked_sale(session, sale_id)
    at = await instant(session)
    await advance(session, sale, at)
    require(sale, "ANNOUNCED", "OPEN")
    days = market.policy_on(day_of(at)).sale.correction_days
    later = put_off(timetable(sale), form.timetable, at, days)
    for name in INSTANTS:
        setattr(sale, name, getattr(later, name))
    sale.body = form.body or sale.body
    sale.correction_count += 1
    correction = Correction(
        sale_id=sale.id, number=sale.correction_count, text=form.text, corrected_at=at
    )
    session.add(correction)
    await session.flush()
    fact = facts.SaleCorrected(
        correction=correction.number, text=form.text, body=sale.body, timetable=later
    )
    await tell(session, fact, key=sale.id, policy_version=sale.policy_version, at=at)
    return _out(correction)


async def accept_correction(
    session: Session, sale_id: str, registration_id: str, caller: Caller, form: AcceptanceIn
) -> RegistrationOut:
    """Go on under the notice as it was corrected; a bid placed before it stands again.

    Raises:
        SaleUnknown, RegistrationUnknown: no such sale, or the registration of another.
        SaleStateNotAllowed: bids are closed, or the sale is suspended.
        RegistrationStateNotAllowed: refused or withdrawn.
        CorrectionNotCurrent: not the last correction; `notice`.
        CorrectionAlreadyAccepted: said before, or entered since.
    """
    sale, registration, deposit, at = await entered(session, sale_id, registration_id, caller)
    require(sale, "ANNOUNCED", "OPEN")
    if registration.state not in {"REGISTERED", "QUALIFIED"}:
        raise RegistrationStateNotAllowed()
    check_acceptance(
        form.correction,
        accepted=registration.accepted_correction,
        published=sale.correction_count,
    )
    registration.accepted_correction = form.correction
    await session.flush()
    fact = facts.CorrectionAccepted(registration_id=registration.id, correction=form.correction)
    await tell_unnamed(session, sale, fact, at)
    return out(sale, registration, deposit)


async def corrections_of(session: Session, sale_id: str) -> Corrections:
    """What was corrected of a published notice, in order.

    Raises:
        SaleUnknown: no such sale, or not announced.
    """
    sale = await session.get(Sale, sale_id)
    if sale is None or sale.announced_at is None:
        raise SaleUnknown()
    query = select(Correction).where(Correction.sale_id == sale_id)
    found = await session.exec(query.order_by(col(Correction.number)))
    return Corrections(items=[_out(correction) for correction in found.all()])


def _out(correction: Correction) -> CorrectionOut:
    return CorrectionOut(
        sale_id=correction.sale_id,
        correction=correction.number,
        text=correction.text,
        corrected_at=correction.corrected_at,
    )
