"""The city's increment of energy quota for the 14th five-year plan: a pool with a bottom. Pure."""

from energy_trade.policy import Policy
from marketkit.errors import Conflict, RuleBroken
from marketkit.units import Kgce


class DualHighNotAllowed(RuleBroken):
    title = "该指标不得用于两高项目"


class EnergyPoolExceeded(Conflict):
    title = "超出十四五新增能耗指标余额"


def pool_left_kgce(assigned_kgce: Kgce, policy: Policy) -> Kgce:
    """What may still be assigned out of the pool, art. 3."""
    return Kgce(policy.energy_pool.value - assigned_kgce)


def check_assignment(
    assigned_kgce: Kgce, asked_kgce: Kgce, *, is_dual_high: bool, policy: Policy
) -> None:
    """Return if the pool may give a project what it asks; exactly what is left may be given.

    Args:
        assigned_kgce: All that was assigned before, read under the lock of the pool's row.

    Raises:
        DualHighNotAllowed: art. 3, the pool is for other than high-energy, high-emission projects.
        EnergyPoolExceeded: art. 3, more than is left.
    """
    if is_dual_high and not policy.energy_pool_open_to_dual_high.value:
        raise DualHighNotAllowed(article=policy.energy_pool_open_to_dual_high.article)
    if asked_kgce > pool_left_kgce(assigned_kgce, policy):
        raise EnergyPoolExceeded(article=policy.energy_pool.article)
