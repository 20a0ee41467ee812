"""The base of energy-trade's tables."""

from sqlalchemy import MetaData

from marketkit import db


class Table(db.Table):
    """Tables of energy-trade alone."""

    metadata = MetaData(naming_convention=db.NAMING)
