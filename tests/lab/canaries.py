"""Prices that nobody may know yet, sought wherever the house writes; found once they are known."""

import asyncio
import os
from collections.abc import Iterator, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psycopg
from psycopg import sql

from lab.findings import Findings, canaries_in
from lab.history import History
from lab.house import LabHouse
from lab.market import LabSale

# Bytes stand in the files as they are; of their digits chance makes prices.
COLUMNS = (
    "SELECT table_schema, table_name, array_agg(column_name::text) FROM information_schema.columns "
    "JOIN information_schema.tables USING (table_schema, table_name) "
    "WHERE table_schema NOT IN ('pg_catalog', 'information_schema') AND data_type <> 'bytea' "
    "AND table_type = 'BASE TABLE' GROUP BY 1, 2"
)


@dataclass
class Canaries:
    """Every file, row, metric and answer of a house, searched for prices."""

    house: LabHouse
    history: History
    findings: Findings
    _rows_missed: list[str] = field(default_factory=list)

    async def before_opening(self, sales: Sequence[LabSale]) -> None:
        """Seek the prices of sales that nobody has opened."""
        secret = {price for sale in sales for price in sale.canaries}
        found = [
            *await asyncio.to_thread(self._in_files, secret),
            *await self._in_rows_at_last(secret),
            *await self._in_metrics(secret),
            *self._in_answers(secret),
        ]
        for place, hit in found:
            self.findings.fault("G9", f"{hit} stands in {place} before the opening")
        self.findings.count("canaries_sought", len(secret))
        self.findings.count("canary_hits", len(found))

    async def once_opened(self, sales: Sequence[LabSale]) -> None:
        """The same looks see what was opened: before, it was not that they could not."""
        known = {price for sale in sales if sale.is_opened for price in sale.canaries}
        files = {hit for _, hit in await asyncio.to_thread(self._in_files, known)}
        rows = {hit for _, hit in await self._in_rows_at_last(known)}
        self.findings.figures["canaries_seen_in_files"] = len(files)
        self.findings.figures["canaries_seen_in_rows"] = len(rows)

    def _in_files(self, secret: Set[str]) -> list[tuple[str, str]]:
        found = []
        for file, content in files_under(self.house.directory):
            if "keys" in file.parts:
                continue
            self.findings.count("bytes_scanned", len(content))
            found += [(file.name, hit) for hit in canaries_in(content, secret)]
        return found

    async def _in_rows_at_last(self, secret: Set[str]) -> list[tuple[str, str]]:
        """What stands in rows, asked again while there is no database."""
        for _ in range(20):
            try:
                return await asyncio.to_thread(lambda: list(self._in_rows(secret)))
            except psycopg.OperationalError:
                await asyncio.sleep(0.5)
        self.findings.count("row_scans_missed")
        return []

    def _in_rows(self, secret: Set[str]) -> Iterator[tuple[str, str]]:
        """Amounts in minor units are numbers, and no text of a file."""
        for service in self.house.services:
            with psycopg.connect(self.house.dsn(service), autocommit=True) as connection:
                for schema, table, columns in connection.execute(COLUMNS.encode()).fetchall():
                    text = sql.SQL(" , ").join(map(sql.Identifier, columns))
                    place = sql.Identifier(schema, table)
                    said = sql.SQL("SELECT concat_ws(' ', {}) FROM {}").format(text, place)
                    for (row,) in connection.execute(said):
                        for hit in canaries_in(row.encode(), secret):
                            yield f"{service}.{schema}.{table}", hit

    async def _in_metrics(self, secret: Set[str]) -> list[tuple[str, str]]:
        found = []
        async with httpx.AsyncClient(timeout=2, trust_env=False) as client:
            for name in self.house.parts:
                try:
                    answer = await client.get(f"{self.house.own_inner_url(name)}/metrics")
                except httpx.HTTPError:
                    # It may be dead at this moment; the next round asks again.
                    self.findings.count("metrics_missed")
                    continue
                self.findings.count("metrics_scanned")
                found += [(f"{name} metrics", hit) for hit in canaries_in(answer.content, secret)]
        return found

    def _in_answers(self, secret: Set[str]) -> list[tuple[str, str]]:
        answers = [(call.kind, call.answer) for call in self.history.calls.values()]
        answers += [("that settled nothing", body) for body in self.history.turned_away]
        return [
            (f"answer {kind}", hit) for kind, body in answers for hit in canaries_in(body, secret)
        ]


def files_under(directory: Path) -> Iterator[tuple[Path, bytes]]:
    """Every file and what it holds; whatever is gone while we look has nothing, no error either."""
    for folder, _, names in os.walk(directory):
        for file in (Path(folder, name) for name in names):
            with suppress(OSError):  # a socket's, too
                yield file, file.read_bytes()
