"""PostgreSQL: tables, the transaction, the instant, ids. Nothing else commits or asks the time."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, ClassVar, Literal, TypeVar

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    CursorResult,
    DateTime,
    Interval,
    MetaData,
    SmallInteger,
    TextClause,
    text,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlmodel import Field, SQLModel
from sqlmodel.ext.asyncio.session import AsyncSession
from ulid import ULID

from marketkit.signing import Signer

T = TypeVar("T")
Session = AsyncSession
Role = Literal["scoped", "market", "worker"]

DEADLOCK = "40P01"
RETRIES = 5
NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
# Column types, named once so that no table spells them.
Minor: Any = BigInteger
UtcInstant: Any = DateTime(timezone=True)

# A frozen process must lose its locks before those who wait for them give up (idle < lock).
_TIMEOUTS = {
    "timezone": "UTC",
    "lock_timeout": "500ms",
    "statement_timeout": "1500ms",
    "idle_in_transaction_session_timeout": "5s",
}
# In a transaction that many wait for, a frozen process must lose its locks sooner than they leave.
HOT_IDLE_MS = 300
_ENTER = (
    "SELECT set_config('role', :role, true), "
    "set_config('app.region', :region, true), set_config('app.uscc', :uscc, true)"
)
_ENTER_HOT = f"{_ENTER}, set_config('idle_in_transaction_session_timeout', '{HOT_IDLE_MS}', true)"


class Table(SQLModel):
    """A row; its table is named after the class. Never validated: rules check first."""

    metadata: ClassVar[MetaData]

    def __init_subclass__(cls, **options: Any) -> None:
        if "__tablename__" not in cls.__dict__:
            cls.__tablename__ = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()
        super().__init_subclass__(**options)


class KitTable(Table):
    """Tables every service's database has because of marketkit."""

    metadata = MetaData(naming_convention=NAMING)


class House(KitTable, table=True):
    """The one row that says which life of this database this is, and its clock's offset."""

    __table_args__ = (CheckConstraint("id = 1", name="single"),)
    id: int = Field(primary_key=True, sa_type=SmallInteger)
    epoch: int = Field(sa_type=Minor)
    clock_offset: timedelta = Field(sa_type=Interval)


class ServedRevision(KitTable, table=True):
    """A revision whose programs may serve from this database: it was applied, and still holds."""

    revision: str = Field(primary_key=True)


@dataclass(frozen=True)
class Scope:
    """Whose rows a `scoped` transaction sees: a region's (`*`: all) or an enterprise's."""

    region_code: str = ""
    uscc: str = ""


@dataclass
class Database:
    """One service's database and the identity under which it speaks."""

    url: str
    source: str
    market: str
    signer: Signer
    pool_size: int = 10
    fixed_instant: datetime | None = None
    engine: AsyncEngine = field(init=False)
    _running: set[asyncio.Task[Any]] = field(default_factory=set, init=False)

    def __post_init__(self) -> None:
        options = " ".join(f"-c {name}={value}" for name, value in _TIMEOUTS.items())
        self.engine = create_async_engine(
            self.url,
            pool_size=self.pool_size,
            max_overflow=0,
            pool_timeout=2,
            hide_parameters=True,
            connect_args={"options": options, "application_name": self.source},
        )

    @asynccontextmanager
    async def transaction(
        self, role: Role, *, scope: Scope | None = None, actor: str = "", is_hot: bool = False
    ) -> AsyncIterator[Session]:
        """A session in one of the three roles; committed when the block ends, else rolled back."""
        async with Session(self.engine, expire_on_commit=False) as session:
            session.info.update(house=self, actor=actor or self.source)
            scope = scope or Scope()
            enter = _ENTER_HOT if is_hot else _ENTER
            said = {"role": f"yaosu_{role}", "region": scope.region_code, "uscc": scope.uscc}
            try:
                await sql(session, enter, **said)
            except DBAPIError as error:
                # The first statement is the pool's ping: what it found dead had done nothing.
                if not error.connection_invalidated:
                    raise
                await session.rollback()
                await sql(session, enter, **said)
            yield session
            await session.commit()

    async def run(
        self,
        work: Callable[[Session], Awaitable[T]],
        role: Role = "market",
        *,
        scope: Scope | None = None,
        actor: str = "",
        is_hot: bool = False,
    ) -> T:
        """What `work` answers, after its transaction has committed.

        A caller that is cancelled leaves the transaction to end by itself, so no connection and no
        lock is lost with it. Deadlocks are tried again, at most five times; so is hot work whose
        connection was lost, as by a process too busy to come back in time: all of it has keys, and
        a key has one effect.
        """

        async def attempts() -> T:
            for attempt in range(RETRIES + 1):
                try:
                    async with self.transaction(
                        role, scope=scope, actor=actor, is_hot=is_hot
                    ) as session:
                        return await work(session)
                except DBAPIError as error:
                    is_lost = is_hot and error.connection_invalidated
                    if attempt == RETRIES or not (is_lost or sqlstate(error) == DEADLOCK):
                        raise
                await asyncio.sleep(0.005 * 2**attempt)
            raise AssertionError("unreachable")

        task = asyncio.ensure_future(attempts())
        self._running.add(task)
        task.add_done_callback(self._forget)
        return await asyncio.shield(task)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        # Of a caller who hung up nobody asks how it ended; that is no error of the loop's.
        if not task.cancelled():
            task.exception()

    async def close(self) -> None:
        if self._running:
            await asyncio.wait(self._running, timeout=5)
        await self.engine.dispose()


async def sql(session: Session, statement: str, **parameters: Any) -> CursorResult[Any]:
    """One statement of plain SQL in the session's transaction."""
    clause = _clause(statement)
    return await session.run_sync(lambda inner: inner.connection().execute(clause, parameters))


@lru_cache(maxsize=512)
def _clause(statement: str) -> TextClause:
    # To look for its parameters costs as much as to send it.
    return text(statement)


def house(session: Session) -> Database:
    found: Database = session.info["house"]
    return found


def actor(session: Session) -> str:
    found: str = session.info["actor"]
    return found


def sqlstate(error: Exception) -> str:
    """PostgreSQL's five-character code; empty if it gave none, as when the connection failed."""
    return getattr(getattr(error, "orig", None), "sqlstate", None) or ""


async def instant(session: Session) -> datetime:
    """The service's instant: the database's clock plus its offset. Call it after the row lock."""
    if (fixed := house(session).fixed_instant) is not None:
        return fixed
    said = await sql(session, "SELECT clock_timestamp() + clock_offset AS at FROM house")
    at: datetime = said.scalar_one()
    return at


async def undurable(session: Session) -> list[str]:
    """The server's settings by which a commit we were told of could be lost; empty if none."""
    found = await sql(
        session,
        "SELECT name || '=' || setting AS said FROM pg_settings WHERE "
        "name IN ('fsync', 'full_page_writes') AND setting <> 'on' OR "
        "name = 'synchronous_commit' AND setting NOT IN ('on', 'remote_apply') ORDER BY name",
    )
    return [row.said for row in found.all()]


def new_id() -> str:
    """A public id: a ULID, sortable and readable on paper."""
    return str(ULID())
