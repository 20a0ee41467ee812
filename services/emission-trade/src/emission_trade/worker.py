"""What the worker of emission-trade runs: nothing of its own yet."""

from marketkit.program import Parts
from marketkit.worker import Loop


def loops(parts: Parts) -> list[Loop]:
    return parts.standard_loops()
