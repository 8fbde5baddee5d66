"""A browser without a screen: it keeps cookies, follows redirects over hosts, and sends the forms of pages."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import anyio
from fastapi import FastAPI
from httpx import ASGITransport, AsyncBaseTransport, AsyncClient, AsyncHTTPTransport, Cookies, Response

ORIGIN = "https://basecamp.test"


class Forms(HTMLParser):
    """The forms of a page that change something: their addresses, and the fields that are filled in already."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self._fields: dict[str, str] | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag == "form" and attributes.get("method") == "post":
            self._fields = {}
            self.found.append((attributes["action"], self._fields))
        if tag == "input" and self._fields is not None and "value" in attributes:
            self._fields[attributes["name"]] = attributes["value"]

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._fields = None


class Browser:
    """A browser for one application at ``https://basecamp.test``, and for what else listens on this machine.

    Args:
        app: The application; None for a server in a process of its own.
        origin: The address of its pages.
        authority: The file with the certificates that a server's must be signed by.
    """

    def __init__(self, app: FastAPI | None, origin: str = ORIGIN, *, authority: Path | None = None) -> None:
        self._app = app
        self._authority = authority
        self.origin = origin
        self.cookies = Cookies()
        self.page = Response(204)

    def open(self, address: str, *, follow: bool = True, **headers: str) -> Response:
        """Open an address; return the page at which it ends."""
        return self._send("GET", address, follow=follow, headers={"Accept": "text/html", **headers})

    def submit(
        self, action: str, fields: Mapping[str, str] | None = None, *, follow: bool = True
    ) -> Response:
        """Send the form of the open page whose address ends so, with further fields."""
        forms = Forms(self.page.text).found
        address, filled = next((form for form in forms if form[0].endswith(action)), (None, {}))
        assert address is not None, (action, forms)
        return self.post(address, {**filled, **(fields or {})}, follow=follow)

    def post(self, address: str, fields: Mapping[str, str], *, follow: bool = True) -> Response:
        """Send a form to an address, as a page of this server does."""
        headers = {"Origin": self.origin, "Sec-Fetch-Site": "same-origin", "Accept": "text/html"}
        return self._send("POST", address, follow=follow, data=dict(fields), headers=headers)

    def _send(self, method: str, address: str, *, follow: bool, **request: Any) -> Response:
        async def send() -> Response:
            transport: AsyncBaseTransport
            if self._app is not None:
                transport = ASGITransport(self._app, raise_app_exceptions=False)
            else:
                transport = AsyncHTTPTransport(verify=ssl.create_default_context(cafile=self._authority))
            async with AsyncClient(
                mounts={self.origin: transport, "http://": AsyncHTTPTransport()},
                cookies=self.cookies,
                follow_redirects=follow,
                trust_env=False,
                timeout=120,
            ) as client:
                answer = await client.request(method, urljoin(self.origin, address), **request)
                self.cookies = client.cookies
                return answer

        self.page = anyio.run(send)
        return self.page
