"""A sale against a model of its states and codes, whoever does whatever at whatever time."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from databases import ENERGY, Migrated, Package, rows
from machines import Bench, bench, how_much
from marketkit.errors import Refusal
from marketkit.identity import Caller
from saleroom.corrections.actions import accept_correction, correct_notice
from saleroom.corrections.rules import AcceptanceIn, CorrectionIn
from saleroom.endings.actions import ask_to_cancel, cancel_sale, fail_unopened
from saleroom.entries.actions import reconcile_deposits
from saleroom.notices.actions import (
    INSTANTS,
    ReasonIn,
    advance_due,
    archive_sale,
    resume_sale,
    suspend_sale,
)
from stories import FIRST, SECOND, Story, a_step
from toy_market import (
    ANNOUNCED,
    CLOSES,
    DAY,
    DEPOSIT_DUE,
    OPENS,
    OPENS_BY,
    REGISTRATION_CLOSES,
    TICK,
    TOY,
    bidder,
)

NOT_ALLOWED = "SaleStateNotAllowed"
# Which state of the sale each fact tells; the last one told is the state there is.
TOLD = {
    "announced": "ANNOUNCED",
    "opened_for_bids": "OPEN",
    "closed": "CLOSED",
    "suspended": "SUSPENDED",
    "cancelled": "CANCELLED",
    "cleared": "CLEARED",
    "failed": "FAILED",
    "archived": "ARCHIVED",
}
# Where a sale begins, and what few runs must then have met, lest the model be of something easier.
STAGES = {
    "ANNOUNCED": {"ANNOUNCED", "BiddingNotOpen", NOT_ALLOWED},
    "OPEN": {"OPEN", "SUSPENDED", NOT_ALLOWED},
    "CLOSED": {"CLOSED", "CLEARED", "BiddingClosed", NOT_ALLOWED},
}
numbers = st.integers(1, 3)


@dataclass
class Entrant:
    state: str = "REGISTERED"
    deposit: str = "PENDING"
    accepted: int = 0
    version: int = 0
    standing: str = ""


@dataclass
class Model:
    """What a sale is, as its rules are told to people."""

    state: str = "ANNOUNCED"
    before: str = ""
    suspended_at: datetime | None = None
    at: datetime = ANNOUNCED
    corrections: int = 0
    is_reconciled: bool = False
    cancellation: str = ""
    entrants: dict[int, Entrant] = field(default_factory=dict)
    instants: dict[str, datetime] = field(
        default_factory=lambda: {
            "registration_closes_at": REGISTRATION_CLOSES,
            "opens_at": OPENS,
            "closes_at": CLOSES,
            "deposit_due_at": DEPOSIT_DUE,
            "opens_by": OPENS_BY,
        }
    )

    @property
    def now(self) -> str:
        """The state once what is due by now has happened."""
        state = self.state
        if state == "ANNOUNCED" and self.at >= self.instants["opens_at"]:
            state = "OPEN"
        if state == "OPEN" and self.at >= self.instants["closes_at"]:
            state = "CLOSED"
        return state

    @property
    def takes_part(self) -> bool:
        return self.now in {"ANNOUNCED", "OPEN"}

    @property
    def window(self) -> str:
        """The refusal of a bid that comes or goes now."""
        if self.now in {"CLOSED", "CLEARED", "ARCHIVED"}:
            return "BiddingClosed"
        return "" if self.now == "OPEN" else "BiddingNotOpen"

    def has_bid(self, entrant: Entrant) -> bool:
        """Whether the entrant's bid counts at the opening."""
        has_all = entrant.state == "QUALIFIED" and entrant.deposit == "CONFIRMED"
        return has_all and entrant.accepted == self.corrections and bool(entrant.standing)


class SaleMachine(RuleBasedStateMachine):
    def __init__(self, at: Bench, stage: str, seen: set[str]) -> None:
        super().__init__()
        self.stage, self.seen = stage, seen
        self.bench = at
        at.clear()
        self.story = Story(at.house)
        self.model = Model()
        at.run(self.story.announce())

    def does(self, wanted: str, work: Any) -> bool:
        """Whether it is done; refused exactly as the model says, and then nothing has changed."""
        code = self.bench.code(work)
        self.seen |= {code, self.model.state}
        assert code == wanted, f"{code or 'done'}, not {wanted or 'done'}"
        if not code:
            self.model.state = self.model.now
        return not code

    def on_sale(self, wanted: str, action: Any, *given: Any) -> bool:
        sale_id = self.story.sale_id
        return self.does(wanted, self.bench.house.run(lambda s: action(s, sale_id, *given)))

    @initialize()
    def it_has_come_so_far(self) -> None:
        """Two have entered; later, paid and bid; later still, all is ready to be opened."""
        for number in (1, 2):
            self.register(number)
            self.qualify(number, "QUALIFIED")
        if self.stage != "ANNOUNCED":
            self.model.at = OPENS
            self.story.at(OPENS)
            for number in (1, 2):
                self.pay_deposit(number)
                self.bid(number, 210 + number, 0)
        if self.stage == "CLOSED":
            self.model.at = CLOSES
            self.story.at(CLOSES)
            self.reconcile()

    @rule(data=st.data())
    def time_passes(self, data: st.DataObject) -> None:
        """To an instant of the sale, a tick before or after it, or a day on."""
        model = self.model
        near = [at + step for at in model.instants.values() for step in (-TICK, 0 * TICK, TICK)]
        later = [at for at in sorted(near) if at >= model.at][:6]
        model.at = data.draw(st.sampled_from([*later, model.at + DAY]))
        self.story.at(model.at)

    @rule()
    def the_clock_turns(self) -> None:
        self.bench.run(self.bench.house.run(advance_due))
        self.model.state = self.model.now
        self.bench.run(self.bench.house.run(lambda s: fail_unopened(s, TOY)))
        if self.model.state == "CLOSED" and self.model.at >= self.model.instants["opens_by"]:
            self.model.state = "FAILED"
            self._give_back()

    def _give_back(self) -> None:
        for entrant in self.model.entrants.values():
            if entrant.deposit == "CONFIRMED":
                entrant.deposit = "REFUNDED"

    @rule(number=numbers)
    def register(self, number: int) -> None:
        model = self.model
        wanted = "AlreadyRegistered" if number in model.entrants else ""
        if not model.takes_part or model.at >= model.instants["registration_closes_at"]:
            wanted = "RegistrationClosed"

        async def enter() -> None:
            self.story.entered[number] = await self.story.register(number)

        if self.does(wanted, enter()):
            model.entrants[number] = Entrant(accepted=model.corrections)

    @precondition(lambda self: self.model.entrants)
    @rule(number=numbers, verdict=st.sampled_from(["QUALIFIED", "QUALIFIED", "REFUSED"]))
    def qualify(self, number: int, verdict: str) -> None:
        entrant = self.model.entrants.get(number)
        if entrant is None:
            return
        wanted = "" if entrant.state == "REGISTERED" else "RegistrationStateNotAllowed"
        wanted = wanted if self.model.takes_part else NOT_ALLOWED
        if self.does(wanted, self.story.qualify(self.story.contract(number), verdict)):
            entrant.state = verdict
            if verdict == "REFUSED" and entrant.deposit == "CONFIRMED":
                entrant.deposit = "REFUNDED"

    @precondition(lambda self: self.model.entrants)
    @rule(number=numbers)
    def pay_deposit(self, number: int) -> None:
        model, entrant = self.model, self.model.entrants.get(number)
        if entrant is None:
            return
        wanted = "DepositLate" if model.at > model.instants["deposit_due_at"] else ""
        if entrant.deposit != "PENDING":
            wanted = "DepositAlreadyRecorded"
        if entrant.state not in {"REGISTERED", "QUALIFIED"}:
            wanted = "RegistrationStateNotAllowed"
        if model.is_reconciled:
            wanted = "AlreadyReconciled"
        if model.now not in {"ANNOUNCED", "OPEN", "CLOSED"}:
            wanted = NOT_ALLOWED
        entered = self.story.entered[number]
        paid = self.story.pay_deposit(entered, booked_at=model.at.isoformat())
        if self.does(wanted, paid):
            entrant.deposit = "CONFIRMED"

    @precondition(lambda self: self.model.entrants)
    @rule(number=numbers)
    def leave(self, number: int) -> None:
        entrant = self.model.entrants.get(number)
        if entrant is None:
            return
        may = entrant.state in {"REGISTERED", "QUALIFIED"}
        wanted = "" if may else "RegistrationStateNotAllowed"
        if self.does(wanted if self.model.takes_part else NOT_ALLOWED, self.story.leave(number)):
            entrant.state = "WITHDRAWN"
            if entrant.deposit == "CONFIRMED":
                entrant.deposit = "REFUNDED"

    @rule(number=numbers, price=st.integers(200, 300), skips=st.sampled_from([0, 0, 0, 0, 1]))
    def bid(self, number: int, price: int, skips: int) -> None:
        """A first bid or one in the place of the last; with a version left out now and then."""
        model, entrant = self.model, self.model.entrants.get(number)
        known = entrant or Entrant()
        wanted = "BidVersionWrong" if skips else ""
        if known.accepted != model.corrections:
            wanted = "CorrectionNotAccepted"
        if entrant is None or entrant.state != "QUALIFIED":
            wanted = "NotQualified"
        verdict = self.bench.run(self._placed(number, price, known.version + 1 + skips))
        got = type(verdict).__name__ if isinstance(verdict, Refusal) else ""
        self.seen.add(got)
        assert got == (model.window or wanted)
        # A list of bids is committed with its refusals, and with what was due.
        model.state = model.now
        if not got:
            known.version, known.standing = known.version + 1, verdict.receipt_id

    async def _placed(self, number: int, price: int, version: int) -> Any:
        step = a_step(f"{price}.00", "1000.000")
        (verdict,) = await self.story.place(await self.story.sealed(number, step, version=version))
        return verdict

    @precondition(lambda self: any(one.version for one in self.model.entrants.values()))
    @rule(number=numbers)
    def take_back(self, number: int) -> None:
        entrant = self.model.entrants.get(number)
        if entrant is None or not entrant.standing:
            return
        if self.does(self.model.window, self.story.withdraw(number, entrant.standing)):
            entrant.standing = ""

    @rule(is_put_off=st.booleans())
    def correct(self, is_put_off: bool) -> None:
        model = self.model
        moved = ("closes_at", "opens_by") if is_put_off else ()
        later = {name: model.instants[name] + DAY for name in moved}
        timetable = {name: to.isoformat() for name, to in later.items()}
        form = CorrectionIn.model_validate({"text": "补充说明", "timetable": timetable})
        left = (model.instants | later)["closes_at"] - model.at
        wanted = "" if left >= 3 * DAY else "TimetableWrong"
        wanted = wanted if model.takes_part else NOT_ALLOWED
        work = self.bench.house.run(lambda s: correct_notice(s, TOY, self.story.sale_id, form))
        if self.does(wanted, work):
            model.corrections += 1
            model.instants |= later

    @precondition(lambda self: self.model.entrants)
    @rule(number=numbers, is_old=st.sampled_from([False, False, False, True]))
    def accept(self, number: int, is_old: bool) -> None:
        model, entrant = self.model, self.model.entrants.get(number)
        read = model.corrections - is_old
        if entrant is None or read < 1:
            return
        wanted = "CorrectionAlreadyAccepted" if entrant.accepted == model.corrections else ""
        wanted = "CorrectionNotCurrent" if is_old else wanted
        if entrant.state not in {"REGISTERED", "QUALIFIED"}:
            wanted = "RegistrationStateNotAllowed"
        wanted = wanted if model.takes_part else NOT_ALLOWED
        form = AcceptanceIn(correction=read)
        given = (self.story.contract(number), bidder(number), form)
        if self.on_sale(wanted, accept_correction, *given):
            entrant.accepted = read

    @rule()
    def suspend(self) -> None:
        model = self.model
        wanted = "" if model.takes_part else NOT_ALLOWED
        if self.on_sale(wanted, suspend_sale, ReasonIn(reason="系统检修")):
            model.before, model.state, model.suspended_at = model.state, "SUSPENDED", model.at

    @precondition(lambda self: self.model.state == "SUSPENDED")
    @rule()
    def resume(self) -> None:
        model = self.model
        assert model.suspended_at is not None
        length = model.at - model.suspended_at
        if self.on_sale("", resume_sale):
            for name, at in model.instants.items():
                if at > model.suspended_at:
                    model.instants[name] = at + length
            model.state = model.before

    @precondition(lambda self: self.model.state != "SUSPENDED")
    @rule()
    def resume_what_runs(self) -> None:
        self.on_sale(NOT_ALLOWED, resume_sale)

    @precondition(lambda self: not self.model.cancellation)
    @rule()
    def ask_to_cancel(self) -> None:
        may = self.model.now in {"ANNOUNCED", "OPEN", "CLOSED", "SUSPENDED"}
        asked: list[str] = []

        async def ask(session: Any, sale_id: str) -> None:
            form = ReasonIn(reason="出让方撤回")
            asked.append((await ask_to_cancel(session, sale_id, FIRST, form)).request_id)

        if self.on_sale("" if may else NOT_ALLOWED, ask):
            self.model.cancellation = asked[0]

    @precondition(lambda self: self.model.cancellation)
    @rule(caller=st.sampled_from([FIRST, SECOND, SECOND]))
    def cancel(self, caller: Caller) -> None:
        model = self.model
        wanted = "" if model.now in {"ANNOUNCED", "OPEN", "CLOSED", "SUSPENDED"} else NOT_ALLOWED
        if model.state == "CANCELLED" or (
            model.state == "ARCHIVED" and model.before == "CANCELLED"
        ):
            wanted = "AlreadyConfirmed"
        wanted = "SamePerson" if caller is FIRST else wanted

        async def confirm(session: Any, sale_id: str) -> None:
            await cancel_sale(session, TOY, sale_id, model.cancellation, caller)

        if self.on_sale(wanted, confirm):
            model.state = "CANCELLED"
            self._give_back()

    @rule()
    def reconcile(self) -> None:
        model = self.model
        wanted = "ReconciliationTooEarly" if model.at < model.instants["deposit_due_at"] else ""
        wanted = "AlreadyReconciled" if model.is_reconciled else wanted
        wanted = wanted if model.now == "CLOSED" else NOT_ALLOWED
        if self.on_sale(wanted, reconcile_deposits):
            model.is_reconciled = True

    @rule()
    def open(self) -> None:
        """Two officers, the opener, three shares: the sale is cleared, or failed without a bid."""
        model = self.model
        wanted = "OpeningTooLate" if model.at >= model.instants["opens_by"] else ""
        wanted = wanted if model.is_reconciled else "DepositsNotReconciled"
        wanted = wanted if model.now == "CLOSED" else NOT_ALLOWED
        if self.does(wanted, self._opened()):
            has_deal = any(map(model.has_bid, model.entrants.values()))
            model.state = "CLEARED" if has_deal else "FAILED"

    async def _opened(self) -> None:
        await self.story.ready_from_reconciled()
        for number in (0, 2, 4):
            await self.story.give(number)
        await self.story.opener.turn()

    @rule()
    def archive(self) -> None:
        model = self.model
        may = model.state in {"FAILED", "CANCELLED"}
        ended = model.state
        if self.on_sale("" if may else NOT_ALLOWED, archive_sale):
            model.before, model.state = ended, "ARCHIVED"

    @invariant()
    def the_sale_is_its_model(self) -> None:
        sale = self.bench.run(self.story.sale())
        model = self.model
        assert sale.state == model.state
        assert {name: getattr(sale, name) for name in INSTANTS} == model.instants
        assert sale.correction_count == model.corrections
        entrants = {number: (one.state, one.accepted) for number, one in model.entrants.items()}
        found = self.bench.run(rows(self.bench.house, "SELECT * FROM registration"))
        by_id = {row.id: (row.state, row.accepted_correction) for row in found}
        of = self.story.contract
        assert {number: by_id[of(number)] for number in entrants} == entrants
        if model.state not in {"CLEARED", "FAILED", "ARCHIVED"}:
            deposits = {number: one.deposit for number, one in model.entrants.items()}
            assert self.bench.run(self.story.deposits()) == deposits

    @invariant()
    def what_was_told_is_what_is(self) -> None:
        states: list[str] = []
        for kind in self.bench.run(self.story.kinds()):
            if kind == "resumed":
                states.pop()
            elif kind in TOLD:
                states.append(TOLD[kind])
        assert states[-1] == self.model.state

    @invariant()
    def quota_is_held_while_there_may_be_a_deal(self) -> None:
        assert self.bench.run(self.story.is_conserved())
        model = self.model
        ended = {"FAILED", "CANCELLED", "ARCHIVED"}
        if model.state in ended:
            assert self.bench.run(self.story.held()) == "0.000"
        elif model.state != "CLEARED":
            assert self.bench.run(self.story.held()) == "10000.000"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("stage", STAGES)
def test_a_sale_is_its_model(migrated: Callable[[Package], Migrated], stage: str) -> None:
    seen: set[str] = set()
    with bench(migrated(ENERGY)) as at:

        class FromStage(SaleMachine):
            def __init__(self) -> None:
                super().__init__(at, stage, seen)

        run_state_machine_as_test(FromStage, settings=how_much(examples=8, steps=30))
    missed = sorted(STAGES[stage] - seen)
    assert not missed, missed
