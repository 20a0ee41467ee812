"""Units, their names and how figures are written. Pure."""

from marketkit.units import ASSET_UNITS, Day, Form, Instant, SignedQuantity, Unit

UNIT_TITLES = {"tce": "吨标准煤", "t": "吨", "t/a": "吨/年", "mu": "亩"}
ASSET_TITLES = {"ENERGY": "能耗指标", "COAL": "煤炭指标"}


class OwnHolding(Form):
    """What an enterprise has of one lot on one account; a lot not told of yet has no origin."""

    market: str
    account: str
    project_code: str | None
    asset: str
    unit: str
    lot: str
    article: str | None
    document_no: str | None
    is_dual_high_barred: bool | None
    is_locally_usable: bool | None
    needs_city_consent: bool | None
    valid_until_on: Day | None
    # Of several partitions one is read first: a pledge may be told before what it binds.
    posted: SignedQuantity
    held: SignedQuantity
    available: SignedQuantity
    as_of: Instant


def unit_of(asset: str) -> Unit:
    """The unit of an asset; LookupError if the house has none for it."""
    return ASSET_UNITS[asset]


def grouped(decimal: str) -> str:
    """A decimal string with thousands separators: `-1234567.890` reads `-1,234,567.890`."""
    whole, point, fraction = decimal.partition(".")
    sign = "-" if whole.startswith("-") else ""
    return f"{sign}{int(whole.lstrip('-')):,}{point}{fraction}"
