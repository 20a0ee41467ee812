"""Tokens: reliability rows 57-59. Every fault gets one and the same answer."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import OKPKey

from builders import COUNTY, PEOPLE, Trust, a_caller, a_signer, a_uscc, public_key
from marketkit.db import Scope
from marketkit.identity import LIFE_S_MAX, Caller, TokenInvalid, Verifier, mint, service_token
from marketkit.signing import Signer, b64

SERVICE = "/370500/land-index"


@pytest.fixture
def trust() -> Trust:
    return Trust(services={SERVICE: a_signer()})


def private_key(signer: Signer) -> OKPKey:
    raw = b64(signer.private.private_bytes_raw())
    return OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "d": raw, "x": b64(signer.public)})


def a_token(
    signer: Signer, header: dict[str, Any] | None = None, leave_out: str = "", **claims: Any
) -> str:
    """A token signed as it should be; what it says may be anything."""
    now = int(time.time())
    said: dict[str, Any] = {
        "iss": PEOPLE,
        "aud": "yaosu",
        "sub": "person",
        "iat": now,
        "exp": now + 300,
        "jti": "1",
        "roles": ["enterprise"],
    }
    said = {name: value for name, value in (said | claims).items() if name != leave_out}
    heading = {"alg": "Ed25519", "kid": signer.kid, "typ": "at+jwt"} | (header or {})
    return jwt.encode(heading, said, private_key(signer), algorithms=["Ed25519", "EdDSA"])


def raw_token(header: object, payload: object, signature: bytes = b"x") -> str:
    parts = [json.dumps(part).encode() if not isinstance(part, bytes) else part
             for part in (header, payload)]  # fmt: skip
    return ".".join(b64(part) for part in [*parts, signature])


def refused(trust: Trust, token: str) -> None:
    with pytest.raises(TokenInvalid) as raised:
        trust.verifier.caller(token)
    assert (raised.value.status, raised.value.code) == (401, "TOKEN_INVALID")
    assert raised.value.detail == ""


def test_a_good_token_says_who_calls(trust: Trust) -> None:
    uscc = a_uscc(1)
    token = trust.token("enterprise", sub="s", uscc=uscc, region_code=COUNTY)
    assert trust.verifier.caller(token) == Caller(
        f"{PEOPLE}|s", frozenset({"enterprise"}), COUNTY, "", uscc
    )
    with pytest.warns(SecurityWarning):  # its older name, which issuers still use
        older = trust.verifier.caller(a_token(trust.people, {"alg": "EdDSA"}))
    assert older.sub == f"{PEOPLE}|person"
    service = trust.verifier.caller(trust.token_of(SERVICE))
    assert service == Caller(f"{SERVICE}|{SERVICE}", frozenset({"service"}))


NOW = int(time.time())


@pytest.fixture(autouse=True)
def the_machine_stands_at_now(monkeypatch: pytest.MonkeyPatch) -> None:
    # The claims below are made when the tests are collected, minutes before the last is run.
    monkeypatch.setattr(time, "time", lambda: float(NOW))


WRONG_CLAIMS: dict[str, dict[str, Any]] = {
    "expired": {"iat": NOW - 400, "exp": NOW - 1},
    "not yet": {"nbf": NOW + 120},
    "issued in the future": {"iat": NOW + 120, "exp": NOW + 300},
    "lives too long": {"exp": NOW + LIFE_S_MAX + 60},
    "lived too long": {"iat": NOW - 3600, "exp": NOW + 300},
    "another audience": {"aud": "other"},
    "several audiences": {"aud": ["yaosu", "other"]},
    "an unknown issuer": {"iss": "https://elsewhere.test"},
    "an issuer with a suffix": {"iss": f"{PEOPLE}.evil.test"},
    "an issuer in another case": {"iss": PEOPLE.upper()},
    "no roles": {"roles": []},
    "roles that are no list": {"roles": "enterprise"},
    "a role that is no text": {"roles": [1]},
    "an unknown role": {"roles": ["enterprise", "root"]},
    "the role of a service": {"roles": ["service"]},
    "a key officer with another role": {"roles": ["key_officer", "trading_center"]},
    "times as text": {"exp": str(NOW + 300)},
    "times as fractions": {"exp": NOW + 300.5},
    "times as truth": {"iat": True},
    "a subject that is no text": {"sub": 7},
    "a region that is no text": {"region_code": 370500},
    "a code that is no text": {"uscc": ["x"]},
}


@pytest.mark.parametrize("name", WRONG_CLAIMS)
def test_rows_57_and_59_a_wrong_claim(trust: Trust, name: str) -> None:
    refused(trust, a_token(trust.people, **WRONG_CLAIMS[name]))


@pytest.mark.parametrize("name", ["iss", "aud", "sub", "iat", "exp", "jti", "roles"])
def test_row_57_a_missing_claim(trust: Trust, name: str) -> None:
    refused(trust, a_token(trust.people, leave_out=name))


WRONG_HEADERS: dict[str, dict[str, Any]] = {
    "an id token": {"typ": "JWT"},
    "a refresh token": {"typ": "rt+jwt"},
    "no type": {"typ": None},
    "an unknown key": {"kid": "0000"},
    "a key from a path": {"kid": "../../key"},
    "a key that is a list": {"kid": ["x"]},
    "no key": {"kid": None},
    "what must be understood": {"crit": ["exp"]},
}


@pytest.mark.parametrize("name", WRONG_HEADERS)
def test_rows_58_and_59_a_wrong_header(trust: Trust, name: str) -> None:
    key = private_key(trust.people)
    header = {"alg": "Ed25519", "kid": trust.people.kid, "typ": "at+jwt"} | WRONG_HEADERS[name]
    said = {name: value for name, value in header.items() if value is not None}
    payload = a_token(trust.people).split(".")[1]
    signed = f"{b64(json.dumps(said).encode())}.{payload}"
    signature = trust.people.sign(signed.encode())
    assert key.is_private
    refused(trust, f"{signed}.{b64(signature)}")


def test_row_58_no_algorithm_and_the_public_key_as_a_secret(trust: Trust) -> None:
    good = a_token(trust.people)
    _, payload, _ = good.split(".")
    for alg, typ in (("none", "at+jwt"), ("None", "at+jwt"), ("HS256", "at+jwt")):
        header = b64(json.dumps({"alg": alg, "kid": trust.people.kid, "typ": typ}).encode())
        signed = f"{header}.{payload}".encode()
        macs = [b"", hmac.new(trust.people.public, signed, hashlib.sha256).digest()]
        pem = base64.b64encode(trust.people.public)
        macs.append(hmac.new(pem, signed, hashlib.sha256).digest())
        for mac in macs:
            refused(trust, f"{header}.{payload}.{b64(mac)}")


def test_row_58_a_key_the_token_brings_along(trust: Trust) -> None:
    thief = a_signer()
    for name, value in (
        ("jwk", public_key(thief).as_dict(private=False)),
        ("jku", "https://evil.test/keys"),
        ("x5u", "https://evil.test/cert"),
    ):
        header = {"kid": trust.people.kid, "typ": "at+jwt", "alg": "Ed25519", name: value}
        payload = a_token(trust.people).split(".")[1]
        signed = f"{b64(json.dumps(header).encode())}.{payload}"
        refused(trust, f"{signed}.{b64(thief.sign(signed.encode()))}")


def test_another_issuers_key_is_no_key(trust: Trust) -> None:
    refused(trust, a_token(a_signer()))
    service = trust.services[SERVICE]
    refused(trust, a_token(service))  # says it is the people's issuer
    refused(trust, a_token(service, iss=SERVICE, roles=["trading_center"]))
    refused(trust, a_token(service, iss=SERVICE, roles=["service", "auditor"]))
    refused(trust, a_token(trust.people, iss=SERVICE, roles=["service"]))


GARBAGE: dict[str, Callable[[], str]] = {
    "nothing": lambda: "",
    "no token": lambda: "abc",
    "dots": lambda: "..",
    "many dots": lambda: "." * 10_000,
    "no base64": lambda: "!.!.!",
    "no json": lambda: raw_token(b"{", b"{"),
    "no object": lambda: raw_token([], []),
    "a payload that is a list": lambda: raw_token({"alg": "Ed25519", "typ": "at+jwt"}, []),
    "a payload that is a text": lambda: raw_token({"alg": "Ed25519", "typ": "at+jwt"}, "x"),
    "a payload that is nothing": lambda: raw_token({"alg": "Ed25519", "typ": "at+jwt"}, None),
    "an issuer that is a list": lambda: raw_token(
        {"alg": "Ed25519", "typ": "at+jwt"}, {"iss": [PEOPLE]}
    ),
    "no utf-8": lambda: raw_token({"alg": "Ed25519", "typ": "at+jwt"}, b"\xff\xfe"),
    "without end": lambda: raw_token({"alg": "Ed25519", "typ": "at+jwt"}, b"[" * 100_000),
    "a head without end": lambda: raw_token(b'{"alg":' * 100_000, {}),
    "a large number": lambda: raw_token({"alg": "Ed25519", "typ": "at+jwt"}, b"1" * 10_000),
    "64 kB": lambda: "a" * 65_536,
    "no ascii": lambda: "令牌.令牌.令牌",
}


@pytest.mark.parametrize("name", GARBAGE)
def test_row_60_what_is_no_token_is_refused_alike(trust: Trust, name: str) -> None:
    refused(trust, GARBAGE[name]())


def test_a_changed_bit_is_refused(trust: Trust) -> None:
    header, payload, signature = a_token(trust.people).split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    other = b64(json.dumps(claims | {"roles": ["trading_center"]}).encode())
    refused(trust, f"{header}.{other}.{signature}")
    refused(trust, f"{header}.{payload}.{b64(bytes(64))}")
    refused(trust, f"{header}.{payload}.")


def test_a_token_is_remembered_until_it_expires(
    trust: Trust, monkeypatch: pytest.MonkeyPatch
) -> None:
    verifier = trust.verifier
    token = a_token(trust.people, exp=NOW + 300, iat=NOW)
    caller = verifier.caller(token)
    assert verifier.caller(token) is caller
    monkeypatch.setattr(time, "time", lambda: NOW + 301)
    with pytest.raises(TokenInvalid):
        verifier.caller(token)


def test_who_is_trusted_is_read_from_a_file(trust: Trust, tmp_path: Path) -> None:
    keys = [public_key(trust.people).as_dict(private=False) | {"kid": trust.people.kid}]
    named = tmp_path / "trust.json"
    named.write_text(json.dumps({PEOPLE: {"roles": "people", "keys": keys}}))
    verifier = Verifier.read(named)
    assert verifier.caller(trust.token("witness")).roles == {"witness"}
    with pytest.raises(TokenInvalid):
        verifier.caller(trust.token_of(SERVICE))


def test_two_keys_of_one_issuer_are_good_at_once(trust: Trust) -> None:
    """A key is changed by trusting both for a while."""
    new = a_signer()
    verifier = trust.verifier
    keys = {key.kid: public_key(key) for key in (trust.people, new)}
    verifier = Verifier({PEOPLE: type(verifier.issuers[PEOPLE])("people", keys)})
    for key in (trust.people, new):
        assert verifier.caller(a_token(key)).sub == f"{PEOPLE}|person"


def test_what_we_mint_cannot_be_told_what_it_stands_for(trust: Trust) -> None:
    said = {"sub": "s", "roles": ["auditor"], "exp": 0, "aud": "other", "iss": "other"}
    token = mint(trust.people, PEOPLE, said)
    assert trust.verifier.caller(token).sub == f"{PEOPLE}|s"
    assert service_token(trust.services[SERVICE], SERVICE).count(".") == 2


@pytest.mark.parametrize(
    ("caller", "scope"),
    [
        (a_caller("trading_center"), Scope(region_code="*")),
        (a_caller("county_officer", region_code=COUNTY), Scope(region_code=COUNTY)),
        (a_caller("county_officer", region_code=""), Scope()),
        (a_caller("enterprise", uscc="U", region_code=COUNTY), Scope(uscc="U")),
        (a_caller("enterprise", uscc="U"), Scope(uscc="U")),
        (a_caller("enterprise", uscc=""), Scope()),
        (a_caller("enterprise", "county_officer", uscc="U"), Scope(uscc="U")),
    ],
)
def test_a_caller_sees_its_own(caller: Caller, scope: Scope) -> None:
    assert caller.scope == scope
