"""What the worker of energy-trade runs beside what every service's runs."""

from marketkit.program import Parts
from marketkit.worker import Loop


def loops(parts: Parts) -> list[Loop]:
    return parts.standard_loops()
