"""A sale as its events tell it, and its result derived once more from terms, bids and seed."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from contracts import sale as told
from marketkit.facts import Fact
from marketkit.signing import unb64
from marketkit.units import ASSET_UNITS, YUAN, Unit
from saleroom.clearing import Bid, Clearing, Terms, clear
from saleroom.sealing import PLAINTEXT_BYTES, BidVoid, read_bid
from saleroom.shares import draw_seed

_FACTS: dict[str, type[Fact]] = {
    fact.kind: fact
    for fact in (
        told.SaleAnnounced,
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
    # Receipt → commitment, replaced and withdrawn bids too.
    commitments: dict[str, str] = field(default_factory=dict)
    withdrawn: set[str] = field(default_factory=set)
    parts: list[told.BidsRevealed] = field(default_factory=list)
    opened: told.SaleOpened | None = None
    cleared: told.SaleCleared | None = None
    failed: told.SaleFailed | None = None
    faults: list[str] = field(default_factory=list)

    @property
    def bids(self) -> list[told.RevealedBid]:
        return [bid for part in self.parts for bid in part.bids]

    def take(self, fact: Fact) -> None:
        match fact:
            case told.SealedBidPlaced():
                self.commitments[fact.receipt_id] = fact.commitment
            case told.SealedBidWithdrawn():
                self.withdrawn.add(fact.receipt_id)
            case told.BidsRevealed():
                self.parts.append(fact)
            case told.SaleAnnounced():
                self.announced = fact
            case told.SaleOpened():
                self.opened = fact
            case told.SaleCleared():
                self.cleared = fact
            case told.SaleFailed():
                self.failed = fact

    def document(self) -> dict[str, Any]:
        """The sale for a reader: terms, bids, seed and result."""
        opened, result = self.opened, self.cleared or self.failed
        announced = self.announced.model_dump(mode="json") if self.announced else {}
        return {
            "sale_id": self.sale_id,
            "source": self.source,
            "title": announced.get("title"),
            "terms": announced.get("terms"),
            "timetable": announced.get("timetable"),
            "key": announced.get("key"),
            "commitments": [
                {"receipt_id": receipt, "commitment": commitment}
                for receipt, commitment in self.commitments.items()
            ],
            "bids": [bid.model_dump(mode="json") for bid in self.bids],
            "draw_secret": opened.draw_secret if opened else None,
            "seed": opened.seed if opened else None,
            "result": result.model_dump(mode="json") if result else None,
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
        if story.cleared:
            yield "未开标而有成交结果"
        return
    parts = [part.part for part in story.parts]
    if parts != list(range(1, opened.part_count + 1)):
        yield f"公布的报价应有 {opened.part_count} 部分，实有 {parts}"
    secret = bytes.fromhex(opened.draw_secret)
    if sha256(secret).hexdigest() != announced.key.draw_secret_sha256:
        yield "抽签种子的秘密与公告的摘要不符"
    seed = draw_seed(secret, [unb64(one) for one in story.commitments.values()])
    if seed.hex() != opened.seed:
        yield "抽签种子与由承诺值推导的不符"
    yield from _faults_of_bids(story, ASSET_UNITS[announced.terms.asset])
    yield from _faults_of_result(story, seed)


def _faults_of_bids(story: Story, unit: Unit) -> Iterator[str]:
    receipts = [bid.receipt_id for bid in story.bids]
    if len(set(receipts)) != len(receipts):
        yield "同一回执的报价公布了两次"
    for bid in story.bids:
        if story.commitments.get(bid.receipt_id) != bid.commitment:
            yield f"报价 {bid.receipt_id} 的承诺值与截止前记录的不符"
        elif bid.receipt_id in story.withdrawn:
            yield f"报价 {bid.receipt_id} 已撤回，不应公布"
        elif bid.void_code is None and not _steps(bid, unit):
            yield f"报价 {bid.receipt_id} 的明文与承诺值不符"


def _faults_of_result(story: Story, seed: bytes) -> Iterator[str]:
    cleared, failed = story.cleared, story.failed
    if cleared is None and failed is None:
        return
    derived = derive(story, seed)
    if cleared is not None:
        unit = ASSET_UNITS[story.announced.terms.asset] if story.announced else YUAN
        yield from _differences(derived, cleared, unit)
    elif failed is not None and failed.reason in {"NO_AWARD", "UNDERSUBSCRIBED"}:
        expected = {"NO_AWARD": "FAILED", "UNDERSUBSCRIBED": "CANCELLED"}[failed.reason]
        if derived.outcome != expected:
            yield f"结果应为 {derived.outcome}，实为 {failed.reason}"


def derive(story: Story, seed: bytes) -> Clearing:
    """The clearing that follows from the terms, the revealed bids and the seed."""
    assert story.announced is not None
    said = story.announced.terms
    unit = ASSET_UNITS[said.asset]
    limit = said.purchase_limit
    terms = Terms(
        supply_minor=unit.parse(said.supply),
        floor_fen=said.floor_price_yuan,
        lot_minor=unit.parse(said.lot_size),
        unit=unit,
        price_rule=said.price_rule,
        tie_rule=said.tie_rule,
        undersubscribed=said.undersubscribed,
        purchase_limit_minor=unit.parse(limit) if limit is not None else None,
        limits_minor={bid.bidder: unit.parse(bid.quantity_max) for bid in story.bids},
        seed=seed,
    )
    return clear(terms, [bid for told_bid in story.bids for bid in _steps(told_bid, unit)])


def _steps(bid: told.RevealedBid, unit: Unit) -> list[Bid]:
    if bid.void_code is not None or bid.plaintext is None:
        return []
    try:
        steps = read_bid(bid.plaintext.encode().ljust(PLAINTEXT_BYTES), unb64(bid.commitment), unit)
    except BidVoid:
        return []
    return [
        Bid(
            bid_id=f"{bid.receipt_id}-{number}",
            bidder=bid.bidder,
            price_fen=step.price_fen,
            quantity_minor=step.quantity_minor,
            submitted_at=bid.submitted_at,
            min_accept_minor=step.min_accept_minor,
        )
        for number, step in enumerate(steps, 1)
    ]


def _differences(derived: Clearing, cleared: told.SaleCleared, unit: Unit) -> Iterator[str]:
    price_fen = cleared.clearing_price_yuan
    if (derived.outcome, derived.clearing_price_fen) != (cleared.outcome, price_fen):
        yield "成交结果或成交价与重算的不符"
    sums = (unit.parse(cleared.sold), unit.parse(cleared.unsold), cleared.proceeds_yuan)
    if sums != (derived.sold_minor, derived.unsold_minor, derived.proceeds_fen):
        yield "成交量、未成交量或价款与重算的不符"
    awards = [
        (one.bid_id, unit.parse(one.quantity), one.price_yuan, one.amount_yuan)
        for one in cleared.awards
    ]
    if awards != [tuple(award) for award in derived.awards]:
        yield "成交明细与重算的不符"
    if {(one.bid_id, one.code) for one in cleared.rejected} != set(derived.rejected):
        yield "无效报价明细与重算的不符"
