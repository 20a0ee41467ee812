"""What may be forwarded, and when a service is spared. Pure: no network, no clock."""

import re
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

WINDOW_S = 10.0
CALLS_MIN = 20
METHODS = ("get", "post", "put", "patch", "delete")

# Addresses that take files: what a body may be is judged before the service is asked.
UPLOADS = ("bank-files",)

# Trials of what both markets share are answered by the older one.
TRIAL_MARKETS = {
    "energy": "energy",
    "sale": "energy",
    "party": "energy",
    "emission": "emission",
    "land": "land",
}


@dataclass(frozen=True)
class Operation:
    """One thing a service offers, as its OpenAPI description says."""

    method: str
    path: re.Pattern[str]
    is_public: bool
    is_quiet: bool
    needs_token: bool


def operations_of(openapi: Mapping[str, Any]) -> tuple[Operation, ...]:
    """What a service offers, in the order in which it looks for a route itself."""
    return tuple(
        Operation(
            method.upper(),
            re.compile(re.sub(r"\\{[^}]*\\}", "[^/]+", re.escape(template))),
            said.get("x-public") is True,
            "quiet" in said.get("tags", ()),
            "anyone" not in said.get("x-roles", ()),
        )
        for template, methods in openapi["paths"].items()
        for method, said in methods.items()
        if method in METHODS
    )


def find(operations: Iterable[Operation], method: str, path: str) -> Operation | None:
    """The operation a service would choose for this path, decoded as it will decode it."""
    return next(
        (one for one in operations if one.method == method and one.path.fullmatch(path)), None
    )


def allowed(operations: Iterable[Operation], path: str) -> list[str]:
    """The methods by which people may come to this path."""
    return [one.method for one in operations if one.is_public and one.path.fullmatch(path)]


class _Call(NamedTuple):
    ended_s: float
    has_failed: bool


@dataclass
class Breaker:
    """Spares a service that fails: at least half of twenty calls or more within ten seconds.

    Then one call at a time is let through, `rest_s` apart, until one succeeds.
    """

    _calls: deque[_Call] = field(default_factory=deque)
    _next_probe_s: float | None = None

    @property
    def is_open(self) -> bool:
        return self._next_probe_s is not None

    def admits(self, now_s: float, rest_s: float) -> bool:
        """Whether a call may be made now."""
        if self._next_probe_s is None:
            return True
        if now_s < self._next_probe_s:
            return False
        self._next_probe_s = now_s + rest_s
        return True

    def note(self, now_s: float, *, has_failed: bool, rest_s: float) -> None:
        """Take into account how a call ended."""
        if self.is_open:
            if not has_failed:
                self._next_probe_s = None
                self._calls.clear()
            return
        self._calls.append(_Call(now_s, has_failed))
        while self._calls[0].ended_s < now_s - WINDOW_S:
            self._calls.popleft()
        failed_count = sum(call.has_failed for call in self._calls)
        if len(self._calls) >= CALLS_MIN and 2 * failed_count >= len(self._calls):
            self._next_probe_s = now_s + rest_s
