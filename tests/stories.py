"""A sale from its announcement to its end, one function a step, each by the real action."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from builders import a_caller, a_uscc
from contracts.sale import SealedBidPlaced
from databases import rows
from marketkit.countersign import RequestOut
from marketkit.db import Database
from marketkit.facts import Fact
from marketkit.identity import Caller
from marketkit.ledger import imbalance
from marketkit.reversal import ReversalIn
from marketkit.signing import b64, unb64
from marketkit.units import TCE, YUAN
from saleroom.bids import actions as bids
from saleroom.bids.actions import Receipt
from saleroom.bids.rules import PlacedBid
from saleroom.deliveries import actions as deliveries
from saleroom.deliveries.actions import DeliveryIn
from saleroom.entries import actions as entries
from saleroom.entries.actions import RegistrationOut
from saleroom.notices.actions import SaleRef
from saleroom.opener import Opener
from saleroom.openings import actions as openings
from saleroom.openings.actions import OpeningRef, ShareIn, ShareOut
from saleroom.sealing import BidPlace, Step, seal_bid
from saleroom.settlements import actions as settlements
from saleroom.settlements.actions import PaymentIn, SettlementOut
from saleroom.shares import Opening, unwrap_share, wrap_for_opening
from toy_market import CLOSES, CONFIRMS, OPENS, Room, bidder

F = TypeVar("F", bound=Fact)
FIRST = a_caller(sub="first")
SECOND = a_caller(sub="second")


def a_step(price: str, quantity: str, least: str | None = None) -> Step:
    return Step(YUAN.parse(price), TCE.parse(quantity), None if least is None else TCE.parse(least))


def officer(number: int) -> Caller:
    return a_caller("key_officer", sub=f"officer-{number}")


@dataclass
class Story(Room):
    """A room whose sale goes on to its end; its opener is one process's life."""

    entered: dict[int, RegistrationOut] = field(default_factory=dict)
    opening_id: str = ""

    def __post_init__(self) -> None:
        self.opener = Opener(self.house, self.market)

    def restart_opener(self) -> None:
        """The opener's process ends, and with it the keys in its memory."""
        self.opener = Opener(self.house, self.market)

    async def entrant(self, number: int, quantity: str = "5000.000", *, pays: bool = True) -> None:
        """The enterprise of this number enters, is qualified, and pays its deposit or does not."""
        self.entered[number] = await self.enter(number, quantity)
        self.at(OPENS)
        if pays:
            await self.pay_deposit(self.entered[number])

    async def bid(self, number: int, *steps: Step, version: int = 1, **changes: Any) -> str:
        """A sealed bid of these steps; answers the receipt's id."""
        self.at(OPENS)
        (verdict,) = await self.place(await self.sealed(number, *steps, version=version, **changes))
        assert isinstance(verdict, Receipt), verdict
        return verdict.receipt_id

    async def sealed(
        self, number: int, *steps: Step, version: int = 1, **changes: Any
    ) -> PlacedBid:
        sale = await self.sale()
        assert sale.public_key is not None
        place = BidPlace(self.sale_id, a_uscc(number), version)
        bid = seal_bid(steps, place, public_key=sale.public_key, unit=TCE)
        said = {"ciphertext": bid.ciphertext, "commitment": bid.commitment, "key_sm3": bid.key_sm3}
        return PlacedBid(
            sale_id=self.sale_id, uscc=a_uscc(number), version=version, **(said | changes)
        )

    async def withdraw(self, number: int, receipt_id: str) -> None:
        caller = bidder(number)
        await self.house.run(
            lambda s: bids.withdraw_sealed_bid(s, self.sale_id, receipt_id, caller)
        )

    async def leave(self, number: int) -> None:
        """The enterprise withdraws its registration, its bid standing as it is."""
        caller = bidder(number)
        await self.house.run(
            lambda s: entries.withdraw_registration(
                s, self.market, self.sale_id, self.contract(number), caller
            )
        )

    async def bidders(self, *offers: tuple[str, str]) -> list[str]:
        """Announce, and let bidder 1, 2, … with a deposit bid a price for a quantity each."""
        if not self.sale_id:
            await self.announce()
        for number, _ in enumerate(offers, 1):
            await self.entrant(number)
        return [
            await self.bid(number, a_step(price, quantity))
            for number, (price, quantity) in enumerate(offers, 1)
        ]

    async def reconcile(self) -> SaleRef:
        self.at(CLOSES)
        return await self.house.run(lambda s: entries.reconcile_deposits(s, self.sale_id))

    async def ask_to_open(self, caller: Caller = FIRST) -> RequestOut:
        return await self.house.run(lambda s: openings.ask_to_open(s, self.sale_id, caller))

    async def confirm_opening(self, request_id: str, caller: Caller = SECOND) -> OpeningRef:
        return await self.house.run(
            lambda s: openings.confirm_opening(s, self.sale_id, request_id, caller)
        )

    async def ready(self) -> str:
        """Closed, reconciled, its opening confirmed by two, the opener's session begun."""
        await self.reconcile()
        return await self.ready_from_reconciled()

    async def ready_from_reconciled(self) -> str:
        asked = await self.ask_to_open()
        self.opening_id = (await self.confirm_opening(asked.request_id)).opening_id
        await self.opener.turn()
        return await self.session_id()

    async def session_id(self) -> str:
        return str((await self._live()).id)

    async def _live(self) -> Any:
        query = "SELECT * FROM opening_session WHERE state = 'LIVE' AND opening_id = :id"
        (row,) = await rows(self.house, query, id=self.opening_id)
        return row

    async def wrapped(self, number: int, *, share_of: int | None = None) -> bytes:
        """An officer's share as sent to the live session, by the officer's own machine."""
        held = list(self.officers)[number if share_of is None else share_of]
        (stored,) = await rows(
            self.house,
            "SELECT wrapped_share FROM sale_officer WHERE sale_id = :sale AND officer_id = :held",
            sale=self.sale_id,
            held=held,
        )
        share = unwrap_share(
            bytes(stored.wrapped_share),
            private_key=self.officers[held].private_key,
            sale_id=self.sale_id,
            officer=held,
        )
        return wrap_for_opening(
            share,
            session_key=bytes((await self._live()).public_key),
            opening=Opening(self.sale_id, self.opening_id),
            officer=list(self.officers)[number],
        )

    async def give(
        self, number: int, wrapped: bytes | None = None, *, session_id: str = ""
    ) -> ShareOut:
        """An officer's share reaches the house: its own unless other bytes are given."""
        share = wrapped if wrapped is not None else await self.wrapped(number)
        form = ShareIn(session_id=session_id or await self.session_id(), share=b64(share))
        caller = officer(number)
        return await self.house.run(
            lambda s: openings.give_share(s, self.sale_id, self.opening_id, caller, form)
        )

    async def open(self, officers: Sequence[int] = (0, 2, 4)) -> None:
        """From the close to the result: reconciled, confirmed, three shares given, cleared."""
        await self.ready()
        for number in officers:
            await self.give(number)
        await self.opener.turn()

    async def confirm(self) -> SaleRef:
        self.at(CONFIRMS)
        return await self.house.run(
            lambda s: settlements.confirm_sale(s, self.market, self.sale_id)
        )

    async def sign(self, number: int, caller: Caller | None = None) -> SettlementOut:
        who = caller or bidder(number)
        return await self.house.run(
            lambda s: settlements.sign_contract(s, self.sale_id, self.contract(number), who)
        )

    async def pay(self, number: int, **changes: Any) -> SettlementOut:
        due_yuan = (await self.settlement(number)).due_yuan
        at = self.house.fixed_instant
        assert at is not None
        said = {
            "amount_yuan": YUAN.format(due_yuan),
            "booked_at": at.isoformat(),
            "bank_serial": f"price-{number}",
        }
        form = PaymentIn.model_validate(said | changes)
        return await self.house.run(
            lambda s: settlements.record_payment(s, self.sale_id, self.contract(number), form)
        )

    async def deliver(self, number: int, receipt_no: str = "") -> SettlementOut:
        form = DeliveryIn(treasury_receipt_no=receipt_no or f"treasury-{number}")
        return await self.house.run(
            lambda s: deliveries.deliver(s, self.market, self.sale_id, self.contract(number), form)
        )

    async def ask_to_reverse(self, number: int, caller: Caller = FIRST) -> RequestOut:
        form = ReversalIn(document_no="鲁发改冲〔2022〕1号", reason="划入有误")
        return await self.house.run(
            lambda s: deliveries.ask_to_reverse_delivery(
                s, self.sale_id, self.contract(number), caller, form
            )
        )

    async def reverse(self, number: int, request_id: str, caller: Caller = SECOND) -> SettlementOut:
        return await self.house.run(
            lambda s: deliveries.reverse_delivery(
                s, self.sale_id, self.contract(number), request_id, caller
            )
        )

    async def default(self, number: int) -> SettlementOut:
        return await self.house.run(
            lambda s: settlements.declare_default(s, self.sale_id, self.contract(number))
        )

    def contract(self, number: int) -> str:
        return self.entered[number].registration_id

    async def settlement(self, number: int) -> SettlementOut:
        found = await self.house.run(lambda s: settlements.settlements_of(s, self.sale_id))
        (one,) = [item for item in found.items if item.registration_id == self.contract(number)]
        return one

    async def told(self, kind: type[F]) -> list[F]:
        """Facts of one kind in the order told, as a reader parses them."""
        return [
            kind.model_validate(event["data"])
            for event in await events(self.house)
            if event["type"] == kind.type_in(self.market.name)
        ]

    async def kinds(self) -> list[str]:
        """What was told of the sale, in order, by the last word of each type."""
        return [
            event["type"].split(".")[3]
            for event in await events(self.house)
            if event["partitionkey"] == self.sale_id
        ]

    async def state(self) -> str:
        return (await self.sale()).state

    async def deposits(self) -> dict[int, str]:
        found = await rows(self.house, "SELECT registration_id, state FROM deposit")
        states = {row.registration_id: row.state for row in found}
        return {number: states[one.registration_id] for number, one in self.entered.items()}

    async def held(self) -> str:
        (row,) = await rows(self.house, "SELECT coalesce(sum(held), 0) AS held FROM balance")
        return TCE.format(int(row.held))

    async def balance(self, account: str) -> str:
        query = "SELECT coalesce(sum(posted), 0) AS posted FROM balance WHERE account = :account"
        (row,) = await rows(self.house, query, account=account)
        return TCE.format(int(row.posted))

    async def is_conserved(self) -> bool:
        found = await self.house.run(imbalance, "worker")
        return found.row_count > 0 and not any(found.by_asset.values())

    async def commitments(self) -> list[bytes]:
        return [unb64(fact.commitment) for fact in await self.told(SealedBidPlaced)]


async def events(house: Database) -> list[dict[str, Any]]:
    found = await rows(house, "SELECT event FROM outbox ORDER BY id")
    return [json.loads(bytes(row.event)) for row in found]
