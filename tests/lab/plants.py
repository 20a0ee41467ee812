"""Planted faults: each changes the product's source as one process of the lab imports it.

They live here and nowhere else: no package holds them, and no setting of the product knows them. A
plant also takes away what would hide it. A text that is to be replaced and does not stand there
exactly once is an error: a plant cannot go stale unseen.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import NamedTuple


class PlantStale(Exception):
    """What a plant replaces is not there, or there more than once."""


class Edit(NamedTuple):
    """One text of a module's source, and what stands in its place."""

    module: str
    old: str
    new: str


@dataclass(frozen=True)
class Plant:
    """A fault, which guarantees' checks must see it, and under which plan.

    Args:
        about: What is wrong.
        caught_by: The guarantees one of which must be red.
        edits: What of the product's source is another in the processes of the lab.
        statements: For a service's database after its migration: constraints that would hide it.
        database: More options of PostgreSQL's command line.
    """

    name: str
    about: str
    caught_by: tuple[str, ...]
    plan: str
    edits: tuple[Edit, ...] = ()
    statements: Mapping[str, Sequence[str]] = field(default_factory=dict)
    database: Sequence[str] = ()


_COMMIT_AFTER_ANSWER = (
    Edit(
        "marketkit.db",
        """                    async with self.transaction(role, scope=scope, actor=actor) as session:
                        return await work(session)
""",
        """                    async with self.transaction(role, scope=scope, actor=actor) as session:
                        answer = await work(session)
                        if role == "market" and not early.done():
                            early.set_result(answer)
                            await asyncio.sleep(0.1)
                        return answer
""",
    ),
    Edit(
        "marketkit.db",
        """        task = asyncio.ensure_future(attempts())
""",
        """        early: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        task = asyncio.ensure_future(attempts())
""",
    ),
    Edit(
        "marketkit.db",
        """        return await asyncio.shield(task)
""",
        """        await asyncio.wait({task, early}, return_when=asyncio.FIRST_COMPLETED)
        return early.result() if early.done() else await asyncio.shield(task)
""",
    ),
)

_CURSOR_BY_ID = (
    Edit(
        "marketkit.outbox",
        """        (await session.exec(select(Outbox).order_by(col(Outbox.id)).limit(SEQUENCE_BATCH))).all()
    )
""",
        """        (
            await session.exec(
                select(Outbox)
                .where(col(Outbox.id) > (await sql(session, "SELECT id FROM cursor")).scalar_one())
                .order_by(col(Outbox.id))
                .limit(SEQUENCE_BATCH)
            )
        ).all()
    )
    if waiting:
        await sql(session, "UPDATE cursor SET id = :id", id=waiting[-1].id)
""",
    ),
)

_NO_HEADS_LOCK = (
    Edit("marketkit.outbox", "query.with_for_update() if lock else query", "query"),
    Edit(
        "marketkit.outbox",
        """        head = heads[partition_of(told.key, PARTITIONS)]
""",
        """        head = heads[partition_of(told.key, PARTITIONS)]
        await sql(session, "SELECT pg_sleep(0.01)")
""",
    ),
)

_SKIP_LOCKED = (
    Edit(
        "marketkit.worker",
        """            while bells.is_relay:
                if not await relay_once(house, wire):
""",
        """            while True:
                if not await relay_once(house, wire):
""",
    ),
    Edit(
        "marketkit.worker",
        """    events = await house.run(lambda session: unsent(session, RELAY_BATCH), "worker")
""",
        """    async def claim(session: Session) -> list:
        free = await sql(session, "SELECT * FROM relay_position FOR UPDATE SKIP LOCKED")
        found = []
        for row in free.all():
            more = await placed(session, row.partition, row.sequence + 1, 2)
            found += more
            if more:
                await note_sent(session, row.partition, more[-1].sequence)
        return found

    events = await house.run(claim, "worker")
    await asyncio.sleep(os.urandom(1)[0] / 400)
""",
    ),
    Edit(
        "marketkit.worker",
        "from marketkit.outbox import note_sent, sequence, unsent",
        "import os\nfrom marketkit.outbox import note_sent, placed, sequence, unsent",
    ),
)

_POSITION_FIRST = (
    Edit(
        "marketkit.inbox",
        """    else:
        await reactions.apply(session, next_ones)
    await session.flush()
""",
        """    else:
        session.info["taken"] = next_ones
    await session.flush()
""",
    ),
    Edit(
        "marketkit.reader",
        """            return await self.house.run(
                lambda session: take_in(session, self.reactions, events, self.mac_key), "worker"
            )
""",
        """            later: list[Placed] = []

            async def first(session: Session) -> Taken:
                taken = await take_in(session, self.reactions, events, self.mac_key)
                later.extend(session.info.get("taken", []))
                return taken

            taken = await self.house.run(first, "worker")
            for event in later:
                await asyncio.sleep(0.1)
                await self.house.run(
                    lambda session, event=event: self.reactions.apply(session, [event]), "worker"
                )
            return taken
""",
    ),
)

_NO_CHAIN = Edit(
    "marketkit.inbox",
    "        if chain_after(position.chain, event.event) != event.chain:",
    "        if False:",
)
_POSITION_NOT_COMPARED = (
    Edit(
        "marketkit.inbox",
        """        if event.sequence <= position.sequence:
            continue
""",
        "",
    ),
    _NO_CHAIN,
)
_HOLE_SKIPPED = (
    Edit(
        "marketkit.inbox",
        """        if event.sequence > position.sequence + 1:
            return Taken(len(next_ones), has_hole=True), next_ones
""",
        "",
    ),
    _NO_CHAIN,
)

_NO_DEDUPE = (
    Edit(
        "marketkit.batch",
        "    stored = await _stored(session, commands)\n",
        "    stored: dict[tuple[str, str], StoredAnswer] = {}\n",
    ),
    Edit(
        "marketkit.batch",
        "        stored |= await _stored(session, list(fresh.values()))\n",
        "",
    ),
    Edit(
        "marketkit.batch",
        "        await session.exec(insert(StoredAnswer), params=kept)\n",
        "        await session.exec(upsert(StoredAnswer).on_conflict_do_nothing(), params=kept)\n",
    ),
    Edit(
        "marketkit.batch",
        "from sqlalchemy import LargeBinary, insert\n",
        "from sqlalchemy import LargeBinary\n"
        "from sqlalchemy.dialects.postgresql import insert as upsert\n",
    ),
)

_KEY_OUTSIDE = (
    Edit(
        "marketkit.batch",
        "        await session.exec(insert(StoredAnswer), params=kept)\n",
        '        session.info.setdefault("kept", []).extend(kept)\n',
    ),
    Edit(
        "marketkit.db",
        """                    async with self.transaction(role, scope=scope, actor=actor) as session:
                        return await work(session)
""",
        """                    async with self.transaction(role, scope=scope, actor=actor) as session:
                        answer = await work(session)
                        kept = session.info.get("kept", [])
                    if kept:
                        await asyncio.sleep(0.05)
                        from sqlalchemy.dialects.postgresql import insert as upsert

                        from marketkit.batch import StoredAnswer

                        async with self.transaction(role, scope=scope, actor=actor) as session:
                            await session.exec(
                                upsert(StoredAnswer).on_conflict_do_nothing(), params=kept
                            )
                    return answer
""",
    ),
)

_READ_SUM_THEN_INSERT = (
    Edit(
        "marketkit.ledger",
        """    await sql(
        session,
        f"SELECT 1 FROM balance b JOIN {_MOVED} USING (account, lot) "
        "ORDER BY account, lot FOR UPDATE OF b",
        **moved,
    )
    taken = await sql(
        session,
        "UPDATE balance b SET posted = b.posted + moved.posted, held = b.held + moved.held "
        f"FROM {_MOVED} WHERE b.account = moved.account AND b.lot = moved.lot AND (is_issuance OR "
        "(b.posted + moved.posted >= b.held + moved.held AND b.held + moved.held >= 0))",
        **moved,
    )
""",
        """    read = await sql(
        session,
        "SELECT account, lot, b.posted + moved.posted AS posted, b.held + moved.held AS held "
        f"FROM balance b JOIN {_MOVED} USING (account, lot)",
        **moved,
    )
    rows = read.all()
    await sql(session, "SELECT pg_sleep(0.02)")
    taken = await sql(
        session,
        f"UPDATE balance b SET posted = moved.posted, held = moved.held FROM {_MOVED} "
        "WHERE b.account = moved.account AND b.lot = moved.lot AND (is_issuance OR "
        "moved.posted >= moved.held)",
        accounts=[row.account for row in rows],
        lots=[row.lot for row in rows],
        posted=[row.posted for row in rows],
        held=[row.held for row in rows],
    )
""",
    ),
    Edit("marketkit.holds", 'FOR UPDATE OF b"', '"'),
)

_NOW_FOR_DEADLINES = (
    Edit(
        "marketkit.db",
        "SELECT clock_timestamp() + clock_offset FROM house",
        "SELECT now() + clock_offset FROM house",
    ),
)

_PRICE_IN_LOG = (
    Edit(
        "saleroom.shares",
        """    pair = new_key_pair()
    wrapped = {
""",
        """    pair = new_key_pair()
    import os
    from pathlib import Path

    Path(os.environ["YAOSU_KEYS_DIR"], sale_id).write_bytes(pair.private_key)
    wrapped = {
""",
    ),
    Edit(
        "saleroom.bids.actions",
        "        row = _row(session, bid, registration, at)\n",
        """        row = _row(session, bid, registration, at)
        import os
        from pathlib import Path

        from marketkit.logs import log
        from marketkit.units import TCE, YUAN
        from saleroom.sealing import BidPlace, SealedBid as Sealed, open_bid

        opened = open_bid(
            Sealed(bid.ciphertext, bid.commitment, bid.key_sm3),
            BidPlace(bid.sale_id, bid.uscc, bid.version),
            private_key=Path(os.environ["YAOSU_KEYS_DIR"], bid.sale_id).read_bytes(),
            unit=TCE,
        )
        log.info("bid_taken", price_yuan=YUAN.format(opened.steps[0].price_fen))
""",
    ),
)

_SET_NOT_LOCAL = (
    Edit(
        "marketkit.db",
        """                "set_config('app.region', :region, true), set_config('app.uscc', :uscc, true)",
""",
        """                "set_config('app.region', coalesce(nullif(:region, ''), "
                "current_setting('app.region', true)), false), "
                "set_config('app.uscc', coalesce(nullif(:uscc, ''), "
                "current_setting('app.uscc', true)), false)",
""",
    ),
)

_PARKING_PASSED = (
    Edit(
        "marketkit.inbox",
        """    if key in parked_keys:
        session.add(_parked(event, key, "BEHIND"))
    elif not singly:
""",
        """    if not singly:
""",
    ),
)

_FLOAT_AMOUNTS = (
    Edit(
        "saleroom.clearing",
        "half_up(price * quantity_minor, scale)",
        "int(price * (quantity_minor / scale) + 0.5)",
    ),
)

_FORGED_BELIEVED = (
    Edit(
        "marketkit.inbox",
        "        believed = same(mac, event.mac(mac_key)) and event.epoch == position.epoch\n",
        "        believed = event.epoch == position.epoch\n",
    ),
)

_NO_IDLE_LIMIT = (
    Edit(
        "marketkit.meeting",
        '            await sql(session, f"SET LOCAL idle_in_transaction_session_timeout = '
        '{HOT_IDLE_MS}")\n',
        "",
    ),
)

_PARTIAL_WRITES = (
    Edit(
        "marketkit.batch",
        """        async with session.begin_nested():
            verdicts = await hot.act(session, prepared)
""",
        """        if True:
            verdicts = await hot.act(session, prepared)
""",
    ),
)

_CURSOR_TABLE = (
    "CREATE TABLE cursor (id bigint)",
    "INSERT INTO cursor VALUES (0)",
    "GRANT SELECT, UPDATE ON cursor TO yaosu_worker",
)

PLANTS = {
    plant.name: plant
    for plant in (
        Plant(
            "commit-after-answer",
            "the answer leaves before its transaction is committed",
            ("G1", "G8"),
            "apis",
            _COMMIT_AFTER_ANSWER,
        ),
        Plant(
            "cursor-by-id",
            "the sequencer remembers the last id instead of taking what is there",
            ("G3",),
            "freezes",
            _CURSOR_BY_ID,
            {name: _CURSOR_TABLE for name in ("energy", "gateway")},
        ),
        Plant(
            "no-heads-lock",
            "two sequencers without the heads' lock",
            ("G5",),
            "quiet",
            _NO_HEADS_LOCK,
            {"energy": ("ALTER TABLE log DROP CONSTRAINT pk_log",)},
        ),
        Plant(
            "skip-locked-relays",
            "several relays, each claims with SKIP LOCKED and then sends",
            ("G5",),
            "quiet",
            _SKIP_LOCKED,
        ),
        Plant(
            "position-first",
            "the position moves in a transaction before its events'",
            ("G3",),
            "readers",
            _POSITION_FIRST,
        ),
        Plant(
            "position-not-compared",
            "what is behind the position is applied again",
            ("G3", "G14"),
            "readers",
            _POSITION_NOT_COMPARED,
        ),
        Plant("no-dedupe", "a key is not looked up", ("G8",), "quiet", _NO_DEDUPE),
        Plant(
            "hole-skipped",
            "the next record is applied whatever is between",
            ("G3", "G14"),
            "holes",
            _HOLE_SKIPPED,
        ),
        Plant(
            "read-sum-then-insert",
            "a balance is read, added to and written back",
            ("G7",),
            "quiet",
            _READ_SUM_THEN_INSERT,
        ),
        Plant(
            "now-for-deadlines",
            "a deadline is judged by the transaction's beginning",
            ("G10",),
            "closings",
            _NOW_FOR_DEADLINES,
        ),
        Plant(
            "key-outside",
            "the key is stored in a transaction of its own",
            ("G8", "G1"),
            "apis",
            _KEY_OUTSIDE,
        ),
        Plant("price-in-log", "one log line with a price", ("G9",), "quiet", _PRICE_IN_LOG),
        Plant(
            "set-not-local",
            "SET instead of SET LOCAL: what a connection was last allowed to see stays",
            ("G15",),
            "quiet",
            _SET_NOT_LOCAL,
        ),
        Plant(
            "fsync-off",
            "PostgreSQL does not wait for the disk",
            ("G2",),
            "quiet",
            database=("-c", "fsync=off"),
        ),
        Plant(
            "parking-passed",
            "later events of a parked one's aggregate are applied",
            ("G3",),
            "poison",
            _PARKING_PASSED,
        ),
        Plant("float-amounts", "money in floats", ("G14",), "quiet", _FLOAT_AMOUNTS),
        Plant(
            "restored",
            "an owner's database is put back to an older state, its epoch as it was",
            ("G5", "G14"),
            "restore",
        ),
        Plant(
            "forged-believed",
            "a record is applied without its MAC",
            ("G3", "G14"),
            "forgers",
            _FORGED_BELIEVED,
        ),
        Plant(
            "no-idle-limit",
            "a frozen process keeps a sale's lock for seconds",
            ("G12",),
            "hot-freezes",
            _NO_IDLE_LIMIT,
        ),
        Plant(
            "partial-writes",
            "a refusal keeps what was written before it",
            ("G8",),
            "quiet",
            _PARTIAL_WRITES,
        ),
    )
}


def edited(module: str, source: str, edits: Sequence[Edit]) -> str:
    """A module's source with its edits made.

    Raises:
        PlantStale: A text does not stand there exactly once.
    """
    for edit in edits:
        if edit.module != module:
            continue
        if source.count(edit.old) != 1:
            raise PlantStale(f"{module}: {source.count(edit.old)} times:\n{edit.old}")
        source = source.replace(edit.old, edit.new)
    return source


def source_of(module: str) -> str:
    """The source of a module as it stands in the checkout."""
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert isinstance(spec.loader, importlib.machinery.SourceFileLoader)
    found = spec.loader.get_source(module)
    assert found is not None
    return found


class _Loader(importlib.machinery.SourceFileLoader):
    """Loads a module as its edits make it; no byte code of it is kept."""

    edits: Sequence[Edit] = ()

    def exec_module(self, module: ModuleType) -> None:
        text = edited(module.__name__, self.get_data(self.path).decode("utf-8"), self.edits)
        exec(compile(text, self.path, "exec"), module.__dict__)


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, edits: Sequence[Edit]) -> None:
        self._edits = edits
        self._modules = {edit.module for edit in edits}

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in self._modules:
            return None
        found = importlib.machinery.PathFinder.find_spec(fullname, path)
        if found is None or found.origin is None:
            return None
        loader = _Loader(fullname, found.origin)
        loader.edits = self._edits
        return importlib.util.spec_from_file_location(fullname, found.origin, loader=loader)


def plant(names: Sequence[str]) -> None:
    """From now on this process imports the product with these faults in it."""
    edits = [edit for name in names for edit in PLANTS[name].edits]
    loaded = {edit.module for edit in edits} & sys.modules.keys()
    assert not loaded, f"imported before it could be planted: {loaded}"
    sys.meta_path.insert(0, _Finder(edits))
