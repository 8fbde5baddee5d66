"""Routes that refuse what they do not know, and that answer conditional requests (RFC 9110)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import cached_property, wraps
from hashlib import sha256
from http import HTTPStatus
from inspect import iscoroutinefunction
from typing import Any, ClassVar, TypeVar, get_origin

from fastapi import Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import Header, Query
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from basecamp.access.rights import RIGHTS, Right
from basecamp.api import PREFIX
from basecamp.api.auditing import audited, note_refusal
from basecamp.api.public_paths import path_of
from basecamp.registration.entity_tags import is_one_of
from dataspec.errors import DatasetNotFound, Forbidden, InvalidUsage, Unauthorized
from dataspec.problems import nearest

T = TypeVar("T")

JSON_TYPE = "application/json"

_EMPTY_BODIES = frozenset({b"", b"{}", b"null"})
_LISTS = frozenset({"if-match", "if-none-match"})
"""Headers that may be sent in several lines."""
_DESCRIPTIVE = frozenset({"content-length", "content-type"})
"""Headers that describe a body, which a response 304 does not have."""


class CheckedRoute(APIRoute):
    """A route that refuses unknown and repeated parameters, and bodies that it would not read as meant.

    A request with a typing error, such as ``dryrun=true``, must not do more than was asked.
    """

    takes_cookie: ClassVar[bool] = False
    """Whether the cookie of a page's session signs a request in; programs send a token."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        call = endpoint if iscoroutinefunction(endpoint) else _in_one_thread(endpoint)
        super().__init__(path, call, **options)
        if "GET" in (self.methods or ()):
            self.responses = {304: {"description": "Not Modified"}, **self.responses}

    @cached_property
    def query_names(self) -> tuple[str, ...]:
        """The names of the query parameters."""
        return self._names(Query)

    @cached_property
    def repeatable_names(self) -> frozenset[str]:
        """The names of the query parameters that take several values."""
        fields = get_flat_params(self.dependant)
        return frozenset(field.alias for field in fields if get_origin(field.field_info.annotation) is tuple)

    @cached_property
    def header_names(self) -> tuple[str, ...]:
        """The names of the headers that may occur once."""
        return tuple(name for name in self._names(Header) if name not in _LISTS)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler, with the checks before it and the comparison of ETags after it."""
        handle = super().get_route_handler()

        async def handle_checked(request: Request) -> Response:
            checked, gate = CheckedRequest(request.scope, request.receive), request.app.state.gate
            try:
                admitted = await gate.admit(checked, self.right, takes_cookie=self.takes_cookie)
            except (Unauthorized, Forbidden) as error:
                await note_refusal(checked, self.action, error)
                raise
            checked.state.admitted = admitted
            await self.check(checked)
            try:
                response = await self._audited(checked, handle)
            except DatasetNotFound as error:
                raise admitted.hidden(error) from None
            is_read = request.method == "GET" and response.status_code == HTTPStatus.OK
            return _conditional(request, response) if is_read else response

        return handle_checked

    @cached_property
    def right(self) -> Right:
        """The route's row in the table of rights.

        Raises:
            LookupError: When it has none: such a route is not served.
        """
        (method,) = self.methods or {""}
        row = f"{method} {self.path}"
        if row not in RIGHTS:
            raise LookupError(f"The table of rights (basecamp.access.rights) has no row for {row}.")
        return RIGHTS[row]

    async def _audited(
        self, request: Request, handle: Callable[[Request], Coroutine[Any, Any, Response]]
    ) -> Response:
        if not self.right.changes:
            return await handle(request)
        sent = await self.sent_fields(request)
        if self.is_preview(sent):
            return await handle(request)
        return await audited(request, self.action, sent, handle)

    @property
    def action(self) -> str:
        """What the route does, in a few words: the name of its handler, equal for the API and the page."""
        return self.name.replace("_", " ")

    async def sent_fields(self, request: Request) -> Mapping[str, Any]:
        """Return the fields of a request's query and body; those of a body that its handler refuses are left out."""
        try:
            body = await request.json() if await request.body() else {}
        except (ValueError, RecursionError, HTTPException):
            body = {}
        return dict(request.query_params) | (body if isinstance(body, dict) else {})

    def is_preview(self, sent: Mapping[str, Any]) -> bool:
        """Return whether a request only asks what a change would do."""
        return sent.get("dry_run") is True

    async def check(self, request: Request) -> None:
        """Refuse a request that this route would not carry out as it was meant.

        Raises:
            InvalidUsage: For an unknown or repeated parameter, or a body on a route without one.
            HTTPException: For a compressed body, and a type of it, or of the wanted response, other than JSON.
        """
        self.check_names(request)
        if path_of(request.scope).startswith(f"{PREFIX}/") and not _accepts_json(request):
            raise HTTPException(406, f"Responses are JSON: send 'Accept: {JSON_TYPE}', or no Accept at all.")
        body = await request.body()
        if body and request.headers.get("content-encoding", "identity").strip().lower() != "identity":
            raise HTTPException(
                415,
                "The body must not be compressed: send no Content-Encoding.",
                {"Accept-Encoding": "identity"},
            )
        if self.body_field is None and body.strip() not in _EMPTY_BODIES:
            raise InvalidUsage("This request takes no body.", detail="Send its options in the query.")
        if self.body_field is not None and body and not _is_json(request.headers.get("content-type", "")):
            raise HTTPException(415, f"The body must be JSON: send it with 'Content-Type: {JSON_TYPE}'.")

    def check_names(self, request: Request) -> None:
        """Refuse unknown query parameters, and parameters and headers that occur twice.

        Raises:
            InvalidUsage: With the name, and the nearest that the route knows.
        """
        sent = Counter(name for name, _ in request.query_params.multi_items() if not self.ignores(name))
        for name, count in sent.items():
            if name not in self.query_names:
                raise _unknown(name, self.query_names)
            if count > 1 and name not in self.repeatable_names:
                raise InvalidUsage(
                    f"The query parameter '{name}' occurs {count} times.", detail="Send it once."
                )
        for name in self.header_names:
            if len(request.headers.getlist(name)) > 1:
                raise InvalidUsage(f"The header '{name.title()}' occurs twice.", detail="Send it once.")

    def ignores(self, _name: str) -> bool:
        """Return whether an unknown query parameter has no meaning for any server."""
        return False

    def _names(self, kind: type[Query | Header]) -> tuple[str, ...]:
        return tuple(
            field.alias for field in get_flat_params(self.dependant) if isinstance(field.field_info, kind)
        )


def _in_one_thread(function: Callable[..., T]) -> Callable[..., Coroutine[Any, Any, T]]:
    """Return a coroutine function that calls a plain function in a thread.

    Of a plain function FastAPI checks the result in a second thread, which costs more than the check.
    """

    @wraps(function)
    async def call(**arguments: Any) -> T:
        return await run_in_threadpool(function, **arguments)

    return call


class CheckedRequest(Request):
    """A request whose JSON has each key once, and only characters that can be stored."""

    async def json(self) -> Any:
        """Return the body's JSON.

        Raises:
            HTTPException: For a key that occurs twice, and for a number or a character that does not exist.
        """
        if hasattr(self, "_json"):
            return self._json
        found = json.loads(await self.body(), object_pairs_hook=_unique, parse_constant=_no_number)
        # JSON can escape lone surrogates, such as \ud800, which files and databases reject.
        try:
            json.dumps(found, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            letter = error.object[error.start]
            raise HTTPException(400, f"The body contains {letter!r}, which is not a character.") from None
        self._json = found
        return found


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise HTTPException(400, f"The key {json.dumps(twice)} occurs twice in an object of the body.")
    return found


def _no_number(text: str) -> None:
    raise HTTPException(400, f"{text} is not a number in JSON.")


def _unknown(name: str, known: Sequence[str]) -> InvalidUsage:
    accepted = f"Accepted: {', '.join(known)}." if known else "This address takes none."
    hint = nearest(name, known)
    return InvalidUsage(
        f"Unknown query parameter '{name}'.", detail=f"{hint} {accepted}" if hint else accepted
    )


def _is_json(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return kind == JSON_TYPE or (kind.startswith("application/") and kind.endswith("+json"))


def _accepts_json(request: Request) -> bool:
    ranges = [part for line in request.headers.getlist("accept") for part in line.split(",") if part.strip()]
    return not ranges or any(_includes_json(part) for part in ranges)


def _includes_json(media_range: str) -> bool:
    kind, *parameters = (part.strip().lower() for part in media_range.split(";"))
    refused = any(parameter.replace(" ", "").rstrip("0").rstrip(".") == "q=" for parameter in parameters)
    return kind in {JSON_TYPE, "application/*", "*/*"} and not refused


def _conditional(request: Request, response: Response) -> Response:
    """Add the ETag of a response's body; return 304 if the caller has it already.

    A version that the route has set as ETag becomes a part: ``"<version>.<digest of the body>"``, which is
    accepted as the version in ``If-Match``.
    """
    headers = response.headers
    if "no-store" in headers.get("cache-control", ""):
        return response
    digest = sha256(response.body).hexdigest()[:16]
    version = headers.get("etag", "").strip('"')
    headers["etag"] = f'"{version}.{digest}"' if version else f'"{digest}"'
    headers.setdefault("cache-control", "no-cache")
    known = request.headers.getlist("if-none-match")
    if not known or not is_one_of(", ".join(known), headers["etag"], weak=True):
        return response
    kept = {name: value for name, value in headers.items() if name not in _DESCRIPTIVE}
    return Response(status_code=304, headers=kept)
