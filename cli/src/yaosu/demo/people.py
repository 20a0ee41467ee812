"""Who acts in the demonstration: people with tokens of the development issuer."""

import time
from dataclasses import dataclass, field
from typing import Any

from marketkit.codes import CITY
from yaosu.client import Client, Token

# A token lives ten minutes.
RENEW_AFTER_S = 300.0


@dataclass(frozen=True)
class Person:
    """Somebody who may do something, as a token says it: never a name."""

    sub: str
    role: str
    region_code: str = CITY
    department: str = ""
    uscc: str = ""

    @property
    def claims(self) -> dict[str, Any]:
        optional = {"department": self.department, "uscc": self.uscc}
        said = {"sub": self.sub, "roles": [self.role], "region_code": self.region_code}
        return said | {name: value for name, value in optional.items() if value}


CENTER = (Person("center-1", "trading_center"), Person("center-2", "trading_center"))
BUREAU = (
    Person("energy-1", "bureau_officer", department="energy"),
    Person("energy-2", "bureau_officer", department="energy"),
)
KEY_OFFICERS = tuple(Person(f"key-officer-{number}", "key_officer") for number in range(1, 6))


def county(region_code: str) -> Person:
    return Person(f"county-{region_code}", "county_officer", region_code)


def enterprise(uscc: str, region_code: str) -> Person:
    return Person(f"enterprise-{uscc}", "enterprise", region_code, uscc=uscc)


@dataclass
class Desk:
    """Where people sit down to act: each with their token, all by one client."""

    client: Client
    _tokens: dict[str, str] = field(default_factory=dict)
    _renew_at_s: dict[str, float] = field(default_factory=dict)

    def token(self, person: Person) -> Token:
        async def token() -> str:
            if time.monotonic() >= self._renew_at_s.get(person.sub, 0.0):
                self._tokens[person.sub] = await self.client.dev_token(person.claims)
                self._renew_at_s[person.sub] = time.monotonic() + RENEW_AFTER_S
            return self._tokens[person.sub]

        return token

    async def act(
        self, person: Person, path: str, form: dict[str, Any] | None = None, *, key: str
    ) -> dict[str, Any]:
        """What a command of this person is answered; the same key never acts twice."""
        found: dict[str, Any] = await self.client.post(
            path, form or {}, key=f"demo/{key}", token=self.token(person)
        )
        return found

    async def act_by_two(
        self, people: tuple[Person, ...], path: str, form: dict[str, Any] | None = None, *, key: str
    ) -> dict[str, Any]:
        """What one asks for and another confirms is answered."""
        asked = await self.act(people[0], f"{path}/requests", form, key=f"{key}/request")
        confirmations = f"{path}/requests/{asked['request_id']}/confirmations"
        return await self.act(people[1], confirmations, key=f"{key}/confirmation")

    async def ask(self, person: Person, path: str) -> Any:
        return await self.client.get(path, token=self.token(person))
