"""Row 61, its time: another's id takes as long as one that never was.

Calls come in pairs, in turn, so that whatever else the machine does is done to both; who asks and
what is asked are the same but for the id. Three runs are allowed, for a machine is not alone.
"""

from collections.abc import AsyncIterator, Callable
from statistics import median
from time import perf_counter

import pytest
from fastapi import FastAPI

from builders import Trust, a_uscc
from databases import ENERGY, Migrated, Package, fresh
from hostile.house import energy_app
from hostile.reach import ENTRY, PAPER, SALE, SETTLEMENT
from hostile.target import Sent
from hostile.town import MINE, Town
from hostile.wire import answer_to, line_to
from marketkit.db import new_id

pytestmark = pytest.mark.slow

CALLS = 1_000
RATIO_MAX = 0.05
RUNS = 8

# What is asked, of whose objects, and by whom.
ASKED: dict[str, tuple[str, str]] = {
    "GET /v1/accounts/{id}": ("account", "county_officer"),
    "GET /v1/lots/{id}": ("lot", "bureau_officer"),
    "GET /v1/increment-batches/{id}": ("batch", "enterprise"),
    f"GET {PAPER}/bid-receipt/{{id}}": ("receipt", "enterprise"),
    f"POST {ENTRY}/withdrawals": ("registration", "enterprise"),
    f"POST {SALE}/sealed-bids/{{id}}/withdrawals": ("receipt", "enterprise"),
    f"POST {SETTLEMENT}/contracts": ("registration", "enterprise"),
}


@pytest.fixture(scope="module")
async def town(
    migrated: Callable[[Package], Migrated], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Town, FastAPI, Trust]]:
    async with fresh(migrated(ENERGY)) as house:
        trust = Trust()
        found = await Town.of(house, trust)
        yield found, energy_app(house, trust, tmp_path_factory.mktemp("keys")), trust


def token_of(trust: Trust, role: str) -> str:
    if role == "enterprise":
        return trust.token(role, region_code="", uscc=a_uscc(MINE))
    return trust.token(role, region_code="370502", department="energy")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ASKED)
async def test_another_s_takes_as_long_as_none(
    town: tuple[Town, FastAPI, Trust], name: str
) -> None:
    found, app, trust = town
    kind, role = ASKED[name]
    method, _, template = name.partition(" ")
    template = template.replace("{sale_id}", found.sale_id).replace("{registration_id}", "{id}")
    token = token_of(trust, role)

    def sent(object_id: str) -> Sent:
        keyed = (("Idempotency-Key", new_id()),) if method == "POST" else ()
        said = (("Authorization", f"Bearer {token}"), *keyed)
        return Sent(method, template.replace("{id}", object_id), said)

    theirs = found.theirs[kind]
    # As long as theirs: what is longer to write takes longer to send.
    unknown = theirs[:-1] + ("0" if theirs[-1] != "0" else "1")
    async with line_to(app) as client:

        async def spent_s(object_id: str) -> float:
            asked = sent(object_id)
            began = perf_counter()
            answer = await answer_to(client, asked)
            spent = perf_counter() - began
            assert answer.status_code == 404
            return spent

        async def apart() -> float:
            """By how much the medians differ, of the lesser one."""
            times: tuple[list[float], list[float]] = ([], [])
            for turn in range(CALLS // 2):
                for place in (0, 1) if turn % 2 else (1, 0):
                    times[place].append(await spent_s((theirs, unknown)[place]))
            one, other = (median(each) for each in times)
            return abs(one - other) / min(one, other)

        seen: list[float] = []
        while len(seen) < RUNS and not (seen and seen[-1] <= RATIO_MAX):
            seen.append(await apart())
    print(f"\n{name}: {', '.join(f'{one:.2%}' for one in seen)}")
    assert seen[-1] <= RATIO_MAX, seen
