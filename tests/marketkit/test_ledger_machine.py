"""The ledger against a model in plain Python, over whatever is done to it in whatever order."""

from collections import defaultdict
from collections.abc import Callable
from datetime import date
from typing import Any, NamedTuple

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from builders import a_booking, a_lot, an_account, an_issue
from databases import LAND, Migrated, Package, rows
from machines import Bench, bench, how_much
from marketkit.closings import close, standing_imbalance
from marketkit.db import Session
from marketkit.holds import hold, post_holds, void_holds, void_part
from marketkit.ledger import book, imbalance, open_account
from marketkit.movements import Leg

ACCOUNTS = ("a", "b", "c")
KEYS = ("sale-1", "sale-2", "pledge-1")
INSUFFICIENT = "InsufficientFreeQuantity"
accounts, keys = st.sampled_from(ACCOUNTS), st.sampled_from(KEYS)
quantities = st.integers(1, 60)


class Made(NamedTuple):
    """A lot as the model knows it; older first."""

    effective_on: date
    id: str
    is_barred: bool


class Held(NamedTuple):
    account: str
    lot: str
    remaining: int


class Ledger(RuleBasedStateMachine):
    def __init__(self, at: Bench, seen: set[tuple[str, bool]]) -> None:
        super().__init__()
        self.at = at
        self.seen = seen
        at.clear()
        self.lots: list[Made] = []
        self.posted: dict[tuple[str, str], int] = defaultdict(int)
        self.held: dict[tuple[str, str], int] = defaultdict(int)
        self.holds: dict[str, list[Held]] = {key: [] for key in KEYS}
        at.run(at.house.run(self._open))

    async def _open(self, session: Session) -> None:
        for name in ACCOUNTS:
            await open_account(session, an_account(name))

    def free(self, account: str, lot: str) -> int:
        return self.posted[account, lot] - self.held[account, lot]

    def does(self, action: Any, *given: Any, refused: bool) -> None:
        """The action is refused exactly when the model says so."""
        code = self.at.code(self.at.house.run(lambda session: action(session, *given)))
        assert code == (INSUFFICIENT if refused else "")
        self.seen.add((action.__name__, refused))

    @rule(account=accounts, quantity=quantities, day=st.integers(1, 4), is_barred=st.booleans())
    def issue(self, account: str, quantity: int, day: int, is_barred: bool) -> None:
        made = Made(date(2022, 1, day), f"lot-{len(self.lots):03}", is_barred)
        lot = a_lot(made.id, effective_on=made.effective_on, is_dual_high_barred=is_barred)
        self.at.run(self.at.house.run(lambda s: an_issue(s, quantity, account, lot=lot)))
        self.lots.append(made)
        self.posted[account, made.id] += quantity

    @precondition(lambda self: self.lots)
    @rule(data=st.data(), source=accounts, to=accounts, quantity=quantities)
    def transfer(self, data: st.DataObject, source: str, to: str, quantity: int) -> None:
        lot = data.draw(st.sampled_from(self.lots)).id
        if source == to:
            return
        legs = [
            Leg(source, "ENERGY", lot, -quantity, 0),
            Leg(to, "ENERGY", lot, quantity, 0),
        ]
        refused = self.free(source, lot) < quantity
        self.does(book, a_booking(), legs, refused=refused)
        if not refused:
            self.posted[source, lot] -= quantity
            self.posted[to, lot] += quantity

    @rule(account=accounts, key=keys, quantity=quantities)
    def hold(self, account: str, key: str, quantity: int) -> None:
        offered = sorted(lot for lot in self.lots if self.free(account, lot.id))
        alike = [lot for lot in offered if lot.is_barred == offered[0].is_barred]
        refused = sum(self.free(account, lot.id) for lot in alike) < quantity
        self.does(hold, a_booking("HOLD", key), account, "ENERGY", quantity, refused=refused)
        for lot in alike if not refused else ():
            take = min(quantity, self.free(account, lot.id))
            quantity -= take
            if take:
                self.held[account, lot.id] += take
                self.holds[key].append(Held(account, lot.id, take))

    @rule(key=keys, to=accounts, quantity=quantities)
    def post(self, key: str, to: str, quantity: int) -> None:
        refused = self._left(key) < quantity
        self.does(post_holds, a_booking("POST", key), to, quantity, refused=refused)
        if not refused:
            for account, lot, taken in self._taken(key, quantity, newest_first=False):
                self.posted[account, lot] -= taken
                self.held[account, lot] -= taken
                self.posted[to, lot] += taken

    # Small: what is held is less than what there is, and seldom as much as is asked for.
    @rule(key=keys, quantity=st.integers(1, 12))
    def void_part(self, key: str, quantity: int) -> None:
        refused = self._left(key) < quantity
        self.does(void_part, a_booking("VOID", key), quantity, refused=refused)
        if not refused:
            self._give_back(key, quantity)

    @rule(key=keys)
    def void(self, key: str) -> None:
        self.does(void_holds, a_booking("VOID", key), refused=False)
        self._give_back(key, self._left(key))

    @rule(count=st.integers(1, 6))
    def close(self, count: int) -> None:
        self.at.run(self.at.house.run(lambda s: close(s, 1 << 62, count), "worker"))

    def _left(self, key: str) -> int:
        return sum(held.remaining for held in self.holds[key])

    def _give_back(self, key: str, quantity: int) -> None:
        for account, lot, taken in self._taken(key, quantity, newest_first=True):
            self.held[account, lot] -= taken

    def _taken(self, key: str, quantity: int, *, newest_first: bool) -> list[Held]:
        """What a quantity takes of a key's holds, which keep the rest."""
        holds = self.holds[key]
        taken = []
        for place in sorted(range(len(holds)), reverse=newest_first):
            take = min(holds[place].remaining, quantity)
            quantity -= take
            taken.append(holds[place]._replace(remaining=take))
            holds[place] = holds[place]._replace(remaining=holds[place].remaining - take)
        self.holds[key] = [held for held in holds if held.remaining]
        return taken

    @invariant()
    def balances_and_holds_are_the_models(self) -> None:
        found = self.at.run(rows(self.at.house, "SELECT * FROM balance WHERE NOT is_issuance"))
        kept = {(row.account, row.lot): (row.posted, row.held) for row in found}
        places = self.posted.keys() | self.held.keys()
        model = {place: (self.posted[place], self.held[place]) for place in places}
        assert _not_empty(kept) == _not_empty(model)
        query = "SELECT key, account, lot, remaining FROM hold WHERE remaining > 0 ORDER BY id"
        open_holds = self.at.run(rows(self.at.house, query))
        for key in KEYS:
            assert [Held(*row[1:]) for row in open_holds if row.key == key] == self.holds[key]

    @invariant()
    def nothing_appears_or_vanishes(self) -> None:
        found = self.at.run(self.at.house.run(imbalance, "worker"))
        assert not any(found.by_asset.values())
        assert self.at.run(self.at.house.run(standing_imbalance, "worker")) == found
        available = "SELECT account FROM balance WHERE NOT is_issuance AND posted < held"
        assert self.at.run(rows(self.at.house, available)) == []

    @invariant()
    def one_hold_never_mixes_restrictions(self) -> None:
        query = (
            "SELECT transfer_id FROM movement JOIN lot ON lot.id = movement.lot "
            "JOIN transfer ON transfer.id = movement.transfer_id WHERE transfer.kind = 'HOLD' "
            "GROUP BY 1 HAVING count(DISTINCT is_dual_high_barred) > 1"
        )
        assert self.at.run(rows(self.at.house, query)) == []


def _not_empty(places: dict[Any, tuple[int, int]]) -> dict[Any, tuple[int, int]]:
    return {place: sums for place, sums in places.items() if sums != (0, 0)}


@pytest.mark.timeout(600)
def test_the_ledger_is_its_model(migrated: Callable[[Package], Migrated]) -> None:
    seen: set[tuple[str, bool]] = set()
    with bench(migrated(LAND)) as at:

        class AtBench(Ledger):
            def __init__(self) -> None:
                super().__init__(at, seen)

        run_state_machine_as_test(AtBench, settings=how_much(examples=12, steps=30))
    # Each was done and was refused: a model that never gets anywhere agrees with any ledger.
    may_be_refused = (book, hold, post_holds, void_part)
    wanted = {(one.__name__, refused) for one in may_be_refused for refused in (False, True)}
    assert wanted | {(void_holds.__name__, False)} <= seen
