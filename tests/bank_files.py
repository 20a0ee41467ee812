"""Files of the bank as tests make them, and the counter where they are handed in."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx

from builders import a_client, a_key
from marketkit.db import new_id
from marketkit.units import SHANGHAI, YUAN
from saleroom.entries.actions import RegistrationOut
from saleroom.exports import csv_bytes, xlsx_bytes
from saleroom.statements.rules import HEADER
from toy_market import OPENS, Doors

CSV = "text/csv"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
FILES = "/v1/bank-files"


def said(at: datetime) -> str:
    return at.astimezone(SHANGHAI).strftime("%Y-%m-%d %H:%M:%S")


def a_row(registered: RegistrationOut | None = None, /, **changes: str) -> list[str]:
    """A line of the bank: a participant's deposit as it should be, unless changed."""
    row = dict.fromkeys(HEADER, "")
    row |= {
        "流水号": "S0001",
        "入账时间": said(OPENS),
        "方向": "收",
        "金额": "1.00",
        "对方户名": "某公司",
        "对方账号": "6222000000000000001",
    }
    if registered is not None:
        assert registered.sub_account is not None
        row |= {
            "流水号": f"S-{registered.registration_id}",
            "金额": YUAN.format(registered.deposit_due_yuan),
            "对方户名": registered.name,
            "子账号": registered.sub_account,
        }
    return list((row | changes).values())


def a_csv(*rows: Sequence[str], encoding: Any = "utf-8") -> bytes:
    return csv_bytes([list(HEADER), *rows], encoding)


def an_xlsx(*rows: Sequence[str]) -> bytes:
    return xlsx_bytes([list(HEADER), *rows])


@dataclass
class Counter:
    """Where officers of the trading centre hand in the bank's files, each a file unless keyed."""

    doors: Doors

    async def hand_in(
        self, body: bytes, *, media: str = CSV, token: str = "", key: str = ""
    ) -> httpx.Response:
        headers = {"Idempotency-Key": key} if key else a_key()
        who = token or self.doors.token(
            "trading_center", **({} if key else {"sub": f"caller-{new_id()}"})
        )
        async with a_client(self.doors.app, who, **headers, **{"Content-Type": media}) as client:
            return await client.post(FILES, content=body)

    async def verdicts(self, body: bytes, *, media: str = CSV) -> list[dict[str, Any]]:
        """What the lines of a file are answered, in order."""
        answer = await self.hand_in(body, media=media)
        assert answer.status_code == 202, answer.text
        token = self.doors.token("trading_center")
        found = await self.doors.send("GET", answer.headers["location"], token=token)
        assert found.status_code == 200, found.text
        assert found.json()["is_applied"]
        items: list[dict[str, Any]] = found.json()["items"]
        return items

    async def codes(self, body: bytes, *, media: str = CSV) -> list[str]:
        return [item["code"] for item in await self.verdicts(body, media=media)]
