"""What must be true of a house however it was treated; each fault found is one line of text.

All of it is said once the house is quiet.
"""

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from lab.coal_stocks import judge_coal
from lab.findings import Findings
from lab.history import Call, History
from lab.house import SOURCES, LabHouse
from lab.pledges import judge_pledges
from lab.tellings import judge_tellings
from marketkit.movements import Leg, Movement, fold
from yaosu.evidence.check import check
from yaosu.evidence.collect import Asker, CannotExport, export

CONVERGED_S_MAX = 30.0
# What `yaosu verify` says that it has followed from the chains' beginning.
CHAINED = re.compile(r"(\d+) 个事件")
# What each kind of call brings into being: where it stands, and the answer's field that names it.
EFFECTS = {
    "draft": ("SELECT id FROM sale", "sale_id"),
    "register": ("SELECT id FROM registration", "registration_id"),
    "bid": ("SELECT id FROM sealed_bid", "receipt_id"),
    "issue-request": ("SELECT id FROM request WHERE kind = 'ISSUE'", "request_id"),
    "issue-confirm": ("SELECT id FROM lot WHERE origin_kind = 'ISSUE'", "lot"),
    "opening-request": ("SELECT id FROM request WHERE kind = 'sale.opening'", "request_id"),
    "opening-confirm": ("SELECT id FROM opening", "opening_id"),
    "shutdown": ("SELECT id FROM shutdown", "shutdown_id"),
    "pledge": ("SELECT id FROM pledge", "pledge_id"),
}


@dataclass
class Judge:
    """Everything that can be said once the house is quiet."""

    house: LabHouse
    history: History
    findings: Findings

    async def until_converged(self) -> float:
        """Return when told, kept and shown are one; how long it took, or a fault if it does not."""
        began = time.monotonic()
        difference = "not looked at"
        while time.monotonic() - began < CONVERGED_S_MAX:
            try:
                difference = await asyncio.to_thread(self._difference)
            except psycopg.OperationalError as error:
                difference = f"no database: {error}"
            if not difference:
                break
            await asyncio.sleep(0.3)
        if difference:
            self.findings.fault("G3", f"not converged in {CONVERGED_S_MAX:.0f} s: {difference}")
        return time.monotonic() - began

    def _difference(self) -> str:
        """In what told, kept and shown differ; empty if in nothing."""
        if waiting := self.house.rows("energy", "SELECT count(*) FROM outbox")[0][0]:
            return f"{waiting} told facts have no place"
        told = self._told_holdings()
        kept = self._holdings(
            "energy",
            "SELECT account, asset, lot, posted, held FROM balance b JOIN lot ON lot.id = b.lot",
        )
        shown = self._holdings(
            "gateway",
            "SELECT account, asset, lot, posted_minor, held_minor FROM projection.holding",
        )
        if told != kept:
            return f"told is not kept: {_differing(told, kept)}"
        if told != shown:
            return f"told is not shown: {_differing(told, shown)}"
        states = dict(
            self.house.rows("energy", "SELECT id, state FROM sale WHERE announced_at IS NOT NULL")
        )
        board = dict(self.house.rows("gateway", "SELECT id, state FROM projection.board_sale"))
        if states != board:
            return f"states: {_differing(states, board)}"
        if parked := self.house.rows("gateway", "SELECT count(*) FROM parked")[0][0]:
            return f"{parked} parked"
        heads = self.house.rows("energy", "SELECT partition, sequence FROM partition_head")
        sent = self.house.rows("energy", "SELECT partition, sequence FROM relay_position")
        read = self.house.rows(
            "gateway", "SELECT partition, sequence FROM position WHERE source LIKE '%energy%'"
        )
        if dict(heads) != dict(read):
            return f"read {dict(read)} of {dict(heads)}"
        if dict(heads) != dict(sent):
            return f"sent {dict(sent)} of {dict(heads)}"
        return ""

    async def evidence(self, file: Path) -> None:
        """What `yaosu verify` says of the energy service: chains, holdings, results of sales."""
        asker = Asker(self.house.keys.signer("gateway"), SOURCES["gateway"])
        urls = {"energy": self.house.inner_urls["energy"]}
        told = await asyncio.to_thread(lambda: sum(1 for _ in self.events()))
        deadline = time.monotonic() + CONVERGED_S_MAX
        while True:
            try:
                await export(file, urls, asker)
                break
            except CannotExport as why:
                if time.monotonic() > deadline:
                    self.findings.fault("G14", f"no evidence can be had: {why}")
                    return
            await asyncio.sleep(1.0)
        report = await asyncio.to_thread(check, file)
        sales = [one.seen for one in report.findings if "重算一致" in one.seen]
        chained = [found for one in report.findings if (found := CHAINED.fullmatch(one.seen))]
        verified = sum(int(found[1]) for found in chained)
        self.findings.figures["verified_events"] = verified
        if verified < told:
            self.findings.fault("G14", f"{verified} events were verified of {told}")
        self.findings.figures["verified_results"] = len(sales)
        for finding in report.findings:
            for fault in finding.faults:
                self.findings.fault("G14", f"{finding.what}: {fault}")

    def events(self) -> Iterator[dict[str, Any]]:
        statement = "SELECT event FROM log ORDER BY partition, sequence"
        for (event,) in self.house.rows("energy", statement):
            yield json.loads(bytes(event))

    def _told_holdings(self) -> dict[Any, Any]:
        legs: list[Leg] = [
            Movement.model_validate(said).leg()
            for event in self.events()
            for said in event["data"].get("movements", [])
        ]
        return fold(legs)

    def _holdings(self, name: str, statement: str) -> dict[Any, Any]:
        found = self.house.rows(name, statement)
        return {(a, s, lot): (p, h) for a, s, lot, p, h in found if (p, h) != (0, 0)}

    def judge(self) -> None:
        """Every promise that needs a quiet house."""
        self._answers_stand()
        self._effects_once()
        self._told_once()
        self._refusals_left_nothing()
        judge_pledges(self.house, self._calls(), self.findings)
        judge_coal(self.house, self._calls(), list(self.events()), self.findings)
        judge_tellings(self._calls(), self.events(), self.findings)
        self._closings()
        self._durable()
        for mismatch in self.history.mismatches:
            self.findings.fault("G8", f"a replay is another: {mismatch}")
        for what in self.history.unexpected:
            self.findings.fault("G16", f"500: {what}")

    def _calls(self) -> list[Call]:
        return list(self.history.calls.values())

    def _answers_stand(self) -> None:
        statement = "SELECT principal, key, status, body FROM stored_answer"
        stored = {
            (principal, key): (status, bytes(body))
            for principal, key, status, body in self.house.rows("energy", statement)
        }
        lost = 0
        statement = "SELECT principal, key, status, body FROM stored_answer"
        for principal, key, status, body in self.house.rows("gateway", statement):
            stored[principal, key] = (status, bytes(body))
        for call in self._calls():
            is_of_action = call.is_done or call.status == 409
            if is_of_action and stored.get((call.principal, call.key)) != (
                call.status,
                call.answer,
            ):
                lost += 1
                self.findings.fault("G1", f"answered and not kept: {call.kind} {call.key}")
        self.findings.figures["answered_writes"] = sum(call.is_done for call in self._calls())
        self.findings.figures["answered_writes_lost"] = lost
        self.findings.figures["keys_unknown"] = sum(not call.is_settled for call in self._calls())
        self.findings.figures["unknown_s_max"] = round(self.history.unknown_s_max, 1)
        self.findings.figures["attempts"] = sum(call.tries for call in self._calls())
        for call in self._calls():
            if not call.is_settled:
                self.findings.fault("G1", f"unknown for good: {call.kind} {call.key}")

    def _effects_once(self) -> None:
        twice = 0
        for kind, (statement, name) in EFFECTS.items():
            calls = [call for call in self._calls() if call.kind == kind and call.is_done]
            answered = Counter(call.document()[name] for call in calls)
            kept = {key for (key,) in self.house.rows("energy", statement)}
            for key in answered.keys() - kept:
                self.findings.fault("G1", f"{kind}: {key} was answered and is not there")
            for key in kept - answered.keys():
                twice += 1
                self.findings.fault("G8", f"{kind}: {key} is there and answers no key")
            for key, times in answered.items():
                if times > 1:
                    self.findings.fault("G8", f"{kind}: {key} answers {times} keys")
        self.findings.figures["effects_twice"] = twice

    def _told_once(self) -> None:
        events = list(self.events())
        ids = Counter(event["id"] for event in events)
        for one, times in ids.items():
            if times > 1:
                self.findings.fault("G5", f"event {one} has {times} places")
        placed = Counter(
            event["data"]["receipt_id"]
            for event in events
            if event["type"].endswith(".sealed_bid_placed.v1")
        )
        kept = Counter(key for (key,) in self.house.rows("energy", "SELECT id FROM sealed_bid"))
        if placed != kept:
            self.findings.fault("G3", f"bids told {len(placed)}, kept {len(kept)}")
        self.findings.figures["events"] = len(events)

    def _refusals_left_nothing(self) -> None:
        for what, statement in (
            (
                "a refused announcement left its key",
                "SELECT s.id FROM sale s JOIN sale_officer o ON o.sale_id = s.id "
                "WHERE s.state = 'DRAFT' AND (s.public_key IS NOT NULL "
                "OR o.wrapped_share IS NOT NULL)",
            ),
            (
                "a refused issue left its confirmation",
                "SELECT id FROM request r WHERE kind = 'ISSUE' AND confirmed_at IS NOT NULL AND "
                "NOT EXISTS (SELECT FROM lot WHERE origin_kind = 'ISSUE' AND origin_id = r.id)",
            ),
            (
                "a transfer without movements",
                "SELECT id FROM transfer t WHERE NOT EXISTS "
                "(SELECT FROM movement WHERE transfer_id = t.id)",
            ),
        ):
            for (found,) in self.house.rows("energy", statement):
                self.findings.fault("G8", f"{what}: {found}")

    def _closings(self) -> None:
        late = early = judged = 0
        for call in self._calls():
            if call.kind != "bid" or not call.is_settled or "sale" not in call.facts:
                continue
            judged += 1
            what = _late_or_early(call)
            late += what == "late"
            early += what == "early"
            if what:
                self.findings.fault("G10", f"{what}: {call.key} {call.answer[:120]!r}")
        statement = (
            "SELECT b.id FROM sealed_bid b JOIN sale s ON s.id = b.sale_id "
            "WHERE b.submitted_at >= s.closes_at"
        )
        for (found,) in self.house.rows("energy", statement):
            late += 1
            self.findings.fault("G10", f"late by its own instant: {found}")
        twins = self.house.rows(
            "energy",
            "SELECT sale_id, submitted_at FROM sealed_bid GROUP BY 1, 2 HAVING count(*) > 1",
        )
        for found in twins:
            self.findings.fault("G10", f"two bids at one instant: {found}")
        figures = {"bids_judged": judged, "bids_late_taken": late, "bids_early_refused": early}
        self.findings.figures |= figures

    def _durable(self) -> None:
        for name in ("fsync", "synchronous_commit", "full_page_writes"):
            ((value,),) = self.house.rows("energy", f"SHOW {name}")
            if value != "on":
                self.findings.fault("G2", f"{name} is {value}: an answer is not on disk")


def _late_or_early(call: Call) -> str:
    """Whether a bid was judged on the wrong side of its sale's close, as far as can be known."""
    sale, offset = call.facts["sale"], call.facts["offset"]
    sent_at = datetime.fromtimestamp(call.sent_at, UTC) + offset
    settled_at = datetime.fromtimestamp(call.settled_at, UTC) + offset
    if call.is_done:
        # While its row was held by another over the close, no bid can have had it before.
        was_held = sale.held is not None and sale.held[0] < sent_at < sale.held[1]
        if sent_at >= sale.closes_at or was_held:
            return "late"
    elif call.code == "BIDDING_CLOSED" and settled_at < sale.closes_at - timedelta(milliseconds=1):
        return "early"
    return ""


def _differing(one: dict[Any, Any], other: dict[Any, Any]) -> str:
    places = {place for place in one.keys() | other.keys() if one.get(place) != other.get(place)}
    shown = [(place, one.get(place), other.get(place)) for place in sorted(places)[:3]]
    return f"{len(places)} places, as {shown}"
