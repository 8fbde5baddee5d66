"""Measure what sign-in costs a request: the server's CPU without it, with a token, and with an OIDC token.

`make bench` runs it. It prints Markdown; ``docs/benchmarks.md`` keeps a run with its date.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from commands import machine

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

from basecamp.access.oidc.settings import OidcSettings
from basecamp.access.principal import Grant, Role
from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.api.app import create_app
from basecamp.server.sign_in import credentials_of
from basecamp.server.wiring import build_services
from basecamp.services import Services
from basecamp.shared.clock import SystemClock
from dataspec.store import MemoryStore
from oidc_provider import AUDIENCE, OidcProvider, oidc_provider

ROUNDS = 30
REQUESTS = 100
PATH = "/api/v1/whoami"


@dataclass
class Case:
    """One way to sign in."""

    name: str
    app: Any
    header: str | None
    before: Callable[[], object] = lambda: None
    """What happens before each request, and is not counted."""
    costs: list[float] = field(default_factory=list)
    """Microseconds of CPU for a request, in each round."""


async def request(app: Any, header: str | None) -> None:
    """Send a request straight to the application; it must be answered."""
    headers = [(b"host", b"127.0.0.1")] + ([(b"authorization", header.encode())] if header else [])
    scope = {
        "type": "http",
        "method": "GET",
        "path": PATH,
        "raw_path": PATH.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "scheme": "http",
        "http_version": "1.1",
        "asgi": {"version": "3.0"},
    }
    statuses: list[int] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    await app(scope, receive, send)
    assert statuses == [200], statuses


async def measure(cases: list[Case]) -> None:
    """Measure the cases in turn, round by round, so that a drift of the machine's speed meets all of them."""
    for round_ in range(ROUNDS + 1):
        for case in cases:
            used = 0.0
            for _ in range(REQUESTS):
                case.before()
                began = time.process_time()
                await request(case.app, case.header)
                used += time.process_time() - began
            if round_:  # the first round warms up
                case.costs.append(used / REQUESTS * 1e6)


def services_for(provider: OidcProvider) -> Services:
    entry = {"issuer": provider.url, "audience": AUDIENCE}
    rules = [{"issuer": provider.url, "claims": {"ref": "refs/heads/main"}, "role": "viewer"}]
    settings = OidcSettings.parse(json.dumps({"issuers": [entry], "rules": rules}).encode(), "oidc.yaml")
    return build_services(MemoryStore(), MemoryAirflow(), SystemClock(), oidc=settings)


def cases(services: Services, provider: OidcProvider) -> list[Case]:
    made = services.tokens.create("bench", Grant(Role.VIEWER), lifetime=timedelta(days=1), created_by="bench")
    signed_in = create_app(services, credentials=credentials_of({"tokens", "oidc"}, services))
    oidc = services.oidc
    assert oidc is not None
    forget = oidc._verified_tokens.clear  # noqa: SLF001 - the cost of a token that is new
    elliptic = f"Bearer {provider.token()}"
    rsa = f"Bearer {provider.token(key=provider.rotate('rsa', kind='RSA', keep=True))}"
    return [
        Case("no sign-in", create_app(services), None),
        Case("an API token", signed_in, f"Bearer {made.text}"),
        Case("an OIDC token", signed_in, elliptic),
        Case("a new OIDC token, ES256", signed_in, elliptic, forget),
        Case("a new OIDC token, RS256", signed_in, rsa, forget),
    ]


def main() -> None:
    with oidc_provider() as provider:
        services = services_for(provider)
        measured = cases(services, provider)
        asyncio.run(measure(measured))
    base = measured[0].costs
    print(f"### Sign-in\n\n{machine()}; `GET {PATH}`, {ROUNDS} rounds of {REQUESTS} requests, keys cached\n")
    print("| request with | CPU, ms | more than without sign-in, ms |\n| --- | ---: | ---: |")
    for case in measured:
        more = statistics.median(cost - other for cost, other in zip(case.costs, base, strict=True))
        print(f"| {case.name} | {statistics.median(case.costs) / 1000:.2f} | {more / 1000:.2f} |")


if __name__ == "__main__":
    main()
