"""`yaosu replay` as an administrator types it, to a gateway that answers as the real one does."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from yaosu.replay import replay

SOURCE = "/370500/energy-trade"
REASON = "规则已更正，可以重放"


class Gateway(ThreadingHTTPServer):
    """Keeps what was asked; one event is parked more at each look."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Desk)
        self.asked: list[tuple[str, str, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def answer(self, path: str, key: str, wish: dict[str, Any]) -> dict[str, Any]:
        self.asked.append((path, key, wish))
        if path.endswith("/confirmations"):
            return {"applied": 2, "still_parked": 1}
        count = len(self.asked)
        found = wish | {"parked": count, "would_apply": count}
        return {"wish": found, "request": {"request_id": f"request-{count}"}}


class Desk(BaseHTTPRequestHandler):
    server: Gateway

    def do_POST(self) -> None:
        said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = self.server.answer(self.path, self.headers["Idempotency-Key"], said)
        body = json.dumps(answer).encode()
        self.send_response(201)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway() as serving:
        Thread(target=serving.serve_forever, daemon=True).start()
        yield serving
        serving.shutdown()


def said_to(gateway: Gateway, folder: Path, *options: str) -> str:
    token = folder / "token"
    token.write_text("token")
    token.chmod(0o600)
    app = typer.Typer()
    app.command("replay")(replay)
    common = (gateway.url, "--token-file", str(token), "--sent-folder", str(folder / "sent"))
    result = CliRunner().invoke(app, [*common, *options])
    assert result.exit_code == 0, result.output
    return result.output


def test_each_asking_is_a_look_of_its_own_whatever_its_words(
    gateway: Gateway, tmp_path: Path
) -> None:
    asking = ("--source", SOURCE, "--reason", REASON)
    assert "搁置 1 条" in said_to(gateway, tmp_path, *asking)
    assert "申请编号 request-2" in said_to(gateway, tmp_path, *asking)
    (_, first, wish), (_, second, _) = gateway.asked
    assert wish == {"source": SOURCE, "reason": REASON}
    assert first != second


def test_what_is_allowed_is_allowed_once(gateway: Gateway, tmp_path: Path) -> None:
    for _ in range(2):
        assert "已恢复 2 条，仍搁置 1 条" in said_to(gateway, tmp_path, "--allow", "request-1")
    assert [path for path, _, _ in gateway.asked] == [
        "/v1/replays/requests/request-1/confirmations"
    ]


def test_an_id_that_is_none_reaches_whoever_refuses_it(gateway: Gateway, tmp_path: Path) -> None:
    said_to(gateway, tmp_path, "--allow", "申请一")
    ((_, key, _),) = gateway.asked
    assert key == "replay/allow/%E7%94%B3%E8%AF%B7%E4%B8%80"
