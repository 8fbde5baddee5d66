"""A provider on loopback whose keys, answers and tokens a test sets."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, Key, RSAKey

AUDIENCE = "basecamp-api"


class OidcProvider:
    """Publishes a discovery document and keys, and signs tokens.

    Attributes:
        url: The issuer.
        keys: The published keys, as JSON; a test may put in others.
        document: The discovery document; a test may change it.
        status: The status of every answer.
        location: The address that every answer redirects to; none by default.
        body: What every answer holds instead; None for the real one.
        requests: The number of requests by path.
        may_answer: Answers wait for it.
        drips: Whether answers come byte by byte, without end.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.document: dict[str, Any] = {"issuer": url, "jwks_uri": f"{url}/keys"}
        self.keys: list[Any] = []
        self.status = 200
        self.location: str | None = None
        self.body: bytes | None = None
        self.requests: Counter[str] = Counter()
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.drips = False
        self.key: Key = self.rotate("first")

    def rotate(self, kid: str | None, *, kind: str = "EC", keep: bool = False) -> Key:
        """Sign with a new key from now on, and publish it, with the older ones on request."""
        parameters: Any = {} if kid is None else {"kid": kid}
        self.key = (
            ECKey.generate_key("P-256", parameters=parameters)
            if kind == "EC"
            else RSAKey.generate_key(2048, parameters=parameters)
        )
        published = self.key.as_dict(private=False)
        self.keys = [*(self.keys if keep else []), published]
        return self.key

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Return the claims of an access token; a value None leaves one out."""
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "17",
            "iat": now,
            "nbf": now,
            "exp": now + 600,
            "repository": "acme/datasets",
            "ref": "refs/heads/main",
        }
        return {name: value for name, value in (claims | changes).items() if value is not None}

    def token(self, *, header: dict[str, Any] | None = None, key: Key | None = None, **changes: Any) -> str:
        """Return a signed token, of an access token's claims with changes."""
        key = key or self.key
        kid = key.get("kid")
        given = {"alg": "ES256" if isinstance(key, ECKey) else "RS256"} | ({"kid": kid} if kid else {})
        algorithm = (given | (header or {}))["alg"]
        return jwt.encode(given | (header or {}), self.claims(**changes), key, algorithms=[algorithm])


@contextmanager
def oidc_provider() -> Iterator[OidcProvider]:
    """Run a provider on a free port of loopback."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    provider = OidcProvider(f"http://127.0.0.1:{server.server_port}")
    server.provider = provider  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        provider.may_answer.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        provider: OidcProvider = self.server.provider  # type: ignore[attr-defined]
        provider.requests[self.path] += 1
        provider.may_answer.wait(120)
        body = provider.body
        if body is None:
            is_keys = self.path == "/keys"
            body = json.dumps({"keys": provider.keys} if is_keys else provider.document).encode()
        self.send_response(302 if provider.location else provider.status)
        if provider.location:
            self.send_header("Location", provider.location)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body) + (10**6 if provider.drips else 0)))
        self.end_headers()
        try:
            self.wfile.write(body)
            while provider.drips:
                self.wfile.write(b" ")
                self.wfile.flush()
                time.sleep(0.2)
        except OSError:
            return

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the library's name
        pass


@contextmanager
def provider_of_another_maker(**users: dict[str, Any]) -> Iterator[str]:
    """Run oidc-provider-mock, a program of its own, with these users' claims by subject; yields the issuer."""
    program = (
        "import json, sys, oidc_provider_mock as m\n"
        "users = [m.User(sub=sub, claims=claims) for sub, claims in json.loads(sys.argv[1]).items()]\n"
        "with m.run_server_in_thread(user_claims=users) as s:\n print(s.server_port, flush=True)\n input()"
    )
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", program, json.dumps(users)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield f"http://localhost:{int(process.stdout.readline())}"
        process.stdin.write("\n")
