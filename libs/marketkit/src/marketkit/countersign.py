"""Steps that need two people: asked for by one, confirmed by another, who may not be the same."""

import json
from datetime import datetime

from pydantic import BaseModel
from sqlalchemy import Text
from sqlmodel import Field, select

from marketkit.db import KitTable, Session, UtcInstant, new_id
from marketkit.errors import Conflict, Forbidden, NotFound
from marketkit.units import Form, Instant


class RequestUnknown(NotFound):
    title = "申请不存在"


class SamePerson(Forbidden):
    title = "申请人与确认人不得为同一人"


class AlreadyConfirmed(Conflict):
    title = "该申请已确认"


class Request(KitTable, table=True):
    """One person's word for a step that takes effect when another gives theirs."""

    id: str = Field(primary_key=True)
    kind: str
    subject: str = Field(index=True)
    content: str = Field(sa_type=Text)
    asked_by: str
    asked_at: datetime = Field(sa_type=UtcInstant)
    confirmed_by: str | None = None
    confirmed_at: datetime | None = Field(default=None, sa_type=UtcInstant)


class RequestOut(Form):
    request_id: str
    kind: str
    subject: str
    asked_at: Instant
    confirmed_at: Instant | None = None


async def ask(
    session: Session, kind: str, subject: str, content: BaseModel, *, asker: str, at: datetime
) -> RequestOut:
    """Note the first person's word."""
    request = Request(
        id=new_id(),
        kind=kind,
        subject=subject,
        content=content.model_dump_json(),
        asked_by=asker,
        asked_at=at,
    )
    session.add(request)
    await session.flush()
    return _out(request)


async def confirm(
    session: Session,
    kind: str,
    request_id: str,
    *,
    confirmer: str,
    at: datetime,
    subject: str = "",
) -> Request:
    """Note the second person's word and answer the request, locked; the caller does the step.

    Raises:
        RequestUnknown: no such request of this kind, or not for the subject named.
        SamePerson: who asked may not confirm.
        AlreadyConfirmed: it has taken effect.
    """
    query = select(Request).where(Request.id == request_id, Request.kind == kind)
    if subject:
        query = query.where(Request.subject == subject)
    request = (await session.exec(query.with_for_update())).first()
    if request is None:
        raise RequestUnknown()
    if request.asked_by == confirmer:
        raise SamePerson()
    if request.confirmed_by is not None:
        raise AlreadyConfirmed()
    request.confirmed_by, request.confirmed_at = confirmer, at
    await session.flush()
    return request


def content_of(request: Request) -> dict[str, object]:
    found: dict[str, object] = json.loads(request.content)
    return found


def _out(request: Request) -> RequestOut:
    return RequestOut(
        request_id=request.id,
        kind=request.kind,
        subject=request.subject,
        asked_at=request.asked_at,
        confirmed_at=request.confirmed_at,
    )
