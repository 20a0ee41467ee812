"""How much generated tests try, and for the stateful ones a loop of their own to await in.

`./test` tries a few, always the same; `pytest --hypothesis-profile=large` many, always others.
"""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings

from databases import Migrated
from marketkit.db import Database
from marketkit.errors import Refusal

T = TypeVar("T")
SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)

settings.register_profile(
    "large",
    max_examples=1_000,
    stateful_step_count=60,
    deadline=None,
    database=None,
    suppress_health_check=SLOW,
    print_blob=True,
)
# How long an example takes is the machine's affair.
settings.register_profile(
    "same", derandomize=True, deadline=None, database=None, suppress_health_check=SLOW
)
settings.load_profile("same")


def how_much(examples: int, steps: int) -> settings:
    if settings.get_current_profile_name() == "large":
        return settings()
    return settings(max_examples=examples, stateful_step_count=steps)


class Bench:
    """A house in a loop of its own, for tests that are not coroutines themselves."""

    def __init__(self, database: Migrated, runner: asyncio.Runner) -> None:
        self._database, self._runner = database, runner
        self.house: Database = self.run(_made(database))

    def clear(self) -> None:
        self._database.reset()
        self.house.fixed_instant = None

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    def code(self, work: Coroutine[Any, Any, Any]) -> str:
        """The refusal the work ends in, by name; empty if it does not."""
        try:
            self.run(work)
        except Refusal as refusal:
            return type(refusal).__name__
        return ""


async def _made(database: Migrated) -> Database:
    return database.database(pool_size=2)


@contextmanager
def bench(database: Migrated) -> Iterator[Bench]:
    with asyncio.Runner() as runner:
        found = Bench(database, runner)
        found.clear()
        yield found
        runner.run(found.house.close())
