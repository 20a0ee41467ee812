"""Holdings out of movements alone: what was told must balance, and nobody may be below nothing."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from marketkit.movements import Leg, Movement
from marketkit.units import ASSET_UNITS

Place = tuple[str, str, str]


@dataclass
class Holdings:
    """The fold of all movements, event by event."""

    balances: dict[Place, tuple[int, int]] = field(default_factory=dict)
    issuance_accounts: set[str] = field(default_factory=set)
    accounts: set[str] = field(default_factory=set)
    movement_count: int = 0
    faults: list[str] = field(default_factory=list)

    def take(self, kind: str, event_id: str, data: dict[str, Any]) -> None:
        """Fold one event in; what does not balance is noted.

        Raises:
            ValueError: A movement cannot be read.
        """
        if kind == "account.opened":
            self.accounts.add(data["account"])
            if data["owner_kind"] == "ISSUANCE":
                self.issuance_accounts.add(data["account"])
        legs = [Movement.model_validate(one).leg() for one in data.get("movements", [])]
        self.movement_count += len(legs)
        posted: defaultdict[str, int] = defaultdict(int)
        for leg in legs:
            posted[leg.asset] += leg.posted
            self._add(leg)
        for asset, sum_minor in posted.items():
            if sum_minor:
                excess = ASSET_UNITS[asset].format(sum_minor)
                self.faults.append(f"事件 {event_id} 的 {asset} 变动合计为 {excess}，应为 0")

    def _add(self, leg: Leg) -> None:
        posted, held = self.balances.get(leg[:3], (0, 0))
        self.balances[leg[:3]] = (posted + leg.posted, held + leg.held)

    def sums(self) -> dict[str, int]:
        """What all accounts of an asset sum to: nothing, if nothing appeared or vanished."""
        sums: defaultdict[str, int] = defaultdict(int)
        for (_, asset, _), (posted, _) in self.balances.items():
            sums[asset] += posted
        return dict(sums)

    def overdrawn(self) -> Iterator[str]:
        """Accounts that hold less than nothing, or of which more is held than is there."""
        for (account, asset, lot), (posted, held) in self.balances.items():
            free = posted - held
            if account not in self.issuance_accounts and (free < 0 or held < 0):
                yield f"{account} 的批次 {lot}：余额 {ASSET_UNITS[asset].format(free)} 为负"

    def unopened(self) -> set[str]:
        """Accounts on which something moved and which nobody opened."""
        return {account for account, _, _ in self.balances} - self.accounts
