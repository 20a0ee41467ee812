"""The base of the gateway's tables: projections of what events say, and nothing else."""

from sqlalchemy import MetaData

from marketkit import db


class Table(db.Table):
    """A table in schema `projection`, which a rebuild empties as a whole."""

    metadata = MetaData(schema="projection", naming_convention=db.NAMING)
