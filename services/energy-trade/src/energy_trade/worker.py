"""What the worker of energy-trade runs beside what every service's runs: the clock of sales."""

from energy_trade.sales.actions import MARKET
from marketkit.db import Session
from marketkit.program import Parts
from marketkit.worker import Loop
from saleroom.endings.actions import fail_unopened
from saleroom.notices.actions import advance_due
from saleroom.opener import opener_loops


async def fail_unopened_sales(session: Session) -> None:
    await fail_unopened(session, MARKET)


def opener(parts: Parts) -> list[Loop]:
    return opener_loops(parts.house, MARKET)


def loops(parts: Parts) -> list[Loop]:
    return parts.standard_loops([advance_due, fail_unopened_sales])
