"""A sale as its events tell it, and its result derived once more from terms, bids and seed."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from contracts import sale as told
from marketkit.facts import Fact
from saleroom.bids.rules import CorrectionNotAccepted
from saleroom.recompute import opening_faults, reason_of, recompute, whole

_FACTS: dict[str, type[Fact]] = {
    fact.kind: fact
    for fact in (
        told.SaleAnnounced,
        told.SaleRegistered,
        told.SaleQualified,
        told.RegistrationWithdrawn,
        told.SaleResumed,
        told.SaleCorrected,
        told.CorrectionAccepted,
        told.SealedBidPlaced,
        told.SealedBidWithdrawn,
        told.BidsRevealed,
        told.SaleOpened,
        told.SaleCleared,
        told.SaleFailed,
    )
}


@dataclass
class Story:
    """What was told of one sale, in the order of the chain."""

    source: str
    sale_id: str
    announced: told.SaleAnnounced | None = None
    timetable: told.Timetable | None = None
    # Receipt → commitment, replaced and withdrawn bids too.
    commitments: dict[str, str] = field(default_factory=dict)
    withdrawn: set[str] = field(default_factory=set)
    # The last correction of the notice, and by registration the last one accepted.
    correction: int = 0
    accepted: dict[str, int] = field(default_factory=dict)
    qualified: set[str] = field(default_factory=set)
    parts: list[told.BidsRevealed] = field(default_factory=list)
    opened: told.SaleOpened | None = None
    cleared_parts: list[told.SaleCleared] = field(default_factory=list)
    failed: told.SaleFailed | None = None

    @property
    def bids(self) -> list[told.RevealedBid]:
        return [bid for part in self.parts for bid in part.bids]

    @property
    def cleared(self) -> told.SaleCleared | None:
        return whole(self.cleared_parts) if self.cleared_parts else None

    def take(self, fact: Fact) -> None:
        match fact:
            case told.SealedBidPlaced():
                self.commitments[fact.receipt_id] = fact.commitment
            case told.SealedBidWithdrawn():
                self.withdrawn.add(fact.receipt_id)
            case told.BidsRevealed():
                self.parts.append(fact)
            case told.SaleCleared():
                self.cleared_parts.append(fact)
            case _:
                self._take_step(fact)

    def _take_step(self, fact: Fact) -> None:
        match fact:
            case told.SaleAnnounced():
                self.announced, self.timetable = fact, fact.timetable
            case told.SaleResumed() | told.SaleCorrected():
                self._take_change(fact)
            case told.SaleOpened():
                self.opened = fact
            case told.SaleFailed():
                self.failed = fact
            case _:
                self._take_entrant(fact)

    def _take_entrant(self, fact: Fact) -> None:
        match fact:
            case told.SaleRegistered():
                self.accepted[fact.registration_id] = self.correction
            case told.CorrectionAccepted():
                self.accepted[fact.registration_id] = fact.correction
            case told.SaleQualified(verdict="QUALIFIED"):
                self.qualified.add(fact.registration_id)
            case told.RegistrationWithdrawn():
                self.qualified.discard(fact.registration_id)

    def _take_change(self, fact: told.SaleResumed | told.SaleCorrected) -> None:
        self.timetable = fact.timetable
        if isinstance(fact, told.SaleCorrected):
            self.correction = fact.correction

    def has_accepted(self, bid: told.RevealedBid) -> bool:
        """Whether its bidder entered after the last correction of the notice, or accepted it."""
        return self.accepted.get(bid.registration_id, 0) == self.correction

    def document(self) -> dict[str, Any]:
        """The sale for a reader: terms, bids, seed and result."""
        announced = self.announced.model_dump(mode="json") if self.announced else {}
        opened, cleared, timetable = self.opened, self.cleared, self.timetable
        return {
            "sale_id": self.sale_id,
            "source": self.source,
            "title": announced.get("title"),
            "terms": announced.get("terms"),
            "timetable": timetable.model_dump(mode="json") if timetable else None,
            "key": announced.get("key"),
            "commitments": [
                {"receipt_id": receipt, "commitment": commitment}
                for receipt, commitment in self.commitments.items()
            ],
            "bids": [bid.model_dump(mode="json") for bid in self.bids],
            "draw_secret": opened.draw_secret if opened else None,
            "seed": opened.seed if opened else None,
            "result": cleared.model_dump(mode="json") if cleared else None,
            "failed": self.failed.reason if self.failed else None,
        }


@dataclass
class Stories:
    """The sales of all services, by source and sale."""

    by_sale: dict[tuple[str, str], Story] = field(default_factory=dict)

    def take(self, source: str, kind: str, event: dict[str, Any]) -> None:
        """Note one event if it is of a sale.

        Raises:
            ValueError: It cannot be read.
        """
        form = _FACTS.get(kind)
        if form is None:
            return
        place = (source, str(event["partitionkey"]))
        story = self.by_sale.setdefault(place, Story(*place))
        story.take(form.model_validate(event["data"]))

    def told(self) -> Iterator[Story]:
        """Sales that were announced, by id."""
        found = (story for story in self.by_sale.values() if story.announced)
        return iter(sorted(found, key=lambda story: story.sale_id))


def faults_of(story: Story) -> Iterator[str]:
    """What of an opened sale does not follow from what was told of it; nothing if all does."""
    announced, opened = story.announced, story.opened
    assert announced is not None
    if opened is None:
        if story.cleared_parts:
            yield "未开标而有成交结果"
        return
    faults = list(opening_faults(announced, story.commitments, opened, story.parts))
    faults += [
        f"报价 {bid.receipt_id} 已撤回，不应公布"
        for bid in story.bids
        if bid.receipt_id in story.withdrawn
    ]
    faults += _faults_of_bidders(story)
    yield from faults
    cleared = story.cleared
    if cleared is None or faults:
        return
    parts = [part.part for part in story.cleared_parts]
    if parts != list(range(1, story.cleared_parts[0].part_count + 1)):
        yield "成交结果不全"
    derived = recompute(announced, opened, story.parts)
    yield from _differences(derived, cleared)
    reason = reason_of(announced.terms, derived, story.bids)
    if reason != (story.failed.reason if story.failed else None):
        yield "流拍与否及其原因与重算的不符"


def _faults_of_bidders(story: Story) -> Iterator[str]:
    for bid in story.bids:
        has_accepted = story.has_accepted(bid)
        if bid.void_code is None and not has_accepted:
            yield f"报价 {bid.receipt_id} 的竞买人未接受变更公告，不应有效"
        elif bid.void_code == CorrectionNotAccepted.code and has_accepted:
            yield f"报价 {bid.receipt_id} 的竞买人已接受变更公告，或并无变更，不应以此判为无效"
        elif bid.void_code == "NOT_QUALIFIED" and bid.registration_id in story.qualified:
            yield f"报价 {bid.receipt_id} 的竞买人已通过资格审查，且未撤回报名，不应以此判为无效"


def _differences(derived: told.SaleCleared, cleared: told.SaleCleared) -> Iterator[str]:
    for fields, what in (
        (("outcome", "clearing_price_yuan"), "成交结果或成交价"),
        (("sold", "unsold", "proceeds_yuan"), "成交量、未成交量或价款"),
        (("awards",), "成交明细"),
        (("rejected",), "无效报价明细"),
    ):
        if any(getattr(derived, name) != getattr(cleared, name) for name in fields):
            yield f"{what}与重算的不符"
