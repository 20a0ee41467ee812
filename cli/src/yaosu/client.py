"""A client of the public API that knows no lost request: bytes are on disk before they are sent.

Whatever is cut, the same bytes go again under the same idempotency key, until there is an answer.
"""

import asyncio
import contextlib
import hashlib
import json
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx

Token = Callable[[], Awaitable[str]]

PATIENCE_S = 60.0
FIRST_DELAY_S = 0.1
DELAY_S_MAX = 5.0
TIMEOUT_S = 10.0

# Not answered, or not by who decides: the outcome is unknown, the same request may be sent again.
_UNSETTLED = frozenset({408, 425, 429, 502, 503, 504, 507})
# A header has no others; what a person typed into a key may.
_OF_A_KEY = "".join(map(chr, range(ord("!"), ord("~") + 1)))
# Decided against; any other refusal was said before the command was looked at.
_DECIDED = frozenset({409, 422})


class Stopped(Exception):
    """Why a command ends without its effect, in Chinese, for the person who typed it."""


class Refused(Stopped):
    """The answer is no: its problem document, and in Chinese why."""

    def __init__(self, status: int, document: Mapping[str, Any]) -> None:
        super().__init__(_said(status, document))
        self.status = status
        self.code = str(document.get("code", ""))


class OutcomeUnknown(Stopped):
    """Nobody answered in time; the request is kept, and sending it again is safe."""

    def __init__(self, path: str) -> None:
        super().__init__(f"未得到答复：{path}。请求已保存，可原样重发。")


class Request(NamedTuple):
    """A command as it is sent, the first time and every time."""

    key: str
    path: str
    body: bytes


class Answer(NamedTuple):
    status: int
    body: bytes

    def document(self) -> Any:
        """What the body says, once it is not a refusal.

        Raises:
            Refused: It is one.
        """
        try:
            document = json.loads(self.body) if self.body else {}
        except ValueError:
            document = {}
        if self.status >= 400:
            raise Refused(self.status, document if isinstance(document, dict) else {})
        return document


def _said(status: int, document: Mapping[str, Any]) -> str:
    title = str(document.get("title") or f"服务答复 {status}")
    faults = [f"{one['pointer']} {one['message']}" for one in document.get("errors", [])]
    reasons = [text for text in (document.get("detail"), *faults) if text and text != title]
    marks = [document[name] for name in ("code", "article") if document.get(name)]
    because = f"：{'；'.join(reasons)}" if reasons else ""
    return f"{title}{because}" + (f"（{'，'.join(marks)}）" if marks else "")


@dataclass(frozen=True)
class Sent:
    """The requests of one client on disk, by key, and what they were answered."""

    folder: Path

    def keep(self, key: str, path: str, document: object) -> Request:
        """The request of this key, on disk when this returns.

        What was first said under a key is what is sent: a later document is not looked at.
        """
        body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
        head = json.dumps({"key": key, "path": path}).encode()
        self._write(self._file(key, "request"), head + b"\n" + body)
        kept = self.request(key)
        assert kept is not None
        return kept

    def request(self, key: str) -> Request | None:
        file = self._file(key, "request")
        if not file.exists():
            return None
        head, _, body = file.read_bytes().partition(b"\n")
        return Request(key, json.loads(head)["path"], body)

    def answer(self, key: str) -> Answer | None:
        """What the request of this key was answered for good; None if nothing yet."""
        file = self._file(key, "answer")
        if not file.exists():
            return None
        head, _, body = file.read_bytes().partition(b"\n")
        return Answer(json.loads(head)["status"], body)

    def remember(self, key: str, answer: Answer) -> None:
        head = json.dumps({"key": key, "status": answer.status}).encode()
        self._write(self._file(key, "answer"), head + b"\n" + answer.body)

    def _file(self, key: str, what: str) -> Path:
        return self.folder / f"{hashlib.sha256(key.encode()).hexdigest()[:40]}.{what}"

    def _write(self, file: Path, content: bytes) -> None:
        if file.exists():
            return
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        unfinished = file.with_name(f"{file.name}.{secrets.token_hex(8)}")
        handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        # A link, not a rename: of two that keep a key at once the first stays.
        with contextlib.suppress(FileExistsError):
            os.link(unfinished, file)
        unfinished.unlink()
        _sync_folder(self.folder)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@dataclass
class Client:
    """Commands and questions to one gateway; `async with` it.

    Args:
        patience_s: How long an outcome may stay unknown.
        trust_env: Whether a proxy of the environment is used; not to this machine itself.
    """

    gateway_url: str
    sent: Sent
    transport: httpx.AsyncBaseTransport | None = None
    patience_s: float = PATIENCE_S
    trust_env: bool = True
    _http: httpx.AsyncClient = field(init=False)

    async def __aenter__(self) -> "Client":
        self._http = httpx.AsyncClient(
            base_url=self.gateway_url,
            timeout=TIMEOUT_S,
            transport=self.transport,
            trust_env=self.trust_env,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.aclose()

    async def post(self, path: str, document: object, *, key: str, token: Token) -> Any:
        """What the command was answered, now or the first time it was sent.

        Raises:
            Refused: It has no effect.
            OutcomeUnknown: Nobody answered in time.
        """
        request = self.sent.keep(key, path, document)
        answer = self.sent.answer(key)
        if answer is None:
            answer = await self._settled(request.path, lambda: self._send(request, token))
            if answer.status < 400 or answer.status in _DECIDED:
                self.sent.remember(key, answer)
        return answer.document()

    async def get(self, path: str, *, token: Token | None = None) -> Any:
        """What a question is answered.

        Raises:
            Refused: Unknown, or not for this caller.
            OutcomeUnknown: Nobody answered in time.
        """

        async def ask() -> httpx.Response:
            return await self._http.get(path, headers=await _bearer(token))

        return (await self._settled(path, ask)).document()

    async def dev_token(self, claims: Mapping[str, Any]) -> str:
        """A token of the development issuer, which says of a person what the claims say.

        Raises:
            Refused: The house has no such issuer.
            OutcomeUnknown: Nobody answered in time.
        """

        async def ask() -> httpx.Response:
            return await self._http.post("/v1/dev-tokens", json=claims)

        document = (await self._settled("/v1/dev-tokens", ask)).document()
        return str(document["token"])

    async def _send(self, request: Request, token: Token) -> httpx.Response:
        key = quote(request.key, safe=_OF_A_KEY)
        said = {"Idempotency-Key": key, "Content-Type": "application/json"}
        headers = said | await _bearer(token)
        return await self._http.post(request.path, content=request.body, headers=headers)

    async def _settled(self, path: str, ask: Callable[[], Awaitable[httpx.Response]]) -> Answer:
        deadline = time.monotonic() + self.patience_s
        delay_s = FIRST_DELAY_S
        while True:
            wait_s = delay_s
            try:
                response = await ask()
            except httpx.TransportError:
                pass
            else:
                answer = Answer(response.status_code, response.content)
                if not _is_unsettled(answer):
                    return answer
                wait_s = max(delay_s, _retry_after_s(response))
            if time.monotonic() + wait_s > deadline:
                raise OutcomeUnknown(path)
            await asyncio.sleep(wait_s)
            delay_s = min(2 * delay_s, DELAY_S_MAX)


async def _bearer(token: Token | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {await token()}"} if token else {}


def _is_unsettled(answer: Answer) -> bool:
    if answer.status in _UNSETTLED:
        return True
    return answer.status == 409 and b'"IDEMPOTENCY_KEY_IN_FLIGHT"' in answer.body


def _retry_after_s(response: httpx.Response) -> float:
    said = response.headers.get("Retry-After", "")
    return min(int(said), DELAY_S_MAX) if said.isascii() and said.isdigit() else 0.0
