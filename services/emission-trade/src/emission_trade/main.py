"""The HTTP application of emission-trade: its routers, put together."""

from fastapi import FastAPI

from emission_trade.trials import TRIALS
from marketkit import trial
from marketkit.program import Parts
from marketkit.web import create_app as create


def create_app(parts: Parts) -> FastAPI:
    return create(parts.house, parts.verifier, "emission-trade 排污权交易", [trial.routes(TRIALS)])
