"""Where notifications arrive in tests: servers on loopback that speak the protocols, and count."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import socket
from typing import Any, Self
from urllib.parse import parse_qs

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

SLACK_TOKEN = "xoxb-1234567890-abcdefghijkl"
SLACK_SECRET = "T0AB12CD3/B0EF45GH6/s3cr3tS3cr3tS3cr3t"


@dataclass(frozen=True)
class Answer:
    """What a server answers."""

    status: int = 200
    body: bytes = b"ok"
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """A request that came."""

    path: str
    headers: dict[str, str]
    body: bytes


class _Handler(BaseHTTPRequestHandler):
    server: _Http

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self.server.answer(Asked(self.path, headers, body))
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, *_: Any) -> None:
        pass


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    answer: Callable[[Asked], Answer]

    def handle_error(self, *_: Any) -> None:
        pass  # a client that went away


class Server:
    """An HTTP server on a free port."""

    def __init__(self, port: int = 0) -> None:
        self._lock = threading.Lock()
        self._released = threading.Event()
        self._released.set()
        self._hung_before = 0
        self._http = _Http(("127.0.0.1", port), _Handler)
        self._http.answer = self._answer_when_released
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._released.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}"

    @property
    def port(self) -> int:
        return self._http.server_port

    def hang(self) -> None:
        """Take requests from now on, and answer none."""
        self._released.clear()

    def release(self, *, drop: bool = False) -> None:
        """Answer again, those that hang as well; or forget those, as if they had never come."""
        self._hung_before += drop
        self._released.set()

    def answer(self, asked: Asked) -> Answer:
        raise NotImplementedError

    def _answer_when_released(self, asked: Asked) -> Answer:
        came = self._hung_before
        self._released.wait()
        with self._lock:
            return self.answer(asked) if came == self._hung_before else Answer(503)


@dataclass(frozen=True)
class SlackMessage:
    """A message that Slack took; the channel of a webhook is its own."""

    channel: str
    text: str


class Slack(Server):
    """Slack's Web API, and an incoming webhook, as far as messages go.

    Attributes:
        messages: What it took, in the order in which it came.
        refused: How many requests it did not take.
        channels: The channels that there are; all if None.
        rate_limited: How many requests are to be answered with 429, Retry-After 1.
        broken: How many requests are to be answered with 500.
    """

    def __init__(self, port: int = 0) -> None:
        super().__init__(port)
        self.messages: list[SlackMessage] = []
        self.refused = 0
        self.channels: set[str] | None = None
        self.rate_limited = 0
        self.broken = 0

    @property
    def api_url(self) -> str:
        return f"{self.url}/api/"

    @property
    def webhook_url(self) -> str:
        return f"{self.url}/services/{SLACK_SECRET}"

    def count(self, channel: str, containing: str = "") -> int:
        """Return how many messages came to a channel with a text."""
        return sum(
            message.channel == channel and containing in message.text for message in tuple(self.messages)
        )

    def answer(self, asked: Asked) -> Answer:
        answer = self._answered(asked)
        self.refused += answer.status != 200 or b'"ok": false' in answer.body
        return answer

    def _answered(self, asked: Asked) -> Answer:
        if self.broken:
            self.broken -= 1
            return Answer(500, b"upstream error")
        if self.rate_limited:
            self.rate_limited -= 1
            return Answer(429, b'{"ok": false, "error": "ratelimited"}', {"Retry-After": "1"})
        if asked.path == "/api/chat.postMessage":
            return self._post_message(asked)
        if asked.path == f"/services/{SLACK_SECRET}":
            text = json.loads(asked.body)["text"]
            self.messages.append(SlackMessage("webhook", text))
            return Answer()
        return Answer(404, b"no_service")

    def _post_message(self, asked: Asked) -> Answer:
        if asked.headers.get("authorization") != f"Bearer {SLACK_TOKEN}":
            return _slack_error("invalid_auth")
        if "json" in asked.headers["content-type"]:
            fields = json.loads(asked.body)
        else:
            fields = {name: values[0] for name, values in parse_qs(asked.body.decode()).items()}
        if not fields.get("text"):
            return _slack_error("no_text")
        if self.channels is not None and fields["channel"] not in self.channels:
            return _slack_error("channel_not_found")
        self.messages.append(SlackMessage(fields["channel"], fields["text"]))
        answer = {"ok": True, "channel": "C0123456789", "ts": f"{len(self.messages)}.000100"}
        return Answer(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})


def _slack_error(word: str) -> Answer:
    body = json.dumps({"ok": False, "error": word}).encode()
    return Answer(200, body, {"Content-Type": "application/json"})


class WebhookReceiver(Server):
    """Takes what is posted to it.

    Attributes:
        asked: The requests, in the order in which they came.
        reply: What it answers.
    """

    def __init__(self, port: int = 0) -> None:
        super().__init__(port)
        self.asked: list[Asked] = []
        self.reply = Answer()

    @property
    def bodies(self) -> list[Any]:
        """What was posted, read."""
        return [json.loads(asked.body) for asked in self.asked]

    def answer(self, asked: Asked) -> Answer:
        self.asked.append(asked)
        return self.reply


class _Controller(Controller):
    def _trigger_server(self) -> None:
        """Learn which port it got before aiosmtpd connects to it."""
        sockets: Sequence[socket] = getattr(self.server, "sockets", [])
        self.port = sockets[0].getsockname()[1]
        super()._trigger_server()  # type: ignore[no-untyped-call]


class MailServer:
    """An SMTP server that asks for a user and a password.

    Attributes:
        mails: What it took, with the recipient in the envelope.
        refuses: Recipients that it does not take.
    """

    USER = "basecamp"
    PASSWORD = "pass/w0rd with@signs"

    def __init__(self) -> None:
        self.mails: list[tuple[str, EmailMessage]] = []
        self.refuses: set[str] = set()
        self._controller = _Controller(
            self,
            hostname="127.0.0.1",
            port=0,
            authenticator=self._authenticate,
            auth_require_tls=False,
        )

    def __enter__(self) -> Self:
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()

    @property
    def port(self) -> int:
        return int(self._controller.port)

    def _authenticate(
        self, _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, given: object
    ) -> AuthResult:
        right = LoginPassword(self.USER.encode(), self.PASSWORD.encode())
        return AuthResult(success=given == right, handled=False)

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if not session.authenticated:
            return "530 authentication required"
        if address in self.refuses:
            return "550 there is nobody of that name"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        content = envelope.content if isinstance(envelope.content, bytes) else b""
        mail = message_from_bytes(content, policy=policy.default)
        for recipient in envelope.rcpt_tos:
            self.mails.append((recipient, mail))
        return "250 OK"
