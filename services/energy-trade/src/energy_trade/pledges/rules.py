"""Which quota may be pledged to whom, and how much of it let go. Pure: no clock, no database."""

from collections.abc import Set
from datetime import date

from energy_trade.accounts.rules import AccountUnknown, check_effective
from marketkit.errors import Conflict, NotFound, RuleBroken

ARTICLE = "art. 19"


class CreditorIsHolder(RuleBroken):
    title = "债权人不得是指标持有人自己"
    article = ARTICLE


class PledgeAlreadyRegistered(Conflict):
    title = "该合同已登记过抵质押"
    article = ARTICLE


class PledgeUnknown(NotFound):
    title = "抵质押登记不存在"


class ReleaseExceedsPledge(Conflict):
    title = "解除数量超过尚未解除的抵质押数量"
    article = ARTICLE


def pledge_account(uscc: str, project_code: str) -> str:
    """The account a pledge is on: the pledgor's own for one project, and nobody else's."""
    return f"enterprise:{uscc}:{project_code}"


def check_pledge(
    *,
    holder_uscc: str | None,
    creditor_uscc: str,
    contract: tuple[str, ...],
    registered: Set[tuple[str, ...]],
    effective_on: date,
    today: date,
) -> None:
    """Return if the pledge may be registered, as far as the ledger does not decide.

    Args:
        holder_uscc: Whose the account is; None if there is no such account.
        creditor_uscc: To whom the quota is pledged.
        contract: What makes it one pledge: account, asset, creditor, document.
        registered: The contracts registered before.
        effective_on: The document's day.
        today: The day of the command's instant.

    Raises:
        AccountUnknown: the enterprise has no account for that project.
        EffectiveInFuture: the document's day has not come.
        CreditorIsHolder: art. 19.
        PledgeAlreadyRegistered: art. 19, a contract pledges once.
    """
    if holder_uscc is None:
        raise AccountUnknown()
    check_effective(effective_on, today)
    if creditor_uscc == holder_uscc:
        raise CreditorIsHolder()
    if contract in registered:
        raise PledgeAlreadyRegistered()


def remaining_after(remaining_minor: int, released_minor: int) -> int:
    """What of a pledge stands after part of it was let go.

    Raises:
        ReleaseExceedsPledge: art. 19, less stands.
    """
    if released_minor > remaining_minor:
        raise ReleaseExceedsPledge()
    return remaining_minor - released_minor
