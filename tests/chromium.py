"""A headless Chromium, spoken to by its own protocol: what a reader's browser does with a page."""

import asyncio
import base64
import itertools
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--hide-scrollbars",
    "--lang=zh-CN",
    "--remote-debugging-port=0",
)
PATIENCE_S = 20.0


class Tab:
    """One page of the browser."""

    def __init__(self, line: ClientConnection, session: str) -> None:
        self._line = line
        self._session = session
        self._numbers = itertools.count(100)
        self.errors: list[str] = []

    async def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """What the browser answers; what it complains of meanwhile is kept in `errors`."""
        number = next(self._numbers)
        said = {"id": number, "method": method, "params": params, "sessionId": self._session}
        await self._line.send(json.dumps(said))
        async with asyncio.timeout(PATIENCE_S):
            while True:
                told = json.loads(await self._line.recv())
                if told.get("id") == number:
                    assert "error" not in told, told["error"]
                    return dict(told["result"])
                self._note(told)

    def _note(self, told: dict[str, Any]) -> None:
        params = told.get("params", {})
        match told.get("method"):
            case "Runtime.exceptionThrown":
                self.errors.append(str(params["exceptionDetails"]))
            case "Log.entryAdded" if params["entry"]["level"] == "error":
                self.errors.append(f"{params['entry']['text']} {params['entry'].get('url')}")

    async def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        found = await self.ask("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    async def open(self, address: str) -> None:
        await self.ask("Page.navigate", url=address)
        await self.until("document.readyState === 'complete' && location.protocol !== 'about:'")

    async def until(self, script: str) -> None:
        """Return once an expression is true in the page."""
        async with asyncio.timeout(PATIENCE_S):
            while not await self.run(script):
                await asyncio.sleep(0.1)

    async def text(self) -> str:
        return " ".join(str(await self.run("document.body.innerText")).split())

    async def size(self, width: int) -> None:
        await self.ask("Emulation.setDeviceMetricsOverride", width=width, height=900,
                       deviceScaleFactor=1, mobile=False)  # fmt: skip

    async def picture(self, file: Path) -> None:
        """The whole page as a PNG, for people to look at."""
        found = await self.ask("Page.captureScreenshot", captureBeyondViewport=True)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(base64.b64decode(found["data"]))


@asynccontextmanager
async def chromium(folder: Path) -> AsyncIterator[Tab]:
    """A browser of its own with one page; SKIPPED aloud where there is none."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("SKIPPED: no chromium")
    browser = await asyncio.create_subprocess_exec(
        found, *FLAGS, f"--user-data-dir={folder}", "about:blank",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with connect(await _address(browser), max_size=None) as line:
            yield await _tab(line)
    finally:
        with suppress(ProcessLookupError):
            browser.terminate()
        await browser.communicate()


async def _address(browser: asyncio.subprocess.Process) -> str:
    assert browser.stderr is not None
    async with asyncio.timeout(PATIENCE_S):
        while line := (await browser.stderr.readline()).decode():
            if "ws://" in line:
                return line[line.index("ws://") :].strip()
    raise AssertionError("chromium did not start")


async def _tab(line: ClientConnection) -> Tab:
    made = await _once(line, "Target.createTarget", url="about:blank")
    joined = await _once(line, "Target.attachToTarget", targetId=made["targetId"], flatten=True)
    tab = Tab(line, joined["sessionId"])
    for domain in ("Page", "Runtime", "Log"):
        await tab.ask(f"{domain}.enable")
    return tab


async def _once(line: ClientConnection, method: str, **params: Any) -> dict[str, Any]:
    await line.send(json.dumps({"id": 1, "method": method, "params": params}))
    async with asyncio.timeout(PATIENCE_S):
        while (told := json.loads(await line.recv())).get("id") != 1:
            pass
    return dict(told["result"])
