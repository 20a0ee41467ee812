from collections.abc import AsyncIterator

import httpx
import pytest

from builders import Trust, a_client
from gateway.commands.routes import Upstream, routes
from gateway_owner import AT, Owner
from marketkit.db import Database
from marketkit.web import create_app


@pytest.fixture
def trust() -> Trust:
    return Trust()


@pytest.fixture
def owner(kit_house: Database, trust: Trust) -> Owner:
    return Owner(kit_house, trust)


@pytest.fixture
async def upstream(owner: Owner) -> AsyncIterator[Upstream]:
    found = Upstream("energy", AT, httpx.MockTransport(owner.answer))
    yield found
    await found.close()


@pytest.fixture
async def gateway(
    gateway_house: Database, trust: Trust, upstream: Upstream
) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(gateway_house, trust.verifier, "gateway", [routes([upstream])])
    async with a_client(app) as client:
        yield client


@pytest.fixture
def enterprise(trust: Trust) -> dict[str, str]:
    return {"Authorization": f"Bearer {trust.token('enterprise', uscc='91370500MA3TEQT19H')}"}
