"""What is planted on the way of a fact: from the outbox over the wire to a projection."""

from lab.planting import Edit

CURSOR_BY_ID = (
    Edit(
        "marketkit.outbox",
        """    taken = await sql(session, TAKEN, limit=SEQUENCE_BATCH, bytes_max=RANGE_BYTES_MAX)
    waiting = sorted(taken.all(), key=lambda told: int(told.id))
""",
        """    later = TAKEN.replace("FROM outbox ORDER", "FROM outbox WHERE id > (SELECT id FROM cursor) ORDER")
    assert later != TAKEN
    taken = await sql(session, later, limit=SEQUENCE_BATCH, bytes_max=RANGE_BYTES_MAX)
    waiting = sorted(taken.all(), key=lambda told: int(told.id))
    if waiting:
        await sql(session, "UPDATE cursor SET id = :id", id=waiting[-1].id)
""",
    ),
)

CURSOR_TABLE = (
    "CREATE TABLE cursor (id bigint)",
    "INSERT INTO cursor VALUES (0)",
    "GRANT SELECT, UPDATE ON cursor TO yaosu_worker",
)

NO_HEADS_LOCK = (
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

SKIP_LOCKED = (
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
                await note_sent(session, {row.partition: more[-1].sequence})
        return found

    events = await house.run(claim, "worker")
    await asyncio.sleep(os.urandom(1)[0] / 400)
""",
    ),
    Edit(
        "marketkit.worker",
        "import SEQUENCE_BATCH, UNCUT_BYTES_MAX, note_sent, sequence, unsent\n",
        "import SEQUENCE_BATCH, UNCUT_BYTES_MAX, note_sent, placed, sequence, unsent\nimport os\n",
    ),
)

POSITION_FIRST = (
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
        """                return await self._apply(events)
""",
        """                later: list[Placed] = []

                async def first(session: Session) -> dict[int, Taken]:
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
    "        if chain_after(chain, event.event) != event.chain:",
    "        if False:",
)

POSITION_NOT_COMPARED = (
    Edit(
        "marketkit.inbox",
        """        if event.sequence <= sequence:
            continue
""",
        "",
    ),
    _NO_CHAIN,
)

HOLE_SKIPPED = (
    Edit(
        "marketkit.inbox",
        """        if event.sequence > sequence + 1:
            has_hole = True
            break
""",
        "",
    ),
    _NO_CHAIN,
)

PARKING_PASSED = (
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

FORGED_BELIEVED = (
    Edit(
        "marketkit.inbox",
        "        if event.epoch != position.epoch or not same(mac, event.mac(mac_key)):\n",
        "        if event.epoch != position.epoch:\n",
    ),
)
