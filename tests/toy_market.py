"""A sale at any of its steps: a market where nearly all may buy, and the people who act in it.

The house's clock is moved by hand: `house.fixed_instant`.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from fastapi import APIRouter, FastAPI
from sqlalchemy import insert

from builders import (
    Trust,
    a_caller,
    a_client,
    a_key,
    a_lot,
    a_project_code,
    a_uscc,
    an_issue,
)
from databases import rows
from energy_trade.policy import policy_on
from marketkit.batch import Verdict
from marketkit.db import Database, Session, new_id
from marketkit.errors import RuleBroken
from marketkit.identity import PEOPLE_ROLES, Caller
from marketkit.signing import b64, unb64
from marketkit.units import TCE, YUAN
from marketkit.web import create_app
from saleroom.bids.actions import lock_sale_for_bids, place_sealed_bids
from saleroom.bids.rules import PlacedBid
from saleroom.bookings.actions import new_sub_account
from saleroom.drills import Drill
from saleroom.entries import actions as entries
from saleroom.entries.actions import DepositIn, QualificationIn, RegistrationIn, RegistrationOut
from saleroom.entries.tables import Registration
from saleroom.markets import Buyer, Market
from saleroom.notices import actions as notices
from saleroom.notices.rules import SaleDraftIn
from saleroom.notices.tables import Sale
from saleroom.officers import actions as officers
from saleroom.officers.actions import AnswerIn, AnswerOut, OfficerIn
from saleroom.sealing import BidPlace, KeyPair, Step, new_key_pair, seal_bid

STORE = "province:370000"
DAY = timedelta(days=1)
ANNOUNCED = datetime(2022, 10, 10, 1, tzinfo=UTC)
OPENS = ANNOUNCED + 7 * DAY
REGISTRATION_CLOSES = OPENS + 2 * DAY
DEPOSIT_DUE = OPENS + 3 * DAY
CLOSES = OPENS + 4 * DAY
OPENS_BY = CLOSES + 2 * DAY
# The end of the days for which a result of CLOSES is public.
CONFIRMS = CLOSES + 7 * DAY
TICK = timedelta(microseconds=1)
UNWELCOME = 999


class NotWelcome(RuleBroken):
    title = "该项目不得购买"


async def check_eligible(session: Session, buyer: Buyer, is_dual_high_barred: bool) -> None:
    if buyer.project_code == a_project_code(UNWELCOME):
        raise NotWelcome()


async def region_of(session: Session, buyer: Buyer) -> str:
    return "370502"


TOY = Market(
    name="energy",
    department="energy",
    seller="卖方",
    policy_on=policy_on,
    source_account=lambda asset: STORE,
    check_supply=lambda lots, policy: None,
    check_eligible=check_eligible,
    region_of=region_of,
)


def a_draft(key_officers: Sequence[str] = (), **changes: Any) -> SaleDraftIn:
    """A notice that may be announced at ANNOUNCED, once it has its five key officers."""
    said: dict[str, Any] = {
        "title": "能耗指标竞购公告",
        "body": "公告正文",
        "asset": "ENERGY",
        "format": "SEALED",
        "supply": "10000.000",
        "lot_size": "1.000",
        "floor_price_yuan": "200.00",
        "price_rule": "LOWEST_ACCEPTED",
        "tie_rule": "TIME",
        "undersubscribed": "SELL",
        "purchase_limit": None,
        "bidders_min": 1,
        "deposit_ratio_bp": 2000,
        "pay_days": 7,
        "publicity_days": 7,
        "registration_closes_at": REGISTRATION_CLOSES.isoformat(),
        "opens_at": OPENS.isoformat(),
        "closes_at": CLOSES.isoformat(),
        "deposit_due_at": DEPOSIT_DUE.isoformat(),
        "opens_by": OPENS_BY.isoformat(),
        "fair_review": a_review(),
        "key_officers": list(key_officers),
    }
    return SaleDraftIn.model_validate(said | changes)


def a_review(**changes: Any) -> dict[str, Any]:
    said = {
        "document_no": "公竞审〔2022〕1号",
        "reviewed_on": "2022-10-08",
        "has_locality_condition": False,
        "has_ownership_condition": False,
        "has_designated_supplier": False,
    }
    return said | changes


@dataclass
class Room:
    """A house with its key officers and quota to sell, and one sale in it."""

    house: Database
    market: Market = TOY
    officers: dict[str, KeyPair] = field(default_factory=dict)
    sale_id: str = ""

    def at(self, instant: datetime) -> "Room":
        self.house.fixed_instant = instant
        return self

    async def draft(self, **changes: Any) -> str:
        """A sale on paper, with five key officers and enough in the store."""
        self.at(ANNOUNCED - DAY)
        await self.house.run(lambda s: an_issue(s, 20_000_000, STORE, lot=a_lot()))
        for number in range(5):
            pair = new_key_pair()
            form = OfficerIn(public_key=b64(pair.public_key))
            caller = a_caller("key_officer", sub=f"officer-{number}")
            known = await self.house.run(_registering(caller, form))
            self.officers[known.officer_id] = pair
        draft = a_draft(list(self.officers), **changes)
        sale = await self.house.run(lambda s: notices.draft_sale(s, self.market, draft))
        self.sale_id = sale.sale_id
        return self.sale_id

    async def announce(self, **changes: Any) -> str:
        """An announced sale, its clock at the announcement."""
        await self.draft(**changes)
        await self.drill()
        return await self.announce_draft()

    async def drill(self) -> str:
        """A drill of the draft that every key officer has passed."""
        drill_id = await self.begin_drill()
        for number in range(5):
            await self.answer(number, drill_id)
        return drill_id

    async def begin_drill(self) -> str:
        begun = await self.house.run(lambda s: officers.begin_drill(s, self.sale_id))
        return begun.drill_id

    async def answer(self, number: int, drill_id: str, answer: bytes | None = None) -> AnswerOut:
        """An officer's answer reaches the house: what its machine makes unless other bytes are."""
        caller = a_caller("key_officer", sub=f"officer-{number}")
        said = await self.drill_answer(number) if answer is None else answer
        form = AnswerIn(answer=b64(said))
        return await self.house.run(
            lambda s: officers.answer_drill(s, self.sale_id, drill_id, caller, form)
        )

    async def drill_answer(self, number: int) -> bytes:
        caller = a_caller("key_officer", sub=f"officer-{number}")
        found = await self.house.run(lambda s: officers.drill_of(s, self.sale_id, caller))
        return Drill(self.sale_id, found.drill_id).answer(
            unb64(found.challenge),
            private_key=self.officers[found.officer_id].private_key,
            officer=found.officer_id,
        )

    async def announce_draft(self) -> str:
        self.at(ANNOUNCED)
        await self.house.run(lambda s: notices.announce_sale(s, self.market, self.sale_id))
        return self.sale_id

    async def register(self, number: int, quantity: str = "1000.000") -> RegistrationOut:
        """The enterprise of this number enters."""
        form = RegistrationIn(
            project_code=a_project_code(number), name=f"企业{number}", quantity_max=quantity
        )
        caller = bidder(number)
        return await self.house.run(
            lambda s: entries.register(s, self.market, self.sale_id, caller, form)
        )

    async def qualify(self, registration_id: str, verdict: str = "QUALIFIED") -> RegistrationOut:
        reason = None if verdict == "QUALIFIED" else "材料不全"
        form = QualificationIn.model_validate({"verdict": verdict, "reason": reason})
        return await self.house.run(
            lambda s: entries.qualify(s, self.market, self.sale_id, registration_id, form)
        )

    async def enter(self, number: int, quantity: str = "1000.000") -> RegistrationOut:
        """The enterprise of this number enters and may bid."""
        registered = await self.register(number, quantity)
        qualified = await self.qualify(registered.registration_id)
        # Who qualifies is not told where the money goes; who entered knows it since.
        return qualified.model_copy(update={"sub_account": registered.sub_account})

    async def enter_many(self, numbers: Iterable[int]) -> None:
        """Enterprises that may bid, put into the table at once."""
        entrants = [
            {
                "id": new_id(),
                "sale_id": self.sale_id,
                "uscc": a_uscc(number),
                "name": f"企业{number}",
                "project_code": a_project_code(number),
                "sub_account": new_sub_account(),
                "quantity_max_minor": 1_000,
                "deposit_due_fen": 4_000,
                "state": "QUALIFIED",
                "registered_at": ANNOUNCED,
            }
            for number in numbers
        ]
        await self.house.run(lambda s: s.exec(insert(Registration), params=entrants))

    async def pay_deposit(self, registered: RegistrationOut, **changes: Any) -> RegistrationOut:
        form = a_deposit(registered, **changes)
        return await self.house.run(
            lambda s: entries.record_deposit(s, self.sale_id, registered.registration_id, form)
        )

    async def seal(
        self, number: int, version: int = 1, *, price: str = "210.00", quantity: str = "1000.000"
    ) -> PlacedBid:
        """A bid of one step, sealed as a bidder's machine does it."""
        sale = await self.sale()
        uscc = a_uscc(number)
        step = Step(YUAN.parse(price), TCE.parse(quantity))
        place = BidPlace(self.sale_id, uscc, version)
        assert sale.public_key is not None
        bid = seal_bid([step], place, public_key=sale.public_key, unit=TCE)
        return PlacedBid(self.sale_id, uscc, version, bid.ciphertext, bid.commitment, bid.key_sm3)

    async def place(self, *bids: PlacedBid) -> list[Verdict]:
        """The bids' verdicts, all in one transaction."""

        async def both(session: Session) -> list[Verdict]:
            return await place_sealed_bids(session, await lock_sale_for_bids(session, bids))

        return await self.house.run(both)

    async def sale(self) -> Sale:
        return await self.house.run(lambda s: notices.locked_sale(s, self.sale_id))


def _registering(caller: Caller, form: OfficerIn) -> Any:
    return lambda session: officers.register_key_officer(session, caller, form)


async def events_of(house: Database) -> list[dict[str, Any]]:
    """What was told and not yet sequenced, in order."""
    found = await rows(house, "SELECT event FROM outbox ORDER BY id")
    return [json.loads(bytes(row.event)) for row in found]


async def put_sale(house: Database, state: str) -> None:
    """Bring the sale's row to a state, whatever way leads there."""
    await rows(
        house,
        "UPDATE sale SET state = :state, state_before = 'OPEN', suspended_at = :at",
        state=state,
        at=ANNOUNCED,
    )


def bidder(number: int) -> Caller:
    return a_caller("enterprise", sub=f"person-of-{number}", region_code="", uscc=a_uscc(number))


def a_deposit(registered: RegistrationOut, **changes: Any) -> DepositIn:
    said = {
        "amount_yuan": YUAN.format(registered.deposit_due_yuan),
        "booked_at": OPENS.isoformat(),
        "bank_serial": f"bank-{registered.registration_id}",
    }
    return DepositIn.model_validate(said | changes)


def tampered(bid: PlacedBid, **changes: Any) -> PlacedBid:
    return replace(bid, **changes)


@dataclass
class Doors:
    """The HTTP application of some phases of the toy market, and tokens for who comes in."""

    app: FastAPI
    trust: Trust

    @classmethod
    def of(cls, house: Database, *phases: Callable[[Market], APIRouter]) -> "Doors":
        trust = Trust()
        routers = [phase(TOY) for phase in phases]
        return cls(create_app(house, trust.verifier, "toy", routers), trust)

    async def send(
        self, method: str, path: str, body: Any = None, *, token: str = "", key: str = ""
    ) -> httpx.Response:
        """One request with its own connection and, unless given, a key never used before."""
        headers = {"Idempotency-Key": key} if key else a_key()
        async with a_client(self.app, token, **headers) as client:
            return await client.request(method, path, json=body)

    def token(self, role: str, **claims: Any) -> str:
        """A person who may pass: of the city, the market's department, or the first enterprise."""
        said = {"department": TOY.department} if role == "bureau_officer" else {}
        if role == "enterprise":
            said = {"region_code": "", "uscc": a_uscc(1)}
        return self.trust.token(role, **(said | claims))

    async def refusals(self, method: str, path: str, role: str, body: Any = None) -> set[str]:
        """What each caller that may not pass is told, by code: those of every other role."""
        callers = {"": "", **{other: self.token(other) for other in PEOPLE_ROLES - {role}}}
        answers = [await self.send(method, path, body, token=one) for one in callers.values()]
        assert {answer.status_code for answer in answers} == {401, 403}
        return {answer.json()["code"] for answer in answers}
