"""The doors of a service: who may come in by a route, and how a command or a question goes on."""

import hashlib
import re
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from inspect import signature
from typing import Annotated, Any, TypeVar, get_type_hints

from fastapi import Depends, Header, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError

from marketkit.batch import Answer, Command, Hot, execute, single
from marketkit.db import Database, Role, Session
from marketkit.description import KEY, KEY_PATTERN, PROBLEM_TYPE
from marketkit.errors import Forbidden, InputInvalid, Unauthenticated, Unreadable
from marketkit.identity import Caller, Verifier
from marketkit.meeting import Meeting
from marketkit.rates import Rates
from marketkit.signing import canonical

T = TypeVar("T")
C = TypeVar("C")
P = TypeVar("P")

_KEY = re.compile(KEY_PATTERN, re.ASCII)
# Read out of the request, where it may stand twice; here OpenAPI learns of it.
KeyHeader = Annotated[str, Header(alias=KEY)]


class IdempotencyKeyMissing(Unreadable):
    title = "缺少幂等键Idempotency-Key，或其格式有误"


def open_to(*roles: str, department: str = "", is_public: bool = True) -> dict[str, Any]:
    """Arguments of a route: who may call it, and whether the gateway forwards it.

    `anyone` needs no token. A department narrows `bureau_officer`. OpenAPI says the same.
    """

    # A coroutine, as all that FastAPI calls for a request: a function would change threads.
    async def admit(request: Request) -> None:
        request.state.caller = None
        if "anyone" not in roles:
            request.state.caller = _admitted(request, frozenset(roles), department)

    said = {"x-roles": list(roles), "x-public": is_public}
    return {
        "dependencies": [Depends(admit)],
        "openapi_extra": said | ({"x-department": department} if department else {}),
    }


class RoleNotAllowed(Forbidden):
    title = "您的角色无权进行此操作"


def caller_of(request: Request) -> Caller:
    """Who holds the one bearer token of a request.

    Raises:
        Unreadable: more than one is given.
        Unauthenticated: none is given.
        TokenInvalid: it does not hold.
        TooManyRequests: its holder asks too often.
    """
    credentials = request.headers.getlist("authorization")
    if len(credentials) > 1:
        raise Unreadable()
    scheme, _, token = "".join(credentials).partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated()
    verifier: Verifier = request.app.state.verifier
    caller = verifier.caller(token)
    # By who holds it: a new token of the same person is no new bucket.
    rates: Rates | None = request.app.state.rates
    if rates is not None:
        rates.check(caller.sub, time.monotonic())
    return caller


def _admitted(request: Request, roles: frozenset[str], department: str) -> Caller:
    # Known before it may be refused: the log names who tried.
    request.state.caller = caller = caller_of(request)
    held = caller.roles & roles
    if held == {"bureau_officer"} and department and caller.department != department:
        held = frozenset()
    if not held:
        raise RoleNotAllowed()
    return caller


@dataclass(frozen=True)
class Commanded:
    """A command as it came in: its caller, key and fingerprint. `run` gives it its one effect."""

    house: Database
    caller: Caller
    key: str
    fingerprint: bytes
    meetings: dict[int, Meeting[Any, Any]]

    async def run(
        self,
        action: Callable[[Session], Awaitable[BaseModel]],
        *,
        status: int = 200,
        location: str = "",
        role: Role = "market",
    ) -> Response:
        """The answer of an action of one command; `location` is filled from its fields."""
        command = Command(self.caller.sub, self.key, self.fingerprint, None, status, location)
        answers = await self.house.run(
            lambda session: execute(session, [command], single(action)),
            role,
            scope=self.caller.scope,
            actor=self.caller.sub,
        )
        return _response(answers[0])

    async def meet(
        self, hot: Hot[C, P], place: str, content: C, *, status: int = 200, weight: int = 1
    ) -> Response:
        """The answer of a hot action, shared with others on the same aggregate, `place`."""
        caller = self.caller.sub
        command = Command(caller, self.key, self.fingerprint, content, status, weight=weight)
        # The application keeps one meeting for each hot action.
        meeting = self.meetings.setdefault(id(hot), Meeting(self.house, hot))
        return _response(await meeting.join(place, command))


def _response(answer: Answer) -> Response:
    headers = {"Location": answer.location} if answer.location else {}
    if answer.retry_after_s:
        headers["Retry-After"] = str(answer.retry_after_s)
    kind = "application/json" if answer.status < 400 else PROBLEM_TYPE
    return Response(answer.body, answer.status, headers, media_type=kind)


@dataclass(frozen=True)
class Uploaded:
    """A file as it came in, and the command it is."""

    command: Commanded
    body: bytes


async def _uploaded(request: Request, key: KeyHeader = "") -> Uploaded:
    key = _key(request)
    body = await request.body()
    said = canonical([request.method, request.scope["path"], hashlib.sha256(body).hexdigest()])
    state = request.app.state
    command = Commanded(
        state.house, request.state.caller, key, hashlib.sha256(said).digest(), state.meetings
    )
    return Uploaded(command, body)


def _key(request: Request) -> str:
    keys = request.headers.getlist(KEY)
    if len(keys) != 1 or not _KEY.fullmatch(keys[0]):
        raise IdempotencyKeyMissing()
    return keys[0]


async def _commanded(request: Request, key: KeyHeader = "") -> Commanded:
    key = _key(request)
    state = request.scope["state"]
    content = state.get("content")
    if "content" in state and content != {} and request.scope["route"].body_field is None:
        raise InputInvalid("此操作没有可填写的字段")
    said = canonical([request.method, request.scope["path"], content])
    return Commanded(
        request.app.state.house,
        request.state.caller,
        key,
        hashlib.sha256(said).digest(),
        request.app.state.meetings,
    )


@dataclass(frozen=True)
class Asked:
    """A question as it came in: its caller, if any, and the database that answers."""

    house: Database
    caller: Caller | None

    async def run(self, look: Callable[[Session], Awaitable[T]], role: Role = "scoped") -> T:
        """What a look-up finds among the rows this caller may see."""
        scope = self.caller.scope if self.caller else None
        return await self.house.run(look, role, scope=scope)


class HotRoute(APIRoute):
    """A route that FastAPI describes and whose commands are read here, without its machinery.

    What it solves for any signature takes longer than all the rest of a bid. It still serves routes
    that take other things than the address's texts, a `form` and a `command`.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        taken = {*self.param_convertors, "form", "command"}
        if signature(self.endpoint).parameters.keys() != taken:
            return super().get_route_handler()
        form: type[BaseModel] = get_type_hints(self.endpoint)["form"]
        doors = [door.dependency for door in self.dependencies if door.dependency]

        async def handle(request: Request) -> Response:
            for admit in doors:
                await admit(request)
            command = await _commanded(request)
            state = request.scope["state"]
            if "content" not in state:
                raise RequestValidationError([{"type": "missing", "loc": ("body",)}])
            try:
                said = form.model_validate(state["content"])
            except ValidationError as error:
                found = [one | {"loc": ("body", *one["loc"])} for one in error.errors()]
                raise RequestValidationError(found) from None
            answer: Response = await self.endpoint(
                **request.path_params, form=said, command=command
            )
            return answer

        return handle


async def _asked(request: Request) -> Asked:
    return Asked(request.app.state.house, request.state.caller)


UploadDep = Annotated[Uploaded, Depends(_uploaded)]
CommandDep = Annotated[Commanded, Depends(_commanded)]
AskDep = Annotated[Asked, Depends(_asked)]
