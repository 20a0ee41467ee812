"""The energy bureau's desk in tests: its features behind HTTP, and what people send to it."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from builders import COUNTY, a_client, a_key, a_project_code, a_uscc
from builders import Trust as Issuers
from databases import rows
from energy_trade.accounts.routes import routes as accounts
from energy_trade.coal_stocks.routes import routes as coal_stocks
from energy_trade.issues.routes import routes as issues
from energy_trade.pledges.routes import routes as pledges
from energy_trade.pool.routes import routes as pool
from energy_trade.reversals.routes import routes as reversals
from energy_trade.shutdowns.routes import routes as shutdowns
from energy_trade.units.routes import routes as units
from marketkit.codes import CITY, PROVINCE
from marketkit.db import Database
from marketkit.ledger import imbalance
from marketkit.web import create_app

Claims = dict[str, Any]
DOCUMENT = "东发改〔2022〕1号"


def an_officer(sub: str = "first", **claims: Any) -> Claims:
    """A bureau officer of the energy department, of the whole city."""
    return {"roles": ["bureau_officer"], "sub": sub, "department": "energy"} | claims


def a_reader(role: str, **claims: Any) -> Claims:
    return {"roles": [role], "sub": f"{role}-1"} | claims


FIRST, SECOND = an_officer(), an_officer("second")


@dataclass
class Office:
    """An application of energy-trade's own features; everyone's commands and questions to it."""

    house: Database
    issuers: Issuers = field(default_factory=Issuers)

    def __post_init__(self) -> None:
        phases = (accounts, issues, reversals, pool, units, shutdowns, pledges, coal_stocks)
        routers = [routes() for routes in phases]
        self.app = create_app(self.house, self.issuers.verifier, "energy", routers)

    def client(self, who: Claims | None) -> httpx.AsyncClient:
        if who is None:
            return a_client(self.app)
        said = dict(who)
        return a_client(self.app, self.issuers.token(*said.pop("roles"), **said))

    async def send(
        self, path: str, body: Any = None, who: Claims | None = FIRST, key: str = ""
    ) -> httpx.Response:
        """The answer to a command; Busy is no answer, so it is sent again with the same key."""
        headers = {"Idempotency-Key": key} if key else a_key()
        async with self.client(who) as client:
            for _ in range(40):
                answer = await client.post(f"/v1/{path}", json=body, headers=headers)
                if answer.status_code != 503:
                    break
                await asyncio.sleep(0.05)
        return answer

    async def done(self, path: str, body: Any = None, who: Claims | None = FIRST) -> Any:
        """What a command that must take effect answers."""
        answer = await self.send(path, body, who)
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def refused(
        self, path: str, body: Any = None, who: Claims | None = FIRST
    ) -> tuple[int, str]:
        """Status and code of a command that must change nothing."""
        before = await self.events()
        answer = await self.send(path, body, who)
        assert answer.status_code >= 400, answer.text
        assert await self.events() == before
        return answer.status_code, answer.json()["code"]

    async def at_once(self, count: int, path: str, body: Any = None, *, key: str) -> list[int]:
        """The statuses of one command sent several times at once, with one key."""
        sent = [self.send(path, body, SECOND, key) for _ in range(count)]
        return [answer.status_code for answer in await asyncio.gather(*sent)]

    async def ask(self, path: str, who: Claims | None = FIRST) -> httpx.Response:
        async with self.client(who) as client:
            return await client.get(f"/v1/{path}")

    async def told(self, path: str, who: Claims | None = FIRST) -> Any:
        answer = await self.ask(path, who)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def issue(self, **changes: Any) -> Any:
        """An issue asked for by one and confirmed by another."""
        asked = await self.done("issues/requests", an_issue(**changes))
        return await self.done(f"issues/requests/{asked['request_id']}/confirmations", who=SECOND)

    async def fill_pool(self, quantity: str = "780000") -> Any:
        return await self.issue(**pool_terms(quantity))

    async def events(self) -> list[Any]:
        """Every event told, in order."""
        found = await rows(self.house, "SELECT event FROM outbox ORDER BY id")
        return [json.loads(bytes(row.event)) for row in found]

    async def kinds(self) -> list[str]:
        """What was told, without who and where."""
        return [event["type"].split(".", 2)[2].removesuffix(".v1") for event in await self.events()]

    async def holding(self, account: str, asset: str = "ENERGY") -> str:
        """What an account holds of an asset, as the ledger answers."""
        said = await self.told(f"accounts/{account}")
        held = {one["asset"]: one["available"] for one in said["holdings"]}
        return str(held.get(asset, "0.000"))

    async def assert_conserved(self) -> None:
        found = await self.house.run(imbalance, "worker")
        assert found.row_count > 0
        assert set(found.by_asset.values()) == {0}


def an_issue(**changes: Any) -> dict[str, Any]:
    """1,000 tce for the province's store, without restrictions."""
    said: dict[str, Any] = {
        "account_kind": "PROVINCE",
        "region_code": PROVINCE,
        "asset": "ENERGY",
        "quantity": "1000",
        "document_no": DOCUMENT,
        "effective_on": "2022-06-01",
        "article": "art. 5",
        "restrictions": {"is_dual_high_barred": False},
    }
    return said | changes


def pool_terms(quantity: str) -> dict[str, Any]:
    return {
        "account_kind": "POOL",
        "region_code": CITY,
        "quantity": quantity,
        "article": "art. 3",
        "restrictions": {"is_dual_high_barred": True},
    }


def an_assignment(number: int = 0, **changes: Any) -> dict[str, Any]:
    said = {
        "uscc": a_uscc(number),
        "project_code": a_project_code(number),
        "name": f"示例项目{number}",
        "quantity_tce": "1000",
        "region_code": COUNTY,
        "is_dual_high": False,
    }
    return said | changes


def a_batch(
    *assignments: dict[str, Any], batch: str = "2022-1", batch_version: int = 1
) -> dict[str, Any]:
    listed = list(assignments) or [an_assignment()]
    return {"batch": batch, "batch_version": batch_version, "assignments": listed}


def enterprise(number: int = 0) -> str:
    return f"enterprise:{a_uscc(number)}:{a_project_code(number)}"


def a_pledgor(number: int = 0) -> Claims:
    """Someone of an enterprise that holds quota."""
    return a_reader("enterprise", region_code="", uscc=a_uscc(number)) | {"sub": f"person-{number}"}


BANK = a_uscc(900)


def a_bank(number: int = 900) -> Claims:
    return a_reader("creditor", region_code="", uscc=a_uscc(number)) | {"sub": f"bank-{number}"}


def a_pledge(quantity: str = "3000", number: int = 0, **changes: Any) -> dict[str, Any]:
    """Of the enterprise's own project, to the bank."""
    said = {
        "project_code": a_project_code(number),
        "asset": "ENERGY",
        "quantity": quantity,
        "creditor_uscc": BANK,
        "document_no": "质押合同1号",
        "effective_on": "2022-05-20",
    }
    return said | changes


def a_release(quantity: str = "1000", **changes: Any) -> dict[str, Any]:
    said = {"quantity": quantity, "document_no": "解押通知1号", "effective_on": "2022-06-01"}
    return said | changes


A_COUNTY_OFFICER: Claims = a_reader("county_officer", region_code=COUNTY)


def a_stock(number: int = 1, **changes: Any) -> dict[str, Any]:
    """A plant with coal for 19 days."""
    said = {
        "plant_id": f"plant-{number}",
        "name": f"示例电厂{number}",
        "effective_on": "2022-05-31",
        "stock_t": "152000",
        "daily_burn_t": "8000",
    }
    return said | changes


def a_report(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"rows": list(rows) or [a_stock()]}


# Seventeen of 66.8 MW and one of 67.4: 18 units, 1,203 MW.
CAPACITIES: Sequence[str] = ("66.8",) * 17 + ("67.4",)


def a_unit(number: int, capacity_mw: str = "66.8", **changes: Any) -> dict[str, Any]:
    said = {
        "unit_id": f"unit-{number}",
        "name": f"示例机组{number}",
        "region_code": COUNTY,
        "capacity_mw": capacity_mw,
        "retire_by": "2025-12-31",
        "replacement_measure": "由集中供热替代",
    }
    return said | changes


def a_register(*units: dict[str, Any]) -> dict[str, Any]:
    whole = [a_unit(number, capacity) for number, capacity in enumerate(CAPACITIES, 1)]
    return {"units": list(units) or whole}


def a_shutdown(**changes: Any) -> dict[str, Any]:
    """In-city, of 80,000 tce."""
    said = {
        "case": "IN_CITY",
        "name": "示例炼化一套装置",
        "industry": "炼化",
        "region_code": COUNTY,
        "document_no": DOCUMENT,
        "effective_on": "2022-05-20",
        "energy_tce": "80000",
        "coal_t": "0",
    }
    return said | changes
