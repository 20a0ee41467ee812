"""What was found in a run, and the prices that must not be found."""

import re
from collections.abc import Set
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Findings:
    """What was found wrong, by the guarantee that it breaks; and figures."""

    faults: dict[str, list[str]] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)

    def fault(self, guarantee: str, what: str) -> None:
        found = self.faults.setdefault(guarantee, [])
        if len(found) < 50:
            found.append(what)

    def count(self, name: str, more: int = 1) -> None:
        self.figures[name] = self.figures.get(name, 0) + more

    @property
    def is_red(self) -> bool:
        return bool(self.faults)


CANARIES = re.compile(rb"7391(\d{3})\.?(\d\d)(?!\d)")


def canaries_in(content: bytes, secret: Set[str]) -> Set[str]:
    """Which of these prices stand in some bytes, as yuan or as fen."""
    if b"7391" not in content:
        return set()
    found = {f"7391{match[1].decode()}.{match[2].decode()}" for match in CANARIES.finditer(content)}
    return found & secret
