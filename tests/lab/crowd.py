"""Those who call the house: each call under its key, by any door, until there is an answer."""

import asyncio
import json
import random
import time
from dataclasses import dataclass, field
from typing import Any

import httpx
from joserfc import jwt
from joserfc.jwk import OKPKey

from lab.history import Broken, Call, History
from lab.house import LabHouse
from lab.parts import end
from marketkit.db import new_id
from marketkit.identity import AUDIENCE, LIFE_S_MAX
from marketkit.signing import b64
from yaosu.demo.people import Person
from yaosu.keys import PEOPLE_ISSUER

PATIENCE_S = 60.0
TOKEN_S = 240.0
# Tokens are dated back, so that a process whose clock was set back believes them.
DATED_BACK_S = 150
_UNSETTLED = frozenset({401, 408, 425, 429, 500, 502, 503, 504, 507})


@dataclass
class Crowd:
    """The workload's one client: it doubles, repeats and hangs up, and forgets nothing.

    Args:
        twin_share: How many of the calls go twice at once, by two doors.
        again_share: How many are repeated later, when they were answered already.
        hangup_share: How many are given up before the answer, and sent again.
        doors: Where a call goes and where its twin.
    """

    house: LabHouse
    history: History
    random: random.Random
    twin_share: float = 0.2
    again_share: float = 0.15
    hangup_share: float = 0.05
    doors: tuple[str, str] = ("gateway", "direct")
    _tokens: dict[Person, tuple[float, str]] = field(default_factory=dict)
    _open: set["asyncio.Task[Any]"] = field(default_factory=set)

    async def __aenter__(self) -> "Crowd":
        limits = httpx.Limits(max_connections=200, max_keepalive_connections=50)
        timeout = httpx.Timeout(5.0, connect=2.0)
        self._http = httpx.AsyncClient(timeout=timeout, limits=limits, trust_env=False)
        return self

    async def __aexit__(self, *_: object) -> None:
        await end(self._open)
        await self._http.aclose()

    def token(self, person: Person) -> str:
        renew_at, token = self._tokens.get(person, (0.0, ""))
        if time.monotonic() > renew_at:
            token = self._mint(person.claims)
            self._tokens[person] = (time.monotonic() + TOKEN_S, token)
        return token

    def _mint(self, claims: dict[str, Any]) -> str:
        signer, now = self.house.keys.issuer, int(time.time()) - DATED_BACK_S
        header = {"alg": "Ed25519", "kid": signer.kid, "typ": "at+jwt"}
        stamped = {"iss": PEOPLE_ISSUER, "aud": AUDIENCE, "jti": new_id()}
        times = {"iat": now, "exp": now + LIFE_S_MAX}
        secret = b64(signer.private.private_bytes_raw())
        key = OKPKey.import_key(
            {"kty": "OKP", "crv": "Ed25519", "x": b64(signer.public), "d": secret}
        )
        return jwt.encode(header, {**claims, **stamped, **times}, key, algorithms=["Ed25519"])

    async def do(
        self, kind: str, person: Person, path: str, form: dict[str, Any] | None = None, *, key: str
    ) -> Call:
        """One command, under its key, until it is answered or a minute has gone by.

        Args:
            kind: What the checker knows it by.
            person: Who acts.
            path: The service's own path.
            form: Its content.
            key: Its idempotency key.
        """
        body = json.dumps(form or {}, ensure_ascii=False).encode()
        principal = f"{PEOPLE_ISSUER}|{person.sub}"
        call = self.history.begin(Call(kind, key, principal, path, body))
        doors = self._doors(path)
        attempts = [self._until_settled(call, person, doors[0])]
        if self.random.random() < self.twin_share:
            attempts.append(self._until_settled(call, person, doors[1]))
        await asyncio.gather(*attempts)
        if call.is_settled and self.random.random() < self.again_share:
            self._later(self._repeat(call, person, doors[1]))
        return call

    def _doors(self, path: str) -> list[str]:
        if path.startswith("/v1/replays"):
            return ["board", "board"]
        doors = list(self.doors)
        self.random.shuffle(doors)
        return doors

    def _later(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _repeat(self, call: Call, person: Person, door: str) -> None:
        await asyncio.sleep(self.random.uniform(0.0, 3.0))
        await self._until_settled(call, person, door)

    async def resolve(self, people: dict[str, Person]) -> int:
        """Ask again for everything without an answer; how many stay unknown."""
        if self._open:
            await asyncio.wait(list(self._open), timeout=PATIENCE_S)
        open_calls = [call for call in self.history.calls.values() if not call.is_settled]
        wanted = [
            self._until_settled(call, people[call.principal], self._doors(call.path)[0])
            for call in open_calls
        ]
        await asyncio.gather(*wanted)
        return sum(not call.is_settled for call in open_calls)

    async def _until_settled(self, call: Call, person: Person, door: str) -> None:
        deadline, delay_s = time.monotonic() + PATIENCE_S, 0.1
        while time.monotonic() < deadline:
            answer = await self._once(call, person, door)
            if answer is not None:
                self.history.settle(call, answer.status_code, answer.content)
                return
            await asyncio.sleep(delay_s * self.random.uniform(0.5, 1.0))
            delay_s = min(2 * delay_s, 1.5)

    async def _once(self, call: Call, person: Person, door: str) -> httpx.Response | None:
        headers = {
            "Authorization": f"Bearer {self.token(person)}",
            "Idempotency-Key": call.key,
            "Content-Type": "application/json",
        }
        self.history.invoke(call)
        gives_up = self.random.random() < self.hangup_share
        timeout = httpx.Timeout(0.03) if gives_up else httpx.USE_CLIENT_DEFAULT
        try:
            answer = await self._http.post(
                self._url(door, call.path), content=call.body, headers=headers, timeout=timeout
            )
        except httpx.HTTPError as error:
            self.history.unknown(call, type(error).__name__)
            return None
        return None if self._is_unsettled(call, answer) else answer

    def _is_unsettled(self, call: Call, answer: httpx.Response) -> bool:
        in_flight = answer.status_code == 409 and b'"IDEMPOTENCY_KEY_IN_FLIGHT"' in answer.content
        if answer.status_code not in _UNSETTLED and not in_flight:
            return False
        if answer.status_code == 500:
            said = f"{call.kind} {call.key}: {answer.content[:300]!r}"
            self.history.unexpected.append(said)
        self.history.statuses[answer.status_code] = (
            self.history.statuses.get(answer.status_code, 0) + 1
        )
        self.history.unknown(call, str(answer.status_code), answer.content)
        return True

    def _url(self, door: str, path: str) -> str:
        if door == "direct":
            return self.house.direct_url + path
        if door == "board":
            return self.house.gateway_url + path
        return f"{self.house.gateway_url}/v1/energy{path.removeprefix('/v1')}"

    async def see(self, person: Person | None, path: str) -> Any:
        """What must be there, for it was answered.

        Raises:
            Broken: It is not, or nobody answers for a minute.
        """
        try:
            found = await self.ask(person, path)
        except TimeoutError:
            raise Broken("G1", f"no answer in a minute: {path}") from None
        if found is None:
            raise Broken("G1", f"answered and not there: {path}")
        return found

    async def ask(self, person: Person | None, path: str, *, door: str = "direct") -> Any:
        """What a question is answered, asked again while nobody answers; None if refused."""
        deadline, delay_s = time.monotonic() + PATIENCE_S, 0.1
        headers = {"Authorization": f"Bearer {self.token(person)}"} if person else {}
        while time.monotonic() < deadline:
            try:
                answer = await self._http.get(self._url(door, path), headers=headers)
                if answer.status_code not in _UNSETTLED:
                    return answer.json() if answer.is_success else None
            except httpx.HTTPError:
                pass
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, 1.5)
        raise TimeoutError(path)
