"""A command under attack: what a good request of it looks like, and what may be put into it."""

import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import httpx
from fastapi import FastAPI

from builders import Trust, a_key
from hostile.examples import Claims, Example
from hostile.house import World

DECIMAL = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,6})?")
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT.*")
HOLE = "@@hole@@"
METHODS = ("post", "put", "patch", "delete")

Body = bytes | AsyncIterator[bytes]


@dataclass(frozen=True)
class Sent:
    """One request, to the byte."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...] = ()
    body: Body = b""
    # What no answer may repeat.
    secret: str = ""

    def with_header(self, name: str, *values: str) -> "Sent":
        """The request with this header, once for each value given: none takes it away."""
        kept = [one for one in self.headers if one[0].lower() != name.lower()]
        return replace(self, headers=(*kept, *((name, value) for value in values)))

    def url(self) -> httpx.URL:
        return httpx.URL("http://test").copy_with(raw_path=self.path.encode())


class Leaf(NamedTuple):
    """One value in a body: where it stands and what may stand there."""

    place: tuple[str | int, ...]
    kind: str
    places: int

    @property
    def pointer(self) -> str:
        return "".join(f"/{step}" for step in self.place)


@dataclass(frozen=True)
class Target:
    """One command, with one good request of it."""

    app: FastAPI
    name: str
    example: Example
    world: World
    trust: Trust
    operation: Mapping[str, Any]
    schemas: Mapping[str, Any]

    @property
    def is_command(self) -> bool:
        """Whether it needs a key, as all do that are not anyone's."""
        return "anyone" not in self.operation["x-roles"]

    @property
    def template(self) -> str:
        return self.name.partition(" ")[2]

    @property
    def body(self) -> Any:
        return self.example.body(self.world) if self.example.body else None

    @property
    def path(self) -> str:
        return self.template.format(**self.parameters)

    @property
    def parameters(self) -> dict[str, str]:
        names = re.findall(r"{(\w+)}", self.template)
        ids = self.world.ids
        known = {name: ids.get(self.example.ids.get(name, name), "unknown") for name in names}
        return known | self.example.path

    def good(self) -> Sent:
        headers: tuple[tuple[str, str], ...] = ()
        if self.is_command:
            headers += (("Authorization", f"Bearer {self.token_of(self.example.who)}"),)
            headers += tuple(a_key().items())
        sent = Sent(self.name.partition(" ")[0], self.path, headers)
        return self.saying(sent, self.body) if self.example.body else sent

    def token_of(self, who: Claims, **claims: Any) -> str:
        said = who | claims
        return self.trust.token(*said["roles"], **{k: v for k, v in said.items() if k != "roles"})

    def saying(self, sent: Sent, value: Any) -> Sent:
        return self.raw(json.dumps(value).encode(), sent)

    def raw(self, body: Body, sent: Sent | None = None) -> Sent:
        """The good request with this for its body."""
        sent = sent or self.good()
        return replace(sent.with_header("Content-Type", "application/json"), body=body)

    def put(self, place: tuple[str | int, ...], text: str) -> Sent:
        """The good request with this JSON text, whatever it says, at a place of its body."""
        whole = json.dumps(_put(self.body, place, HOLE), ensure_ascii=False)
        return self.raw(whole.replace(f'"{HOLE}"', text, 1).encode("utf-8", "surrogatepass"))

    def leaves(self, *kinds: str) -> list[Leaf]:
        if not self.example.body:
            return []
        content = self.operation["requestBody"]["content"]["application/json"]["schema"]
        found = self._leaves(self.body, content, ())
        return [leaf for leaf in found if leaf.kind in kinds or not kinds]

    def objects(self) -> list[tuple[str | int, ...]]:
        """Where an object stands in the body; where there is no body, the body."""
        return list(_objects(self.body, ())) if self.example.body else []

    def _leaves(
        self, value: Any, schema: Mapping[str, Any], place: tuple[str | int, ...]
    ) -> Iterator[Leaf]:
        schema = self._plain(schema)
        if isinstance(value, dict):
            for name, inner in value.items():
                said = schema.get("properties", {}).get(name, {})
                yield from self._leaves(inner, said, (*place, name))
        elif isinstance(value, list):
            for inner in value[:1]:
                yield from self._leaves(inner, schema.get("items", {}), (*place, 0))
        elif value is not None:
            pattern = str(schema.get("pattern", ""))
            places = re.search(r"\{1,(\d)\}\)\?\$$", pattern)
            yield Leaf(place, _kind(value, schema), int(places[1]) if places else 3)

    def _plain(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        if "anyOf" in schema:
            options = [one for one in schema["anyOf"] if one.get("type") != "null"]
            schema = options[0]
        if "$ref" in schema:
            found: Mapping[str, Any] = self.schemas[schema["$ref"].rpartition("/")[2]]
            return found
        return schema


def _kind(value: Any, schema: Mapping[str, Any]) -> str:
    if isinstance(value, bool):
        return "truth"
    if isinstance(value, int):
        return "integer"
    if "enum" in schema or "const" in schema:
        return "choice"
    if schema:
        forms = {"date-time": "instant", "date": "day"}
        is_decimal = str(schema.get("pattern", "")).startswith("^(0|[1-9]")
        return forms.get(schema.get("format", ""), "decimal" if is_decimal else "text")
    # A trial's body has no schema: the good value shows what belongs there.
    if DECIMAL.fullmatch(value) and "." in value:
        return "decimal"
    return "instant" if INSTANT.fullmatch(value) else "text"


def _objects(value: Any, place: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    if isinstance(value, dict):
        yield place
        for name, inner in value.items():
            yield from _objects(inner, (*place, name))
    elif isinstance(value, list) and value:
        yield from _objects(value[0], (*place, 0))


def _put(value: Any, place: tuple[str | int, ...], new: Any) -> Any:
    if not place:
        return new
    step, rest = place[0], place[1:]
    if isinstance(value, dict):
        return value | {step: _put(value.get(str(step)), rest, new)}
    return [_put(one, rest, new) if at == step else one for at, one in enumerate(value)]


def commands(app: FastAPI) -> dict[str, Mapping[str, Any]]:
    """Every command an application says it has, by method and path."""
    return {
        f"{method.upper()} {path}": operation
        for path, methods in app.openapi()["paths"].items()
        for method, operation in methods.items()
        # What takes a file reads no JSON: its rows stand with its own feature.
        if method in METHODS and "upload" not in operation.get("tags", ())
    }


def targets(
    app: FastAPI, examples: Mapping[str, list[Example]], world: World, trust: Trust
) -> list[Target]:
    schemas = app.openapi().get("components", {}).get("schemas", {})
    return [
        Target(app, name, example, world, trust, operation, schemas)
        for name, operation in commands(app).items()
        for example in examples[name]
    ]
