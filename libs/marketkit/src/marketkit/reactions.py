"""What a reader does about facts: one reaction a type, by the list where lists will do."""

from collections import Counter as Counting
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeVar

from prometheus_client import Counter
from pydantic_core import from_json

from marketkit.db import Session
from marketkit.facts import Fact
from marketkit.outbox import Placed

F = TypeVar("F", bound=Fact)

APPLIED = Counter("yaosu_inbox_applied_total", "Events reacted to", ["source"])


class Waiting(Exception):
    """A reaction needs another aggregate's fact first."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


class Told(NamedTuple, Generic[F]):
    """A fact as it reaches a reaction, with what its envelope says."""

    source: str
    partition: int
    sequence: int
    id: str
    type: str
    subject: str
    key: str
    time: datetime
    actor: str
    region_code: str
    policy_version: str
    fact: F


One = Callable[[Session, Told[F]], Awaitable[None]]
Many = Callable[[Session, Sequence[Told[F]]], Awaitable[None]]
R = TypeVar("R", bound=Callable[..., Awaitable[None]])


@dataclass
class Reactions:
    """Which facts this reader reacts to. `projection` is the schema of what they make.

    Every table of it has a column `source`, whose rows a rebuild of that source takes away.
    """

    projection: str
    by_type: dict[str, tuple[type[Fact], Many[Any]]] = field(default_factory=dict)

    def to(self, fact: type[F], *markets: str) -> Callable[[One[F]], One[F]]:
        """Register a reaction to a fact of these markets, one at a time."""

        def register(reaction: One[F]) -> One[F]:
            async def one_by_one(session: Session, facts: Sequence[Told[F]]) -> None:
                for told in facts:
                    await reaction(session, told)

            self.to_many(fact, *markets)(one_by_one)
            return reaction

        return register

    def to_many(self, fact: type[Fact], *markets: str) -> Callable[[R], R]:
        """Register a reaction to facts of these markets by the list, a key's own in their order."""

        def register(reaction: R) -> R:
            for market in markets:
                assert fact.type_in(market) not in self.by_type
                self.by_type[fact.type_in(market)] = (fact, reaction)
            return reaction

        return register

    async def apply(self, session: Session, events: Sequence[Placed]) -> None:
        """Run the reactions to these events; what nobody reacts to is passed over."""
        told = []
        for event in events:
            envelope = from_json(event.event)
            fact_class, reaction = self.by_type.get(envelope["type"], (None, None))
            if fact_class is not None and reaction is not None:
                told.append((reaction, _told(event, envelope, fact_class)))
        for reaction, facts in _together(told):
            await reaction(session, facts)
        for source, count in Counting(one.source for _, one in told).items():
            # What nobody reacts to is not counted: among it are bids, whose number is nobody's.
            APPLIED.labels(source).inc(count)


def _together(
    told: Iterable[tuple[Many[Any], Told[Any]]],
) -> Iterator[tuple[Many[Any], list[Told[Any]]]]:
    """What each reaction takes at a time, in waves: a key's facts stay in their order.

    A fact goes with the wave of its key's last one if the reaction is the same, else with the next.
    Of different keys the order is nobody's: no reaction depends on how they are interleaved.
    """
    waves: list[dict[Many[Any], list[Told[Any]]]] = []
    reached: dict[str, tuple[int, Many[Any]]] = {}
    for reaction, one in told:
        wave, before = reached.get(one.key, (0, reaction))
        wave += before is not reaction
        reached[one.key] = wave, reaction
        if wave == len(waves):
            waves.append({})
        waves[wave].setdefault(reaction, []).append(one)
    for together in waves:
        yield from together.items()


def _told(event: Placed, envelope: dict[str, Any], fact_class: type[F]) -> Told[F]:
    return Told(
        source=event.source,
        partition=event.partition,
        sequence=event.sequence,
        id=envelope["id"],
        type=envelope["type"],
        subject=envelope["subject"],
        key=envelope["partitionkey"],
        time=datetime.fromisoformat(envelope["time"]),
        actor=envelope["actor"],
        region_code=envelope.get("regioncode", ""),
        policy_version=envelope.get("policyversion", ""),
        fact=fact_class.model_validate(envelope["data"]),
    )
