"""A whole sale told into a log as the saleroom tells it: what evidence is made of."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from hashlib import sha256
from typing import Any, TypeVar

from builders import NOON, a_project_code, a_uscc
from contracts import sale as told
from contracts.holdings import AccountOpened, QuotaIssued
from marketkit.checkpoint import sign_checkpoint
from marketkit.db import Database, Session
from marketkit.facts import Fact
from marketkit.movements import Leg, Movement
from marketkit.outbox import sequence, tell
from marketkit.signing import b64, unb64
from marketkit.units import TCE, YUAN, Form, format_instant
from saleroom.clearing import Bid, Clearing, Terms, clear
from saleroom.sealing import BidPlace, Step, new_key_pair, open_bid, seal_bid
from saleroom.shares import draw_seed

F = TypeVar("F", bound=Form)

SALE = "01SALE"
SUPPLY = TCE.parse("10000")
FLOOR = YUAN.parse("200.00")
SECRET = bytes(range(32))
# Price and quantity of each bidder's one step: the last below the floor.
OFFERS = (("226.50", "4000"), ("220.00", "7000"), ("199.99", "1000"))


@dataclass
class Story:
    """A sale of three bidders; a fault is told by replacing one of the facts."""

    offers: Sequence[tuple[str, str]] = OFFERS
    key: Any = field(default_factory=new_key_pair)
    legs: Sequence[Leg] = (
        Leg("issuance:ENERGY", "ENERGY", "lot-1", -SUPPLY, 0),
        Leg("province:ENERGY", "ENERGY", "lot-1", SUPPLY, 0),
    )

    def __post_init__(self) -> None:
        self.revealed = [self._revealed(n, *offer) for n, offer in enumerate(self.offers, 1)]
        self.seed = draw_seed(SECRET, [unb64(bid.commitment) for bid in self.revealed])

    def _revealed(self, number: int, price: str, quantity: str) -> told.RevealedBid:
        place = BidPlace(SALE, a_uscc(number), 1)
        step = Step(YUAN.parse(price), TCE.parse(quantity))
        sealed = seal_bid([step], place, public_key=self.key.public_key, unit=TCE)
        opened = open_bid(sealed, place, private_key=self.key.private_key, unit=TCE)
        return _said(
            told.RevealedBid,
            receipt_id=f"receipt-{number}",
            registration_id=f"registration-{number}",
            bidder=place.uscc,
            bidder_name=f"示例企业{number}",
            project_code=a_project_code(number),
            quantity_max=quantity,
            version=1,
            submitted_at=format_instant(NOON + timedelta(minutes=number)),
            commitment=b64(sealed.commitment),
            plaintext=opened.plaintext.decode().rstrip(),
        )

    def clearing(self) -> Clearing:
        terms = Terms(SUPPLY, FLOOR, TCE.parse("1"), TCE, seed=self.seed)
        bids = [
            Bid(
                f"{bid.receipt_id}-1",
                bid.bidder,
                YUAN.parse(price),
                TCE.parse(quantity),
                bid.submitted_at,
            )
            for bid, (price, quantity) in zip(self.revealed, self.offers, strict=True)
        ]
        return clear(terms, bids)

    def facts(self) -> list[tuple[str, Fact]]:
        """Key and fact, in order; replace one to tell something that does not follow."""
        movements = [Movement.of(leg) for leg in self.legs]
        held = [Movement.of(Leg("province:ENERGY", "ENERGY", "lot-1", 0, SUPPLY))]
        return [
            *((account, _account(account)) for account in ("issuance:ENERGY", "province:ENERGY")),
            ("issue-1", _issued(movements)),
            (SALE, self.announced(held)),
            *((SALE, _placed(bid)) for bid in self.revealed),
            (SALE, _said(told.SaleClosed, closed_at=format_instant(NOON))),
            (SALE, told.BidsRevealed(part=1, part_count=2, bids=self.revealed[:2])),
            (SALE, told.BidsRevealed(part=2, part_count=2, bids=self.revealed[2:])),
            (SALE, self.opened()),
            (SALE, self.cleared()),
        ]

    def announced(self, movements: list[Movement]) -> told.SaleAnnounced:
        return _said(
            told.SaleAnnounced,
            drilled_at=format_instant(NOON - timedelta(days=1)),
            title="2022年第一批能耗指标市场竞购（示例）",
            body="公告",
            seller="山东省发展和改革委员会",
            terms=_said(
                told.SaleTerms,
                asset="ENERGY",
                unit="tce",
                format="SEALED",
                supply=TCE.format(SUPPLY),
                lot_size="1.000",
                floor_price_yuan=YUAN.format(FLOOR),
                price_rule="LOWEST_ACCEPTED",
                tie_rule="TIME",
                undersubscribed="SELL",
                bidders_min=1,
                deposit_ratio_bp=2000,
                is_dual_high_barred=True,
                steps_max=20,
            ),
            timetable=_said(
                told.Timetable,
                **{
                    name: format_instant(NOON + timedelta(days=day))
                    for day, name in enumerate(
                        (
                            "registration_closes_at",
                            "opens_at",
                            "closes_at",
                            "deposit_due_at",
                            "opens_by",
                        )
                    )
                },
                pay_days=7,
                publicity_days=7,
            ),
            key=told.SaleKey(
                public_key=b64(self.key.public_key),
                key_sm3="00" * 32,
                draw_secret_sha256=sha256(SECRET).hexdigest(),
                draw_secret_ciphertext="",
            ),
            movements=movements,
        )

    def opened(self) -> told.SaleOpened:
        return told.SaleOpened(
            opening_id="opening-1", part_count=2, draw_secret=SECRET.hex(), seed=self.seed.hex()
        )

    def cleared(self) -> told.SaleCleared:
        result = self.clearing()
        bids = {f"{bid.receipt_id}-1": bid for bid in self.revealed}
        price_fen = result.clearing_price_fen
        return _said(
            told.SaleCleared,
            outcome=result.outcome,
            clearing_price_yuan=None if price_fen is None else YUAN.format(price_fen),
            sold=TCE.format(result.sold_minor),
            unsold=TCE.format(result.unsold_minor),
            proceeds_yuan=YUAN.format(result.proceeds_fen),
            awards=[
                _said(
                    told.AwardedStep,
                    bid_id=award.bid_id,
                    registration_id=bids[award.bid_id].registration_id,
                    bidder=bids[award.bid_id].bidder,
                    bidder_name=bids[award.bid_id].bidder_name,
                    project_code=bids[award.bid_id].project_code,
                    quantity=TCE.format(award.quantity_minor),
                    price_yuan=YUAN.format(award.price_fen),
                    amount_yuan=YUAN.format(award.amount_fen),
                )
                for award in result.awards
            ],
            rejected=[
                told.RejectedStep(bid_id=one.bid_id, code=one.code) for one in result.rejected
            ],
        )


def _said(form: type[F], **said: object) -> F:
    """A fact from the text of its fields."""
    return form.model_validate(said)


def _account(account: str) -> AccountOpened:
    is_issuance = account.startswith("issuance")
    owner_kind = "ISSUANCE" if is_issuance else "PROVINCE"
    return _said(AccountOpened, account=account, owner_kind=owner_kind, region_code="370000")


def _issued(movements: list[Movement]) -> QuotaIssued:
    return _said(
        QuotaIssued,
        account="province:ENERGY",
        asset="ENERGY",
        quantity=TCE.format(SUPPLY),
        document_no="鲁发改〔2022〕1号",
        effective_on="2022-01-04",
        movements=movements,
    )


def _placed(bid: told.RevealedBid) -> told.SealedBidPlaced:
    return told.SealedBidPlaced(receipt_id=bid.receipt_id, commitment=bid.commitment)


async def tell_all(house: Database, facts: Sequence[tuple[str, Fact]]) -> None:
    """Tell, sequence and sign: a checkpoint after the issue and one at the end."""

    async def step(session: Session) -> None:
        await sequence(session)
        await sign_checkpoint(session)

    for part in (facts[:3], facts[3:]):
        for key, fact in part:
            await house.run(partial(tell, fact=fact, key=key))
        await house.run(step, "worker")
