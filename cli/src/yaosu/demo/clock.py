"""The demonstration's clock: four services moved together, forwards only, back to today at the end.

By the inner ports, in a service's name: no user of the house can move it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx
import stamina

from marketkit.units import SHANGHAI, format_instant
from yaosu.client import Stopped
from yaosu.evidence.collect import Asker

# Later than any machine's clock: the offset becomes 0.
_TODAY = datetime(2999, 1, 1, tzinfo=SHANGHAI)


def _again(error: Exception) -> bool:
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code == httpx.codes.SERVICE_UNAVAILABLE
    return isinstance(error, httpx.TransportError)


class ClockNotMovable(Stopped):
    """The house has facts of its own: its clock cannot go back to 2022."""


@dataclass
class Clock:
    """The clock of a house; once `is_over`, it stays where it is."""

    inner_urls: Mapping[str, str]
    asker: Asker
    at: datetime | None = None
    is_over: bool = False
    _http: httpx.AsyncClient = field(init=False)

    async def __aenter__(self) -> "Clock":
        self._http = httpx.AsyncClient(timeout=10, trust_env=False)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def begin(self, instant: datetime, *, has_begun: bool) -> None:
        """Set the clocks to where the demonstration begins, unless it has begun.

        Raises:
            ClockNotMovable: The house has told something else already.
        """
        self.at = instant
        if has_begun:
            stands = [await self._stands(url) for url in self.inner_urls.values()]
            self.is_over = not any(clock["is_moved"] for clock in stands)
            return
        for url in self.inner_urls.values():
            await self._move(url, instant, starts_anew=True)

    async def move(self, instant: datetime) -> None:
        """Move to this instant, where it is still to come."""
        self.at = instant
        if self.is_over:
            return
        for url in self.inner_urls.values():
            await self._move(url, instant)

    async def end(self) -> None:
        """Back to the machine's own clock."""
        await self.move(_TODAY)
        self.is_over = True

    async def _stands(self, url: str) -> dict[str, Any]:
        async for attempt in stamina.retry_context(on=_again, timeout=60, attempts=None):
            with attempt:
                return await self._ask("GET", url)
        raise AssertionError("unreachable")

    async def _move(self, url: str, instant: datetime, *, starts_anew: bool = False) -> None:
        # A move whose outcome is unknown is not sent blindly again: the clock is looked at first.
        async for attempt in stamina.retry_context(on=_again, timeout=60, attempts=None):
            with attempt:
                stands = await self._ask("GET", url)
                is_before = datetime.fromisoformat(stands["now"]) < instant
                if is_before or (starts_anew and not stands["is_moved"]):
                    await self._ask("POST", url, instant)

    async def _ask(self, method: str, url: str, to: datetime | None = None) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.asker.token()}"}
        body = {"to": format_instant(to)} if to else None
        answer = await self._http.request(method, f"{url}/v1/clock", json=body, headers=headers)
        if answer.status_code == httpx.codes.CONFLICT:
            raise ClockNotMovable("演示从2022年开始，须在新数据上播放，请执行：./run --fresh")
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found
