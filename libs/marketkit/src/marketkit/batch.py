"""Commands: each with its key, its verdict and one effect however often it is sent.

A command's key, its effect and its answer are one transaction; a stored answer is for ever.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import quote

from pydantic import BaseModel
from sqlalchemy.exc import DBAPIError

from marketkit.answers import Place, StoredAnswer, keep, stored_or_claimed
from marketkit.db import Session, sqlstate
from marketkit.errors import DEFECTS, Busy, Conflict, Refusal, RuleBroken, problem
from marketkit.logs import log
from marketkit.signing import canonical

C = TypeVar("C")
P = TypeVar("P")
Verdict = BaseModel | Refusal

COMMANDS_MAX = 256
LATER = {"40P01", "55P03", "57014"}


@dataclass(frozen=True)
class Hot(Generic[C, P]):
    """An action of many commands in two steps.

    `lock` takes the aggregate's lock and prepares each command, its instant above all; it refuses
    before it has changed anything. `act` does all that were prepared and answers a verdict each. If
    it fails, it is called for each alone, prepared as before: only the culprit fails, and nobody is
    late by its fault.
    """

    lock: Callable[[Session, Sequence[C]], Awaitable[list[P]]]
    act: Callable[[Session, Sequence[P]], Awaitable[Sequence[Verdict]]]


class CommandFailed(Refusal):
    title = "系统内部错误，已记录"
    status = 500


class IdempotencyKeyInFlight(Conflict):
    title = "相同幂等键的请求正在处理"


class IdempotencyKeyReused(RuleBroken):
    title = "该幂等键已用于另一请求"


@dataclass(frozen=True)
class Command(Generic[C]):
    """One caller's request to change something; `weight` is how many changes it asks for."""

    principal: str
    key: str
    fingerprint: bytes
    content: C
    status: int = 200
    location: str = ""
    weight: int = 1


@dataclass(frozen=True)
class Answer:
    """What goes back, byte for byte the same however often the command is sent."""

    status: int
    body: bytes
    location: str = ""
    retry_after_s: int | None = None


async def execute(session: Session, commands: Sequence[Command[C]], hot: Hot[C, P]) -> list[Answer]:
    """Answers to up to 256 commands, in their order; all effects in this one transaction.

    A key in flight elsewhere refuses that command alone; a key answered before is answered again;
    a key twice in the list is one command with two answers.
    """
    assert len(commands) <= COMMANDS_MAX
    answers: dict[Place, Answer] = {}
    fresh: dict[Place, Command[C]] = {}
    places = {(one.principal, one.key) for one in commands}
    stored, ours = await stored_or_claimed(session, places)
    for command in commands:
        place = (command.principal, command.key)
        if place in ours:
            fresh.setdefault(place, command)
        elif place not in stored:
            answers[place] = _answer_of(command, IdempotencyKeyInFlight(retry_after_s=1))
    if fresh:
        # A twin may have committed between the first look and the lock.
        stored |= (await stored_or_claimed(session, fresh.keys()))[0]
        fresh = {place: command for place, command in fresh.items() if place not in stored}
        answers |= await _act(session, fresh, hot)
    return [_checked(answers, stored, fresh, command) for command in commands]


def _checked(
    answers: dict[Place, Answer],
    stored: dict[Place, StoredAnswer],
    fresh: dict[Place, Command[C]],
    command: Command[C],
) -> Answer:
    place = (command.principal, command.key)
    if place in stored:
        return _again(stored[place], command)
    first = fresh.get(place)
    if first is not None and first.fingerprint != command.fingerprint:
        return _answer_of(command, IdempotencyKeyReused())
    return answers[place]


async def _act(
    session: Session, fresh: dict[Place, Command[C]], hot: Hot[C, P]
) -> dict[Place, Answer]:
    if not fresh:
        return {}
    verdicts = await _verdicts(session, [command.content for command in fresh.values()], hot)
    answers = {
        place: _answer_of(command, verdict)
        for (place, command), verdict in zip(fresh.items(), verdicts, strict=True)
    }
    kept = [
        {
            "principal": place[0],
            "key": place[1],
            "fingerprint": fresh[place].fingerprint,
            "status": answer.status,
            "location": answer.location,
            "body": answer.body,
        }
        for place, answer in answers.items()
        if answer.status < 500
    ]
    if kept:
        await keep(session, kept)
    return answers


async def _verdicts(session: Session, contents: Sequence[C], hot: Hot[C, P]) -> Sequence[Verdict]:
    try:
        prepared = await hot.lock(session, contents)
    except Refusal as refusal:
        return [refusal] * len(contents)
    try:
        async with session.begin_nested():
            verdicts = await hot.act(session, prepared)
            await session.flush()
            return verdicts
    except Refusal as refusal:
        if len(prepared) == 1:
            return [refusal]
    except DBAPIError as error:
        if len(prepared) == 1 or error.connection_invalidated:
            raise
    except DEFECTS:
        if len(prepared) == 1:
            raise
    return [await _alone(session, one, hot) for one in prepared]


async def _alone(session: Session, prepared: P, hot: Hot[C, P]) -> Verdict:
    try:
        async with session.begin_nested():
            (verdict,) = await hot.act(session, [prepared])
            await session.flush()
            return verdict
    except Refusal as refusal:
        return refusal
    except DBAPIError as error:
        if error.connection_invalidated:
            raise
        if sqlstate(error) in LATER:
            return Busy()
        log.error("command_failed", exc_info=error)
    except DEFECTS as error:
        log.error("command_failed", exc_info=error)
    return CommandFailed()


def single(action: Callable[[Session], Awaitable[BaseModel]]) -> Hot[None, None]:
    """An ordinary action, as a hot one that is never given more than one command."""

    async def lock(session: Session, contents: Sequence[None]) -> list[None]:
        return list(contents)

    async def act(session: Session, prepared: Sequence[None]) -> list[BaseModel]:
        return [await action(session) for _ in prepared]

    return Hot(lock, act)


def _again(row: StoredAnswer, command: Command[C]) -> Answer:
    if row.fingerprint != command.fingerprint:
        return _answer_of(command, IdempotencyKeyReused())
    return Answer(row.status, row.body, row.location)


def _answer_of(command: Command[C], verdict: Verdict) -> Answer:
    if isinstance(verdict, Refusal):
        retry_after_s = verdict.retry_after_s or (1 if isinstance(verdict, Busy) else None)
        return Answer(verdict.status, canonical(problem(verdict)), retry_after_s=retry_after_s)
    return Answer(command.status, verdict.model_dump_json().encode(), _location(command, verdict))


def _location(command: Command[C], verdict: BaseModel) -> str:
    if not command.location:
        return ""
    # A header is ASCII; what cannot be sent would be found out after the commit.
    fields = {name: quote(str(value), safe="") for name, value in verdict.model_dump().items()}
    return command.location.format(**fields)
