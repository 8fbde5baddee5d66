"""Requests to an S3 server that obstore has no call for: obstore signs the URL, urllib sends the request."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from datetime import timedelta
from http.client import HTTPException
from threading import Thread
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import obstore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from email.message import Message

    from obstore.store import S3Store

SIGNED_FOR: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class SignedResponse:
    """The server's response, which may be a refusal."""

    status: int
    document: str
    headers: Message

    @property
    def error(self) -> OSError:
        """The error for a response that is a refusal, with the server's document."""
        return OSError(f"status code: {self.status}: {self.document}")


def send_signed(
    client: S3Store,
    method: Literal["HEAD", "PUT", "DELETE"],
    key: str,
    *,
    timeout: float,
    valid: timedelta = SIGNED_FOR,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> SignedResponse:
    """Send a request once, without a retry.

    Args:
        client: The client that signs the URL.
        method: The HTTP method.
        key: The object's key.
        timeout: The time limit of the whole request, in seconds.
        valid: How long the server accepts the signature, in whole seconds.
        headers: Headers of the request.
        body: Its body.

    Raises:
        OSError: When the server does not answer.
    """
    address = obstore.sign(client, method, key, valid)
    request = Request(address, data=body, headers=dict(headers or {}), method=method)  # noqa: S310 - the store's address
    try:
        return _within(timeout, lambda: _sent(request, timeout))
    except (HTTPException, OSError) as error:
        place = address.partition("?")[0]  # the query holds the signature
        raise OSError(f"{method} {place}: {type(error).__name__} {error}") from error


def _within(seconds: float, send: Callable[[], SignedResponse]) -> SignedResponse:
    """Return the response of a request, or give it up: urllib bounds only the wait for the next bytes."""
    answer: Future[SignedResponse] = Future()

    def answered() -> None:
        try:
            answer.set_result(send())
        except Exception as error:  # noqa: BLE001 - raised where the result is read
            answer.set_exception(error)

    Thread(target=answered, name="signed-request", daemon=True).start()
    return answer.result(seconds)


def _sent(request: Request, timeout: float) -> SignedResponse:
    with _response(request, timeout) as response:
        return SignedResponse(response.status, response.read().decode(errors="replace"), response.headers)


def _response(request: Request, timeout: float) -> Any:
    """Return the response to a request, also a refusal, which urllib raises."""
    try:
        return urlopen(request, timeout=timeout)  # noqa: S310 - the store's address
    except HTTPError as refusal:
        return refusal
