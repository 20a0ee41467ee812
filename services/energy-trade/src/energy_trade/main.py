"""The HTTP application of energy-trade: its routers, put together."""

from fastapi import FastAPI

from energy_trade.accounts.routes import routes as accounts
from energy_trade.coal_stocks.routes import routes as coal_stocks
from energy_trade.issues.routes import routes as issues
from energy_trade.pledges.routes import routes as pledges
from energy_trade.pool.routes import routes as pool
from energy_trade.reversals.routes import routes as reversals
from energy_trade.sales.routes import routes as sales
from energy_trade.screenings.routes import routes as screenings
from energy_trade.shutdowns.routes import routes as shutdowns
from energy_trade.trials import TRIALS
from energy_trade.units.routes import routes as units
from marketkit import trial
from marketkit.program import Parts
from marketkit.web import create_app as create


def create_app(parts: Parts) -> FastAPI:
    routers = [
        trial.routes(TRIALS),
        accounts(),
        issues(),
        reversals(),
        pool(),
        units(),
        shutdowns(),
        screenings(),
        pledges(),
        coal_stocks(),
        *sales(),
    ]
    return create(parts.house, parts.verifier, "energy-trade 能耗指标交易", routers)
