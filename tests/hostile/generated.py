"""Requests made from what an application says of itself, right ones and wrong ones.

Schemathesis makes them and judges the answers; here stands who sends them, and what of the world is
mixed in so that they go deep. A new route is attacked by being registered.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import schemathesis
from hypothesis import strategies as st
from schemathesis.core import NotSet
from schemathesis.engine import events, from_schema
from schemathesis.hooks import GLOBAL_HOOK_DISPATCHER

from builders import COUNTY, OTHER_COUNTY, Trust, a_project_code, a_uscc
from marketkit.codes import CITY, COUNTIES
from marketkit.db import new_id
from marketkit.description import KEY
from marketkit.signing import b64, unb64

Bodies = Mapping[str, Sequence[Any]]
WORDS = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=60
)
# Values of the forms that a pattern alone cannot say.
FORMS = {
    "uscc": st.integers(0, 9).map(a_uscc),
    "project-code": st.integers(0, 9).map(a_project_code),
    "county-code": st.sampled_from(sorted(COUNTIES)),
    "decimal": st.integers(1, 20_000).map(str),
    "plain-text": WORDS,
    # What lies out of reach is refused, though the form is right.
    "date-time": st.datetimes(datetime(1902, 1, 2), datetime(2999, 12, 30)).map(
        lambda at: at.replace(tzinfo=UTC).isoformat()
    ),
    "base64url": st.binary(min_size=32, max_size=32).map(b64),
}
UNREAD = {
    "INPUT_INVALID", "UNREADABLE", "QUERY_AMBIGUOUS", "BODY_TOO_LARGE", "MEDIA_TYPE_UNSUPPORTED",
    "IDEMPOTENCY_KEY_MISSING",
}  # fmt: skip
# Whose own a row is: the role, the claim and field that say so, and what all of that role may see.
OWNED = (("county_officer", "region_code", {"", CITY}), ("enterprise", "uscc", {""}))
SAID_MAX = 600


@dataclass(frozen=True)
class Door:
    """One application as its callers find it."""

    name: str
    url: str
    description: dict[str, Any]


@dataclass
class Mixture:
    """What of the world goes into the requests, and whose tokens."""

    trust: Trust
    ids: Mapping[str, Sequence[str]] = field(default_factory=dict)
    bodies: Bodies = field(default_factory=dict)
    tokens: dict[tuple[str, str, int], str] = field(default_factory=dict)

    def token(self, said: Mapping[str, Any], number: int) -> str:
        """A token of each role that may call the operation, in turn, and of three people each."""
        roles = said["x-roles"]
        who = (roles[number % len(roles)], said.get("x-department", "energy"), number // 16 % 3)
        if who not in self.tokens:
            self.tokens[who] = self._mint(*who)
        return self.tokens[who]

    def _mint(self, role: str, department: str, number: int) -> str:
        if role == "service":
            return self.trust.token_of(next(iter(self.trust.services)))
        claims: dict[str, Any] = {
            "bureau_officer": {"department": department},
            "enterprise": {"region_code": "", "uscc": a_uscc(number)},
            "county_officer": {"region_code": (COUNTY, OTHER_COUNTY, COUNTY)[number]},
            "key_officer": {"sub": f"officer-{number}"},
        }.get(role, {})
        return self.trust.token(role, **({"sub": f"{role}-{number}"} | claims))

    def mix_in(self, case: Any) -> None:
        """Ids that are there, keys never used, and bodies that are mostly as the world wants them.

        What was made wrong on purpose is left as it is.
        """
        places = case.meta.components.items() if case.meta else ()
        wrong = {place.value for place, one in places if one.mode.is_negative}
        number = lot(case)
        if "path" not in wrong:
            for name in case.path_parameters:
                known = self.ids.get(name, ())
                if known and number % 4:
                    case.path_parameters[name] = known[number // 4 % len(known)]
        if "header" not in wrong and KEY in (case.headers or {}) and number % 8:
            case.headers[KEY] = new_id()
        if "body" not in wrong and isinstance(case.body, dict) and number % 4:
            case.body = self._body(case, number)

    def _body(self, case: Any, number: int) -> Any:
        known = self.bodies.get(f"{case.method.upper()} {case.operation.path}", ())
        if not known:
            return case.body
        example = known[number // 4 % len(known)]
        kept = {name: value for name, value in case.body.items() if lot(case, name) % 4 == 0}
        return {**example, **kept}


def lot(case: Any, name: str = "") -> int:
    """A number that hangs on the case and nothing else."""
    # Of no body the repr is an address in memory.
    body = None if isinstance(case.body, NotSet) else case.body
    said = repr((case.path_parameters, case.query, body, name))
    return int.from_bytes(sha256(said.encode("utf-8", "surrogatepass")).digest()[:4], "big")


@schemathesis.check
def good_data_is_understood(context: Any, response: Any, case: Any) -> None:
    """What the description allows may be refused by a rule, yet never as malformed."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    body = case.operation.definition.raw.get("requestBody", {}).get("content", {})
    is_open = body.get("application/json", {}).get("schema") == {"type": "object"}
    if is_open or not 400 <= response.status_code < 500:
        return
    said = response.json()
    # What several fields must say together no description tells; such a fault points nowhere.
    blamed = [fault["pointer"] for fault in said.get("errors", ()) if fault["pointer"]]
    is_unread = response.status_code != 422 and said.get("code") in UNREAD
    if is_unread or (blamed and not _has_fraction(case.body)):
        raise AssertionError(f"good data misunderstood: {said['code']} {blamed}")


@schemathesis.check
def nobody_sees_anothers_rows(context: Any, response: Any, case: Any) -> None:
    """Whatever says whose it is, is the caller's own, unless it is there for anyone."""
    is_public = "anyone" in case.operation.definition.raw["x-roles"]
    if is_public or response.status_code >= 300 or not _is_json(response):
        return
    claims = _claims(response.request.headers.get("Authorization", ""))
    for role, name, common in OWNED:
        if role in claims.get("roles", ()):
            foreign = {*_values(response.json(), name)} - {claims[name], *common}
            assert not foreign, f"{role} of {claims[name]} sees {sorted(foreign)[:3]}"


def _claims(authorization: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(unb64(authorization.split(".")[1]))
    except (LookupError, ValueError):
        return {}  # none of ours; that it was let in is another check's fault
    return found


def _is_json(response: Any) -> bool:
    return "json" in str(response.headers.get("content-type", ""))


def _values(said: Any, name: str) -> Iterator[str]:
    """The values under this name, at whatever depth."""
    inner = said.values() if isinstance(said, dict) else said if isinstance(said, list) else ()
    if isinstance(said, dict) and isinstance(said.get(name), str):
        yield said[name]
    for one in inner:
        yield from _values(one, name)


def _has_fraction(value: Any) -> bool:
    # To JSON Schema 1.0 is an integer; here an integer is written as one.
    if isinstance(value, dict | list):
        return any(map(_has_fraction, value.values() if isinstance(value, dict) else value))
    return isinstance(value, float)


@dataclass
class Findings:
    """What came of the requests to one door."""

    door: str
    count: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    # Operations with a 2xx among their answers.
    reached: set[str] = field(default_factory=set)
    faults: dict[str, str] = field(default_factory=dict)

    def line(self) -> str:
        told = " ".join(f"{status}×{count}" for status, count in sorted(self.statuses.items()))
        return f"{self.door}: {self.count} requests, {len(self.faults)} faults; {told}"

    def note(self, recorder: Any) -> None:
        """Count a scenario's requests and keep its first fault of each kind."""
        self.count += len(recorder.interactions)
        for case_id, interaction in recorder.interactions.items():
            if interaction.response is None:
                self.faults.setdefault(f"{recorder.label}: no answer", _shown(interaction))
                continue
            self.statuses[interaction.response.status_code] += 1
            if interaction.response.status_code < 300 and case_id in recorder.cases:
                self.reached.add(recorder.cases[case_id].value.operation.label)
        for case_id, checks in recorder.checks.items():
            shown = _shown(recorder.interactions.get(case_id))
            for check in checks:
                if check.failure_info is not None:
                    failure = check.failure_info.failure
                    kind = f"{failure.operation}: {failure.title}"
                    self.faults.setdefault(kind, f"{failure.message[:SAID_MAX]}\n{shown}")


def _shown(interaction: Any) -> str:
    if interaction is None:
        return ""
    asked, answer = interaction.request, interaction.response
    said = f"{asked.method} {asked.uri} {asked.body!r:.{SAID_MAX}}"
    if answer is None:
        return said
    text = answer.content[:SAID_MAX].decode("utf-8", "replace")
    return f"{said}\n-> {answer.status_code} {text}"


def send_all(door: Door, mixture: Mixture, config: Mapping[str, Any]) -> Findings:
    """Everything made for a door, sent, and what was wrong with the answers."""
    found = Findings(door.name)
    with _mixing(mixture):
        for event in from_schema(_schema(door, mixture, config)).execute():
            if isinstance(event, events.ScenarioFinished):
                found.note(event.recorder)
            elif isinstance(event, events.NonFatalError):
                found.faults[f"{event.label}: {event.value!r}"] = ""
            elif isinstance(event, events.FatalError):
                found.faults[repr(event.exception)] = ""
    return found


@contextmanager
def _mixing(mixture: Mixture) -> Iterator[None]:
    # The only scope that has this hook is the process.
    def before_call(context: Any, case: Any, kwargs: Any) -> None:
        mixture.mix_in(case)

    schemathesis.hook(before_call)
    try:
        yield
    finally:
        GLOBAL_HOOK_DISPATCHER.unregister(before_call)


def _schema(door: Door, mixture: Mixture, config: Mapping[str, Any]) -> Any:
    for name, values in FORMS.items():
        schemathesis.openapi.format(name, values)
    said = schemathesis.Config.from_dict({"base-url": door.url, "warnings": False, **config})
    # It writes the links it infers into what it is given.
    schema = schemathesis.openapi.from_dict(deepcopy(door.description), config=said)

    @schema.auth(refresh_interval=None)
    class Tokens:
        def get(self, case: Any, context: Any) -> str:
            return mixture.token(case.operation.definition.raw, lot(case))

        def set(self, case: Any, data: str, context: Any) -> None:
            case.headers["Authorization"] = f"Bearer {data}"

    return schema
