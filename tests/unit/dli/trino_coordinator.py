"""A Trino coordinator as its client sees one: statements, pages of results, and cancels over HTTP."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

_BIGINT = {"type": "bigint", "typeSignature": {"rawType": "bigint", "arguments": []}}
_CHANGES = re.compile(r"(insert|create table|create schema|delete|merge|drop table)\b", re.IGNORECASE)


@dataclass
class Query:
    """One statement that a client sent."""

    sql: str
    headers: dict[str, str]
    polls: int = 0
    cancelled: bool = False


@dataclass
class Coordinator:
    """Answers statements: changes with a count of three, ``no_such`` with an error, others with the numbers 0 to 4.

    One with ``endless`` in it runs until it is cancelled.
    """

    queries: list[Query] = field(default_factory=list)
    answers: Callable[[str], list[tuple[Any, ...]]] | None = None
    """Returns the rows of a query, where a test gives them."""

    def __enter__(self) -> Self:
        coordinator = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                sql = self.rfile.read(int(self.headers["Content-Length"])).decode()
                coordinator.queries.append(Query(sql, dict(self.headers)))
                number = len(coordinator.queries) - 1
                self._answer(coordinator.page(number, 0, f"http://{self.headers['Host']}"))

            def do_GET(self) -> None:
                _, _, _, number, page = self.path.split("/")
                self._answer(coordinator.page(int(number), int(page), f"http://{self.headers['Host']}"))

            def do_DELETE(self) -> None:
                coordinator.queries[int(self.path.split("/")[3])].cancelled = True
                self.send_response(204)
                self.end_headers()

            def _answer(self, body: dict[str, Any]) -> None:
                content = json.dumps(body).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def port(self) -> int:
        port: int = self._server.server_address[1]
        return port

    @property
    def statements(self) -> list[str]:
        return [query.sql for query in self.queries]

    def page(self, number: int, page: int, base: str) -> dict[str, Any]:
        """Return a page of a query's answer, as Trino's protocol has it."""
        query = self.queries[number]
        query.polls += 1
        common = {"id": f"query_{number}", "infoUri": f"{base}/ui", "stats": {"state": "RUNNING"}}
        following = {"nextUri": f"{base}/v1/statement/{number}/{page + 1}"}
        if query.cancelled:
            return common | {"error": _error("Query was canceled", "USER_CANCELED", None)}
        if "endless" in query.sql:
            return common | following | {"stats": {"state": "RUNNING", "progressPercentage": 25.0}}
        if page == 0:
            return common | following
        if "no_such" in query.sql:
            place = {"lineNumber": 2, "columnNumber": 8}
            message = "line 2:8: Column 'no_such' cannot be resolved"
            return common | {"error": _error(message, "COLUMN_NOT_FOUND", place)}
        if found := _CHANGES.match(query.sql):
            counted = found[1].lower() in {"insert", "delete", "merge"}
            change = {"updateType": found[1].upper(), "updateCount": 3 if counted else 0}
            rows = {"columns": [{"name": "rows", **_BIGINT}], "data": [[3]]} if page == 1 else {}
            return common | change | (rows if counted else {}) | (following if page == 1 else {})
        if self.answers is not None:
            answer = self.answers(query.sql)
            first = answer[0] if answer else ("",)
            kinds = ["boolean" if isinstance(value, bool) else "varchar" for value in first]
            return common | {"columns": [*map(_column, kinds)], "data": [*map(list, answer)]}
        columns = {"columns": [{"name": "n", **_BIGINT}]}
        if page == 1:
            return common | columns | following | {"data": [[0], [1], [2]]}
        return common | columns | {"data": [[3], [4]], "stats": {"state": "FINISHED"}}


def _column(kind: str) -> dict[str, Any]:
    arguments = [{"kind": "LONG", "value": 100}] if kind == "varchar" else []
    return {"name": "c", "type": kind, "typeSignature": {"rawType": kind, "arguments": arguments}}


def _error(message: str, name: str, place: dict[str, int] | None) -> dict[str, Any]:
    located = {"errorLocation": place} if place else {}
    return {"message": message, "errorCode": 1, "errorName": name, "errorType": "USER_ERROR"} | located
