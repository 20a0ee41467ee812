"""HTTP of sales: the saleroom's own, for this market."""

from fastapi import APIRouter

from energy_trade.sales.actions import MARKET
from saleroom.allocations.routes import routes as allocations
from saleroom.bids.routes import routes as bids
from saleroom.corrections.routes import routes as corrections
from saleroom.deliveries.routes import routes as deliveries
from saleroom.endings.routes import routes as endings
from saleroom.entries.routes import routes as entries
from saleroom.escrow.routes import routes as escrow
from saleroom.notices.routes import routes as notices
from saleroom.officers.routes import routes as officers
from saleroom.openings.routes import routes as openings
from saleroom.papers.routes import routes as papers
from saleroom.refunds.routes import routes as refunds
from saleroom.results.routes import routes as results
from saleroom.reversals.routes import routes as reversals
from saleroom.settlements.routes import routes as settlements
from saleroom.statements.routes import routes as statements


def routes() -> list[APIRouter]:
    """The routers of a sale, phase by phase."""
    phases = (
        notices, officers, entries, corrections, bids, openings, results, settlements,
        deliveries, endings, papers, statements, allocations, refunds, reversals, escrow,
    )  # fmt: skip
    return [phase(MARKET) for phase in phases]
