import json
import random
from collections.abc import Sequence
from typing import Any

import pytest

from builders import a_project_code, a_uscc
from contracts import energy, holdings, sale
from contracts.catalogue import event_types
from databases import rows
from gateway.board.reactions import REACTIONS
from marketkit.db import Database
from marketkit.facts import Fact
from marketkit.movements import Leg, Movement, fold
from marketkit.outbox import Placed
from marketkit.units import TCE
from sale_story import SALE, SUPPLY, Story
from told_board import ENERGY, Teller, dump, empty, react

EMISSION = "/370500/emission-trade"
INTERLEAVINGS = 100

# Nothing of these may show: who takes part, that they do, or how many.
SEALED = {
    sale.SaleDrafted,
    sale.SaleRegistered,
    sale.SaleQualified,
    sale.RegistrationWithdrawn,
    sale.DepositConfirmed,
    sale.SealedBidPlaced,
    sale.SealedBidWithdrawn,
    sale.DepositsReconciled,
}
# Nothing of these is on the board: money between the parties, and other desks' registers.
LEFT_OUT = {
    sale.DepositRefunded,
    sale.PaymentRecorded,
    sale.RevenueRemitted,
    energy.UnitRegistered,
    energy.UnitRetired,
    energy.ShutdownRecorded,
    energy.IncrementBatchPublished,
    energy.ProjectScreened,
}

Facts = list[tuple[str, Fact]]


def said(fact: type[Fact], **fields: object) -> Fact:
    return fact.model_validate(fields)


def moved(*legs: Leg) -> list[Any]:
    return [Movement.of(leg).model_dump(mode="json") for leg in legs]


def bought(number: int, quantity: str) -> Fact:
    minor = TCE.parse(quantity)
    buyer = f"enterprise:{a_uscc(number)}:{a_project_code(number)}"
    return said(
        sale.QuotaCredited,
        registration_id=f"registration-{number}",
        account=buyer,
        quantity=quantity,
        asset="ENERGY",
        movements=moved(
            Leg("province:ENERGY", "ENERGY", "lot-1", -minor, -minor),
            Leg(buyer, "ENERGY", "lot-1", minor, 0),
        ),
    )


def ending() -> Facts:
    """What follows a result: the first bidder's quota is delivered, the second does not pay."""
    rest = TCE.parse("6000")
    first, second = "registration-1", "registration-2"
    contract = {"amount_yuan": "880000.00", "deposit_yuan": "1.00", "due_yuan": "879999.00"}
    told = [
        said(sale.SaleConfirmed, movements=[]),
        said(
            sale.ContractSigned,
            registration_id=first,
            pay_by="2022-06-08T16:00:00+08:00",
            **contract,
        ),
        said(sale.SalePaid, registration_id=first),
        bought(1, "4000.000"),
        said(sale.SaleDelivered, registration_id=first),
        said(
            sale.SaleDefaulted,
            registration_id=second,
            forfeited_yuan="2.00",
            movements=moved(Leg("province:ENERGY", "ENERGY", "lot-1", 0, -rest)),
        ),
        said(sale.SaleSettled),
        said(sale.SaleArchived),
    ]
    return [(SALE, fact) for fact in told]


def a_story() -> Facts:
    """A whole sale, its facts of people included, from the announcement to the archive."""
    story = Story()
    facts = story.facts()
    announced = next(n for n, (_, fact) in enumerate(facts) if fact.kind == "sale.announced")
    people = [(SALE, fact) for fact in sealed_facts()]
    bidding = [(SALE, said(sale.SaleOpenedForBids))]
    return [*facts[: announced + 1], *people, *bidding, *facts[announced + 1 :], *ending()]


def sealed_facts() -> list[Fact]:
    one = {"registration_id": "canary-registration"}
    return [
        said(sale.SaleDrafted, title="canary-title", format="SEALED"),
        said(sale.SaleRegistered, **one),
        said(sale.SaleQualified, verdict="QUALIFIED", **one),
        said(sale.DepositConfirmed, **one),
        said(sale.SealedBidPlaced, receipt_id="canary-receipt", commitment="canary-commitment"),
        said(sale.SealedBidWithdrawn, receipt_id="canary-receipt"),
        said(sale.RegistrationWithdrawn, **one),
        said(sale.DepositsReconciled),
    ]


def quota_of_others() -> Facts:
    """Accounts, lots and movements of keys of their own; some come to nothing and grow again."""
    account = {"owner_kind": "COUNTY", "region_code": "370502"}
    split = {
        "case": "IN_CITY",
        "asset": "COAL",
        "province": "0",
        "city": "1",
        "county": "1",
        "compensated": [],
        "usable_locally": True,
    }
    facts: Facts = [
        ("county:370502", said(holdings.AccountOpened, account="county:370502", **account))
    ]
    for number, minor in enumerate((5_000, -5_000, 3_000, 2_000, -5_000)):
        legs = moved(
            Leg("county:370502", "COAL", "lot-2", minor, 0),
            Leg("issuance:COAL", "COAL", "lot-2", -minor, 0),
        )
        facts.append((f"shutdown-{number}", said(energy.SplitPosted, movements=legs, **split)))
    assigned = moved(Leg("county:370502", "ENERGY", "lot-3", 7, 7))
    facts.append(
        (
            "batch-1",
            said(
                energy.QuotaAssigned,
                account="county:370502",
                quantity_tce="0.007",
                movements=assigned,
            ),
        )
    )
    return facts


def a_lot() -> Fact:
    return said(
        holdings.LotCreated,
        lot="lot-1",
        asset="ENERGY",
        article="art. 5",
        document_no="鲁发改〔2022〕1号",
        origin_kind="ISSUE",
        origin_id="issue-1",
        origin_region_code="370000",
        effective_on="2022-01-04",
        is_dual_high_barred=True,
        is_locally_usable=True,
        needs_city_consent=False,
    )


def events(house: Database) -> list[Placed]:
    """Both markets' events: a whole sale each, and quota of other keys."""
    told = Teller(house).place([*a_story(), ("lot-1", a_lot()), *quota_of_others()])
    emission = [(f"emission-{key}", fact) for key, fact in Story().facts()]
    return told + Teller(house, "emission", EMISSION).place(emission)


def shuffled(told: Sequence[Placed], number: int) -> list[Placed]:
    """The events in another order, those of a key in their own."""
    chance = random.Random(number)
    by_key: dict[tuple[str, str], list[Placed]] = {}
    for event in told:
        by_key.setdefault((event.source, key_of(event)), []).append(event)
    order = [place for place, found in by_key.items() for _ in found]
    chance.shuffle(order)
    left = {place: iter(found) for place, found in by_key.items()}
    return [next(left[place]) for place in order]


def key_of(event: Placed) -> str:
    key: str = json.loads(event.event)["partitionkey"]
    return key


def test_every_fact_is_shown_or_known_to_be_silent() -> None:
    shown = {fact for fact, _ in REACTIONS.by_type.values()}
    assert set(event_types().values()) - shown == SEALED | LEFT_OUT
    assert not shown & (SEALED | LEFT_OUT)


def test_every_fact_that_moves_quota_is_heard_in_every_market_that_tells_it() -> None:
    moving = {name for name, fact in event_types().items() if "movements" in fact.model_fields}
    assert moving
    assert moving <= set(REACTIONS.by_type)


async def test_holdings_are_the_fold_of_every_movement(gateway_house: Database) -> None:
    told = [*a_story(), *quota_of_others()]
    await Teller(gateway_house).tell(told)
    legs = [leg.leg() for _, fact in told for leg in getattr(fact, "movements", [])]
    found = await rows(gateway_house, "SELECT * FROM projection.holding")
    shown = {(row.account, row.asset, row.lot): (row.posted_minor, row.held_minor) for row in found}
    assert {place: sums for place, sums in shown.items() if sums != (0, 0)} == fold(legs)
    assert shown["county:370502", "COAL", "lot-2"] == (0, 0)
    assert {row.market for row in found} == {"energy"}


@pytest.mark.timeout(300)
async def test_a_hundred_interleavings_of_keys_give_one_board(gateway_house: Database) -> None:
    told = events(gateway_house)
    await react(gateway_house, told)
    first = await dump(gateway_house)
    assert all(first.values())
    for number in range(INTERLEAVINGS):
        await empty(gateway_house)
        order = shuffled(told, number)
        assert order != told
        await react(gateway_house, order)
        assert await dump(gateway_house) == first


async def test_a_rebuild_empties_every_projection(gateway_house: Database) -> None:
    await react(gateway_house, events(gateway_house))
    await empty(gateway_house)
    assert not any((await dump(gateway_house)).values())


async def test_before_the_opening_nothing_shows_of_who_takes_part(
    gateway_house: Database,
) -> None:
    story = Story().facts()
    announced = next(n for n, (_, fact) in enumerate(story) if fact.kind == "sale.announced")
    teller = Teller(gateway_house)
    await teller.tell([*story[: announced + 1], (SALE, said(sale.SaleOpenedForBids))])
    before = await dump(gateway_house)
    sealed = sealed_facts()
    assert {type(fact) for fact in sealed} == SEALED
    await teller.tell([(SALE, fact) for fact in sealed])
    assert await dump(gateway_house) == before
    await teller.tell([(SALE, said(sale.SaleClosed, closed_at="2022-06-03T12:00:00+08:00"))])
    assert "canary" not in str(await dump(gateway_house))


async def test_a_sale_given_up_as_a_draft_was_never_there(gateway_house: Database) -> None:
    drafted = said(sale.SaleDrafted, title="一场交易", format="SEALED")
    cancelled = said(sale.SaleCancelled, reason="不再举行", movements=[])
    await Teller(gateway_house).tell([(SALE, drafted), (SALE, cancelled)])
    assert not any((await dump(gateway_house)).values())


async def state_of(house: Database) -> Any:
    found = await rows(house, "SELECT * FROM projection.board_sale")
    return found[0]


def announced() -> Facts:
    return [one for one in Story().facts() if one[1].kind == "sale.announced"]


async def test_a_suspended_sale_goes_on_where_it_stood_with_a_new_timetable(
    gateway_house: Database,
) -> None:
    teller = Teller(gateway_house)
    timetable = Story().facts()[3][1].model_dump(mode="json")["timetable"]
    later = timetable | {"opens_by": "2022-07-01T12:00:00+08:00"}
    await teller.tell([*announced(), (SALE, said(sale.SaleOpenedForBids))])
    await teller.tell([(SALE, said(sale.SaleSuspended, reason="系统检修"))])
    suspended = await state_of(gateway_house)
    assert (suspended.state, suspended.reason) == ("SUSPENDED", "系统检修")
    await teller.tell([(SALE, said(sale.SaleResumed, timetable=later))])
    resumed = await state_of(gateway_house)
    assert (resumed.state, resumed.reason, resumed.timetable) == ("OPEN", "", later)
    kinds = await rows(
        gateway_house, "SELECT kind FROM projection.announcement ORDER BY published_at"
    )
    assert [row.kind for row in kinds] == ["SALE", "SUSPENSION", "RESUMPTION"]


@pytest.mark.parametrize(
    ("ended", "state", "reason"),
    [
        (said(sale.SaleCancelled, reason="不再举行", movements=[]), "CANCELLED", "不再举行"),
        (
            said(sale.SaleFailed, reason="NOT_OPENED_IN_TIME", movements=[]),
            "FAILED",
            "未能在规定时限内开标。",
        ),
    ],
)
async def test_a_sale_that_ends_early_says_why(
    gateway_house: Database, ended: Fact, state: str, reason: str
) -> None:
    await Teller(gateway_house).tell([*announced(), (SALE, ended)])
    found = await state_of(gateway_house)
    assert (found.state, found.reason) == (state, reason)


async def test_a_result_in_parts_stands_when_its_last_part_came(gateway_house: Database) -> None:
    facts = Story().facts()
    cleared = facts[-1][1]
    assert isinstance(cleared, sale.SaleCleared)
    parts = [
        cleared.model_copy(update={"part": 1, "part_count": 2, "awards": cleared.awards[:1]}),
        cleared.model_copy(
            update={"part": 2, "part_count": 2, "awards": cleared.awards[1:], "rejected": []}
        ),
    ]
    teller = Teller(gateway_house)
    await teller.tell([*facts[:-1], (SALE, parts[0])])
    assert (await state_of(gateway_house)).state == "OPENED"
    await teller.tell([(SALE, parts[1])])
    assert (await state_of(gateway_house)).state == "CLEARED"
    steps = await rows(
        gateway_house, "SELECT FROM projection.board_step WHERE kind = 'sale.cleared'"
    )
    assert len(steps) == 1
    awards = await rows(gateway_house, "SELECT FROM projection.board_award")
    assert len(awards) == len(cleared.awards) == 2


async def test_winners_are_followed_to_delivery_or_default(gateway_house: Database) -> None:
    await Teller(gateway_house).tell(a_story())
    found = await rows(
        gateway_house, "SELECT * FROM projection.board_settlement ORDER BY registration_id"
    )
    assert [(row.state, row.quantity_minor, row.forfeited_fen) for row in found] == [
        ("DELIVERED", TCE.parse("4000"), None),
        ("DEFAULTED", TCE.parse("6000"), 200),
    ]
    assert (await state_of(gateway_house)).state == "ARCHIVED"


async def test_each_event_that_shows_is_one_change_at_its_own_time(
    gateway_house: Database,
) -> None:
    told = a_story()
    await Teller(gateway_house).tell(told)
    found = await rows(
        gateway_house, "SELECT kind FROM projection.change ORDER BY changed_at, sequence"
    )
    silent = SEALED | LEFT_OUT | {holdings.AccountOpened, holdings.LotCreated}
    assert [row.kind for row in found] == [f.kind for _, f in told if type(f) not in silent]
    last = await rows(gateway_house, "SELECT max(changed_at) AS at FROM projection.change")
    assert (await state_of(gateway_house)).as_of == last[0].at


def test_the_story_sells_the_whole_supply() -> None:
    assert Story().clearing().sold_minor == SUPPLY
    assert ENERGY.startswith("/370500/")
