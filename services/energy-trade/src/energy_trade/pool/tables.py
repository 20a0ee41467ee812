"""Rows of the pool: its one counter, and every version of every batch's list."""

from datetime import datetime

from sqlalchemy import CheckConstraint, SmallInteger
from sqlmodel import Field

from energy_trade.schema import Table
from marketkit.db import Minor, UtcInstant


class Pool(Table, table=True):
    """What came into the pool and went out of it; locked by whoever changes either."""

    __table_args__ = (
        CheckConstraint("id = 1", name="single"),
        CheckConstraint("assigned_kgce >= 0 AND assigned_kgce <= issued_kgce", name="bottom"),
    )
    id: int = Field(primary_key=True, sa_type=SmallInteger)
    issued_kgce: int = Field(sa_type=Minor)
    assigned_kgce: int = Field(sa_type=Minor)


class IncrementBatch(Table, table=True):
    """A batch and the version of its list in force; locked by whoever publishes the next."""

    batch: str = Field(primary_key=True)
    batch_version: int


class BatchVersion(Table, table=True):
    """One published version of a batch's list; never changed."""

    batch: str = Field(primary_key=True, foreign_key="increment_batch.batch")
    batch_version: int = Field(primary_key=True)
    published_at: datetime = Field(sa_type=UtcInstant)
    published_by: str
    policy_version: str


class BatchLine(Table, table=True):
    """One project of one version; never changed."""

    batch: str = Field(primary_key=True, foreign_key="increment_batch.batch")
    batch_version: int = Field(primary_key=True)
    uscc: str = Field(primary_key=True)
    project_code: str = Field(primary_key=True)
    name: str
    region_code: str
    quantity_kgce: int = Field(sa_type=Minor)
