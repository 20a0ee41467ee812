"""Commands: each with its key, its verdict and one effect however often it is sent.

A command's key, its effect and its answer are one transaction; a stored answer is for ever.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from pydantic import BaseModel
from sqlalchemy import LargeBinary, insert
from sqlmodel import Field, col, or_, select

from marketkit.db import KitTable, Session, UtcInstant, instant, sql
from marketkit.errors import Busy, Conflict, Refusal, RuleBroken, problem
from marketkit.signing import canonical

C = TypeVar("C")
Verdict = BaseModel | Refusal
Action = Callable[[Session, list[C]], Awaitable[Sequence[Verdict]]]

COMMANDS_MAX = 256


class IdempotencyKeyInFlight(Conflict):
    title = "相同幂等键的请求正在处理"


class IdempotencyKeyReused(RuleBroken):
    title = "该幂等键已用于另一请求"


class StoredAnswer(KitTable, table=True):
    """What a principal's key was answered; never expires, so a retry never acts twice."""

    principal: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    fingerprint: bytes = Field(sa_type=LargeBinary)
    status: int
    location: str = ""
    body: bytes = Field(sa_type=LargeBinary)
    answered_at: datetime = Field(sa_type=UtcInstant)


@dataclass(frozen=True)
class Command(Generic[C]):
    """One caller's request to change something."""

    principal: str
    key: str
    fingerprint: bytes
    content: C
    status: int = 200
    location: str = ""


@dataclass(frozen=True)
class Answer:
    """What goes back, byte for byte the same however often the command is sent."""

    status: int
    body: bytes
    location: str = ""
    retry_after_s: int | None = None


async def execute(
    session: Session, commands: Sequence[Command[C]], action: Action[C]
) -> list[Answer]:
    """Answers to up to 256 commands, in their order; all effects in this one transaction.

    A key in flight elsewhere refuses that command alone; a key answered before is answered again;
    a key twice in the list is one command with two answers.
    """
    assert len(commands) <= COMMANDS_MAX
    answers: dict[tuple[str, str], Answer] = {}
    fresh: dict[tuple[str, str], Command[C]] = {}
    stored = await _stored(session, commands)
    for command in commands:
        place = (command.principal, command.key)
        if place in stored:
            answers[place] = _again(stored[place], command)
        elif place not in fresh:
            if await _claim(session, place):
                fresh[place] = command
            else:
                answers[place] = _answer_of(command, IdempotencyKeyInFlight(retry_after_s=1))
    if fresh:
        # A twin may have committed between the first look and the lock.
        late = await _stored(session, list(fresh.values()))
        answers |= {place: _again(row, fresh.pop(place)) for place, row in late.items()}
        answers |= await _act(session, fresh, action)
    return [_checked(answers, fresh, command) for command in commands]


def _checked(
    answers: dict[tuple[str, str], Answer],
    fresh: dict[tuple[str, str], Command[C]],
    command: Command[C],
) -> Answer:
    first = fresh.get((command.principal, command.key))
    if first is not None and first.fingerprint != command.fingerprint:
        return _answer_of(command, IdempotencyKeyReused())
    return answers[(command.principal, command.key)]


async def _stored(
    session: Session, commands: Sequence[Command[C]]
) -> dict[tuple[str, str], StoredAnswer]:
    wanted = [
        (col(StoredAnswer.principal) == command.principal) & (col(StoredAnswer.key) == command.key)
        for command in commands
    ]
    found = (await session.exec(select(StoredAnswer).where(or_(*wanted)))).all()
    return {(row.principal, row.key): row for row in found}


async def _claim(session: Session, place: tuple[str, str]) -> bool:
    got = await sql(
        session,
        "SELECT pg_try_advisory_xact_lock(hashtextextended(:place, 7370500))",
        place="\x1f".join(place),
    )
    return bool(got.scalar_one())


async def _act(
    session: Session, fresh: dict[tuple[str, str], Command[C]], action: Action[C]
) -> dict[tuple[str, str], Answer]:
    contents = [command.content for command in fresh.values()]
    if not contents:
        return {}
    try:
        async with session.begin_nested():
            verdicts = await action(session, contents)
            await session.flush()
    except Refusal as refusal:
        assert len(contents) == 1, "an action of many answers its refusals"
        verdicts = [refusal]
    answers = {
        place: _answer_of(command, verdict)
        for (place, command), verdict in zip(fresh.items(), verdicts, strict=True)
    }
    at = await instant(session)
    kept = [
        {
            "principal": place[0],
            "key": place[1],
            "fingerprint": fresh[place].fingerprint,
            "status": answer.status,
            "location": answer.location,
            "body": answer.body,
            "answered_at": at,
        }
        for place, answer in answers.items()
        if answer.status < 500
    ]
    if kept:
        await session.exec(insert(StoredAnswer), params=kept)
    return answers


def _again(row: StoredAnswer, command: Command[C]) -> Answer:
    if row.fingerprint != command.fingerprint:
        return _answer_of(command, IdempotencyKeyReused())
    return Answer(row.status, row.body, row.location)


def _answer_of(command: Command[C], verdict: Verdict) -> Answer:
    if isinstance(verdict, Refusal):
        retry_after_s = verdict.retry_after_s or (1 if isinstance(verdict, Busy) else None)
        return Answer(verdict.status, canonical(problem(verdict)), retry_after_s=retry_after_s)
    location = command.location.format(**verdict.model_dump()) if command.location else ""
    return Answer(command.status, verdict.model_dump_json().encode(), location)
