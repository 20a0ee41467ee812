"""What must come of a log: folded here by itself, with nothing of the product, and COPYed."""

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from bench.town import superuser
from marketkit.outbox import Placed

Row = tuple[Any, ...]
COLUMNS = {
    "board_account": "source market id owner_kind region_code uscc project_code",
    "board_lot": "source market id asset article document_no origin_kind origin_id "
    "origin_region_code effective_on is_dual_high_barred is_locally_usable needs_city_consent "
    "valid_until_on parent_lot",
    "change": "source partition sequence market kind sale_id changed_at",
    "holding": "source market account asset lot posted_minor held_minor as_of",
}
SHOWN = {"quota.issued", "quota.assigned"}


@dataclass
class Fold:
    """Rows by table; holdings as sums, by account and lot."""

    rows: dict[str, list[Row]] = field(
        default_factory=lambda: {"board_account": [], "board_lot": [], "change": []}
    )
    holdings: dict[tuple[str, ...], tuple[int, int, str]] = field(default_factory=dict)

    def add(self, event: Placed) -> None:
        said = json.loads(event.event)
        _, market, kind = said["type"].removesuffix(".v1").split(".", 2)
        data, at = said["data"], said["time"]
        if kind in {"account.opened", "lot.created"}:
            table, own = ("board_account", "account") if "acc" in kind else ("board_lot", "lot")
            names = COLUMNS[table].split()[3:]
            values = (data[name] for name in names)
            self.rows[table].append((event.source, market, data[own], *values))
        if kind in SHOWN:
            place = (event.source, event.partition, event.sequence)
            self.rows["change"].append((*place, market, kind, "", at))
        for one in data.get("movements", ()):
            where = (event.source, market, one["account"], one["asset"], one["lot"])
            posted, held, as_of = self.holdings.get(where, (0, 0, at))
            posted += int(one["posted"].replace(".", ""))
            held += int(one["held"].replace(".", ""))
            self.holdings[where] = (posted, held, max(as_of, at))

    def tables(self) -> dict[str, list[Row]]:
        return self.rows | {"holding": [(*k, *v) for k, v in self.holdings.items()]}


def folded(events: Iterable[Placed]) -> Fold:
    fold = Fold()
    for event in events:
        fold.add(event)
    return fold


def copied(url: str, fold: Fold) -> tuple[int, float]:
    """COPY the rows into the projection's tables: how many, in how many seconds."""
    tables = fold.tables()
    with superuser(url) as connection, connection.cursor() as cursor:
        began = time.perf_counter()
        for table, rows in tables.items():
            names = ", ".join(COLUMNS[table].split())
            with cursor.copy(f"COPY projection.{table} ({names}) FROM STDIN".encode()) as copy:
                for row in rows:
                    copy.write_row(row)
        return sum(map(len, tables.values())), time.perf_counter() - began
