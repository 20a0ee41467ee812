"""Rows of corrections of notices, in the order published."""

from datetime import datetime

from sqlalchemy import Text
from sqlmodel import Field

from marketkit.db import UtcInstant
from saleroom.schema import Table


class Correction(Table, table=True):
    """What was corrected of a sale's notice; the notice as it stands now is the sale's row."""

    sale_id: str = Field(primary_key=True, foreign_key="sale.id")
    number: int = Field(primary_key=True)
    text: str = Field(sa_type=Text)
    corrected_at: datetime = Field(sa_type=UtcInstant)
