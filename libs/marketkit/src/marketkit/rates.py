"""How often one credential may ask; who asks more often is told when to come back."""

import math
from dataclasses import dataclass, field

from marketkit.errors import Refusal

# What may be asked at once, in seconds of the steady rate.
BURST_S = 5.0
REMEMBERED_MAX = 10_000


class TooManyRequests(Refusal):
    title = "请求过于频繁，请按Retry-After稍后再试"
    status = 429


@dataclass
class Rates:
    """A bucket for each principal, kept as the instant at which it will be full again.

    One process's own: several processes let through as many times as much.
    """

    per_s: int
    _full_at_s: dict[str, float] = field(default_factory=dict)

    def check(self, principal: str, now_s: float) -> None:
        """Take one request out of the principal's bucket.

        Raises:
            TooManyRequests: it is empty; nothing is taken, so who waits as told is let in.
        """
        if len(self._full_at_s) >= REMEMBERED_MAX:
            self._full_at_s = {who: at for who, at in self._full_at_s.items() if at > now_s}
        full_at_s = max(self._full_at_s.get(principal, now_s), now_s) + 1 / self.per_s
        late_s = full_at_s - now_s - BURST_S
        if late_s > 0:
            raise TooManyRequests(retry_after_s=math.ceil(late_s))
        self._full_at_s[principal] = full_at_s
