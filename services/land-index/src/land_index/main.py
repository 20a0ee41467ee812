"""The HTTP application of land-index: its routers, put together."""

from fastapi import FastAPI

from land_index.trials import TRIALS
from marketkit import trial
from marketkit.program import Parts
from marketkit.web import create_app as create


def create_app(parts: Parts) -> FastAPI:
    return create(parts.house, parts.verifier, "land-index 土地指标", [trial.routes(TRIALS)])
