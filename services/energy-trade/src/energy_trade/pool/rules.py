"""The city's increment of energy quota for the 14th five-year plan: a pool with a bottom. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from energy_trade.accounts.rules import Restrictions
from energy_trade.policy import Policy
from marketkit.errors import Conflict, NotFound, RuleBroken
from marketkit.units import Kgce

Project = tuple[str, str]  # uscc and project code
IN_POOL = Restrictions(is_dual_high_barred=True, is_locally_usable=True, needs_city_consent=False)


class DualHighNotAllowed(RuleBroken):
    title = "该指标不得用于两高项目"


class EnergyPoolExceeded(Conflict):
    title = "超出十四五新增能耗指标余额"


class QuotaKindMismatch(RuleBroken):
    title = "能耗指标与煤炭指标不得混用"


class PoolTermsNotAllowed(RuleBroken):
    title = "十四五新增能耗指标须不得用于两高项目，可在本地使用，无需另行同意，不设有效期"


class BatchUnknown(NotFound):
    title = "没有这一批次"
    article = "art. 3"


class BatchVersionWrong(Conflict):
    title = "清单版本须为现行版本的下一版"
    article = "art. 3"


class AssignmentNotKept(Conflict):
    title = "已列入清单的项目不得在此删除、减少指标或改变所在县区；已分配的指标不能经清单收回"


@dataclass(frozen=True)
class Line:
    """One project's part of a batch, as a version of its list says."""

    uscc: str
    project_code: str
    name: str
    region_code: str
    quantity_kgce: Kgce

    @property
    def project(self) -> Project:
        return self.uscc, self.project_code


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


def check_stock(issued_kgce: Kgce, assigned_kgce: Kgce, asked_kgce: Kgce, policy: Policy) -> None:
    """Return if what was issued into the pool covers what is asked.

    Raises:
        EnergyPoolExceeded: art. 3, the pool is filled by issues and holds no more than they made.
    """
    if asked_kgce > issued_kgce - assigned_kgce:
        raise EnergyPoolExceeded(article=policy.energy_pool.article)


def check_pool_lot(asset: str, restrictions: Restrictions, policy: Policy) -> None:
    """Return if a lot of these terms may be issued into the pool, where all lots are alike.

    Raises:
        QuotaKindMismatch: art. 3, it is a pool of energy.
        PoolTermsNotAllowed: art. 3, open to 两高 projects, or restricted in another way.
    """
    if asset != "ENERGY":
        raise QuotaKindMismatch(article=policy.energy_pool.article)
    if restrictions != IN_POOL:
        raise PoolTermsNotAllowed(article=policy.energy_pool.article)


def check_issue(issued_kgce: Kgce, asked_kgce: Kgce, policy: Policy) -> None:
    """Return if so much may still be issued into the pool; exactly its size may.

    Raises:
        EnergyPoolExceeded: art. 3, more than the province gave.
    """
    if issued_kgce + asked_kgce > policy.energy_pool.value:
        raise EnergyPoolExceeded(article=policy.energy_pool.article)


def additions(
    listed: Mapping[Project, Line], wanted: Iterable[Line], policy: Policy
) -> list[tuple[Line, Kgce]]:
    """What a batch's next version assigns beyond the one in force, in the order of its list.

    A project that stays as it is adds nothing; one whose quantity grows adds the difference.

    Raises:
        AssignmentNotKept: art. 3, a project is gone, gets less or stands elsewhere; what was
            assigned is taken back only by a reversal, with its own document and two people.
    """
    by_project = {line.project: line for line in wanted}
    for project, old in listed.items():
        new = by_project.get(project)
        if (
            new is None
            or new.quantity_kgce < old.quantity_kgce
            or new.region_code != old.region_code
        ):
            raise AssignmentNotKept(article=policy.energy_pool.article)
    grown = [
        (line, line.quantity_kgce - (listed[project].quantity_kgce if project in listed else 0))
        for project, line in by_project.items()
    ]
    return [(line, Kgce(more)) for line, more in grown if more]


def draw(lots: Sequence[tuple[str, int]], asked: Sequence[int]) -> list[list[tuple[str, int]]]:
    """Which part of which lot each asker gets: the lots in their order, the askers in theirs."""
    left = dict(lots)
    assert sum(asked) <= sum(left.values())
    drawn: list[list[tuple[str, int]]] = []
    for quantity in asked:
        parts: list[tuple[str, int]] = []
        for lot, available in left.items():
            take = min(available, quantity - sum(part for _, part in parts))
            if take:
                parts.append((lot, take))
                left[lot] -= take
        drawn.append(parts)
    return drawn
