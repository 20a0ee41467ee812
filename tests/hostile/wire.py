"""The line to an application in this process: what was sent goes in byte by byte."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI

from hostile.target import Sent


@asynccontextmanager
async def line_to(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


async def answer_to(client: httpx.AsyncClient, sent: Sent) -> httpx.Response:
    headers = [(name.encode(), value.encode()) for name, value in sent.headers]
    request = httpx.Request(sent.method, sent.url(), headers=headers, content=sent.body)
    return await client.send(request)


async def said(app: FastAPI, sent: Sent) -> httpx.Response:
    """What is answered; Busy is no answer, so the same is sent again."""
    async with line_to(app) as client:
        for _ in range(100):
            answer = await answer_to(client, sent)
            if answer.status_code != 503:
                break
            await asyncio.sleep(0.02)
    return answer
