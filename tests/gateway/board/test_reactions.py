"""What projections are: the fold of what was told, in whatever order keys came, and no more."""

import json
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from builders import NOON, a_uscc
from contracts import drill, energy, escrow, holdings
from contracts import sale as told
from contracts.catalogue import event_types, facts_of
from databases import rows
from gateway.board.reactions import REACTIONS
from marketkit.db import Database, Session
from marketkit.facts import Fact
from marketkit.inbox import rebuild
from marketkit.movements import Leg, Movement, fold
from marketkit.outbox import Placed
from marketkit.units import Form, format_instant
from sale_story import SALE, Story
from told_board import EMISSION, ENERGY, Teller, dump, forget, hear

BUYER = f"enterprise:{a_uscc(1)}:2205-370502-04-01-000001"
# What is told before an opening of those who take part; it may leave no trace.
HIDDEN: list[Fact] = [
    told.SaleDrafted(title="示例", format="SEALED"),
    told.SaleRegistered(registration_id="registration-1"),
    told.SaleQualified(registration_id="registration-1", verdict="QUALIFIED"),
    told.RegistrationWithdrawn(registration_id="registration-2"),
    told.DepositConfirmed(registration_id="registration-1"),
    told.SealedBidPlaced(receipt_id="receipt-1", commitment="c"),
    told.SealedBidWithdrawn(receipt_id="receipt-1"),
    told.DepositsReconciled(),
    told.CorrectionAccepted(registration_id="registration-1", correction=1),
]

# Nothing of these is on the board: money between the parties, and other desks' registers.
LEFT_OUT = {
    told.DepositRefunded,
    told.PaymentRecorded,
    told.RevenueRemitted,
    energy.UnitRegistered,
    energy.UnitRetired,
    energy.ShutdownRecorded,
    energy.IncrementBatchPublished,
    energy.ProjectScreened,
    energy.CoalStockReported,
    energy.CoalStockAlerted,
    # Of a drill the announcement says when it was passed; before it there is nothing to show.
    drill.DrillBegun,
    drill.DrillAnswered,
    # The bank's files tell how many paid.
    escrow.BankFileKept,
    escrow.DepositReturned,
    escrow.StrayReturnDecided,
    escrow.StrayReturned,
}


def said(form: type[Form], **fields: object) -> Any:
    return form.model_validate(fields)


def moves(*legs: tuple[str, int, int]) -> list[Movement]:
    return [Movement.of(Leg(name, "ENERGY", "lot-1", posted, held)) for name, posted, held in legs]


def to_the_end() -> list[tuple[str, Fact]]:
    """What follows a cleared sale of 10,000 tce: one winner gets its part, one defaults."""
    due = format_instant(NOON + timedelta(days=7))
    credited = said(
        told.QuotaCredited,
        registration_id="registration-1",
        account=BUYER,
        quantity="4000.000",
        asset="ENERGY",
        movements=moves(("province:ENERGY", -4_000_000, -4_000_000), (BUYER, 4_000_000, 0)),
    )
    facts: list[Fact] = [
        told.SaleConfirmed(movements=[]),
        *(
            said(
                told.ContractSigned,
                registration_id=f"registration-{n}",
                amount_yuan="880000.00",
                deposit_yuan="160000.00",
                due_yuan="720000.00",
                pay_by=due,
            )
            for n in (1, 2)
        ),
        told.SalePaid(registration_id="registration-1"),
        credited,
        told.SaleDelivered(registration_id="registration-1"),
        said(
            told.SaleDefaulted,
            registration_id="registration-2",
            forfeited_yuan="240000.00",
            movements=moves(("province:ENERGY", 0, -6_000_000)),
        ),
        told.SaleSettled(),
        told.SaleArchived(),
    ]
    opened = said(
        holdings.AccountOpened,
        account=BUYER,
        owner_kind="ENTERPRISE",
        region_code="370502",
        uscc=a_uscc(1),
        project_code="2205-370502-04-01-000001",
    )
    return [*((SALE, fact) for fact in facts), (BUYER, opened)]


def aside() -> list[tuple[str, Fact]]:
    """What else moves quota, and sales that stand aside."""
    announced = next(f for _, f in Story().facts() if isinstance(f, told.SaleAnnounced))
    nothing = announced.model_copy(update={"movements": []})
    later = nothing.timetable.model_copy(update={"pay_days": 9})
    lot = said(
        holdings.LotCreated,
        lot="lot-1",
        asset="ENERGY",
        article="art. 4",
        document_no="东发改〔2022〕1号",
        origin_kind="SHUTDOWN",
        origin_id="unit-1",
        origin_region_code="370502",
        effective_on="2022-06-01",
        is_dual_high_barred=False,
        is_locally_usable=True,
        needs_city_consent=False,
    )
    assigned = energy.QuotaAssigned.model_validate(
        {
            "account": BUYER,
            "quantity_tce": "1000.000",
            "movements": moves(("city:ENERGY", -1_000_000, 0), (BUYER, 1_000_000, 0)),
        }
    )
    return [
        ("lot-1", lot),
        ("assignment-1", assigned),
        ("sale-2", nothing),
        ("sale-2", told.SaleSuspended(reason="系统检修")),
        ("sale-2", told.SaleResumed(timetable=later)),
        ("sale-2", told.SaleCancelled(reason="出让方撤回", movements=[])),
        ("sale-3", nothing),
        ("sale-3", told.SaleSuspended(reason="核查")),
        ("sale-4", nothing),
        ("sale-4", said(told.SaleFailed, reason="NOT_OPENED_IN_TIME", movements=[])),
        ("sale-5", told.SaleCancelled(reason="未公告即撤回", movements=[])),
    ]


def everything(house: Database) -> list[Placed]:
    energy_side = Teller(house)
    emission_side = Teller(house, "emission", EMISSION)
    # The same ids may stand in both markets; so may accounts, but never the same sale.
    others = [("sale-9", fact) for key, fact in aside() if key == "sale-2"]
    return [
        *energy_side.events([*Story().facts(), *to_the_end(), *aside()]),
        *emission_side.events(others),
    ]


async def emptied(source: str, session: Session) -> None:
    await rebuild(session, REACTIONS, source, 1)


async def test_one_source_is_rebuilt_and_the_other_s_rows_stay_as_they_are(
    gateway_house: Database,
) -> None:
    events = everything(gateway_house)
    await hear(gateway_house, events)
    before = await dump(gateway_house)
    for source, other in ((ENERGY, EMISSION), (EMISSION, ENERGY)):
        await gateway_house.run(partial(emptied, source), "worker")
        without = await dump(gateway_house)
        assert source not in without
        assert without.count(other) == before.count(other) > 0
        await hear(gateway_house, [event for event in events if event.source == source])
        assert await dump(gateway_house) == before


async def test_every_row_of_the_projections_names_its_source(gateway_house: Database) -> None:
    query = (
        "SELECT table_name FROM information_schema.tables t WHERE table_schema = 'projection' "
        "AND NOT EXISTS (SELECT FROM information_schema.columns c WHERE c.table_schema = "
        "t.table_schema AND c.table_name = t.table_name AND c.column_name = 'source')"
    )
    assert await rows(gateway_house, query) == []


async def test_a_rebuild_empties_every_projection(gateway_house: Database) -> None:
    empty = await dump(gateway_house)
    await hear(gateway_house, everything(gateway_house))
    assert await dump(gateway_house) != empty
    await forget(gateway_house)
    assert await dump(gateway_house) == empty


async def test_holdings_are_the_fold_of_all_movements_and_nothing_else(
    gateway_house: Database,
) -> None:
    events = everything(gateway_house)
    await hear(gateway_house, events)
    legs = [
        Movement.model_validate(movement).leg()
        for event in events
        for movement in json.loads(event.event)["data"].get("movements", [])
    ]
    assert len(legs) > 6
    found = await rows(
        gateway_house,
        "SELECT account, asset, lot, posted_minor, held_minor FROM projection.holding "
        "WHERE (posted_minor, held_minor) <> (0, 0)",
    )
    assert {tuple(row[:3]): (row[3], row[4]) for row in found} == fold(legs)
    assert sum(row[3] for row in found) == 0


async def test_every_fact_that_moves_quota_has_a_reaction() -> None:
    for market in ("energy", "emission"):
        moving = [fact for fact in facts_of(market) if "movements" in fact.model_fields]
        assert len(moving) >= 7
        assert {fact.type_in(market) for fact in moving} <= set(REACTIONS.by_type)


async def test_every_fact_is_shown_or_known_to_be_silent() -> None:
    shown = {fact for fact, _ in REACTIONS.by_type.values()}
    silent = {type(fact) for fact in HIDDEN} | LEFT_OUT
    assert set(event_types().values()) - shown == silent
    assert not shown & silent


async def test_what_is_sealed_has_no_reaction() -> None:
    for fact in HIDDEN:
        for market in ("energy", "emission"):
            assert fact.type_in(market) not in REACTIONS.by_type


async def test_before_the_opening_nothing_told_of_bidders_leaves_a_trace(
    gateway_house: Database,
) -> None:
    teller = Teller(gateway_house)
    facts = Story().facts()
    at = next(n for n, (_, fact) in enumerate(facts) if isinstance(fact, told.SaleAnnounced))
    await teller.tell(facts[: at + 1])
    before = await dump(gateway_house)
    for fact in HIDDEN * 5:
        await teller.tell([(SALE, fact)])
    assert await dump(gateway_house) == before


@pytest.mark.parametrize(
    ("sale_id", "state"),
    [(SALE, "ARCHIVED"), ("sale-2", "CANCELLED"), ("sale-3", "SUSPENDED"), ("sale-4", "FAILED")],
)
async def test_a_sale_ends_in_the_state_that_was_told(
    gateway_house: Database, sale_id: str, state: str
) -> None:
    await hear(gateway_house, everything(gateway_house))
    found = await rows(
        gateway_house, "SELECT state FROM projection.board_sale WHERE id = :id", id=sale_id
    )
    assert found == [(state,)]


async def test_a_resumed_sale_goes_on_by_its_new_timetable(gateway_house: Database) -> None:
    facts = [(key, fact) for key, fact in aside() if key == "sale-2"][:3]
    await Teller(gateway_house).tell(facts)
    found = await rows(gateway_house, "SELECT state, timetable, reason FROM projection.board_sale")
    assert [(row.state, row.timetable["pay_days"], row.reason) for row in found] == [
        ("ANNOUNCED", 9, "")
    ]


async def test_what_was_never_announced_is_nowhere(gateway_house: Database) -> None:
    cancelled = told.SaleCancelled(reason="未公告即撤回", movements=[])
    empty = await dump(gateway_house)
    await Teller(gateway_house).tell([(SALE, HIDDEN[0]), (SALE, cancelled)])
    assert await dump(gateway_house) == empty


async def test_each_winner_is_settled_apart(gateway_house: Database) -> None:
    await hear(gateway_house, everything(gateway_house))
    found = await rows(
        gateway_house,
        "SELECT registration_id, state, quantity_minor, forfeited_fen "
        "FROM projection.board_settlement ORDER BY 1",
    )
    assert [tuple(row) for row in found] == [
        ("registration-1", "DELIVERED", 4_000_000, None),
        ("registration-2", "DEFAULTED", 6_000_000, 24_000_000),
    ]


async def test_projections_know_no_clock_serial_or_chance(gateway_house: Database) -> None:
    """No column has a default but a constant: what is not told is not there."""
    found = await rows(
        gateway_house,
        "SELECT table_name, column_name, column_default, is_identity "
        "FROM information_schema.columns WHERE table_schema = 'projection'",
        role="worker",
    )
    assert len(found) > 50
    assert [row for row in found if row.column_default or row.is_identity != "NO"] == []


async def test_a_result_in_parts_stands_when_its_last_part_came(gateway_house: Database) -> None:
    facts = Story().facts()
    cleared = facts[-1][1]
    assert isinstance(cleared, told.SaleCleared)
    assert len(cleared.awards) == 2
    of = {"part_count": 2}
    first = cleared.model_copy(update=of | {"part": 1, "awards": cleared.awards[:1]})
    rest = {"part": 2, "awards": cleared.awards[1:], "rejected": []}
    second = cleared.model_copy(update=of | rest)
    teller = Teller(gateway_house)
    for fact, state, step_count in ((first, "OPENED", 0), (second, "CLEARED", 1)):
        await teller.tell([*(facts[:-1] if fact is first else []), (SALE, fact)])
        assert await rows(gateway_house, "SELECT state FROM projection.board_sale") == [(state,)]
        steps = "SELECT count(*) FROM projection.board_step WHERE kind = 'sale.cleared'"
        assert await rows(gateway_house, steps) == [(step_count,)]
    assert await rows(gateway_house, "SELECT count(*) FROM projection.board_award") == [(2,)]


async def test_each_event_that_shows_is_one_change_at_its_own_time(
    gateway_house: Database,
) -> None:
    facts = [*Story().facts(), *((SALE, fact) for fact in HIDDEN), *to_the_end()]
    await Teller(gateway_house).tell(facts)
    found = await rows(
        gateway_house, "SELECT kind FROM projection.change ORDER BY changed_at, sequence"
    )
    silent = {type(fact) for fact in HIDDEN} | LEFT_OUT
    silent |= {holdings.AccountOpened, holdings.LotCreated}
    assert [row.kind for row in found] == [f.kind for _, f in facts if type(f) not in silent]
