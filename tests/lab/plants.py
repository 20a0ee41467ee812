"""The planted faults: what is wrong, which check must see it, under which plan.

They live here and nowhere else: no package holds them, and no setting of the product knows them. A
plant also takes away what would hide it.
"""

from lab import wrong_commands, wrong_events
from lab.planting import Plant

PLANTS = {
    plant.name: plant
    for plant in (
        Plant(
            "commit-after-answer",
            "the answer leaves before its transaction is committed",
            ("G1", "G8"),
            "apis",
            wrong_commands.COMMIT_AFTER_ANSWER,
        ),
        Plant(
            "cursor-by-id",
            "the sequencer remembers the last id instead of taking what is there",
            ("G3",),
            "freezes",
            wrong_events.CURSOR_BY_ID,
            {name: wrong_events.CURSOR_TABLE for name in ("energy", "gateway")},
        ),
        Plant(
            "no-heads-lock",
            "two sequencers without the heads' lock",
            ("G5",),
            "quiet",
            wrong_events.NO_HEADS_LOCK,
            {"energy": ("ALTER TABLE log DROP CONSTRAINT pk_log",)},
        ),
        Plant(
            "skip-locked-relays",
            "several relays, each claims with SKIP LOCKED and then sends",
            ("G5",),
            "quiet",
            wrong_events.SKIP_LOCKED,
        ),
        Plant(
            "position-first",
            "the position moves in a transaction before its events'",
            ("G3",),
            "readers",
            wrong_events.POSITION_FIRST,
        ),
        Plant(
            "position-not-compared",
            "what is behind the position is applied again",
            ("G3", "G14"),
            "readers",
            wrong_events.POSITION_NOT_COMPARED,
        ),
        Plant("no-dedupe", "a key is not looked up", ("G8",), "quiet", wrong_commands.NO_DEDUPE),
        Plant(
            "hole-skipped",
            "the next record is applied whatever is between",
            ("G3", "G14"),
            "holes",
            wrong_events.HOLE_SKIPPED,
        ),
        Plant(
            "read-sum-then-insert",
            "a balance is read, added to and written back",
            ("G7",),
            "quiet",
            wrong_commands.READ_SUM_THEN_INSERT,
        ),
        Plant(
            "now-for-deadlines",
            "a deadline is judged by the transaction's beginning",
            # Of two transactions that wait for the heads, the first to begin may sign second.
            ("G10", "G14"),
            "closings",
            wrong_commands.NOW_FOR_DEADLINES,
        ),
        Plant(
            "key-outside",
            "the key is stored in a transaction of its own",
            ("G8", "G1"),
            "apis",
            wrong_commands.KEY_OUTSIDE,
        ),
        Plant(
            "price-in-log",
            "one log line with a price",
            ("G9",),
            "quiet",
            wrong_commands.PRICE_IN_LOG,
        ),
        Plant(
            "set-not-local",
            "SET instead of SET LOCAL: what a connection was last allowed to see stays",
            ("G15",),
            "quiet",
            wrong_commands.SET_NOT_LOCAL,
        ),
        Plant(
            "fsync-off",
            "PostgreSQL does not wait for the disk",
            ("G2",),
            "quiet",
            database=("-c", "fsync=off"),
        ),
        Plant(
            "commit-not-waited",
            "a transaction does not wait for its commit's way to the disk",
            ("G2",),
            "followed",
            wrong_commands.COMMIT_NOT_WAITED,
        ),
        Plant(
            "parking-passed",
            "later events of a parked one's aggregate are applied",
            ("G3",),
            "poison",
            wrong_events.PARKING_PASSED,
        ),
        Plant("float-amounts", "money in floats", ("G14",), "quiet", wrong_commands.FLOAT_AMOUNTS),
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
            wrong_events.FORGED_BELIEVED,
        ),
        Plant(
            "no-idle-limit",
            "a frozen process keeps a sale's lock for seconds",
            ("G12",),
            "hot-freezes",
            wrong_commands.NO_IDLE_LIMIT,
        ),
        Plant(
            "partial-writes",
            "a refusal keeps what was written before it",
            ("G8",),
            "quiet",
            wrong_commands.PARTIAL_WRITES,
        ),
    )
}
