"""Holds on one hot lot over HTTP: pledges of one enterprise's account, art. 19."""

from typing import Any

from bench import hot, load
from bench.figures import Figure
from bench.site import done, site
from builders import a_lot, a_project_code, a_uscc, an_account, an_issue
from databases import rows
from marketkit.db import Database
from marketkit.ledger import open_account

# Of three rounds: what ours is sent, and what the plain endpoint is.
ROUNDS = [(range(n, n + 3_072), range(n + 3_072, n + 4_096)) for n in (0, 4_096, 8_192)]
HOLDER, CREDITOR = a_uscc(1), a_uscc(2)
ACCOUNT = f"enterprise:{HOLDER}:{a_project_code(1)}"


async def holder(house: Database, quantity_minor: int = 10**12) -> None:
    """One account with one lot; if not said, far more than all will pledge."""
    account = an_account(
        ACCOUNT,
        owner_kind="ENTERPRISE",
        region_code="370502",
        uscc=HOLDER,
        project_code=a_project_code(1),
    )
    await house.run(lambda s: open_account(s, account))
    await house.run(lambda s: an_issue(s, quantity_minor, ACCOUNT, lot=a_lot()))
    await house.close()


async def taken_twice(house: Database) -> int:
    """How far the balance is from its holds: 0 unless something was taken twice or lost."""
    found = await rows(
        house,
        "SELECT (SELECT sum(held) FROM balance) - (SELECT sum(remaining) FROM hold) AS off",
    )
    await house.close()
    return int(found[0].off)


def body(number: int) -> dict[str, Any]:
    return {
        "project_code": a_project_code(1),
        "asset": "ENERGY",
        "quantity": "1.000",
        "creditor_uscc": CREDITOR,
        "document_no": f"质押〔2022〕{number}号",
        "effective_on": "2022-06-01",
    }


def measure() -> list[Figure]:
    with site() as here:
        url = here.database("energy_trade")
        done(holder(here.house("energy_trade", url)))
        token = here.token("enterprise", "person-of-1", region_code="", uscc=HOLDER)

        def writing(numbers: range) -> hot.Writing:
            return lambda port, path: [
                [hot.posted(port, path, body(n), token) for n in numbers[client :: load.CLIENTS]]
                for client in range(load.CLIENTS)
            ]

        found = hot.measure(
            here,
            url,
            hot.Hot(
                "holds on one lot",
                "/v1/pledges",
                [(writing(ours), writing(plain)) for ours, plain in ROUNDS],
            ),
        )
        assert done(taken_twice(here.house("energy_trade", url))) == 0
        return found
