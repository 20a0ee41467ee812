"""The plans of the lab: what is done to the house, how often, under how much load."""

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from lab.house import ROLES
from lab.nemesis import Act
from lab.overload import CLINGERS
from lab.proxy import TOXICS
from lab.sales import Series

SERVICES = list(ROLES)
DATABASES = 2
EDGES = ["people", "direct", "energy-api", "energy-inner", "energy-database", "gateway-database"]


@dataclass(frozen=True)
class Plan:
    """A schedule of acts out of a seed, and the load it is carried out under.

    Args:
        takes: Turns of takes of quota beside each round of sales.
        writes: No sales and no faults, but so many commands, each followed by system calls.
        freezes: No sales: services are frozen whole for half of the minutes each.
        least: What a run of its whole length must have done, or it shows nothing.
        roles: The processes of the house.
    """

    name: str
    about: str
    minutes: float
    acts: Callable[[random.Random], Iterator[Act]]
    pause_s: float
    series: Series = field(default_factory=Series)
    holds_closings: bool = False
    jumps_clocks: bool = False
    takes: int = 2
    bidders: int = 4
    writes: int = 0
    freezes: bool = False
    least: Mapping[str, int] = field(default_factory=dict)
    roles: tuple[str, ...] = tuple(ROLES)


def _smoke(random: random.Random) -> Iterator[Act]:
    acts = [Act("kill", name) for name in ROLES]
    acts += [Act("postgres-immediate", "postgres"), Act("broker-wipe"), Act("broker-kill")]
    random.shuffle(acts)
    yield from acts


def _kill_storm(random: random.Random) -> Iterator[Act]:
    while True:
        roles = SERVICES.copy()
        random.shuffle(roles)
        for role in roles:
            yield Act("kill", role)
        yield Act("term", random.choice(SERVICES))
        yield Act("postgres-immediate", "postgres")
        yield Act("broker-kill", "broker")


def _pause(random: random.Random) -> Iterator[Act]:
    while True:
        role = random.choice(SERVICES)
        yield Act("pause", role, random.choice([0.1, 0.4, 0.8, 1.6, 3.0, 6.0, 11.0]))


def _postgres(random: random.Random) -> Iterator[Act]:
    while True:
        yield Act("postgres-immediate", "postgres")
        for _ in range(8):
            yield Act("backends", random.choice(["energy", "gateway"]))
        yield Act("postgres-freeze", "postgres", random.uniform(0.5, 4.0))
        for _ in range(8):
            yield Act("backends", random.choice(["energy", "gateway"]))


def _kafka(random: random.Random) -> Iterator[Act]:
    while True:
        yield Act("broker-down", "broker", random.uniform(1.0, 8.0))
        yield Act("broker-wipe")
        yield Act("broker-kill", "broker")
        for _ in range(4):
            yield Act("broker-errors", "broker")
        yield Act("kill", random.choice(["energy-worker-1", "energy-worker-2"]))
        yield Act("pause", random.choice(["energy-worker-1", "gateway-worker-1"]), 6.0)
        yield Act("rebuild", "energy")


def _network(random: random.Random) -> Iterator[Act]:
    while True:
        for edge in EDGES:
            for name in TOXICS:
                if name == "duplicate_request" and "database" in edge:
                    continue  # a second copy of a session's bytes is no fault a network makes
                yield Act("toxic", f"{edge}:{name}", random.uniform(1.5, 3.0))
            yield Act("edge-down", edge, random.uniform(0.5, 2.0))
        for _ in range(20):
            pair = "+".join(random.sample(sorted(TOXICS), 2))
            yield Act("toxic", f"{random.choice(EDGES[:4])}:{pair}", random.uniform(1.5, 3.0))


def _overload(random: random.Random) -> Iterator[Act]:
    while True:
        for act in ("rush-8", "rush-24", "rush-8"):
            yield Act(act, "people", 15.0)
        yield Act("cling", "people", 10.0)
        yield Act("bulk", "direct")


def _stops(random: random.Random) -> Iterator[Act]:
    while True:
        roles = SERVICES.copy()
        random.shuffle(roles)
        for number, role in enumerate(roles):
            yield Act("term", role) if number % 3 else Act("term-in-outage", role, 3.0)


def _quiet(random: random.Random) -> Iterator[Act]:
    yield from ()


def _apis(random: random.Random) -> Iterator[Act]:
    while True:
        yield Act("kill", random.choice(["energy-api-1", "energy-api-2"]))
        yield Act("backends", "energy")


def _freezes(random: random.Random) -> Iterator[Act]:
    while True:
        api = random.choice(["energy-api-1", "energy-api-2"])
        yield Act("pause", api, random.choice([0.05, 0.1, 0.25]))


def _readers(random: random.Random) -> Iterator[Act]:
    while True:
        yield Act("kill", random.choice(["gateway-worker-1", "gateway-worker-2"]))
        yield Act("kill", "gateway-worker-1,gateway-worker-2")


def _holes(random: random.Random) -> Iterator[Act]:
    while True:
        yield Act("kill", "gateway-worker-1,gateway-worker-2")
        yield Act("edge-down", "energy-inner", 3.0)


def _forgers(random: random.Random) -> Iterator[Act]:
    while True:
        yield Act("forge", "wire")


def _poison(random: random.Random) -> Iterator[Act]:
    while True:
        yield Act("poison", "gateway", 60.0)


def _restore(random: random.Random) -> Iterator[Act]:
    yield from [Act("restore", "energy")]


def _hot_freezes(random: random.Random) -> Iterator[Act]:
    while True:
        yield Act("hot-freeze", random.choice(["energy-api-1", "energy-api-2"]))


def _everything(random: random.Random) -> Iterator[Act]:
    sources = [_kill_storm, _pause, _postgres, _kafka, _network]
    running = [source(random) for source in sources]
    while True:
        yield next(random.choice(running))


PLANS = {
    plan.name: plan
    for plan in (
        Plan(
            "P0", "each part killed once, the broker wiped", 1.0, _smoke, 1.5,
            least={"kills": 9, "postgres_stops": 1, "broker_wipes": 1},
        ),
        Plan(
            "P1", "kills, one role at a time", 20, _kill_storm, 3.0,
            least={"kills": 200, "kills_of_a_role": 20, "postgres_stops": 20, "terms": 20},
        ),
        Plan(
            "P2", "frozen and woken again", 10, _pause, 1.0,
            least={"pauses": 60, "board_reads_while_energy_is_hurt": 100},
        ),
        Plan(
            "P3", "the database stopped, frozen, its connections ended", 10, _postgres, 1.2,
            least={"postgres_stops": 20, "postgres_freezes": 10, "backends_ended": 500},
        ),
        Plan(
            "P4", "the broker down, killed, wiped", 15, _kafka, 2.0,
            least={"broker_wipes": 5, "broker_downs": 5, "kills": 10},
        ),
        Plan(
            "P5", "every toxic on every edge, then pairs", 15, _network, 0.3,
            least={"toxics_met": len(EDGES) * len(TOXICS) - DATABASES},
        ),
        Plan(
            "P6", "clocks that jump around five hundred closings", 5, _quiet, 1.0,
            series=Series(500, 0.5, 5.0, bids_from_s=1.5, ends_every=25),
            holds_closings=True, jumps_clocks=True, takes=0, bidders=1,
            least={"closings": 500, "closings_held": 450},
        ),
        Plan(
            "P8", "three times the load, and clients that cling", 10, _overload, 1.0,
            least={"rush_200": 5000, "clingers": CLINGERS, "bulks": 3},
        ),
        Plan(
            "stops", "parts told to stop, a third of them with no broker", 12, _stops, 0.5,
            least={"terms": 200, "terms_in_outage": 50},
        ),
        Plan("quiet", "load alone, for plants that need no more", 0.7, _quiet, 1.0),
        Plan("apis", "apis killed, their connections ended", 0.7, _apis, 0.7),
        Plan("freezes", "apis frozen for moments", 0.7, _freezes, 0.1),
        Plan("readers", "the gateway's workers killed", 0.7, _readers, 0.7),
        Plan("holes", "readers killed and the feed away", 0.7, _holes, 0.3),
        Plan("forgers", "records without a MAC", 0.5, _forgers, 0.3),
        Plan("poison", "events that cannot be shown, replayed later", 0.7, _poison, 1.0),
        Plan("restore", "an owner's log cut short", 0.5, _restore, 12.0),
        Plan("hot-freezes", "an api frozen inside a hot transaction", 0.7, _hot_freezes, 0.2),
        Plan(
            "closings", "a sale's row held over its close", 0.7, _quiet, 1.0,
            series=Series(3, 2.0, 5.0), holds_closings=True, takes=0,
        ),
        Plan(
            "fsync", "each answer followed to the disk by system calls", 1.0, _quiet, 1.0,
            writes=1000, roles=("energy-api-1", "energy-api-2"),
        ),
        Plan(
            "frozen", "energy-trade frozen whole, then the gateway's workers", 2.0, _quiet, 1.0,
            freezes=True,
        ),
        Plan(
            "followed", "a hundred answers followed to the disk, for plants", 1.0, _quiet, 1.0,
            writes=100, roles=("energy-api-1",),
        ),
        Plan("ALL", "all of it", 20, _everything, 2.0),
    )
}  # fmt: skip
