"""Rows of screened projects."""

from datetime import datetime

from sqlmodel import Field

from energy_trade.schema import Table
from marketkit.db import UtcInstant


class Screening(Table, table=True):
    """One project of one enterprise, as its county found it; a project is screened once."""

    project_code: str = Field(primary_key=True)
    uscc: str = Field(index=True)
    name: str
    region_code: str
    is_dual_high: bool
    screened_at: datetime = Field(sa_type=UtcInstant)
    policy_version: str
