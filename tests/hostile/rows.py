"""Hostile requests by number: how each is made of a good one, and what must come back.

The numbers are those of the house's table of hostile inputs; one number may have several rows.
"""

import gzip
import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from builders import a_uscc
from hostile.target import Leaf, Sent, Target
from marketkit.guard import BODY_BYTES_MAX
from marketkit.units import MINOR_MAX

Make = Callable[[Target], Iterator[Sent]]


class Row(NamedTuple):
    """One kind of attack; an empty code stands for any."""

    number: int
    name: str
    make: Make
    status: int
    code: str = ""


def put(text: str | Callable[[Leaf], str], *kinds: str) -> Make:
    """A JSON text in place of each value of these kinds, one at a time."""

    def make(target: Target) -> Iterator[Sent]:
        for leaf in target.leaves(*kinds):
            said = text if isinstance(text, str) else text(leaf)
            bare = said.strip('"')
            is_telling = len(bare) > 3 and bare.isascii() and "\\" not in bare
            yield replace(target.put(leaf.place, said), secret=bare[:100] if is_telling else "")

    return make


def anywhere(text: str) -> Make:
    """The same, and as a whole body for a command that has none."""

    def make(target: Target) -> Iterator[Sent]:
        yield from put(text)(target)
        yield target.raw(b'{"x":' + text.encode() + b"}")

    return make


def body(*contents: bytes) -> Make:
    return lambda target: (target.raw(content) for content in contents)


def read_body(*contents: bytes) -> Make:
    """These as the body of a command that has one and reads it against a form."""
    return lambda target: (
        target.raw(content) for content in contents if target.operation.get("requestBody")
    )


def typed(*kinds: str) -> Make:
    """The good body under another media type."""

    def make(target: Target) -> Iterator[Sent]:
        sent = target.good() if target.example.body else target.raw(b"{}")
        return (sent.with_header("Content-Type", *([kind] if kind else [])) for kind in kinds)

    return make


def extra(*names: str) -> Make:
    """A field more than asked for, in every object of the body."""

    def make(target: Target) -> Iterator[Sent]:
        if not target.example.body:
            yield from (target.raw(json.dumps({name: "x1y2z3"}).encode()) for name in names)
        for place in target.objects():
            for name in names:
                if name not in _at(target.body, place):
                    yield replace(target.put((*place, name), '"x1y2z3"'), secret="x1y2z3")

    return make


def _at(value: Any, place: tuple[str | int, ...]) -> Any:
    for step in place:
        value = value[step]
    return value


def twice(target: Target) -> Iterator[Sent]:
    for place in target.objects():
        name, value = next(iter(_at(target.body, place).items()))
        said = json.dumps(value, ensure_ascii=False)
        whole = target.put((*place, name), "@@").body
        assert isinstance(whole, bytes)
        yield target.raw(whole.replace(b"@@", f'{said},"{name}":{said}'.encode(), 1))
    yield target.raw(b'{"count":1,"count":2}')


def finer(leaf: Leaf) -> str:
    return f'"1.{"1" * (leaf.places + 1)}"'


def zero(target: Target) -> Iterator[Sent]:
    for leaf in target.leaves("decimal"):
        if leaf.pointer not in target.example.zeroes:
            yield target.put(leaf.place, '"0"')


def negative(target: Target) -> Iterator[Sent]:
    yield from put('"-1"', "decimal")(target)
    yield from put("-1", "integer")(target)


def gzipped(target: Target) -> Iterator[Sent]:
    for content in (b"{}", b'"' + b"0" * 10_000_000 + b'"'):
        yield target.raw(gzip.compress(content)).with_header("Content-Encoding", "gzip")


MANY = b"[" + b"0," * 10_000_000 + b"0]"


class Drip:
    """A body without a stated length, and how much of it was taken."""

    def __init__(self, size: int) -> None:
        self.taken = 0
        self.size = size

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._chunks()

    async def _chunks(self) -> AsyncIterator[bytes]:
        chunk = b"0" * 65_536
        while self.taken < self.size:
            self.taken += len(chunk)
            yield chunk
        # Nobody may have read so far.
        raise AssertionError(f"{self.taken} bytes of a body were read")


def dripping(target: Target) -> Iterator[Sent]:
    yield target.raw(Drip(8 * BODY_BYTES_MAX)._chunks())


def methods(target: Target) -> Iterator[Sent]:
    for method in ("TRACE", "CONNECT", "FOO", "PUT", "PATCH", "DELETE", "HEAD"):
        yield replace(target.good(), method=method)


def detours(target: Target) -> Iterator[Sent]:
    good = target.good()
    path = good.path
    for found in (
        path + "/%00",
        path.replace("/v1/", "/v1/%2e%2e/v1/", 1),
        path.replace("/v1/", "/v1//", 1),
        path + "/",
        path + "//",
        path + ";a=b",
        path + "%0a",
        path.upper(),
    ):
        yield replace(good, path=found)


STRANGE_IDS = (
    "9223372036854775808", "%D9%A1", "1e3", "%201", "%00", "..", "%ED%A0%80", "'--", "%25",
    "0" * 5000,
)  # fmt: skip


def strange_ids(target: Target) -> Iterator[Sent]:
    """Every id of the path at once: none of them is known."""
    names = target.parameters
    for found in STRANGE_IDS if names else ():
        path = target.template.format(**dict.fromkeys(names, found))
        yield replace(target.good(), path=path)


def query(*said: str) -> Make:
    return lambda target: (replace(target.good(), path=f"{target.path}?{one}") for one in said)


def credentials(*tokens: Callable[[Target], str]) -> Make:
    def make(target: Target) -> Iterator[Sent]:
        if target.is_command:
            for token in tokens:
                said = f"Bearer {token(target)}"
                yield replace(target.good().with_header("Authorization", said), secret=said)

    return make


def headers(name: str, *values: tuple[str, ...]) -> Make:
    """This header given so often, with such values, on commands that need it."""

    def make(target: Target) -> Iterator[Sent]:
        if target.is_command:
            yield from (target.good().with_header(name, *each) for each in values)

    return make


def three_credentials(target: Target) -> Iterator[Sent]:
    if target.is_command:
        said = f"Bearer {target.token_of(target.example.who)}"
        yield target.good().with_header("Authorization", said, said, said)


NAMES = ("region_code", "role", "roles", "status", "state", "price_final", "created_at", "id")
LONG = "长" * 60_000
TEXTS = {
    "zero-width": "一\u200b二",
    "byte order mark": "一\ufeff二",
    "right to left": "一\u202e二",
    "line break": "一\\n二",
    "escape": "一\\u001b[31m二",
    "blank": "  ",
    "private use": "一\ue000二",
}

ROWS: list[Row] = [
    Row(1, "NaN", anywhere("NaN"), 400, "INPUT_INVALID"),
    Row(2, "Infinity", anywhere("Infinity"), 400, "INPUT_INVALID"),
    Row(2, "-Infinity", anywhere("-Infinity"), 400, "INPUT_INVALID"),
    Row(3, "1e400", anywhere("1e400"), 400, "INPUT_INVALID"),
    Row(4, "NaN as text", put('"NaN"', "integer", "decimal"), 422, "INPUT_INVALID"),
    Row(5, "Infinity as text", put('"Infinity"', "integer", "decimal"), 422, "INPUT_INVALID"),
    Row(6, "half a surrogate pair", put('"\\ud800"'), 422, "INPUT_INVALID"),
    Row(7, "NUL", put('"a\\u0000b"'), 422),
    Row(8, "a key twice", twice, 400, "INPUT_INVALID"),
    Row(9, "an unknown field", extra("unasked"), 422, "INPUT_INVALID"),
    Row(10, "true for a number", put("true", "integer", "decimal", "text"), 422, "INPUT_INVALID"),
    Row(11, "text for an integer", put('"7"', "integer", "truth"), 422, "INPUT_INVALID"),
    Row(12, "1.0 for an integer", put("1.0", "integer", "truth"), 422, "INPUT_INVALID"),
    Row(13, "1_000", put('"1_000"', "decimal"), 422, "INPUT_INVALID"),
    Row(14, "a full-width digit", put('"１"', "decimal", "integer"), 422, "INPUT_INVALID"),
    Row(15, "spaces around a number", put('" 5 "', "decimal"), 422, "INPUT_INVALID"),
    Row(16, "1E-400", put('"1E-400"', "decimal"), 422, "INPUT_INVALID"),
    *(
        Row(17, said, put(f'"{said}"', "decimal"), 422, "INPUT_INVALID")
        for said in ("-0", "+5", "007", ".5", "5.", "5,0", "0x1", "")
    ),
    Row(18, "100,000 digits", put(f'"{"9" * 100_000}"', "decimal"), 422, "INPUT_INVALID"),
    Row(18, "100,000 decimals", put(f'"1.{"9" * 100_000}"', "decimal"), 422, "INPUT_INVALID"),
    Row(19, "7 for a quantity", put("7", "decimal"), 422, "INPUT_INVALID"),
    Row(19, "0.1 for a quantity", put("0.1", "decimal"), 422, "INPUT_INVALID"),
    Row(20, "past 2^63", put(f'"{MINOR_MAX + 1}"', "decimal"), 422, "INPUT_INVALID"),
    Row(20, "past 2^31", put(str(2**31), "integer"), 422, "INPUT_INVALID"),
    Row(20, "past 2^63 as integer", put(str(2**63), "integer"), 422, "INPUT_INVALID"),
    Row(21, "5,000 digits", anywhere("9" * 5000), 400, "INPUT_INVALID"),
    Row(22, "nothing of it", zero, 422, "INPUT_INVALID"),
    Row(22, "less than nothing", negative, 422, "INPUT_INVALID"),
    Row(23, "finer than the unit", put(finer, "decimal"), 422, "INPUT_INVALID"),
    Row(24, "100,000 nested", body(b"[" * 100_000, b'{"a":' * 40_000), 400, "INPUT_INVALID"),
    Row(25, "10 million elements", body(MANY), 413, "BODY_TOO_LARGE"),
    Row(26, "no object", read_body(b"null", b"[]", b'"x"', b"1", b" "), 422, "INPUT_INVALID"),
    Row(26, "nothing", read_body(b""), 422, "INPUT_INVALID"),
    Row(26, "not JSON", body(b"{", b"x", b"{}{}", b"{'a':1}"), 400, "INPUT_INVALID"),
    Row(27, "no UTF-8", body(b'{"a":"\xff"}', b'"\xed\xa0\x80"'), 400, "INPUT_INVALID"),
    Row(
        27,
        "byte order mark",
        body("{}".encode("utf-16"), b"\xef\xbb\xbf{}"),
        400,
        "INPUT_INVALID",
    ),
    Row(
        28,
        "another media type",
        typed("text/plain", "", "application/json; charset=gbk", "application/x-json", "*/*"),
        415,
        "MEDIA_TYPE_UNSUPPORTED",
    ),
    Row(29, "compressed", gzipped, 415, "MEDIA_TYPE_UNSUPPORTED"),
    Row(30, "80 MB", body(b'"' + b"0" * 80_000_000 + b'"'), 413, "BODY_TOO_LARGE"),
    Row(30, "no length, no end", dripping, 413, "BODY_TOO_LARGE"),
    Row(41, "another method", methods, 405, "METHOD_NOT_ALLOWED"),
    Row(43, "a detour", detours, 404),
    Row(44, "a strange id", strange_ids, 404),
    Row(46, "a parameter twice", query("a=1&a=2", "policy=1&policy=1"), 400, "QUERY_AMBIGUOUS"),
    Row(46, "33 parameters", query("&".join(f"a{n}=1" for n in range(33))), 400, "QUERY_AMBIGUOUS"),
    *(
        Row(49, said, put(f'"{said}"', "instant"), 422, "INPUT_INVALID")
        for said in (
            "2022-10-17T09:00:00",
            "2022-10-17T24:00:00+08:00",
            "2022-10-17T23:59:60+08:00",
            "9999-12-31T23:59:59-14:00",
            "0001-01-01T00:00:00+14:00",
            "2022-10-17 09:00:00+08:00",
            "2022-10-17T09:00:00+08:00[Asia/Shanghai]",
            "1665968400",
        )
    ),
    Row(49, "an epoch", put("1665968400", "instant", "day"), 422, "INPUT_INVALID"),
    Row(50, "30 February", put('"2022-02-30"', "day"), 422, "INPUT_INVALID"),
    Row(50, "30 February, noon", put('"2022-02-30T12:00:00+08:00"', "instant"), 422),
    Row(50, "day and hour", put('"2022-02-03T00:00:00"', "day"), 422, "INPUT_INVALID"),
    Row(52, "180 KB of text", put(f'"{LONG}"', "text"), 422),
    Row(52, "1 MB of text", put(f'"{LONG * 6}"', "text"), 413, "BODY_TOO_LARGE"),
    *(Row(52, name, put(f'"{said}"', "text"), 422) for name, said in TEXTS.items()),
    # Whose clock says so makes no difference: there is nowhere to say it.
    Row(71, "the sender's clock", extra("submitted_at", "received_at"), 422, "INPUT_INVALID"),
    Row(62, "fields not asked for", extra(*NAMES), 422, "INPUT_INVALID"),
    Row(
        65,
        "a bad idempotency key",
        headers(
            "Idempotency-Key",
            (),
            ("",),
            ("k" * 300,),
            ("a\nb",),
            ("'; DROP TABLE sale; --",),
            ("键",),
            ("one", "two"),
        ),
        400,
        "IDEMPOTENCY_KEY_MISSING",
    ),
    Row(60, "three credentials", three_credentials, 400, "UNREADABLE"),
    Row(57, "no credential", headers("Authorization", (), ("",), ("Bearer",), ("Bearer ",)), 401),
    Row(57, "another scheme", headers("Authorization", ("Basic dTpw",), (a_uscc(1),)), 401),
]
