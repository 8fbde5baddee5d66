"""One HTTP/1.1 connection to a server.

h11 does the protocol, a plain socket the rest: importing both costs a third of
``http.client``, which loads the e-mail package and TLS with every command
(docs/cli.md, "Speed"). TLS is loaded for ``https`` alone.
"""

from __future__ import annotations

import socket
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

import h11

from dataspec.errors import InvalidSettings
from dli.client.addresses import Address

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

MAX_ANSWER_BYTES = 256 * 1024 * 1024
_CHUNK = 256 * 1024


class ConnectionBroken(OSError):
    """The connection ended before the answer was whole; the server may have acted."""


class NotUnderstood(OSError):
    """What came back is not an HTTP answer that can be used."""


class Deadline:
    """The moment by which a whole exchange must be over, however slowly bytes drip in."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._at = monotonic() + seconds

    def remaining(self) -> float:
        """Return the seconds left.

        Raises:
            TimeoutError: When none are left.
        """
        if (left := self._at - monotonic()) <= 0:
            raise TimeoutError
        return left


class Request(NamedTuple):
    """What is sent; ``target`` is the path with the query."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


class Answer(NamedTuple):
    """What came back; names of headers are in lower case."""

    status: int
    reason: str
    headers: dict[str, str]
    body: bytes


class Connection:
    """An open connection; use it from one thread at a time.

    Raises, here and in :meth:`exchange`:
        OSError: When the connection can't be made, among them TimeoutError.
    """

    def __init__(
        self, server: Address, proxy: Address | None, environ: Mapping[str, str], deadline: Deadline
    ) -> None:
        self.server = server
        self.proxy = proxy
        near = proxy or server
        # An ASCII name as bytes spares the loading of IDNA.
        host = near.host.encode() if near.host.isascii() else near.host
        self._socket = socket.create_connection((host, near.port), deadline.remaining())  # type: ignore[arg-type] # typeshed lacks bytes
        self._http = h11.Connection(h11.CLIENT)
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if server.scheme == "https":
                self._secure(environ, deadline)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    @property
    def reusable(self) -> bool:
        """Whether another exchange may follow."""
        return self._http.our_state is h11.IDLE

    def exchange(self, request: Request, deadline: Deadline) -> Answer:
        """Send a request and return the whole answer.

        Raises:
            ConnectionBroken: When the connection ended first.
            NotUnderstood: When the answer is not HTTP, or larger than any of Basecamp's.
            TimeoutError: When the deadline passed.
        """
        self._send(request, deadline)
        answer = self._answer(deadline)
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
        return answer

    def _send(self, request: Request, deadline: Deadline) -> None:
        headers = [("Host", self.server.authority), *request.headers]
        if request.body or request.method in {"POST", "PUT", "PATCH"}:
            headers.append(("Content-Length", str(len(request.body))))
        head = h11.Request(method=request.method, target=self._target(request), headers=headers)
        parts = (head, h11.Data(data=request.body), h11.EndOfMessage())
        payload = b"".join(self._http.send(part) or b"" for part in parts)
        self._socket.settimeout(deadline.remaining())
        try:
            self._socket.sendall(payload)
        except (BrokenPipeError, ConnectionResetError):
            # A server that refuses a request may close before it has read it all; its answer says why.
            return

    def _target(self, request: Request) -> str:
        through_proxy = self.proxy is not None and self.server.scheme == "http"
        return f"http://{self.server.authority}{request.target}" if through_proxy else request.target

    def _answer(self, deadline: Deadline) -> Answer:
        head: h11.Response | None = None
        body = bytearray()
        while True:
            event = self._event(deadline)
            if isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > MAX_ANSWER_BYTES:
                    raise NotUnderstood(f"the answer is larger than {MAX_ANSWER_BYTES // 1024**2} MiB")
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                headers = {name.decode(): value.decode("latin-1") for name, value in head.headers}
                return Answer(head.status_code, head.reason.decode("latin-1"), headers, bytes(body))

    def _event(self, deadline: Deadline) -> h11.Event | type[h11.PAUSED]:
        ended = False
        while True:
            awaited = "without an" if self._http.their_state is h11.SEND_RESPONSE else "in the middle of the"
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                if ended:
                    raise ConnectionBroken(f"the connection ended {awaited} answer") from error
                raise NotUnderstood(f"the answer is not HTTP ({error})") from error
            if not isinstance(event, type) or event is h11.PAUSED:
                return event
            data = self._receive(deadline)
            ended = not data
            self._http.receive_data(data)

    def _receive(self, deadline: Deadline) -> bytes:
        self._socket.settimeout(deadline.remaining())
        try:
            return self._socket.recv(_CHUNK)
        except (ConnectionResetError, ConnectionAbortedError, BrokenPipeError) as error:
            raise ConnectionBroken("the connection was reset") from error

    def _secure(self, environ: Mapping[str, str], deadline: Deadline) -> None:
        """Ask the proxy for a tunnel if there is one, and speak TLS from here on."""
        if self.proxy is not None:
            self._tunnel(self.proxy, deadline)
        context = tls_context(environ)
        self._socket.settimeout(deadline.remaining())
        self._socket = context.wrap_socket(self._socket, server_hostname=self.server.host)

    def _tunnel(self, proxy: Address, deadline: Deadline) -> None:
        target = f"{self.server.host_in_url}:{self.server.port}"
        headers = [("Host", target)]
        if proxy.basic:
            headers.append(("Proxy-Authorization", proxy.basic))
        self._socket.settimeout(deadline.remaining())
        self._socket.sendall(
            self._http.send(h11.Request(method="CONNECT", target=target, headers=headers)) or b""
        )
        self._http.send(h11.EndOfMessage())
        event = self._event(deadline)
        if not isinstance(event, h11.Response) or event.status_code // 100 != 2:  # noqa: PLR2004 - 2xx
            status = f"{event.status_code}" if isinstance(event, h11.Response) else "nothing"
            raise NotUnderstood(f"the proxy {proxy} answered {status} to CONNECT")
        self._http = h11.Connection(h11.CLIENT)


def tls_context(environ: Mapping[str, str]) -> ssl.SSLContext:
    """Return the context for certificates that the system trusts, or those that a variable names.

    OpenSSL reads ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` by itself; ``REQUESTS_CA_BUNDLE`` and
    ``CURL_CA_BUNDLE`` are what most tools around Airflow read.
    """
    import ssl

    bundle_name = next((name for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE") if environ.get(name)), None)
    context = ssl.create_default_context()
    if bundle_name is None or environ.get("SSL_CERT_FILE"):
        return context
    bundle = environ[bundle_name]
    try:
        if Path(bundle).is_dir():
            context.load_verify_locations(capath=bundle)
        else:
            context.load_verify_locations(cafile=bundle)
    except (OSError, ssl.SSLError) as error:
        raise InvalidSettings(f"Can't read the certificates that {bundle_name} names: {bundle}") from error
    return context
