"""What happens to screenings: one function, one transaction."""

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select

from contracts.energy import ProjectScreened
from energy_trade.policy import policy_on
from energy_trade.screenings.rules import ProjectAlreadyScreened
from energy_trade.screenings.tables import Screening
from marketkit.codes import ProjectCode, Uscc
from marketkit.db import Session, instant
from marketkit.outbox import tell
from marketkit.units import Form, Instant, Text, day_of


class ScreeningIn(Form):
    """What a county found of a project."""

    uscc: Uscc
    project_code: ProjectCode
    name: Text
    is_dual_high: bool


class ScreeningOut(Form):
    uscc: str
    project_code: str
    name: str
    region_code: str
    is_dual_high: bool
    screened_at: Instant


async def screen_project(session: Session, form: ScreeningIn, region_code: str) -> ScreeningOut:
    """Note that a county found a project eligible (art. 5).

    Raises:
        ProjectAlreadyScreened: a county, this one or another, has screened it.
    """
    at = await instant(session)
    policy = policy_on(day_of(at))
    screening = Screening(
        **form.model_dump(),
        region_code=region_code,
        screened_at=at,
        policy_version=policy.version,
    )
    # Another county's row cannot be seen from here, and still is in the way.
    added = await session.exec(
        insert(Screening)
        .values(**screening.model_dump())
        .on_conflict_do_nothing()
        .returning(col(Screening.project_code))
    )
    if added.first() is None:
        raise ProjectAlreadyScreened()
    await tell(
        session,
        ProjectScreened(
            uscc=form.uscc,
            project_code=form.project_code,
            region_code=region_code,
            is_dual_high=form.is_dual_high,
        ),
        key=form.project_code,
        region_code=region_code,
        policy_version=policy.version,
        at=at,
    )
    return _out(screening)


async def screening_of(session: Session, uscc: str, project_code: str) -> Screening | None:
    """What a county found of this enterprise's project, if one did."""
    found = await session.exec(
        select(Screening).where(Screening.project_code == project_code, Screening.uscc == uscc)
    )
    return found.first()


async def screenings(session: Session) -> list[ScreeningOut]:
    """The projects whose rows the caller may see."""
    found = await session.exec(select(Screening).order_by(col(Screening.project_code)))
    return [_out(row) for row in found.all()]


def _out(row: Screening) -> ScreeningOut:
    return ScreeningOut(**row.model_dump(exclude={"policy_version"}))
