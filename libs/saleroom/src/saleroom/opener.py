"""The opener: makes a session's key, joins the shares sent to it, tells the bids, clears the sale.

Session keys and the keys joined from shares live in this process's memory and nowhere else. One
opener at a time has the lease; an opener that begins anew asks the officers for their shares again.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import psycopg
from sqlalchemy.engine import make_url

from marketkit.db import Database
from marketkit.errors import Conflict
from marketkit.logs import log
from marketkit.worker import Loop
from saleroom.markets import Market
from saleroom.openings import actions as openings
from saleroom.openings.actions import Closed, Due, Opened
from saleroom.openings.rules import reveal
from saleroom.recompute import in_parts
from saleroom.results import actions as results
from saleroom.sealing import KeyPair, new_key_pair
from saleroom.shares import (
    SHARES,
    SHARES_NEEDED,
    DrawDoesNotMatch,
    Opening,
    SharesDoNotJoin,
    draw_seed,
    open_draw,
    open_sale_key,
)

LEASE = 7_370_503
TURN_EVERY_S = 0.5
SHARES_WAIT_S = 600.0


@dataclass
class Opener:
    """One opener's life: the keys of its sessions, by session."""

    house: Database
    market: Market
    keys: dict[str, KeyPair] = field(default_factory=dict, repr=False)
    # Of a session whose shares do not join yet: how many there were, and since when.
    unjoined: dict[str, int] = field(default_factory=dict)
    since_s: dict[str, float] = field(default_factory=dict)

    async def forever(self) -> None:
        async with leased(self.house) as lease:
            while True:
                await lease.execute("SELECT 1")
                await self.turn()
                await asyncio.sleep(TURN_EVERY_S)

    async def turn(self) -> None:
        """Take every opening and every clearing one step further; one that fails stops no other."""
        for outcome in [*await self.open_all(), *await self.clear_all()]:
            if isinstance(outcome, BaseException):
                raise outcome

    async def open_all(self) -> list[BaseException | None]:
        due = await self.house.run(openings.openings_due)
        return await asyncio.gather(*map(self.take_on, due), return_exceptions=True)

    async def clear_all(self) -> list[BaseException | None]:
        uncleared = await self.house.run(results.sales_to_clear)
        return await asyncio.gather(*map(self._clear, uncleared), return_exceptions=True)

    async def take_on(self, opening: Due) -> None:
        """Begin a session, or open the sale once there are shares enough."""
        pair = self.keys.get(opening.session_id or "")
        try:
            if pair is None:
                await self._begin(opening)
            elif opening.share_count >= SHARES_NEEDED:
                await self._join(opening, pair)
        except Conflict as refusal:
            # Cancelled, too late or taken over meanwhile: the next turn sees what there is to do.
            log.warning("opening_refused", sale_id=opening.sale_id, code=refusal.code)

    async def _begin(self, opening: Due) -> None:
        pair = new_key_pair()
        begin = partial(openings.begin_session, opening=opening, public_key=pair.public_key)
        session_id = await self.house.run(begin)
        self.keys.pop(opening.session_id or "", None)
        self.keys[session_id] = pair
        log.info("opening_session_begun", sale_id=opening.sale_id, session_id=session_id)

    async def _join(self, opening: Due, pair: KeyPair) -> None:
        """Open the sale; if the shares do not join, wait for more to make up for a forged one.

        Else one officer who sends such a one to each session at once would end them all.
        """
        session_id = opening.session_id or ""
        waited_s = time.monotonic() - self.since_s.setdefault(session_id, time.monotonic())
        is_last = opening.share_count >= SHARES or waited_s >= SHARES_WAIT_S
        if opening.share_count == self.unjoined.get(session_id) and not is_last:
            return
        try:
            await self._open(opening, pair)
        except (SharesDoNotJoin, DrawDoesNotMatch):
            # One answer for every failure, not saying which share; the officers are asked again.
            self.unjoined[session_id] = opening.share_count
            log.warning("opening_session_failed", sale_id=opening.sale_id, is_over=is_last)
            if is_last:
                await self._begin(opening)

    async def _open(self, opening: Due, pair: KeyPair) -> None:
        closed = await self.house.run(partial(openings.closed_sale, opening=opening))
        opened = await asyncio.to_thread(bring_to_light, opening, closed, pair.private_key)
        await self.house.run(partial(openings.open_sale, opening=opening, opened=opened))
        del self.keys[opened.session_id]

    async def _clear(self, sale_id: str) -> None:
        uncleared = await self.house.run(partial(results.uncleared_sale, sale_id=sale_id))
        cleared = await asyncio.to_thread(uncleared.cleared)
        clear = partial(results.clear_sale, market=self.market, cleared=cleared)
        try:
            await self.house.run(clear)
        except Conflict as refusal:
            log.warning("clearing_refused", sale_id=sale_id, code=refusal.code)


def opener_loops(house: Database, market: Market) -> list[Loop]:
    """What `--role opener` runs; its keys outlive a failure of the loop, not the process."""
    return [Loop("opener", Opener(house, market).forever)]


def bring_to_light(opening: Due, closed: Closed, session_private_key: bytes) -> Opened:
    """Join the shares sent to a session and decrypt all bids and the draw; no I/O.

    Raises:
        SharesDoNotJoin: fewer than three are good.
        DrawDoesNotMatch: the draw's secret is not the one announced.
    """
    sale = closed.sale
    assert opening.session_id is not None
    assert sale.public_key is not None
    assert sale.draw_secret_ciphertext is not None
    assert sale.draw_secret_sha256 is not None
    private_key = open_sale_key(
        closed.shares,
        session_private_key=session_private_key,
        opening=Opening(sale.id, opening.opening_id),
        public_key=sale.public_key,
    )
    secret = open_draw(
        sale.draw_secret_ciphertext,
        private_key=private_key,
        sale_id=sale.id,
        draw_sha256=sale.draw_secret_sha256,
    )
    said = partial(
        reveal,
        private_key=private_key,
        unit=closed.unit,
        deposit_due_at=sale.deposit_due_at,
        steps_max=sale.steps_max,
    )
    return Opened(
        session_id=opening.session_id,
        parts=in_parts([said(bid) for bid in closed.bids]),
        draw_secret=secret,
        seed=draw_seed(secret, closed.commitments),
    )


@asynccontextmanager
async def leased(house: Database) -> AsyncIterator[psycopg.AsyncConnection]:
    """Wait until no other opener of this database is at work, and be the one.

    The lease keeps openers from asking officers in turns; what makes a second one harmless is that
    each transaction checks its session under the sale's lock.
    """
    target = make_url(house.url).set(drivername="postgresql")
    # Long enough for ten thousand bids to be decrypted in between.
    connection = await psycopg.AsyncConnection.connect(
        target.render_as_string(hide_password=False),
        autocommit=True,
        options="-c idle_session_timeout=30s",
    )
    async with connection:
        while True:
            cursor = await connection.execute("SELECT pg_try_advisory_lock(%s)", (LEASE,))
            row = await cursor.fetchone()
            if row and row[0]:
                break
            await asyncio.sleep(1.0)
        yield connection
