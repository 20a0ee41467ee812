"""Rows 43-48: what a question may hold, on every question the services say they answer."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from fastapi import FastAPI

from builders import Trust
from hostile.house import energy_app, gateway_app, land_app
from hostile.target import Sent
from hostile.wire import answer_to, line_to
from marketkit.db import Database


class Question(NamedTuple):
    """One thing to ask, as somebody who may."""

    app: FastAPI
    template: str
    operation: Any
    token: str

    def at(self, path: str) -> Sent:
        return Sent("GET", path, (("Authorization", f"Bearer {self.token}"),))

    def asking(self, query: str) -> Sent:
        return self.at(f"{self.template.format(**dict.fromkeys(self.ids, 'unknown'))}?{query}")

    @property
    def ids(self) -> list[str]:
        parameters = self.operation.get("parameters", ())
        return [one["name"] for one in parameters if one["in"] == "path"]

    def has(self, name: str) -> bool:
        return any(
            one["name"] == name and one["in"] == "query"
            for one in self.operation.get("parameters", ())
        )


@pytest.fixture
def questions(
    energy_house: Database, gateway_house: Database, kit_house: Database, tmp_path: Path
) -> list[Question]:
    trust = Trust()
    apps = [
        energy_app(energy_house, trust, tmp_path),
        gateway_app(gateway_house, trust, tmp_path),
        land_app(kit_house, trust, tmp_path),
    ]
    return [question for app in apps for question in _questions(app, trust)]


def _questions(app: FastAPI, trust: Trust) -> Iterator[Question]:
    for template, methods in app.openapi()["paths"].items():
        if "get" in methods and not template.endswith("/stream"):
            roles = [role for role in methods["get"]["x-roles"] if role != "anyone"]
            department = methods["get"].get("x-department", "energy")
            token = trust.token(*roles[:1], department=department, uscc="x")
            yield Question(app, template, methods["get"], token)


async def faults(asked: list[tuple[Question, Sent]], status: int, code: str = "") -> list[str]:
    found = []
    for question, sent in asked:
        async with line_to(question.app) as client:
            answer = await answer_to(client, sent)
        if answer.status_code != status or (code and answer.json()["code"] != code):
            found.append(f"{sent.path}: {answer.status_code} {answer.text[:200]}")
    assert asked
    return found


PAGES = ("-1", "0", "1000000000", "1e3", "%D9%A1", "", "x", "1.5", "9" * 5000)
TWICE = ("page=1&page=2", "x=1&x=1", "a=%00", "&".join(f"a{n}=" for n in range(40)))
STRANGE = ("%00", "9223372036854775808", "%D9%A1", "1e3", "%201", "a%0a")
CURSORS = ("x", "AAAA", "1", "a.b", "%F0%9F%98%80", "0" * 900)
DAYS = ("0", "1e12", "2022-02-30", "2022-1-1", "today", "2022-01-01T00:00:00", "")


async def test_45_a_page_that_is_none(questions: list[Question]) -> None:
    asked = [
        (one, one.asking(f"{name}={number}"))
        for one in questions
        for name in ("page", "page_size")
        if one.has(name)
        for number in (*PAGES, "201" if name == "page_size" else "0")
    ]
    assert await faults(asked, 422, "INPUT_INVALID") == []


async def test_46_a_parameter_twice(questions: list[Question]) -> None:
    asked = [(one, one.asking(query)) for one in questions for query in TWICE]
    assert await faults(asked, 400, "QUERY_AMBIGUOUS") == []


async def test_44_an_id_that_is_none(questions: list[Question]) -> None:
    lists = ("/sealed-bids", "/registrations", "/settlements")
    asked = [
        (one, one.at(one.template.format(**dict.fromkeys(one.ids, strange))))
        for one in questions
        if one.ids and not one.template.endswith(lists)
        for strange in STRANGE
    ]
    assert await faults(asked, 404) == []


async def test_47_a_forged_place_in_the_stream(questions: list[Question]) -> None:
    gateway = next(one for one in questions if one.template == "/v1/board/sales")
    asked = [
        (gateway, gateway.at(f"/v1/board/stream?last_event_id={cursor}")) for cursor in CURSORS
    ]
    assert await faults(asked, 400) == []


async def test_48_a_day_that_is_none(questions: list[Question]) -> None:
    said = (("Content-Type", "application/json"),)
    asked = [
        (questions[0], Sent("POST", f"/v1/trials/party.uscc?policy={day}", said, b"{}"))
        for day in DAYS
    ]
    assert await faults(asked, 422, "INPUT_INVALID") == []
