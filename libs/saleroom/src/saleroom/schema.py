"""The base of the saleroom's tables."""

from sqlalchemy import MetaData

from marketkit import db


class Table(db.Table):
    """Tables a trading service's database has because of the saleroom."""

    metadata = MetaData(naming_convention=db.NAMING)
