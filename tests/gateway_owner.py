"""A service behind the gateway, in the tests' own process."""

from typing import Any

import httpx
from fastapi import APIRouter, Request, Response

from builders import Trust
from gateway.settings import UpstreamSettings
from marketkit.db import Database, Session, new_id
from marketkit.doors import CommandDep, open_to
from marketkit.errors import Conflict
from marketkit.inner import add_documents
from marketkit.units import Form
from marketkit.web import create_app

AT = UpstreamSettings(
    api="http://api.test", inner="http://inner.test", source="/370500/energy-trade"
)


class ThingIn(Form):
    number: int


class ThingOut(Form):
    thing_id: str
    number: int


class ThingTaken(Conflict):
    title = "示例物品已被占用"


class Echo(Form):
    target: str
    headers: dict[str, list[str]]


class Owner:
    """A service behind the gateway, in this process; `fault` is what the line to it does."""

    def __init__(self, house: Database, trust: Trust) -> None:
        router = APIRouter()
        _add_things(router)
        _add_bids(router)
        _add_files(router)
        self.app = create_app(house, trust.verifier, "owner", [router])
        add_documents(self.app, self.app)
        self.calls: list[str] = []
        self.fault: type[Exception] | None = None
        self._line = httpx.ASGITransport(self.app, raise_app_exceptions=False)

    async def answer(self, request: httpx.Request) -> httpx.Response:
        self.calls.append(request.url.path)
        if self.fault is not None:
            raise self.fault("planted")
        # Both sides have their own streams: what the one read the other may read again.
        copy = httpx.Request(
            request.method, request.url, headers=request.headers, content=await request.aread()
        )
        answer = await self._line.handle_async_request(copy)
        return httpx.Response(
            answer.status_code, headers=answer.headers, content=await answer.aread()
        )


def _add_things(router: APIRouter) -> None:
    @router.post("/v1/things", status_code=201, response_model=ThingOut, **open_to("enterprise"))
    async def make_thing(form: ThingIn, command: CommandDep) -> Response:
        async def make(session: Session) -> ThingOut:
            if form.number < 0:
                raise ThingTaken()
            return ThingOut(thing_id=new_id(), number=form.number)

        return await command.run(make, status=201, location="/v1/things/{thing_id}")

    @router.get("/v1/things/{thing_id}", **open_to("anyone"))
    async def show_thing(thing_id: str, request: Request) -> Echo:
        said = request.headers
        target = request.scope["raw_path"].decode() + "?" + request.scope["query_string"].decode()
        return Echo(target=target, headers={name: said.getlist(name) for name in said})

    @router.get("/v1/secrets", **open_to("anyone", is_public=False))
    async def show_secret() -> str:
        return "secret"


def _add_bids(router: APIRouter) -> None:
    @router.post("/v1/sales/{sale_id}/sealed-bids", tags=["quiet"], **open_to("anyone"))
    async def place_sealed_bid(sale_id: str) -> str:
        return "taken"

    @router.post("/v1/trials/{name}", **open_to("anyone"))
    async def try_rule(name: str) -> str:
        return name


def _add_files(router: APIRouter) -> None:
    @router.post("/v1/bank-files", tags=["quiet", "upload"], **open_to("trading_center"))
    async def take_file(request: Request, response: Response) -> dict[str, Any]:
        response.headers["Content-Disposition"] = 'inline; filename="1.pdf"'
        return {"size": len(await request.body()), "type": request.headers["content-type"]}
