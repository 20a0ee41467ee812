"""Units, their names and how figures are written. Pure."""

from marketkit.units import ASSET_UNITS, Unit

UNIT_TITLES = {"tce": "吨标准煤", "t": "吨", "t/a": "吨/年", "mu": "亩"}
ASSET_TITLES = {"ENERGY": "能耗指标", "COAL": "煤炭消费指标"}


def unit_of(asset: str) -> Unit:
    """The unit of an asset; LookupError if the house has none for it."""
    return ASSET_UNITS[asset]


def grouped(decimal: str) -> str:
    """A decimal string with thousands separators: `-1234567.890` reads `-1,234,567.890`."""
    whole, point, fraction = decimal.partition(".")
    sign = "-" if whole.startswith("-") else ""
    return f"{sign}{int(whole.lstrip('-')):,}{point}{fraction}"
