"""What the stack starts in its tests instead of a service: migrates, answers, ends when told to."""

import json
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psycopg


def conninfo(url: str) -> str:
    return url.replace("+psycopg", "")


def migrate() -> None:
    with psycopg.connect(conninfo(os.environ["YAOSU_MIGRATE_URL"])) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS mark (said text)")
        connection.execute("GRANT SELECT, INSERT ON mark TO yaosu_app")


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        settings = {k: v for k, v in os.environ.items() if k.startswith("YAOSU_")}
        body = json.dumps({"settings": settings, "pid": os.getpid()}).encode()
        self.send_response(200 if self.path in {"/readyz", "/settings"} else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        return


def serve(stubborn: bool) -> None:
    with psycopg.connect(conninfo(os.environ["YAOSU_DATABASE_URL"])) as connection:
        connection.execute("INSERT INTO mark VALUES ('began')")
    port = int(os.environ["YAOSU_INNER_PORT"])
    signal.signal(signal.SIGTERM, signal.SIG_IGN if stubborn else lambda *_: sys.exit(0))
    ThreadingHTTPServer((os.environ["YAOSU_HOST"], port), Answer).serve_forever()


if __name__ == "__main__":
    behaviour, role = sys.argv[1], sys.argv[3]
    if behaviour == "broken":
        sys.exit("a broken service says why")
    if role == "migrate":
        migrate()
    else:
        serve(behaviour == "stubborn")
