"""Quota pledged to several creditors at once and let go in parts, and what must stand of it."""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from builders import a_project_code, a_uscc
from lab.findings import Findings
from lab.history import Call
from lab.house import LabHouse
from lab.market import Market
from marketkit.units import TCE
from yaosu.demo.people import Person

CREDITORS = tuple(
    Person(f"creditor-{number}", "creditor", uscc=a_uscc(900 + number)) for number in range(3)
)
DAY = "2022-04-06"


@dataclass
class Pledges:
    """The first enterprise and those who lend to it."""

    market: Market

    async def contend(self, number: int, quantity_tce: str) -> None:
        """More is pledged at once than the account has; what is taken is let go in two parts."""
        wanted = TCE.format(TCE.parse(quantity_tce) * 6 // 10)
        asked = [self._pledge(number, creditor, wanted) for creditor in CREDITORS]
        taken = await asyncio.gather(*asked)
        await asyncio.gather(
            *(
                self._let_go(call, creditor)
                for call, creditor in zip(taken, CREDITORS, strict=True)
                if call.is_done
            )
        )

    async def _pledge(self, number: int, creditor: Person, quantity: str) -> Call:
        form = {
            "project_code": a_project_code(1),
            "asset": "ENERGY",
            "quantity": quantity,
            "creditor_uscc": creditor.uscc,
            "document_no": f"示例抵押〔2022〕{number}号",
            "effective_on": DAY,
        }
        key = f"pledge/{number}/{creditor.sub}"
        return await self.market.do(
            "pledge", self.market.enterprise(1), "/v1/pledges", form, key=key
        )

    async def _let_go(self, pledged: Call, creditor: Person) -> None:
        """Twice two thirds at once, of which one must be refused; then the rest."""
        pledge = pledged.document()
        quantity = TCE.parse(pledge["quantity"])
        most = quantity * 2 // 3
        await asyncio.gather(*(self._release(pledge, creditor, n, most) for n in range(2)))
        await self._release(pledge, creditor, 2, quantity - most)

    async def _release(
        self, pledge: dict[str, Any], creditor: Person, part: int, minor: int
    ) -> None:
        path = f"/v1/pledges/{pledge['pledge_id']}/releases"
        form = {
            "quantity": TCE.format(minor),
            "document_no": f"示例解除〔2022〕{part}号",
            "effective_on": DAY,
        }
        key = f"release/{pledge['pledge_id']}/{part}"
        await self.market.do("release", creditor, path, form, key=key)


KEPT = (
    "SELECT p.id, p.account, p.asset, p.creditor_uscc, p.document_no, p.quantity_minor, "
    "p.remaining_minor, coalesce(sum(r.quantity_minor), 0)::bigint, count(r.id), "
    "coalesce((SELECT sum(h.remaining) FROM hold h WHERE h.key = p.id), 0)::bigint "
    "FROM pledge p LEFT JOIN pledge_release r ON r.pledge_id = p.id GROUP BY p.id"
)


def judge_pledges(house: LabHouse, calls: Sequence[Call], findings: Findings) -> None:
    """Each answered pledge stands as it was answered; each key let go once; the ledger agrees."""
    answered = {
        call.document()["pledge_id"]: call.document()
        for call in calls
        if call.kind == "pledge" and call.is_done
    }
    releases = Counter(
        call.path.split("/")[3] for call in calls if call.kind == "release" and call.is_done
    )
    let_go: Counter[str] = Counter()
    for call in calls:
        if call.kind == "release" and call.is_done:
            let_go[call.path.split("/")[3]] += TCE.parse(json.loads(call.body)["quantity"])
    kept = {row[0]: row[1:] for row in house.rows("energy", KEPT)}
    for one, said in answered.items():
        wanted = (
            *(said[name] for name in ("account", "asset", "creditor_uscc", "document_no")),
            TCE.parse(said["quantity"]),
        )
        if one not in kept or kept[one][:5] != wanted:
            findings.fault("G1", f"pledge {one} was answered and does not stand so")
    for one, (*_, quantity, remaining, released, times, held) in kept.items():
        if (times, released) != (releases[one], let_go[one]):
            findings.fault(
                "G8" if times > releases[one] else "G1",
                f"pledge {one}: {releases[one]} releases of {let_go[one]} were answered, "
                f"{times} of {released} are kept",
            )
        if not quantity - released == remaining == held:
            findings.fault("G7", f"pledge {one}: {quantity} - {released}, {remaining}, held {held}")
    findings.figures["pledges"] = len(answered)
    findings.figures["releases"] = releases.total()
