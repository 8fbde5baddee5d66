"""A real HTTP server that does what the test tells it to, in Airflow's place."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

Script = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Answers as the test's script says, and keeps what it was asked."""

    server: ScriptedServer
    protocol_version = "HTTP/1.1"

    def answer(
        self, status: int, body: Any = None, *, content_type: str = "application/json", **headers: str
    ) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(length) or "null")
        self.server.asked.append((self.command, self.path, body, self.headers.get("Authorization")))
        self.server.script(self)

    do_GET = do_POST = do_PATCH = do_PUT = do  # noqa: N815 - the standard library's names

    def log_message(self, *_: Any) -> None:
        pass


class ScriptedServer(ThreadingHTTPServer):
    daemon_threads = True
    script: Script
    asked: list[tuple[str, str, Any, str | None]]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def count(self, path: str) -> int:
        return sum(asked[1] == path for asked in self.asked)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    server = ScriptedServer(("127.0.0.1", 0), Handler)
    server.asked = []
    server.script = lambda handler: handler.answer(200, {"path": handler.path})
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()
