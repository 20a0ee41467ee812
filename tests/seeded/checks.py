"""What must be true after a seed: held against the database alone and what clients were told."""

import json
from typing import Any

from marketkit.ledger import imbalance
from marketkit.outbox import PARTITIONS
from marketkit.signing import ZERO, chain_after
from seeded.desk import KEYS, LOT, STOCK_MINOR, folded
from seeded.play import Play, Stage


def rows(stage: Stage, statement: str) -> list[Any]:
    return stage.superuser.execute(statement.encode()).fetchall()


async def check(stage: Stage, found: Play) -> None:
    """Every promise, from the database alone and what the clients were told."""
    check_log(stage)
    check_orders(stage, found)
    check_board(stage, found)
    balance = await found.house.run(imbalance, "worker")
    assert balance.row_count > 0
    assert not any(balance.by_asset.values()), balance


def log_of(stage: Stage) -> list[Any]:
    return rows(stage, "SELECT * FROM log ORDER BY partition, sequence")


def check_log(stage: Stage) -> None:
    """Contiguous, chained anew, a key's events in the order of its commits, all of it sent."""
    assert rows(stage, "SELECT id FROM outbox") == []
    sequences, chains = dict.fromkeys(range(PARTITIONS), 0), dict.fromkeys(range(PARTITIONS), ZERO)
    numbers = dict.fromkeys(KEYS, 0)
    for row in log_of(stage):
        sequences[row.partition] += 1
        assert row.sequence == sequences[row.partition], "the log has a hole"
        chains[row.partition] = chain_after(chains[row.partition], bytes(row.event))
        assert bytes(row.chain) == chains[row.partition], "the chain is not the events'"
        numbers[row.key] += 1
        number = json.loads(bytes(row.event))["data"]["number"]
        assert number == numbers[row.key], "a key's order is not its commits'"
    heads = rows(stage, "SELECT partition, sequence, chain FROM partition_head")
    assert {row.partition: (row.sequence, bytes(row.chain)) for row in heads} == {
        part: (sequences[part], chains[part]) for part in sequences
    }
    sent = rows(stage, "SELECT partition, sequence FROM relay_position")
    assert {row.partition: row.sequence for row in sent} == sequences, "not all was sent"
    counted = rows(stage, "SELECT key, number FROM desk.aggregate")
    assert {row.key: row.number for row in counted} == numbers, "a number without its event"


def check_orders(stage: Stage, found: Play) -> None:
    """Each order one effect, one event, one answer for ever."""
    events = [json.loads(bytes(row.event)) for row in log_of(stage)]
    told = [event["data"]["order"] for event in events]
    booked = rows(stage, "SELECT key FROM transfer WHERE kind = 'ORDER'")
    stored = {
        row.key: (row.status, bytes(row.body))
        for row in rows(stage, "SELECT key, status, body FROM stored_answer")
    }
    assert stored.keys() == found.answers.keys(), "answers and orders differ"
    done = set()
    for order, answers in found.answers.items():
        assert {(answer.status, answer.body) for answer in answers} == {stored[order]}, order
        if stored[order][0] == 201:
            done.add(order)
            event = next(event for event in events if event["data"]["order"] == order)
            assert json.loads(stored[order][1])["event"] == event["id"]
        else:
            assert stored[order][0] == 409, stored[order]
    assert sorted(told) == sorted(done), "told and answered differ"
    assert sorted(row.key for row in booked) == sorted(done), "booked and answered differ"
    stock = f"SELECT posted FROM balance WHERE account = 'city' AND lot = '{LOT}'"
    ((left,),) = rows(stage, stock)
    assert 0 <= left <= STOCK_MINOR


def check_board(stage: Stage, found: Play) -> None:
    """The reader stands at the heads, nothing parked or stopped; the board is the log's fold."""
    events = [bytes(row.event) for row in log_of(stage)]
    shown = rows(stage, "SELECT key, event_count, last FROM board.seen")
    assert {row.key: (row.event_count, row.last) for row in shown} == folded(events), "the board"
    assert rows(stage, "SELECT id FROM parked") == []
    positions = rows(stage, "SELECT * FROM position")
    heads = rows(stage, "SELECT * FROM partition_head")
    assert {row.partition: (row.sequence, bytes(row.chain)) for row in positions} == {
        row.partition: (row.sequence, bytes(row.chain)) for row in heads
    }
    assert not any(row.is_forked for row in positions)
    assert {row.epoch for row in positions} == {found.wire.epoch}
