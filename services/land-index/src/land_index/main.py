"""The HTTP application of land-index: its routers, put together."""

from fastapi import FastAPI

from land_index.policy import policy_on
from marketkit import trial
from marketkit.program import Parts
from marketkit.web import create_app as create


def create_app(parts: Parts) -> FastAPI:
    trials = trial.Trials(policy_on)
    return create(parts.house, parts.verifier, "land-index 土地指标", [trial.routes(trials)])
