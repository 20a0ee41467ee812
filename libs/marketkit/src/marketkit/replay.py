"""Parked events tried again: asked for by one administrator after a dry run, allowed by another."""

import contextlib

from fastapi import APIRouter, Response
from sqlmodel import col, select

from marketkit.countersign import RequestOut, ask, confirm, content_of
from marketkit.db import Session, instant
from marketkit.doors import AskDep, CommandDep, open_to
from marketkit.errors import NotFound
from marketkit.identity import Caller
from marketkit.inbox import Parked, Position, retry_parked
from marketkit.reactions import Reactions
from marketkit.units import Form, Text

KIND = "parked.replay"
SHOWN_MAX = 200


class SourceUnknown(NotFound):
    title = "没有这个事件来源"


class ReplayIn(Form):
    """The source whose parked events are to be tried again, and why it should work now."""

    source: Text
    reason: Text


class ReplayWish(Form):
    """What is put before the second administrator: the wish and what its dry run showed."""

    source: str
    reason: str
    parked: int
    would_apply: int


class ReplayAsked(Form):
    request: RequestOut
    wish: ReplayWish


class ReplayDone(Form):
    source: str
    applied: int
    still_parked: int


class ParkedOut(Form):
    source: str
    partition: int
    sequence: int
    key: str
    verdict: str
    waits_for: str
    error: str


class ParkedList(Form):
    items: list[ParkedOut]
    total: int


async def ask_to_replay(
    session: Session, reactions: Reactions, caller: Caller, form: ReplayIn
) -> ReplayAsked:
    """Try the source's broken events without keeping anything, and ask that it be done.

    Raises:
        SourceUnknown: nothing was ever read from it.
    """
    parked = await _parked_count(session, form.source)
    would_apply = await _dry_run(session, reactions, form.source)
    wish = ReplayWish(
        source=form.source, reason=form.reason, parked=parked, would_apply=would_apply
    )
    at = await instant(session)
    request = await ask(session, KIND, form.source, wish, asker=caller.sub, at=at)
    return ReplayAsked(request=request, wish=wish)


async def replay(
    session: Session, reactions: Reactions, request_id: str, caller: Caller
) -> ReplayDone:
    """Apply what can be applied, in order; the rest stays parked.

    Raises:
        RequestUnknown, SamePerson, AlreadyConfirmed: as `countersign.confirm`.
    """
    at = await instant(session)
    request = await confirm(session, KIND, request_id, confirmer=caller.sub, at=at)
    source = str(content_of(request)["source"])
    applied = await retry_parked(session, reactions, source, "BROKEN")
    return ReplayDone(
        source=source, applied=applied, still_parked=await _parked_count(session, source)
    )


class _OnlyDry(Exception):
    """Takes a dry run back."""


async def _dry_run(session: Session, reactions: Reactions, source: str) -> int:
    would_apply = 0
    with contextlib.suppress(_OnlyDry):
        async with session.begin_nested():
            would_apply = await retry_parked(session, reactions, source, "BROKEN")
            raise _OnlyDry
    return would_apply


async def _parked_count(session: Session, source: str) -> int:
    known = await session.exec(select(Position).where(Position.source == source).limit(1))
    if known.first() is None:
        raise SourceUnknown()
    return len((await session.exec(select(Parked.id).where(Parked.source == source))).all())


async def list_parked(session: Session) -> ParkedList:
    """The oldest parked events of every source, without what they say."""
    query = select(Parked).order_by(col(Parked.source), col(Parked.partition), col(Parked.sequence))
    rows = (await session.exec(query)).all()
    fields = set(ParkedOut.model_fields)
    items = [ParkedOut(**row.model_dump(include=fields)) for row in rows[:SHOWN_MAX]]
    return ParkedList(items=items, total=len(rows))


def routes(reactions: Reactions) -> APIRouter:
    """The three steps, for the two administrators and who watches them."""
    router = APIRouter(tags=["replay"])
    watchers = open_to("system_admin", "security_admin", "auditor")

    @router.get("/v1/parked-events", response_model=ParkedList, **watchers)
    async def parked_events(ask: AskDep) -> ParkedList:
        return await ask.run(list_parked, "worker")

    @router.post(
        "/v1/replays/requests",
        status_code=201,
        response_model=ReplayAsked,
        **open_to("system_admin"),
    )
    async def request_replay(form: ReplayIn, command: CommandDep) -> Response:
        caller = command.caller
        return await command.run(
            lambda s: ask_to_replay(s, reactions, caller, form), status=201, role="worker"
        )

    @router.post(
        "/v1/replays/requests/{request_id}/confirmations",
        response_model=ReplayDone,
        **open_to("security_admin"),
    )
    async def confirm_replay(request_id: str, command: CommandDep) -> Response:
        caller = command.caller
        return await command.run(lambda s: replay(s, reactions, request_id, caller), role="worker")

    return router
