"""Rows 57-60: credentials that must count for nothing."""

import hashlib
import hmac
import json
import time
from typing import Any

from builders import PEOPLE, a_signer
from hostile.rows import Row, credentials
from hostile.target import Target
from marketkit.db import new_id
from marketkit.identity import AUDIENCE, mint
from marketkit.signing import Signer, b64

NOT_OURS = a_signer()


def signed(target: Target, claims: dict[str, Any], header: dict[str, Any], key: Signer) -> str:
    """A token of any header and claims, truly signed."""
    parts = [b64(json.dumps(part).encode()) for part in (header, claims)]
    text = ".".join(parts)
    return f"{text}.{b64(key.sign(text.encode()))}"


def claims_of(target: Target, **changes: Any) -> dict[str, Any]:
    now = int(time.time())
    said = {"sub": "caller", "region_code": "370500"} | dict(target.example.who)
    stamped = {"iss": PEOPLE, "aud": AUDIENCE, "iat": now, "exp": now + 300, "jti": new_id()}
    return said | stamped | changes


def header_of(target: Target, **changes: Any) -> dict[str, Any]:
    return {"alg": "Ed25519", "kid": target.trust.people.kid, "typ": "at+jwt"} | changes


def claiming(**changes: Any) -> Any:
    return lambda target: signed(
        target, claims_of(target, **changes), header_of(target), target.trust.people
    )


def headed(*, key: Signer | None = None, **changes: Any) -> Any:
    return lambda target: signed(
        target, claims_of(target), header_of(target, **changes), key or target.trust.people
    )


def dated(**shifts: int) -> Any:
    return lambda target: claiming(**{k: int(time.time()) + v for k, v in shifts.items()})(target)


def unsigned(target: Target) -> str:
    parts = [json.dumps(header_of(target, alg="none")), json.dumps(claims_of(target))]
    return ".".join(b64(part.encode()) for part in parts) + "."


def by_public_key(target: Target) -> str:
    parts = [json.dumps(header_of(target, alg="HS256")), json.dumps(claims_of(target))]
    text = ".".join(b64(part.encode()) for part in parts)
    mac = hmac.digest(target.trust.people.public, text.encode(), hashlib.sha256)
    return f"{text}.{b64(mac)}"


def altered(target: Target) -> str:
    head, _, signature = target.token_of(target.example.who).split(".")
    said = b64(json.dumps(claims_of(target, roles=["service"])).encode())
    return f"{head}.{said}.{signature}"


def of_a_service(target: Target) -> str:
    return mint(NOT_OURS, "/370500/land-index", {"sub": "x", "roles": ["service"]})


TOKENS = [
    Row(57, "expired", credentials(dated(iat=-700, exp=-100)), 401, "TOKEN_INVALID"),
    Row(57, "not yet valid", credentials(dated(nbf=200), dated(iat=200)), 401, "TOKEN_INVALID"),
    Row(57, "living too long", credentials(dated(exp=90_000)), 401, "TOKEN_INVALID"),
    Row(57, "another audience", credentials(
        claiming(aud="other"), claiming(aud=[AUDIENCE, "other"]), claiming(aud=None)
    ), 401, "TOKEN_INVALID"),
    Row(57, "another issuer", credentials(
        claiming(iss=PEOPLE + "/"), claiming(iss=PEOPLE + ".evil.test"), claiming(iss=""),
        claiming(iss=["https://people.test"]), of_a_service,
    ), 401, "TOKEN_INVALID"),
    Row(57, "claims of another kind", credentials(
        claiming(sub=1), claiming(roles="trading_center"), claiming(roles=[]),
        claiming(roles=["service"]), claiming(roles=[["trading_center"]]), claiming(exp="never"),
        claiming(exp=True), claiming(region_code=["370500"]),
        claiming(roles=["key_officer", "trading_center"]),
    ), 401, "TOKEN_INVALID"),
    Row(58, "no algorithm", credentials(unsigned), 401, "TOKEN_INVALID"),
    Row(58, "the public key as secret", credentials(by_public_key), 401, "TOKEN_INVALID"),
    Row(58, "another key", credentials(
        headed(kid="../../key"), headed(kid=""), headed(kid=7), headed(kid=["x"]),
        headed(key=NOT_OURS), headed(key=NOT_OURS, kid=NOT_OURS.kid, jku="https://evil.test/k"),
        headed(key=NOT_OURS, jwk={"kty": "OKP", "crv": "Ed25519", "x": b64(NOT_OURS.public)}),
    ), 401, "TOKEN_INVALID"),
    Row(58, "altered", credentials(altered), 401, "TOKEN_INVALID"),
    Row(58, "critical header", credentials(headed(crit=["exp"]), headed(crit=["b64"], b64=False)),
        401, "TOKEN_INVALID"),
    Row(59, "another kind of token", credentials(
        headed(typ="JWT"), headed(typ="rt+jwt"), headed(typ=None), headed(typ=["at+jwt"]),
    ), 401, "TOKEN_INVALID"),
    Row(60, "64 KB", credentials(lambda target: "A" * 65_536, lambda target: "." * 65_536),
        401, "TOKEN_INVALID"),
    Row(60, "no token at all", credentials(
        lambda target: "x", lambda target: "..", lambda target: "a.b.c", lambda target: "令牌",
        lambda target: "e30.e30.e30", lambda target: "W10.W10.W10",
    ), 401),
]  # fmt: skip
