"""What one enterprise holds, out of the rows its token lets it see."""

from gateway.holdings.rules import OwnHolding, unit_of
from marketkit.db import Session, sql


async def own_holdings(session: Session) -> list[OwnHolding]:
    """Account by account and lot by lot; row security leaves the caller's own, and nothing else."""
    found = await sql(
        session,
        "SELECT h.*, a.project_code, l.article, l.document_no, l.is_dual_high_barred, "
        "l.is_locally_usable, l.needs_city_consent, l.valid_until_on FROM projection.holding h "
        "JOIN projection.board_account a ON a.market = h.market AND a.id = h.account "
        # Another aggregate's fact may not have come yet.
        "LEFT JOIN projection.board_lot l ON l.market = h.market AND l.id = h.lot "
        "WHERE h.posted_minor <> 0 OR h.held_minor <> 0 "
        "ORDER BY h.market, h.asset, h.account, h.lot",
    )
    same = ("market", "account", "project_code", "asset", "lot", "article", "document_no")
    lot = ("is_dual_high_barred", "is_locally_usable", "needs_city_consent", "valid_until_on")
    return [
        OwnHolding(
            unit=unit_of(row.asset).name,
            posted=unit_of(row.asset).format(row.posted_minor),
            held=unit_of(row.asset).format(row.held_minor),
            available=unit_of(row.asset).format(row.posted_minor - row.held_minor),
            as_of=row.as_of,
            **{name: getattr(row, name) for name in (*same, *lot)},
        )
        for row in found.all()
    ]
