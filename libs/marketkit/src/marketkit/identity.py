"""Who calls: JWTs verified against the issuers an operator trusts, and the roles they carry."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from marketkit.codes import CITY
from marketkit.db import Scope, new_id
from marketkit.errors import DEFECTS, Unauthenticated
from marketkit.signing import Signer, b64, unb64

AUDIENCE = "yaosu"
LIFE_S_MAX = 600
CLOCK_SKEW_S = 30
REMEMBERED_MAX = 4096

PEOPLE_ROLES = frozenset(
    {
        "enterprise", "county_officer", "bureau_officer", "trading_center", "key_officer",
        "witness", "supervisor", "creditor", "county_system",
        "system_admin", "security_admin", "auditor",
    }
)  # fmt: skip
DEPARTMENTS = frozenset(
    {"energy", "environment", "land", "finance", "statistics", "industry", "market"}
)


class TokenInvalid(Unauthenticated):
    title = "访问令牌无效"


@dataclass(frozen=True)
class Caller:
    """A person or system whose token was verified. `sub` is opaque; names are never in tokens."""

    sub: str
    roles: frozenset[str]
    region_code: str = ""
    department: str = ""
    uscc: str = ""

    @property
    def scope(self) -> Scope:
        """What a `scoped` transaction of this caller sees."""
        if self.roles & {"enterprise", "creditor"}:
            return Scope(uscc=self.uscc)
        return Scope(region_code="*" if self.is_citywide else self.region_code)

    @property
    def is_citywide(self) -> bool:
        return self.region_code == CITY


@dataclass(frozen=True)
class Issuer:
    """One issuer an operator trusts: for people, or a service that speaks for itself only."""

    speaks_for: Literal["people", "service"]
    keys: Mapping[str, OKPKey]


@dataclass
class Verifier:
    """Checks tokens by RFC 8725: algorithm and key by our own list, never by the token's word."""

    issuers: Mapping[str, Issuer]
    _remembered: dict[str, tuple[int, Caller]] = field(default_factory=dict)

    @classmethod
    def read(cls, trust_file: Path) -> "Verifier":
        trusted = json.loads(trust_file.read_text("utf-8"))
        return cls(
            {
                name: Issuer(
                    entry["roles"], {key["kid"]: OKPKey.import_key(key) for key in entry["keys"]}
                )
                for name, entry in trusted.items()
            }
        )

    def public_keys(self, issuer: str) -> dict[str, bytes]:
        """By kid, the keys of an issuer that count; none of one we do not know."""
        found = self.issuers.get(issuer)
        return {
            kid: unb64(str(key.as_dict(private=False)["x"]))
            for kid, key in (found.keys if found else {}).items()
        }

    def caller(self, token: str) -> Caller:
        """Who holds this token.

        Raises:
            TokenInvalid: for any fault, with one and the same answer.
        """
        now = int(time.time())
        expires_at, caller = self._remembered.get(token, (0, None))
        if caller is not None and now < expires_at:
            return caller
        claims = self._claims(token, now)
        caller = _caller(claims, self.issuers[claims["iss"]].speaks_for)
        if len(self._remembered) >= REMEMBERED_MAX:
            self._remembered.clear()
        self._remembered[token] = (claims["exp"], caller)
        return caller

    def _claims(self, token: str, now: int) -> dict[str, Any]:
        try:
            claims = jwt.decode(token, self._key_of, algorithms=["EdDSA", "Ed25519"]).claims
        except (JoseError, *DEFECTS):  # whatever a stranger's bytes bring about
            raise TokenInvalid() from None
        wanted = {"iss", "aud", "sub", "iat", "exp", "jti", "roles"}
        times = [claims.get(name) for name in ("iat", "exp", "nbf") if name in claims]
        if (
            not wanted <= claims.keys()
            or not all(type(at) is int for at in times)
            or claims["aud"] != AUDIENCE
            or not isinstance(claims["sub"], str)
            or not now < claims["exp"] <= claims["iat"] + LIFE_S_MAX
            or max(claims["iat"], claims.get("nbf", 0)) > now + CLOCK_SKEW_S
        ):
            raise TokenInvalid()
        return claims

    def _key_of(self, token: Any) -> OKPKey:
        header = token.headers()
        issuer = self.issuers.get(_unverified_issuer(token), None)
        if header.get("typ") != "at+jwt" or issuer is None:
            raise TokenInvalid()
        return issuer.keys[header["kid"]]


def _unverified_issuer(token: Any) -> str:
    # Only selects whose keys are tried; the signature then proves it.
    found = json.loads(token.payload).get("iss")
    return found if isinstance(found, str) else ""


def _caller(claims: Mapping[str, Any], speaks_for: str) -> Caller:
    roles = claims["roles"]
    allowed = PEOPLE_ROLES if speaks_for == "people" else frozenset({"service"})
    texts = [claims.get(name, "") for name in ("region_code", "department", "uscc")]
    if (
        not isinstance(roles, list)
        or not roles
        or not all(isinstance(role, str) and role in allowed for role in roles)
        or not all(isinstance(text, str) for text in texts)
        or ("key_officer" in roles and len(roles) > 1)
    ):
        raise TokenInvalid()
    return Caller(f"{claims['iss']}|{claims['sub']}", frozenset(roles), *texts)


def mint(signer: Signer, issuer: str, claims: Mapping[str, Any], life_s: int = LIFE_S_MAX) -> str:
    """A token of ours: a service's own, or one of the development issuer."""
    now = int(time.time())
    header = {"alg": "Ed25519", "kid": signer.kid, "typ": "at+jwt"}
    stamped = {"iss": issuer, "aud": AUDIENCE, "iat": now, "exp": now + life_s, "jti": new_id()}
    raw = signer.private.private_bytes_raw()
    key = OKPKey.import_key(
        {"kty": "OKP", "crv": "Ed25519", "d": b64(raw), "x": b64(signer.public)}
    )
    return jwt.encode(header, {**claims, **stamped}, key, algorithms=["Ed25519"])


def service_token(signer: Signer, source: str) -> str:
    """The token by which one service reads another's feed."""
    return mint(signer, source, {"sub": source, "roles": ["service"]}, life_s=300)
