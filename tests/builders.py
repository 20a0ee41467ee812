"""What tests need many of, each a function that names only what the test is about."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import FastAPI
from joserfc.jwk import OKPKey

from marketkit.codes import CITY
from marketkit.db import Database, Session, new_id
from marketkit.identity import Caller, Issuer, Verifier, mint, service_token
from marketkit.ledger import Account, Booking, Lot, issue, open_account
from marketkit.movements import Leg
from marketkit.signing import Signer, b64

COUNTY = "370502"
OTHER_COUNTY = "370523"
NOON = datetime(2022, 6, 1, 4, tzinfo=UTC)
MAC_KEY = bytes(range(32))
PEOPLE = "https://people.test"
USCC_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"


def a_signer() -> Signer:
    return Signer(Ed25519PrivateKey.generate())


def a_uscc(number: int = 0) -> str:
    """A valid unified social credit code, another one for each number."""
    body = f"91370500{number:09d}"
    weighed = sum(USCC_ALPHABET.index(c) * pow(3, i, 31) for i, c in enumerate(body))
    return body + USCC_ALPHABET[-weighed % 31]


def a_project_code(number: int = 0) -> str:
    return f"2205-{COUNTY}-04-01-{number:06d}"


def a_caller(
    *roles: str,
    sub: str = "caller",
    region_code: str = CITY,
    department: str = "",
    uscc: str = "",
) -> Caller:
    """Who an action is told acts; a trading centre's officer of the city unless said otherwise."""
    held = frozenset(roles or ("trading_center",))
    return Caller(f"{PEOPLE}|{sub}", held, region_code, department, uscc)


def public_key(signer: Signer) -> OKPKey:
    return OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": b64(signer.public)})


@dataclass
class Trust:
    """An issuer of people's tokens, services that speak for themselves, and who believes them."""

    people: Signer = field(default_factory=a_signer)
    services: dict[str, Signer] = field(default_factory=dict)

    @classmethod
    def in_services(cls, *houses: Database) -> "Trust":
        return cls(services={house.source: house.signer for house in houses})

    @property
    def verifier(self) -> Verifier:
        issuers = {PEOPLE: Issuer("people", {self.people.kid: public_key(self.people)})}
        for source, signer in self.services.items():
            issuers[source] = Issuer("service", {signer.kid: public_key(signer)})
        return Verifier(issuers)

    def token(self, *roles: str, sub: str = "caller", **claims: Any) -> str:
        """A person's token; of the whole city unless `region_code` says otherwise."""
        said = {"sub": sub, "roles": list(roles or ("trading_center",)), "region_code": CITY}
        return mint(self.people, PEOPLE, said | claims)

    def token_of(self, source: str) -> str:
        return service_token(self.services[source], source)


def a_client(app: FastAPI, token: str = "", **headers: str) -> httpx.AsyncClient:
    """A client of the application in this process; it raises nothing a real client would not see.

    Close it with `async with`.
    """
    said = {"Authorization": f"Bearer {token}"} if token else {}
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://test", headers=said | headers)


def a_key() -> dict[str, str]:
    """The header of an idempotency key never used before."""
    return {"Idempotency-Key": new_id()}


def a_booking(kind: str = "TEST", key: str = "key-1", **changes: Any) -> Booking:
    said: dict[str, Any] = {
        "kind": kind,
        "key": key,
        "document_no": "东发改〔2022〕1号",
        "effective_on": date(2022, 6, 1),
        "booked_at": NOON,
        "policy_version": "2022-01-01+00000000",
    }
    return Booking(**(said | changes))


def an_account(account_id: str = "city", **changes: Any) -> Account:
    said: dict[str, Any] = {"id": account_id, "owner_kind": "CITY", "region_code": CITY}
    return Account(**(said | changes))


def a_lot(lot_id: str = "", **changes: Any) -> Lot:
    """A lot of energy without restrictions, of the plan's article 4."""
    said: dict[str, Any] = {
        "id": lot_id or new_id(),
        "asset": "ENERGY",
        "article": "art. 4",
        "document_no": "东发改〔2022〕1号",
        "origin_kind": "SHUTDOWN",
        "origin_id": "unit-1",
        "origin_region_code": COUNTY,
        "effective_on": date(2022, 6, 1),
        "is_dual_high_barred": False,
        "is_locally_usable": True,
        "needs_city_consent": False,
    }
    return Lot(**(said | changes))


async def an_issue(
    session: Session,
    quantity_minor: int,
    to_account: str = "city",
    *,
    lot: Lot | None = None,
    booking: Booking | None = None,
) -> list[Leg]:
    """Quota on an account that is opened where it is missing."""
    lot = lot or a_lot()
    issuance = f"issuance:{lot.asset}"
    await open_account(session, an_account(issuance, owner_kind="ISSUANCE", is_issuance=True))
    await open_account(session, an_account(to_account))
    return await issue(session, booking or a_booking("ISSUE"), lot, quantity_minor, to_account)
