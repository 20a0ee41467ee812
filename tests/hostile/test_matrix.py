"""Who may what: every endpoint of every service, on both ports, against everyone there may be.

The doors are read from OpenAPI; how far a role reaches behind one stands in `reach.py`.
"""

import asyncio
import json
import re
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from builders import COUNTY, Trust, a_uscc
from databases import PACKAGES, Migrated, Package, fresh, rows
from hostile.examples import ENERGY, GATEWAY, Example
from hostile.house import service
from hostile.reach import REACH, SALE, Reach
from hostile.target import Sent, Target
from hostile.town import MINE, THEIRS, Someone, Town, people
from hostile.wire import answer_to
from marketkit.codes import CITY
from marketkit.db import Scope, new_id
from marketkit.identity import PEOPLE_ROLES
from marketkit.web import METHODS
from told_board import hear
from toys import log_of, sequence_all

# Thousands of cells: seconds alone, minutes where others are at work.
pytestmark = pytest.mark.timeout(600)

KNOWN = PEOPLE_ROLES | {"anyone", "service"}
# Of one county, whatever else they are; a key officer is no region's.
REFUSED_AT_THE_CITY = {"REGION_NOT_ALLOWED", "CITY_OFFICER_REQUIRED"}
EXAMPLES: dict[str, list[Example]] = ENERGY | GATEWAY
OWNERS = {a_uscc(MINE), a_uscc(THEIRS)}
# What is anyone's needs no token and looks at none: a few may stand for all.
PASSERS_BY = {"nobody", "service", f"enterprise {a_uscc(MINE)}", "auditor 370502"}
CLOCK = {"to": "2022-10-17T09:00:00+08:00"}
# An answer that is kept for its key names no trace in its body.
TRACE = re.compile(r'"trace_id":"[0-9a-f]{32}",')


@dataclass(frozen=True)
class Door:
    """One endpoint of one application, as it is declared."""

    app: FastAPI
    name: str
    operation: Any
    town: Town
    trust: Trust
    # One token a person: to sign and to verify one for each cell takes longer than the cell.
    tokens: dict[str, str]

    @property
    def roles(self) -> frozenset[str]:
        return frozenset(self.operation["x-roles"])

    @property
    def is_anyone_s(self) -> bool:
        return "anyone" in self.roles

    @property
    def reach(self) -> Reach:
        return REACH[self.name]

    @property
    def is_command(self) -> bool:
        return not self.name.startswith("GET ")

    def sent(self, who: Someone, object_id: str = "") -> Sent:
        """A request right in form, of this caller; about this object, if it is about one."""
        sent = self._good
        if self.is_command and not self.is_anyone_s:
            sent = sent.with_header("Idempotency-Key", new_id())
        if object_id:
            # What is somebody's is of the sale that was settled.
            template = self.name.partition(" ")[2].replace("{sale_id}", self.town.sale_id)
            sent = replace(sent, path=re.sub(r"{\w+}", object_id, template))
        if who.claims is None:
            return sent.with_header("Authorization")
        if who.name not in self.tokens:
            self.tokens[who.name] = self._token_of(who)
        return sent.with_header("Authorization", f"Bearer {self.tokens[who.name]}")

    @cached_property
    def _good(self) -> Sent:
        return self._command() if self.is_command else self._question()

    def _command(self) -> Sent:
        if self.name == "POST /v1/clock":
            said = (("Content-Type", "application/json"),)
            return Sent("POST", "/v1/clock", said, json.dumps(CLOCK).encode())
        if self.name == "POST /v1/bank-files":
            return Sent("POST", "/v1/bank-files", (("Content-Type", "text/csv"),), b"\xff")
        if self.name == "POST /v1/trials/{name}" and self.name not in _of(self.app):
            return Sent(
                "POST", "/v1/trials/unknown", (("Content-Type", "application/json"),), b"{}"
            )
        example = EXAMPLES[self.name][0]
        target = Target(
            self.app, self.name, example, self.town.world, self.trust, self.operation, {}
        )
        return target.good()

    def _question(self) -> Sent:
        path = self.name.partition(" ")[2].replace("{sale_id}", self.town.sale_id)
        # A stream would last: an id of nobody's ends it at once.
        ends = {"/v1/board/stream": "?last_event_id=x", "/v1/events": "?partition=0&from=1"}
        return Sent("GET", re.sub(r"{\w+}", "unknown", path) + ends.get(path, ""))

    def _token_of(self, who: Someone) -> str:
        claims = dict(who.claims or {})
        roles = claims.pop("roles")
        if roles == ["service"]:
            return self.trust.token_of(self.town.world.house.source)
        return self.trust.token(*roles, **claims)


def _of(app: FastAPI) -> dict[str, list[Example]]:
    return ENERGY if app.title.startswith("energy") else {}


class Verdict(NamedTuple):
    """What a caller must be told at a door; no status: whatever the door's own rules say."""

    status: int = 0
    codes: frozenset[str] = frozenset()


IN = Verdict()
NOBODY = Verdict(401, frozenset({"UNAUTHENTICATED"}))
WRONG_ROLE = Verdict(403, frozenset({"ROLE_NOT_ALLOWED"}))
WRONG_REGION = Verdict(403, frozenset(REFUSED_AT_THE_CITY))
NO_COUNTY = Verdict(403, frozenset({"NO_COUNTY", "COUNTY_REPORTER_REQUIRED"}))


def verdict(door: Door, who: Someone) -> Verdict:
    """What the declaration says of a caller."""
    if door.is_anyone_s:
        return IN
    if who.claims is None:
        return NOBODY
    held = who.roles & door.roles
    department = door.operation.get("x-department")
    if held == {"bureau_officer"} and department and who.department != department:
        held = frozenset()
    if not held:
        return WRONG_ROLE
    reach = door.reach
    if reach.kind == "city" and who.region_code != CITY and not held & reach.beyond:
        return WRONG_REGION
    if reach.kind == "county" and who.region_code in {CITY, ""}:
        return NO_COUNTY
    return IN


@pytest.fixture(scope="module")
async def doors(
    migrated: Callable[[Package], Migrated], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[list[Door]]:
    """Every endpoint of every service, on its public and its inner port."""
    trust, keys = Trust(), tmp_path_factory.mktemp("keys")
    async with AsyncExitStack() as open_houses:
        houses = [await open_houses.enter_async_context(fresh(migrated(one))) for one in PACKAGES]
        trust.services.update({house.source: house.signer for house in houses})
        town, tokens = await Town.of(houses[0], trust), dict[str, str]()
        await sequence_all(houses[0])
        await hear(houses[-1], [one for log in (await log_of(houses[0])).values() for one in log])
        yield [
            Door(app, f"{method.upper()} {path}", operation, town, trust, tokens)
            for package, house in zip(PACKAGES, houses, strict=True)
            for app in service(package.name, house, trust, keys, requests_per_s=1_000_000)
            for path, methods in app.openapi()["paths"].items()
            for method, operation in methods.items()
        ]


@pytest.fixture(scope="module")
async def clients(doors: list[Door]) -> AsyncIterator[dict[int, httpx.AsyncClient]]:
    async with AsyncExitStack() as stack:
        found = {}
        for door in doors:
            if id(door.app) not in found:
                transport = httpx.ASGITransport(door.app, raise_app_exceptions=False)
                client = httpx.AsyncClient(transport=transport, base_url="http://test")
                found[id(door.app)] = await stack.enter_async_context(client)
        yield found


def _routes(routes: Any) -> Iterator[Any]:
    for route in routes:
        inside = getattr(route, "original_router", None)
        yield from _routes(inside.routes) if inside else [route]


def test_every_endpoint_says_who_may(doors: list[Door]) -> None:
    """In OpenAPI or not: what does not say so is one of the inner port's documents."""
    silent = {
        route.path
        for app in {id(door.app): door.app for door in doors}.values()
        for route in _routes(app.routes)
        if not isinstance(route, APIRoute)
        or not {"x-roles", "x-public"} <= (route.openapi_extra or {}).keys()
        or not set((route.openapi_extra or {})["x-roles"]) <= KNOWN
    }
    assert silent == {"/docs/assets", "/openapi.json", "/docs"}


def test_every_endpoint_has_its_line(doors: list[Door]) -> None:
    assert {door.name for door in doors if not door.is_anyone_s} == REACH.keys()
    for door in doors:
        is_inner = {"anyone", "service"} >= door.roles and door.operation["x-public"] is False
        assert door.operation["x-public"] or is_inner, door.name


def bare(answer: httpx.Response) -> tuple[int, str]:
    """What is answered, but for its trace."""
    return answer.status_code, TRACE.sub("", answer.text)


def wrong(said: Verdict, answer: httpx.Response) -> str:
    """What is wrong with an answer; nothing, if it is the verdict's."""
    status = answer.status_code
    if said.status:
        code = answer.json().get("code") if status >= 400 else ""
        is_right = status == said.status and code in said.codes
        return "" if is_right else f"{status} {answer.text[:160]}"
    is_right = status not in {401, 403, 405} and (status < 500 or _is_forwarded(answer))
    return "" if is_right else f"{status} {answer.text[:160]}"


def _is_forwarded(answer: httpx.Response) -> bool:
    # The service behind this gateway does not answer; its door is open all the same.
    return answer.status_code == 503 and answer.request.url.path.startswith("/v1/trials/")


async def answered(client: httpx.AsyncClient, sent: Sent) -> httpx.Response:
    """The answer; Busy is none, so the same is sent again, with its key."""
    for _ in range(40):
        answer = await answer_to(client, sent)
        if answer.status_code != 503 or _is_forwarded(answer):
            break
        await asyncio.sleep(0.05)
    return answer


async def effects(doors: list[Door]) -> list[int]:
    counted = "SELECT (SELECT count(*) FROM outbox) + (SELECT count(*) FROM request) AS n"
    return [(await rows(doors[0].town.world.house, counted))[0].n]


async def faults_of(
    clients: dict[int, httpx.AsyncClient], cells: list[tuple[Door, Someone, Verdict]]
) -> list[str]:
    found = []
    for door, who, said in cells:
        answer = await answered(clients[id(door.app)], door.sent(who))
        if fault := wrong(said, answer):
            found.append(f"{door.app.title} {door.name} as {who.name}: {fault}")
    return found


async def test_whoever_may_not_is_refused_alike_and_changes_nothing(
    doors: list[Door], clients: dict[int, httpx.AsyncClient]
) -> None:
    before = await effects(doors)
    said: dict[Verdict, set[tuple[int, str]]] = defaultdict(set)
    faults, counts = [], Counter[str]()
    for door in doors:
        for who in people():
            expected = verdict(door, who)
            if expected == IN:
                continue
            answer = await answered(clients[id(door.app)], door.sent(who))
            said[expected].add(bare(answer))
            counts[door.app.title] += 1
            if fault := wrong(expected, answer):
                faults.append(f"{door.app.title} {door.name} as {who.name}: {fault}")
    assert faults == []
    # One document for all doors, except that energy's own desks and the saleroom have their codes.
    assert {one: len(bodies) for one, bodies in said.items()} == {
        NOBODY: 1, WRONG_ROLE: 1, WRONG_REGION: 2, NO_COUNTY: 2,
    }  # fmt: skip
    assert await effects(doors) == before
    print(f"\nrefused: {counts.total()} cells, {dict(counts)}")


def owned(doors: list[Door], *, with_the_city_s: bool = False) -> list[tuple[Door, Someone]]:
    """The doors of what is somebody's, with everyone of a county or an enterprise who is let in."""
    return [
        (door, who)
        for door in doors
        if not door.is_anyone_s and door.reach.kind == "own"
        for who in people()
        if verdict(door, who) == IN and (with_the_city_s or who.region_code != CITY)
    ]


async def test_what_is_another_s_is_as_unknown_as_what_never_was(
    doors: list[Door], clients: dict[int, httpx.AsyncClient]
) -> None:
    """Row 61: same status, same bytes."""
    before = await effects(doors)
    faults, count = [], 0
    for door, who in owned(doors):
        if not door.reach.of:
            continue
        client, theirs = clients[id(door.app)], door.town.ids_of(who)[1][door.reach.of]
        foreign = bare(await answered(client, door.sent(who, theirs)))
        unknown = bare(await answered(client, door.sent(who, new_id())))
        count += 1
        if foreign != unknown or foreign[0] != 404:
            faults.append(f"{door.name} as {who.name}: {foreign} and not {unknown}")
    assert faults == []
    assert await effects(doors) == before
    print(f"\nanother's: {count} cells")
    assert count > 60


async def test_what_is_one_s_own_is_found(
    doors: list[Door], clients: dict[int, httpx.AsyncClient]
) -> None:
    """Or else the others' would prove nothing: each of the two enterprises reads its own."""
    missing = []
    for door, who in owned(doors):
        if not door.reach.of or door.is_command or who.uscc not in OWNERS:
            continue
        mine = door.town.ids_of(who)[0][door.reach.of]
        answer = await answered(clients[id(door.app)], door.sent(who, mine))
        if answer.status_code != 200:
            missing.append(f"{door.name} as {who.name}: {answer.text[:100]}")
    assert missing == []


async def test_no_list_shows_another_s_rows(
    doors: list[Door], clients: dict[int, httpx.AsyncClient]
) -> None:
    faults, shown = [], set()
    for door, who in owned(doors, with_the_city_s=True):
        if not door.reach.is_list:
            continue
        text = (await answered(clients[id(door.app)], door.sent(who))).text
        mine, theirs = door.town.marks_of(who)
        if any(mark in text for mark in mine):
            shown.add(door.name)
        if who.region_code != CITY and any(mark in text for mark in theirs):
            faults.append(f"{door.name} as {who.name}: {text[:300]}")
    assert faults == []
    # Each shows something to somebody: what the city retained, to the city's officers only.
    assert shown == {name for name, reach in REACH.items() if reach.is_list}


# What row security leaves of a table, by the columns that say whose its rows are.
OWNED_TABLES = """
SELECT c.relname AS name,
    EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'uscc') AS uscc,
    EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'region_code')
        AS region_code
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relrowsecurity AND n.nspname = 'public' ORDER BY 1
"""
# Tables of rows that are somebody's of which this town has none.
EMPTY_HERE = {"bank_file", "bank_file_line", "refund", "rejected_step"}


async def test_the_database_itself_shows_nobody_another_s_rows(doors: list[Door]) -> None:
    """Whatever a question forgets to ask for, and whoever forgets to say who asks."""
    house = doors[0].town.world.house
    scopes = {"uscc": Scope(uscc=a_uscc(MINE)), "region_code": Scope(region_code=COUNTY)}
    owned_tables = await rows(house, OWNED_TABLES)
    assert len(owned_tables) >= 15
    empty = set()
    for table in owned_tables:
        counted = f"SELECT count(*) AS n FROM {table.name}"
        if not (await rows(house, counted))[0].n:
            empty.add(table.name)
        assert (await rows(house, counted, "scoped"))[0].n == 0, table.name
        assert (await rows(house, counted, "scoped", Scope(region_code="370599")))[0].n == 0
        assert (await rows(house, counted, "scoped", Scope(uscc="nobody")))[0].n == 0
        for column, scope in scopes.items():
            if getattr(table, column):
                others = f"{counted} WHERE {column} IS DISTINCT FROM :own"
                own = scope.uscc or scope.region_code
                assert (await rows(house, others, "scoped", scope, own=own))[0].n == 0, table.name
    assert empty == EMPTY_HERE


async def test_whoever_may_is_let_in(
    doors: list[Door], clients: dict[int, httpx.AsyncClient]
) -> None:
    """Last, for these do take effect; what comes of it is the door's own business."""
    cells = [
        (door, who, IN)
        for door in sorted(doors, key=lambda door: door.is_command)
        for who in people()
        if verdict(door, who) == IN and (not door.is_anyone_s or who.name in PASSERS_BY)
    ]
    faults = await faults_of(clients, cells)
    assert faults == []
    print(f"\nlet in: {len(cells)} cells at {len(doors)} doors")


def test_the_methods_are_all_there(doors: list[Door]) -> None:
    assert {door.name.partition(" ")[0] for door in doors} <= set(METHODS)
    assert f"GET {SALE}/registrations" in {door.name for door in doors}
